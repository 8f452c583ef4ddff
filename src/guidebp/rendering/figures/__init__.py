"""Figures: one per file, each two functions.

`data` takes a study's results and a dataset and gives exactly the numbers shown; `draw` needs nothing else, so a
notebook redraws a figure from its file: `exits.draw(pd.read_csv("results/demo/figures/exits_digits_exits.csv"))`.
"""

from importlib import import_module
from types import ModuleType

import pandas as pd

from guidebp.analysis.analyse import without_formulas
from guidebp.analysis.results import PRIMARY, Results

NAMES = ["architecture", "network", "method", "title", "group"]


def figure_module(name: str) -> ModuleType:
    """The file of a figure."""
    return import_module("guidebp.rendering.figures." + name.replace("-", "_"))


def titled(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the titles of their architecture and method, in the study's order.

    Numbers keep six decimals: read back from CSV, they give the same figure to the byte.
    """
    about = results.about
    groups = {name: entry["group"] for name, entry in about["methods"].items()}
    known = rows.assign(
        network=rows["architecture"].map(results.titles("architectures")),
        title=rows["method"].map(results.titles("methods")),
        group=rows["method"].map(groups),
    )
    rank = {
        kind: {name: k for k, name in enumerate(about[f"{kind}s"])} for kind in ("architecture", "method")
    }
    known = known.sort_values(list(rank), key=lambda names: names.map(rank[str(names.name)]), kind="stable")
    return known[[*NAMES, *known.columns.difference(NAMES, sort=False)]].round(6).reset_index(drop=True)


def data_bytes(data: pd.DataFrame) -> bytes:
    """A figure's data as a CSV file; no cell of text is a formula to a spreadsheet."""
    return without_formulas(data).to_csv(index=False, lineterminator="\n").encode()


def networks(data: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Title and rows of each network, in their order."""
    return [(str(cell["network"].iloc[0]), cell) for _, cell in data.groupby("architecture", sort=False)]


def methods_in(data: pd.DataFrame) -> pd.DataFrame:
    """Name, title and group of each method, in their order."""
    return data.drop_duplicates("method")[["method", "title", "group"]]


def groups_in(data: pd.DataFrame) -> list[str]:
    """The groups of methods, in their order."""
    return list(data["group"].unique())


def primary_name(results: Results, architecture: str) -> str:
    """The output that speaks for a network."""
    rows = results.metrics[results.metrics["architecture"] == architecture]
    names = rows.loc[rows["primary"] == True, "output"]  # noqa: E712 - a column of objects
    return str(names.iloc[0]) if len(names) else PRIMARY  # all its runs crashed
