"""The report: one self-contained HTML page of a study, figures and scripts embedded, no network.

It is readable without scripts. DataTables, as the package itables bundles it, sorts and filters the tables.
"""

import re
from collections.abc import Iterator
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from guidebp.analysis.results import load_results, run_measures
from guidebp.files import check_checksums, write_atomic
from guidebp.paths import NOTEBOOKS, Layout
from guidebp.provenance import code
from guidebp.rendering.report.claims import papers, verdict_counts
from guidebp.rendering.report.costs import hours, machines
from guidebp.rendering.report.rates import tuned
from guidebp.rendering.report.sections import across, datasets, findings, of_study


def write_report(layout: Layout) -> None:
    """Write report.html."""
    results = load_results(layout, analysed=True)
    again = f"snakemake --config study={layout.study}"
    check_checksums(layout.rendered_sums, sorted(layout.folder.glob("tables/*")), again)
    assert results.comparisons is not None
    about, runs = results.about, run_measures(results.metrics)
    sections = papers(results)
    environment = Environment(
        loader=PackageLoader("guidebp.rendering.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2").render(
        about=about,
        counts=verdict_counts(results.verdicts),
        claims=[claim for paper in sections for claim in paper["claims"]],
        summary=of_study(layout, results, paper=None),
        papers=[paper | of_study(layout, results, paper["name"]) for paper in sections],
        findings=findings(results.comparisons, about),
        datasets=datasets(layout, results),
        across=across(layout, results),
        status=runs["status"].value_counts().to_dict(),
        total=len(runs),
        tuned=list(tuned(results)),
        machines=machines(results.costs),
        hours=hours(results),
        notebooks=list(notebooks(layout)),
        code=code(),
        datatables={kind: bundled(f"dt_bundle.{kind}") for kind in ("js", "css")},
    )
    write_atomic(layout.report, page.encode())


def notebooks(layout: Layout) -> Iterator[tuple[str, str]]:
    """Title and address, relative to the report, of each notebook that was executed on the study."""
    for script in sorted(NOTEBOOKS.glob("*.py")):
        page = layout.notebook(script.stem)
        if page.exists():
            lines = script.read_text(encoding="utf-8").splitlines()
            heading = next((line for line in lines if line.startswith("# # ")), f"# # {script.stem}")
            yield heading.removeprefix("# # "), str(page.relative_to(layout.folder))


def bundled(name: str) -> Markup:
    """A file of DataTables, to stand between script or style tags.

    What could end or nest such an element there is written with an escape that strings and patterns of
    JavaScript read as the same character; the style sheet has nothing of the kind.
    """
    text = files("itables").joinpath("html", name).read_text(encoding="utf-8")
    return Markup(re.sub(r"<(?=!--|/?(?:script|style))", r"\\x3C", text, flags=re.IGNORECASE))
