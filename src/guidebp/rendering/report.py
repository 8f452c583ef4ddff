"""The report: one self-contained HTML page of a study, figures embedded, no network."""

import base64
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from guidebp.analysis.tables import PATHWAYS, PRIMARY, Results, load_results, run_measures
from guidebp.provenance import code
from guidebp.rendering.catalogue import FIGURES, TABLES, Shown, places
from guidebp.store import write_atomic
from guidebp.study.layout import Layout


def write_report(layout: Layout) -> None:
    """Write report.html."""
    results = load_results(layout, analysed=True)
    runs = run_measures(results.metrics)
    environment = Environment(
        loader=PackageLoader("guidebp.rendering", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    datasets = [
        {
            "name": name,
            "entry": entry,
            "data": results.about["data"][name],
            "sections": [
                found
                for part in [*results.about["parts"], None]
                if (found := section(layout, results, name, part))["figures"] or found["tables"]
            ],
        }
        for name, entry in results.about["datasets"].items()
    ]
    page = environment.get_template("report.html.j2").render(
        about=results.about,
        datasets=datasets,
        findings=findings(pd.read_csv(layout.comparisons), results.about),
        status=runs["status"].value_counts().to_dict(),
        total=len(runs),
        machines=machines(results.costs),
        code=code(),
    )
    write_atomic(layout.report, page.encode())


def section(layout: Layout, results: Results, dataset: str, part: dict[str, Any] | None) -> dict[str, Any]:
    """Figures and tables of a part of a dataset's results; of the dataset itself for None."""

    def chosen(catalogue: dict[str, Shown]) -> list[tuple[str, str, str]]:
        wanted = part["name"] if part else ""
        found = (
            place for place in places(catalogue, results.about["parts"]) if place[1:] == (dataset, wanted)
        )
        return [place for place in found if (catalogue[place[0]].per == "dataset") == (part is None)]

    return {
        "name": f"{dataset}-part-{part['name']}" if part else f"{dataset}-data",
        "title": part["title"] if part else "",
        "figures": [
            {
                "name": place[0],
                "caption": FIGURES[place[0]].caption,
                "source": embedded(layout.figure(*place, "svg").read_bytes()),
                "files": [layout.figure(*place, kind).name for kind in ("pdf", "png", "csv")],
            }
            for place in chosen(FIGURES)
        ],
        "tables": [
            {
                "name": place[0],
                "caption": TABLES[place[0]].caption,
                "rows": pd.read_csv(layout.table(*place, "csv"), dtype=str, keep_default_na=False),
            }
            for place in chosen(TABLES)
        ],
    }


def embedded(svg: bytes) -> str:
    """A data address of a picture."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def findings(comparisons: pd.DataFrame, about: dict[str, Any]) -> list[dict[str, Any]]:
    """Per network, reference and measure: which methods differ after Holm's correction."""
    found = []
    keys = ["dataset", "architecture", "reference", "measure"]
    chosen = comparisons[comparisons["measure"].isin([PRIMARY, PATHWAYS])]
    for (dataset, architecture, reference, measure), rows in chosen.groupby(keys, sort=False):
        clear = rows[rows["p_holm"] < 0.05]
        found.append(
            {
                "network": about["architectures"][architecture]["title"],
                "dataset": about["datasets"][dataset]["title"],
                "reference": reference,
                "measure": measure,
                "better": clear[clear["difference"] > 0]["method"].tolist(),
                "worse": clear[clear["difference"] < 0]["method"].tolist(),
                "open": len(rows) - len(clear),
            }
        )
    return found


def machines(costs: pd.DataFrame) -> list[dict[str, Any]]:
    """One entry per machine and version of the code: runs, seconds."""
    if "host" not in costs:
        return []
    columns = ["processor", "device", "torch", "python", "commit", "edited"]
    known = costs.dropna(subset=["host"]).fillna({"commit": "none", "edited": False})
    groups = known.groupby(columns, dropna=False, sort=False)["seconds"].agg(["count", "sum"]).reset_index()
    return [
        {str(k): v for k, v in row.items()} | {"minutes": row["sum"] / 60}
        for row in groups.to_dict("records")
    ]
