"""The `guidebp` command: one verb per step of the workflow, and some verbs for users.

Each verb is a function of the same name, whose docstring `--help` prints. The work is done in other modules. These
are imported inside the verbs, because importing torch and pandas takes seconds and few verbs need both.
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
    """Download raw files to data/raw/ and verify them against the catalogue."""
    from guidebp.ingest.fetching.download import Downloader
    from guidebp.ingest.fetching.fetch import fetch_dataset
    from guidebp.ingest.fetching.locations import list_mirrors
    from guidebp.paths import RAW
    from guidebp.schema.catalogue import select_base_datasets
    from guidebp.schema.yaml_files import read_config_file

    config = read_config_file(Path("config/config.yaml"), "config")
    allowed = args.allow_unverified or config.allow_unverified
    faults, downloader = [], Downloader()
    for name, dataset in select_base_datasets(_select_datasets(args.datasets)).items():
        try:
            fetch_dataset(name, dataset, RAW, list_mirrors(config.mirrors), allowed, downloader)
            print(f"{name}: {RAW / name} is complete", file=sys.stderr)
        except UserError as error:  # the other datasets are still fetched
            faults.append(str(error))
    if faults:
        raise UserError("\n".join(faults))


def prepare(args: argparse.Namespace) -> None:
    """Convert raw files into one prepared file and one manifest per dataset."""
    from guidebp.ingest.prepare import prepare_dataset
    from guidebp.paths import PREPARED, RAW

    for name, dataset in _select_datasets(args.datasets).items():
        prepare_dataset(name, dataset, RAW, PREPARED)


def verify(args: argparse.Namespace) -> None:
    """Verify the checksums of all raw and prepared files that are present; fail if one is damaged."""
    from guidebp.ingest.verify import verify_dataset
    from guidebp.paths import PREPARED, RAW

    findings = [
        finding
        for name, dataset in _select_datasets(args.datasets).items()
        for finding in verify_dataset(name, dataset, RAW, PREPARED)
    ]
    for finding in findings:
        if finding.state != "damaged" and (finding.state == "ok" or args.datasets):
            print(f"{finding.dataset:<20} {finding.kind:<9} {finding.state:<7} {finding.text}")
    damaged = [f"{finding.dataset}: {finding.text}" for finding in findings if finding.state == "damaged"]
    if damaged:
        raise UserError("\n".join(damaged))
    if not any(finding.state == "ok" for finding in findings):
        print("data/raw: no dataset has been fetched yet. Run: guidebp fetch DATASET")


def train(args: argparse.Namespace) -> None:
    """Train the missing runs of one pack, then write the index of the pack."""
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
    """Print the resolved run specs of a study as JSON, for training on another machine."""
    from guidebp.runs.spec import planned_run_to_json
    from guidebp.study.resolve import load_study

    planned = [planned_run_to_json(run.planned) for run in load_study(args.study).runs]
    json.dump(planned, sys.stdout, indent=1)
    print()


def time(args: argparse.Namespace) -> None:
    """Time a training step of every architecture and method of a study, for results/step-times.json."""
    from guidebp.jobs.timing import time_steps
    from guidebp.study.resolve import load_study

    study = load_study(args.study)
    time_steps(study, args.device or study.config.device)


def claims(args: argparse.Namespace) -> None:
    """Print every claim with the verdict of the study's runs, or with the runs that a test needs."""
    from guidebp.analysis.claims import load_verdicts
    from guidebp.rendering.tables.claims import format_claims
    from guidebp.study.resolve import load_study

    print(format_claims(load_verdicts(load_study(args.study))))


def collect(args: argparse.Namespace) -> None:
    """Collect the records of a study into tidy tables and archives."""
    from guidebp.collect.collect import collect_records
    from guidebp.study.resolve import load_study

    collect_records(load_study(args.study), args.partial)


def analyse(args: argparse.Namespace) -> None:
    """Compute paired comparisons, claims, ranks and curves of a collected study."""
    from guidebp.analysis.analyse import analyse
    from guidebp.paths import StudyPaths

    analyse(StudyPaths(args.study))


def render(args: argparse.Namespace) -> None:
    """Render figures and tables of an analysed study."""
    from guidebp.paths import StudyPaths
    from guidebp.rendering.render import render_study

    render_study(StudyPaths(args.study))


def tune(args: argparse.Namespace) -> None:
    """Choose learning rates by the validation accuracies of a collected study; write recipes, table and figures."""
    from guidebp.rendering.render import render_tuning_study
    from guidebp.study.resolve import load_study

    study = load_study(args.study)
    if study.file.tunes is None:
        raise UserError(
            f"config/studies/{study.name}.yaml: key `tunes` is missing, so the study tries no learning rates"
        )
    render_tuning_study(study)


def report(args: argparse.Namespace) -> None:
    """Write the report of a rendered study, one self-contained HTML page."""
    from guidebp.paths import StudyPaths
    from guidebp.rendering.report.page import write_report

    write_report(StudyPaths(args.study))


def expect(args: argparse.Namespace) -> None:
    """Compare a collected study with its expected results, or write these after a deliberate change."""
    from guidebp.analysis.expected import compare_with_expected, write_expected
    from guidebp.paths import StudyPaths

    paths = StudyPaths(args.study)
    if args.write:
        print(write_expected(paths))
    elif comparison := compare_with_expected(paths):
        print(comparison.message(paths.study))
    else:
        raise UserError(
            f"{paths.expected}: study '{paths.study}' has no expected results. "
            f"Run: guidebp expect --write --study {paths.study}"
        )


def restore(args: argparse.Namespace) -> None:
    """Restore a study from its archived records, without training: verify, render, compare."""
    from guidebp.study.resolve import load_study
    from guidebp.upkeep.restore import restore

    print(restore(load_study(args.study), args.records_only))


def doctor(args: argparse.Namespace) -> int:
    """Diagnose problems and print the fix; exit with code 1 if there are any."""
    from guidebp.study.resolve import load_all_studies, load_study
    from guidebp.upkeep.doctor import describe_environment, diagnose

    study = load_study(args.study)
    print(describe_environment())
    findings = diagnose(study, load_all_studies())
    for found in findings:
        print(f"{found.kind:<14}{found.text}\n{'':<14}-> {found.remedy}")
    faults = sum(found.fault for found in findings)
    print(f"{study.name}: {faults} faults" if faults else f"{study.name}: no faults")
    return int(faults > 0)


def gc(args: argparse.Namespace) -> None:
    """Delete runs, checkpoints, indexes and leftovers that no study of config/studies/ uses, after asking."""
    from guidebp.paths import RUNS
    from guidebp.runs.store import RunStore
    from guidebp.study.resolve import load_all_studies
    from guidebp.upkeep.gc import collect_garbage

    def confirm(text: str) -> bool:
        print(text)
        return args.yes or input("Delete all of these? [y/N] ").strip().lower() in ("y", "yes")

    print(collect_garbage(load_all_studies(), RunStore(RUNS), confirm, args.crashed))


def status(args: argparse.Namespace) -> None:
    """Print how many runs are finished, and which packs are running."""
    from guidebp.jobs.progress import format_status
    from guidebp.paths import RUNS
    from guidebp.runs.store import RunStore
    from guidebp.study.resolve import load_study

    print(format_status(load_study(args.study), RunStore(RUNS)))


def check(args: argparse.Namespace) -> None:
    """Check the configuration of a study and print its number of runs."""
    from guidebp.study.resolve import load_study

    study = load_study(args.study)
    print(f"{study.name}: {len(study.runs)} runs in {len(study.packs)} packs; the configuration is valid")


def generate(args: argparse.Namespace) -> None:
    """Generate JSON Schemas for editors, environment.yml, notebooks and documents with results."""
    from guidebp.rendering.documents.generate import write_documents
    from guidebp.schema.generated import write_generated

    for write in (write_generated, write_documents):
        for path in write():
            print(path)


def _select_datasets(names: Sequence[str]) -> dict[str, Any]:
    """Return the datasets of these names, or all."""
    from guidebp.schema.catalogue import read_datasets
    from guidebp.schema.yaml_files import suggest_name

    datasets = read_datasets()
    for name in names:
        if name not in datasets:
            raise UserError(f"config/datasets.yaml: no dataset {name!r}; {suggest_name(name, datasets)}")
    return {name: datasets[name] for name in names} if names else datasets


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="guidebp", description="Replications of papers on networks with parallel logits."
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(verb: Verb, *, study: bool = False, datasets: str = "") -> argparse.ArgumentParser:
        verb_parser = verbs.add_parser(verb.__name__, help=verb.__doc__, description=verb.__doc__)
        verb_parser.set_defaults(function=verb)
        if study:
            verb_parser.add_argument(
                "--study", default=None, help="name of the study (default: the study of config/config.yaml)"
            )
        if datasets:
            verb_parser.add_argument("datasets", nargs=datasets, metavar="DATASET")
        return verb_parser

    fetcher = add(fetch, datasets="+")
    fetcher.add_argument(
        "--allow-unverified",
        action="store_true",
        help="also download files whose owner publishes no checksum",
    )
    add(prepare, datasets="+")
    add(verify, datasets="*")
    trainer = add(train, study=True)
    trainer.add_argument("--pack", required=True, help="id of the pack")
    for verb_parser in (trainer, add(time, study=True)):
        verb_parser.add_argument(
            "--device",
            choices=["auto", "cpu", "cuda"],
            help="device to train on (default: that of config/config.yaml)",
        )
    trainer.add_argument(
        "--keep-weights", action="store_true", help="store the final weights of newly trained runs"
    )
    add(collect, study=True).add_argument(
        "--partial",
        action="store_true",
        help="report packs that are not trained as missing instead of failing",
    )
    collector = add(gc)
    collector.add_argument("--yes", action="store_true", help="delete without asking")
    collector.add_argument(
        "--crashed", action="store_true", help="also delete crashed runs, so that they are trained again"
    )
    add(expect, study=True).add_argument(
        "--write", action="store_true", help="write results/expected/STUDY.csv from the runs"
    )
    add(restore, study=True).add_argument(
        "--records-only", action="store_true", help="neither render nor compare"
    )
    for verb in (specs, analyse, claims, render, tune, report, doctor, status, check):
        add(verb, study=True)
    add(generate)
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
