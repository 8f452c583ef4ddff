"""The report: one self-contained HTML page per study, with embedded figures and scripts, that needs no network.

It is readable without scripts. DataTables, as bundled by the package itables, sorts and filters the tables.
"""

import re
from collections.abc import Iterator
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from guidebp.analysis.results import load_results, measure_runs
from guidebp.files import check_checksums, write_atomic
from guidebp.paths import NOTEBOOKS, StudyPaths
from guidebp.provenance import describe_code
from guidebp.rendering.report.claims import count_verdicts, describe_papers
from guidebp.rendering.report.costs import build_hours_table, build_machines_table
from guidebp.rendering.report.rates import build_rate_tables
from guidebp.rendering.report.sections import (
    build_dataset_sections,
    build_findings_table,
    build_ranking_sections,
    build_study_contents,
)


def write_report(paths: StudyPaths) -> None:
    """Write the report of a rendered study, report.html."""
    results = load_results(paths, analysed=True)
    command = f"snakemake --config study={paths.study}"
    check_checksums(paths.rendered_checksums, sorted(paths.folder.glob("tables/*")), command)
    assert results.comparisons is not None
    about, runs = results.about, measure_runs(results.metrics)
    paper_sections = describe_papers(results)
    environment = Environment(
        loader=PackageLoader("guidebp.rendering.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2").render(
        about=about,
        counts=count_verdicts(results.verdicts),
        claims=[claim for paper in paper_sections for claim in paper["claims"]],
        summary=build_study_contents(paths, results, paper=None),
        papers=[paper | build_study_contents(paths, results, paper["name"]) for paper in paper_sections],
        findings=build_findings_table(results.comparisons, about),
        datasets=build_dataset_sections(paths, results),
        across=build_ranking_sections(paths, results),
        status=runs["status"].value_counts().to_dict(),
        total=len(runs),
        tuned=list(build_rate_tables(results)),
        machines=build_machines_table(results.costs),
        hours=build_hours_table(results),
        notebooks=list(_list_notebooks(paths)),
        code=describe_code(),
        datatables={kind: _read_datatables_file(f"dt_bundle.{kind}") for kind in ("js", "css")},
    )
    write_atomic(paths.report, page.encode())


def _list_notebooks(paths: StudyPaths) -> Iterator[tuple[str, str]]:
    """Yield title and address, relative to the report, of each notebook that was executed on the study."""
    for script in sorted(NOTEBOOKS.glob("*.py")):
        page = paths.notebook(script.stem)
        if page.exists():
            lines = script.read_text(encoding="utf-8").splitlines()
            heading = next((line for line in lines if line.startswith("# # ")), f"# # {script.stem}")
            yield heading.removeprefix("# # "), str(page.relative_to(paths.folder))


def _read_datatables_file(name: str) -> Markup:
    """Read a file of DataTables, safe to embed between script or style tags.

    Sequences that could end or nest such an element are escaped. Strings and patterns of JavaScript read the escape
    as the same character. The style sheet has no such sequence.
    """
    text = files("itables").joinpath("html", name).read_text(encoding="utf-8")
    return Markup(re.sub(r"<(?=!--|/?(?:script|style))", r"\\x3C", text, flags=re.IGNORECASE))
