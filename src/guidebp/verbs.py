"""The verbs of the `guidebp` command: one per step of the workflow, and a few for people.

Each calls a plain function of its module. Imports happen inside the verbs: torch and pandas take seconds to import,
and most verbs need one of them at most. The first line of a docstring is what `guidebp --help` prints.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from guidebp.errors import UserError


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
    from guidebp.errors import suggest_name
    from guidebp.schema.catalogue import read_datasets

    datasets = read_datasets()
    for name in names:
        if name not in datasets:
            raise UserError(f"config/datasets.yaml: no dataset {name!r}; {suggest_name(name, datasets)}")
    return {name: datasets[name] for name in names} if names else datasets
