"""The `guidebp` command: one verb per step of the workflow, and a few for people.

Every verb is a plain function of its module; here is only the command line. Imports happen inside the verbs:
torch and pandas cost seconds, and most verbs need one of them at most.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from guidebp.errors import REMEDIES, StopRequested, UserError, report_disk_errors

Verb = Callable[[argparse.Namespace], int | None]


def fetch(args: argparse.Namespace) -> None:
    """Bring raw files to data/raw/, verified against the catalogue."""
    from guidebp.ingest.fetching.download import Downloader
    from guidebp.ingest.fetching.fetch import fetch
    from guidebp.ingest.fetching.places import mirrors_of
    from guidebp.paths import RAW
    from guidebp.schema.catalogue import wholes
    from guidebp.schema.yaml_files import read_file

    config = read_file(Path("config/config.yaml"), "config")
    allowed = args.allow_unverified or config.allow_unverified
    faults, downloader = [], Downloader()
    for name, dataset in wholes(_datasets(args.datasets)).items():
        try:
            fetch(name, dataset, RAW, mirrors_of(config.mirrors), allowed, downloader)
            print(f"{name}: {RAW / name} is complete", file=sys.stderr)
        except UserError as error:  # the others are fetched all the same
            faults.append(str(error))
    if faults:
        raise UserError("\n".join(faults))


def prepare(args: argparse.Namespace) -> None:
    """Turn raw files into one prepared file per dataset and its manifest."""
    from guidebp.ingest.prepare import prepare
    from guidebp.paths import PREPARED, RAW

    for name, dataset in _datasets(args.datasets).items():
        prepare(name, dataset, RAW, PREPARED)


def verify(args: argparse.Namespace) -> None:
    """Re-hash all raw and prepared files that are there; fails when one is damaged."""
    from guidebp.ingest.verify import verify
    from guidebp.paths import PREPARED, RAW

    findings = [
        finding
        for name, dataset in _datasets(args.datasets).items()
        for finding in verify(name, dataset, RAW, PREPARED)
    ]
    for finding in findings:
        if finding.state != "damaged" and (finding.state == "ok" or args.datasets):
            print(f"{finding.dataset:<20} {finding.kind:<9} {finding.state:<7} {finding.text}")
    damaged = [f"{finding.dataset}: {finding.text}" for finding in findings if finding.state == "damaged"]
    if damaged:
        raise UserError("\n".join(damaged))
    if not any(finding.state == "ok" for finding in findings):
        print("nothing has been fetched yet; run: guidebp fetch DATASET")


def train(args: argparse.Namespace) -> None:
    """Train what the store lacks of one pack, then write the pack's index."""
    from guidebp.jobs.train import train_and_index
    from guidebp.jobs.worker import TrainingOptions
    from guidebp.study.resolve import load_study

    study = load_study(args.study)
    training = TrainingOptions(
        device=args.device or study.config.device,
        keep_weights=args.keep_weights or study.config.keep_weights,
        checkpoint_epochs=study.config.checkpoint_epochs,
        checkpoint_minutes=study.config.checkpoint_minutes,
        hand_back="SLURM_JOB_ID" in os.environ,
    )
    train_and_index(study, args.pack, training)


def specs(args: argparse.Namespace) -> None:
    """Print the resolved specs of a study as JSON, for training elsewhere."""
    from guidebp.runs.spec import planned_run_to_json
    from guidebp.study.resolve import load_study

    planned = [planned_run_to_json(run.planned) for run in load_study(args.study).runs]
    json.dump(planned, sys.stdout, indent=1)
    print()


def time(args: argparse.Namespace) -> None:
    """Time one training step of everything a study trains, to predict hours; adds to results/step-times.json."""
    from guidebp.jobs.step_times import time_steps
    from guidebp.study.resolve import load_study

    study = load_study(args.study)
    time_steps(study, args.device or study.config.device)


def claims(args: argparse.Namespace) -> None:
    """Every claim with its verdict, as far as the study's runs go, and what it would take to test it."""
    from guidebp.analysis.claims import verdicts
    from guidebp.rendering.tables.claims import claims_text
    from guidebp.study.resolve import load_study

    print(claims_text(verdicts(load_study(args.study))))


def collect(args: argparse.Namespace) -> None:
    """Read the records of a study into tidy tables and its records archive."""
    from guidebp.collect.collect import collect
    from guidebp.study.resolve import load_study

    collect(load_study(args.study), args.partial)


def analyse(args: argparse.Namespace) -> None:
    """Paired comparisons, summary and curves of a collected study."""
    from guidebp.analysis.analyse import analyse
    from guidebp.paths import Layout

    analyse(Layout(args.study))


def render(args: argparse.Namespace) -> None:
    """Figures and tables of an analysed study."""
    from guidebp.paths import Layout
    from guidebp.rendering.render import render

    render(Layout(args.study))


def tune(args: argparse.Namespace) -> None:
    """Learning rates from the validation accuracies of a collected study that tunes: recipes, table, figures."""
    from guidebp.rendering.render import write_tuning
    from guidebp.study.resolve import load_study

    study = load_study(args.study)
    if study.file.tunes is None:
        raise UserError(
            f"config/studies/{study.name}.yaml: has no key `tunes`, and so no learning rates to choose from"
        )
    write_tuning(study)


def report(args: argparse.Namespace) -> None:
    """The self-contained page of a rendered study."""
    from guidebp.paths import Layout
    from guidebp.rendering.report.page import write_report

    write_report(Layout(args.study))


def restore(args: argparse.Namespace) -> None:
    """Bring a study back from its committed records: verify, render, compare with the commit; trains nothing."""
    from guidebp.study.resolve import load_study
    from guidebp.upkeep.restore import restore

    print(restore(load_study(args.study), args.records_only))


def doctor(args: argparse.Namespace) -> int:
    """What is wrong here and the command that mends it; exit code 1 when something is."""
    from guidebp.study.resolve import load_all_studies, load_study
    from guidebp.upkeep.doctor import diagnose, environment

    study = load_study(args.study)
    print(environment())
    findings = diagnose(study, load_all_studies())
    for found in findings:
        print(f"{found.kind:<14}{found.text}\n{'':<14}-> {found.remedy}")
    faults = sum(found.fault for found in findings)
    print(f"{study.name}: {faults} faults" if faults else f"{study.name}: no faults")
    return int(faults > 0)


def gc(args: argparse.Namespace) -> None:
    """Free what no study of config/studies/ uses: runs, checkpoints, indexes, leftovers; asks first."""
    from guidebp.paths import RUNS
    from guidebp.runs.store import RunStore
    from guidebp.study.resolve import load_all_studies
    from guidebp.upkeep.gc import free

    def agreed(text: str) -> bool:
        print(text)
        return args.yes or input("delete all that? [y/N] ").strip().lower() in ("y", "yes")

    print(free(load_all_studies(), RunStore(RUNS), agreed, args.crashed))


def format_status(args: argparse.Namespace) -> None:
    """Runs done of total, and what runs now."""
    from guidebp.jobs.progress import format_status
    from guidebp.paths import RUNS
    from guidebp.runs.store import RunStore
    from guidebp.study.resolve import load_study

    print(format_status(load_study(args.study), RunStore(RUNS)))


def check(args: argparse.Namespace) -> None:
    """Resolve a study and say what it holds; every mistake in config/ shows here."""
    from guidebp.study.resolve import load_study

    study = load_study(args.study)
    print(f"{study.name}: {len(study.runs)} runs in {len(study.packs)} packs; the configuration is sound")


def generate(args: argparse.Namespace) -> None:
    """Write the files made from others: JSON Schemas for editors, environment.yml, documents with results."""
    from guidebp.rendering.documents.generate import write_documents
    from guidebp.schema.generated import write_generated

    for write in (write_generated, write_documents):
        for path in write():
            print(path)


def _datasets(names: Sequence[str]) -> dict[str, Any]:
    """The datasets of these names, or all."""
    from guidebp.schema.catalogue import read_datasets
    from guidebp.schema.yaml_files import nearest

    known = read_datasets()
    for name in names:
        if name not in known:
            raise UserError(f"config/datasets.yaml: no dataset {name!r}; {nearest(name, known)}")
    return {name: known[name] for name in names} if names else known


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="guidebp", description="Replications with parallel logits.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(verb: Verb, *, study: bool = False, datasets: str = "") -> argparse.ArgumentParser:
        made = verbs.add_parser(verb.__name__, help=verb.__doc__, description=verb.__doc__)
        made.set_defaults(function=verb)
        if study:
            made.add_argument("--study", default=None, help="default: the study of config/config.yaml")
        if datasets:
            made.add_argument("datasets", nargs=datasets, metavar="DATASET")
        return made

    fetcher = add(fetch, datasets="+")
    fetcher.add_argument(
        "--allow-unverified",
        action="store_true",
        help="download also files whose owner publishes no checksum",
    )
    add(prepare, datasets="+")
    add(verify, datasets="*")
    trainer = add(train, study=True)
    trainer.add_argument("--pack", required=True, help="the pack's id")
    for verb_parser in (trainer, add(time, study=True)):
        verb_parser.add_argument(
            "--device", choices=["auto", "cpu", "cuda"], help="default: that of config/config.yaml"
        )
    trainer.add_argument(
        "--keep-weights", action="store_true", help="store final weights of newly trained runs"
    )
    add(collect, study=True).add_argument(
        "--partial", action="store_true", help="runs of packs that are not trained are missing, and no error"
    )
    collector = add(gc)
    collector.add_argument("--yes", action="store_true", help="do not ask")
    collector.add_argument(
        "--crashed", action="store_true", help="free crashed runs too: they are then trained once more"
    )
    add(restore, study=True).add_argument(
        "--records-only", action="store_true", help="render nothing, compare nothing"
    )
    for verb in (specs, analyse, claims, render, tune, report, doctor, format_status, check):
        add(verb, study=True)
    add(generate)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. A user's mistake is one line and exit code 2."""
    args = parser().parse_args(argv)
    try:
        if "study" in args:
            args.study = _named_study(args.study)
        with report_disk_errors(Path("results")):
            return args.function(args) or 0
    except UserError as error:
        return _refused(args.verb, str(error))
    except FileNotFoundError as error:
        return _refused(args.verb, f"{error.filename}: missing; an earlier step has not run: run snakemake")
    except StopRequested as error:
        print(f"guidebp {args.verb}: stopped: {error}; the same command goes on", file=sys.stderr)
        return 75
    except EOFError:  # asked, and nobody there
        return _refused(args.verb, "nobody answers; nothing was deleted: give --yes")
    except KeyboardInterrupt:
        print(f"guidebp {args.verb}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `guidebp specs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None:  # of no file: no fault of the user's
            raise
        remedy = REMEDIES.get(error.errno or 0, "see to it that it can be read")
        where = os.fsdecode(error.filename2 or error.filename)
        return _refused(args.verb, f"{where}: {error.strerror}; {remedy} and run the same again")
    return 0


def _refused(verb: str, message: str) -> int:
    """Say each fault in a line of its own; what a terminal would obey or not show is written as an escape."""
    for line in message.split("\n"):
        shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)
        print(f"guidebp {verb}: {shown}", file=sys.stderr)
    return 2


def _named_study(name: str | None) -> str:
    """The study of the command line or, without one, of config/config.yaml; its name leads out of no folder."""
    from guidebp.schema.yaml_files import check, read_file

    if name is None:
        return str(read_file(Path("config/config.yaml"), "config").study)
    return str(check("--study", {"study": name}, "config").study)


if __name__ == "__main__":
    sys.exit(main())
