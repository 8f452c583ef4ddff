"""What the Snakefile needs to know of a study: its files, by the name that the rules use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from guidebp.errors import UserError
from guidebp.rendering.catalogue import FIGURES, TABLES
from guidebp.study.files import check
from guidebp.study.layout import FIGURE_KINDS, PREPARED, TABLE_KINDS, Layout
from guidebp.study.resolve import Study, load_study


def resolve_for_snakemake(config: Mapping[str, Any]) -> tuple[Study, Layout, dict[str, Any]]:
    """The study that `config` names, its layout, and lists of files for the rules.

    A mistake in the configuration becomes Snakemake's own error, which is printed without a traceback.
    """
    from snakemake.exceptions import WorkflowError

    try:
        check("--config or config/config.yaml", dict(config), "config")
        study = load_study(str(config["study"]))
    except UserError as error:
        raise WorkflowError(str(error)) from None
    return study, Layout(study.name), files(study)


def files(study: Study) -> dict[str, Any]:
    """Input and output files of the rules as strings."""
    layout = Layout(study.name)
    curves = dict.fromkeys(layout.curve(run.dataset, run.architecture) for run in study.runs)
    figures = [
        layout.figure(name, dataset, kind)
        for name in FIGURES
        for dataset in study.datasets
        for kind in FIGURE_KINDS
    ]
    tables = [
        layout.table(name, dataset, kind)
        for name in TABLES
        for dataset in study.datasets
        for kind in TABLE_KINDS
    ]
    sources = ["config.yaml", "datasets.yaml", "architectures.yaml", "methods.yaml", "claims.yaml"]
    return {
        "manifests": [str(PREPARED / f"{name}.json") for name in study.datasets],
        "manifest of pack": {p.id: str(PREPARED / f"{p.runs[0].dataset}.json") for p in study.packs},
        "data of pack": {p.id: str(PREPARED / f"{p.runs[0].dataset}.safetensors") for p in study.packs},
        "packs": [str(layout.pack(pack.id)) for pack in study.packs],
        "files": [f"config/studies/{study.name}.yaml", *(str(Path("config") / name) for name in sources)],
        # an edited figure is drawn again; an edited method is another key, see `resolve.py`
        "data code": sources_of("data", "readers.py", "prepare.py"),
        "collect code": sources_of("analysis", "collect.py", "archive.py"),
        "analysis code": sources_of("analysis", "analyse.py", "comparisons.py", "tables.py"),
        "dataset entries": {
            name: entry.model_dump_json(include={"files", "reader", "shape", "classes", "split"})
            for name, entry in study.datasets.items()
        },
        "rendering code": sources_of("rendering"),
        "curves": [str(path) for path in curves],
        "figures": [str(path) for path in figures],
        "pictures": [str(path) for path in figures if path.suffix == ".svg"],
        "figure files": [str(path) for path in figures if path.suffix != ".svg"],
        "tables": [str(path) for path in tables],
        "summary": str(layout.summary),
        "report": str(layout.report),
    }


def sources_of(package: str, *names: str) -> list[str]:
    """Source files of a sub-package (or those named), when the project's own checkout is what runs."""
    folder = Path("src/guidebp") / package
    found = [path for path in folder.rglob("*") if path.suffix in (".py", ".j2")]
    return sorted(str(path) for path in found if not names or path.name in names)
