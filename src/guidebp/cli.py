"""The `guidebp` command: its command line, and how errors end it."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from guidebp import verbs
from guidebp.errors import REMEDIES, StopRequested, UserError, report_disk_errors

Verb = Callable[[argparse.Namespace], int | None]


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="guidebp", description="Replications of papers on networks with parallel logits."
    )
    subparsers = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(verb: Verb, *, study: bool = False, datasets: str = "") -> argparse.ArgumentParser:
        verb_parser = subparsers.add_parser(verb.__name__, help=verb.__doc__, description=verb.__doc__)
        verb_parser.set_defaults(function=verb)
        if study:
            verb_parser.add_argument(
                "--study", default=None, help="name of the study (default: the study of config/config.yaml)"
            )
        if datasets:
            verb_parser.add_argument("datasets", nargs=datasets, metavar="DATASET")
        return verb_parser

    fetcher = add(verbs.fetch, datasets="+")
    fetcher.add_argument(
        "--allow-unverified",
        action="store_true",
        help="also download files whose owner publishes no checksum",
    )
    add(verbs.prepare, datasets="+")
    add(verbs.verify, datasets="*")
    trainer = add(verbs.train, study=True)
    trainer.add_argument("--pack", required=True, help="id of the pack")
    for verb_parser in (trainer, add(verbs.time, study=True)):
        verb_parser.add_argument(
            "--device",
            choices=["auto", "cpu", "cuda"],
            help="device to train on (default: that of config/config.yaml)",
        )
    trainer.add_argument(
        "--keep-weights", action="store_true", help="store the final weights of newly trained runs"
    )
    add(verbs.collect, study=True).add_argument(
        "--partial",
        action="store_true",
        help="report packs that are not trained as missing instead of failing",
    )
    collector = add(verbs.gc)
    collector.add_argument("--yes", action="store_true", help="delete without asking")
    collector.add_argument(
        "--crashed", action="store_true", help="also delete crashed runs, so that they are trained again"
    )
    add(verbs.expect, study=True).add_argument(
        "--write", action="store_true", help="write results/expected/STUDY.csv from the runs"
    )
    add(verbs.restore, study=True).add_argument(
        "--records-only", action="store_true", help="neither render nor compare"
    )
    for verb in (
        verbs.specs,
        verbs.analyse,
        verbs.claims,
        verbs.render,
        verbs.tune,
        verbs.report,
        verbs.doctor,
        verbs.status,
        verbs.check,
    ):
        add(verb, study=True)
    add(verbs.generate)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 2 for an error that the user can fix, printed in one line."""
    args = build_parser().parse_args(argv)
    try:
        if "study" in args:
            args.study = _resolve_study_name(args.study)
        with report_disk_errors(Path("results")):
            return args.function(args) or 0
    except UserError as error:
        return _print_error(args.verb, str(error))
    except FileNotFoundError as error:
        return _print_error(
            args.verb,
            f"{error.filename}: file is missing because an earlier step has not run. Run: snakemake",
        )
    except StopRequested as error:
        print(f"guidebp {args.verb}: stopped: {error}; the same command resumes", file=sys.stderr)
        return 75
    except EOFError:  # nobody answers the question of `gc`
        return _print_error(args.verb, "nothing was deleted, because nobody answers. Run: guidebp gc --yes")
    except KeyboardInterrupt:
        print(f"guidebp {args.verb}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `guidebp specs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None:  # not about a file, so a fault of the code
            raise
        remedy = REMEDIES.get(error.errno or 0, "make it readable")
        where = os.fsdecode(error.filename2 or error.filename)
        return _print_error(args.verb, f"{where}: {error.strerror}; {remedy} and run the same again")
    return 0


def _print_error(verb: str, message: str) -> int:
    """Print each line of an error, with control characters escaped; return exit code 2."""
    for line in message.split("\n"):
        printable = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)
        print(f"guidebp {verb}: {printable}", file=sys.stderr)
    return 2


def _resolve_study_name(name: str | None) -> str:
    """Return the study's name, by default that of config/config.yaml; refuse names that are paths."""
    from guidebp.schema.yaml_files import check_config_value, read_config_file

    if name is None:
        return str(read_config_file(Path("config/config.yaml"), "config").study)
    return str(check_config_value("--study", {"study": name}, "config").study)


if __name__ == "__main__":
    sys.exit(main())
