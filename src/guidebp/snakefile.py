"""Helpers of the Snakefile: a study's files by the names that the rules use, and the message at the end."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from guidebp.errors import UserError, suggest_name
from guidebp.jobs.resources import PackResources
from guidebp.paths import (
    ANALYSED_FILES,
    COLLECTED_FILES,
    FETCH_RECORD,
    FIGURE_KINDS,
    NOTEBOOKS,
    PREPARED,
    RAW,
    RUNS,
    TABLE_KINDS,
    StudyPaths,
)
from guidebp.rendering.figure_catalogue import FIGURE_ENTRIES, TUNING_FIGURE_ENTRIES
from guidebp.rendering.placements import list_placements
from guidebp.rendering.table_catalogue import list_table_entries
from guidebp.runs.store import RunStore
from guidebp.schema.datasets import Dataset, FolderSource, NpzSource, SubsetSource, expand_user_path
from guidebp.schema.yaml_files import check_config_value, read_config_file
from guidebp.study.resolve import load_study
from guidebp.study.step_times import STEP_TIMES
from guidebp.study.study import Pack, Study, restrict_to_packs


def resolve_for_snakemake(config: Mapping[str, Any]) -> tuple[Study, StudyPaths, dict[str, Any]]:
    """The study that `config` names, its layout, and for the rules lists of files and the settings.

    A mistake in the configuration becomes Snakemake's own error, which is printed without a traceback.
    """
    from snakemake.exceptions import WorkflowError

    try:
        # Snakemake takes `partial=true` on its command line for a text
        words = {"true": True, "false": False}
        given = {
            key: words.get(value, value) if isinstance(value, str) else value for key, value in config.items()
        }
        # Snakemake has read it too, but refuses nothing, not even aliases for billions of values
        read_config_file(Path("config/config.yaml"), "config")
        settings = check_config_value("--config or config/config.yaml", given, "config")
        study = load_study(settings.study)
        partial = settings.partial or settings.claim is not None
        if partial and study.file.tunes:
            raise UserError(
                f"study '{study.name}' tunes: it is whole or nothing, neither `partial` nor of a `claim`"
            )
        packs = _select_packs(study, settings.claim) if partial else study.packs
        if not packs:  # before anything that is there gives way to nothing
            raise UserError(
                f"study '{study.name}' has trained nothing yet"
                + (f" and has no runs for claim '{settings.claim}'" if settings.claim else "")
                + f"; run: snakemake --config study={study.name}"
            )
        study = restrict_to_packs(study, packs)
        rule_files = _list_rule_files(study, packs)
    except UserError as error:
        raise WorkflowError(str(error)) from None
    return study, StudyPaths(study.name), rule_files | {"settings": settings, "partial": partial}


def print_comparison(paths: StudyPaths) -> None:
    """Print how the runs compare with the study's expected results, if it has any and is collected.

    A difference, or a table that cannot be read, does not fail the workflow.
    """
    from guidebp.analysis.expected import compare_with_expected  # pandas takes time

    if not paths.collected_checksums.exists():
        return
    try:
        comparison = compare_with_expected(paths)
        message = comparison.message(paths.study) if comparison else ""
    except UserError as error:
        message = str(error)
    if message:
        print(message, flush=True)


def _select_packs(study: Study, claim: str | None) -> list[Pack]:
    """The packs with runs that may decide a claim, and those that are trained."""
    if claim is not None and claim not in study.claims:
        raise UserError(f"--config claim: no claim '{claim}'; {suggest_name(claim, study.claims)}")
    layout = StudyPaths(study.name)
    return [
        pack
        for pack in study.packs
        if layout.pack(pack.id).exists() or any(claim in run.planned.locks for run in pack.runs)
    ]


def _list_rule_files(study: Study, packs: list[Pack]) -> dict[str, Any]:
    """Input and output files of the rules as strings; `packs` are those to report on."""
    layout = StudyPaths(study.name)
    curves = dict.fromkeys(layout.curve(run.dataset, run.architecture) for run in study.runs)
    sections = [asdict(section) for section in study.sections]
    figures = [
        layout.figure(*place, kind)
        for place in list_placements(FIGURE_ENTRIES, sections)
        for kind in FIGURE_KINDS
    ]
    tables = [
        layout.table(*place, kind)
        for place in list_placements(list_table_entries(study.published), sections)
        for kind in TABLE_KINDS
    ]
    collected = [str(getattr(layout, name)) for name in (*COLLECTED_FILES, "collected_checksums")]
    analysed = [str(getattr(layout, name)) for name in (*ANALYSED_FILES, "analysed_checksums")]
    settings = [setting for claim in study.claims.values() for setting in claim.settings.values()]
    planned = {study.name, *(setting.study for setting in settings if setting.study)}
    notebooks = [layout.notebook(path.stem) for path in sorted(NOTEBOOKS.glob("*.py"))]
    for_dvc = (layout.effects, layout.accuracies, *map(layout.means, study.methods), *curves)
    tuned = [
        layout.rates,
        layout.rendered_checksums,
        *(
            layout.figure(*place, kind)
            for place in list_placements(TUNING_FIGURE_ENTRIES, sections)
            for kind in FIGURE_KINDS
        ),
    ]
    archives = {layout.archive(run.dataset, run.architecture) for pack in packs for run in pack.runs}
    records = sorted(map(str, archives))
    shown = tuned if study.file.tunes else [layout.report, *for_dvc, *figures, *tables, *notebooks]
    sources = ["config", "datasets", "architectures", "methods", "claims", "published"]
    return _list_data_files(study) | {
        "needs": PackResources(study, RunStore(RUNS)),
        "packs": [str(layout.pack(pack.id)) for pack in packs],
        "records": records,
        "files": [
            *(f"config/studies/{name}.yaml" for name in sorted(planned)),
            *(f"config/{name}.yaml" for name in sources),
            *(str(path) for path in [STEP_TIMES] if path.exists()),
        ],
        # an edited figure is drawn again; an edited method is another key, see `study/keys.py`
        "collect code": _list_sources("collect", "runs"),
        "analysis code": _list_sources("analysis"),
        "rendering code": _list_sources("rendering"),
        "collected": [path for path in collected if not path.endswith(".parquet")],
        "collected, cached": [path for path in collected if path.endswith(".parquet")],
        "analysed": analysed,
        "analysed, not compared": [path for path in analysed if path != str(layout.comparisons)],
        "figures": [str(path) for path in figures],
        "pictures": [str(path) for path in figures if path.suffix == ".svg"],
        "figure files": [str(path) for path in figures if path.suffix != ".svg"],
        "rendered sums": [] if study.file.tunes else [str(layout.rendered_checksums)],
        "tables": [str(path) for path in tables],
        "notebooks": [str(path) for path in notebooks],
        "for dvc": [str(path) for path in for_dvc],
        "tuning code": _list_sources("analysis"),
        "tuned": [str(path) for path in tuned] if study.file.tunes else [],
        "shown": records + [str(path) for path in shown],
    }


def _list_data_files(study: Study) -> dict[str, Any]:
    """Input and output files of the rules that fetch and prepare, by dataset or pack."""
    catalogue = study.all_datasets
    return {
        "manifests": [str(PREPARED / f"{name}.json") for name in study.datasets],
        "sheets": [str(PREPARED / f"{name}.png") for name in study.datasets],
        "manifest of pack": {pack.id: str(PREPARED / f"{pack.dataset}.json") for pack in study.packs},
        "data of pack": {pack.id: str(PREPARED / f"{pack.dataset}.safetensors") for pack in study.packs},
        "data code": _list_sources("ingest", "data"),
        "fetch of": {name: entry.source.model_dump_json() for name, entry in catalogue.items()},
        "own files of": lambda name: _find_newest_own_file(catalogue[name]) if name in catalogue else [],
        "prepare of": {name: _describe_preparation(entry) for name, entry in catalogue.items()},
        "source of": {name: _find_source(name, entry) for name, entry in catalogue.items()},
    }


def _describe_preparation(dataset: Dataset) -> str:
    """The part of a catalogue entry that a prepared file depends on."""
    return dataset.model_dump_json(include={"source", "shape", "classes", "split", "drop_copies"})


def _find_source(name: str, dataset: Dataset) -> str:
    """The small file that changes with the raw files or the dataset that this one is prepared from."""
    if isinstance(dataset.source, SubsetSource):
        return str(PREPARED / f"{dataset.source.subset_of}.json")
    return str(RAW / name / FETCH_RECORD)


def _find_newest_own_file(dataset: Dataset) -> list[str]:
    """The user's own file or folder that changed last, the one input by which Snakemake notices a change.

    A file added, moved or removed changes its folder. Empty for other datasets, and when the files are absent.
    """
    source = dataset.source
    if isinstance(source, FolderSource):
        root = expand_user_path(source.folder)
        paths = [root, *root.rglob("*")]
    elif isinstance(source, NpzSource):
        paths = [expand_user_path(arrays.path) for arrays in (source.npz, source.test) if arrays]
    else:
        return []
    times = {}
    for path in paths:
        with suppress(FileNotFoundError):  # gone meanwhile, or a link that leads nowhere
            times[str(path)] = path.stat().st_mtime_ns
    return [max(times, key=lambda path: (times[path], path))] if times else []


def _list_sources(*packages: str) -> list[str]:
    """Files of whole packages: a rule's code. A list of modules would miss a new or renamed one.

    Empty unless the project's own checkout is what runs.
    """
    return [
        str(path)
        for package in packages
        for path in sorted((Path("src/guidebp") / package).rglob("*"))
        if path.suffix in (".py", ".j2")
    ]
