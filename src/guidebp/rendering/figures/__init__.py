"""Figures, one per module. Each module offers two functions.

`prepare_figure_data(results, dataset)` returns exactly the numbers shown. `draw_figure(data)` needs nothing else,
so a notebook can redraw a figure from its CSV file:
`exits.draw_figure(pd.read_csv("results/demo/figures/exits_digits_exits.csv"))`.
"""

from importlib import import_module
from types import ModuleType

import pandas as pd

from guidebp.analysis.analyse import escape_formulas
from guidebp.analysis.results import PRIMARY, Results

TITLE_COLUMNS = ["architecture", "architecture_title", "method", "method_title", "group"]


def load_figure_module(name: str) -> ModuleType:
    """Import the module of a figure."""
    return import_module("guidebp.rendering.figures." + name.replace("-", "_"))


def add_titles(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with titles of architecture and method, in the study's order.

    Numbers are rounded to six decimals. Read back from CSV, they give the same figure to the byte.
    """
    about = results.about
    groups = {name: entry["group"] for name, entry in about["methods"].items()}
    titled = rows.assign(
        architecture_title=rows["architecture"].map(results.titles("architectures")),
        method_title=rows["method"].map(results.titles("methods")),
        group=rows["method"].map(groups),
    )
    rank = {
        kind: {name: k for k, name in enumerate(about[f"{kind}s"])} for kind in ("architecture", "method")
    }
    titled = titled.sort_values(list(rank), key=lambda names: names.map(rank[str(names.name)]), kind="stable")
    others = titled.columns.difference(TITLE_COLUMNS, sort=False)
    return titled[[*TITLE_COLUMNS, *others]].round(6).reset_index(drop=True)


def encode_figure_data(data: pd.DataFrame) -> bytes:
    """Encode a figure's data as CSV, where no text is a formula to a spreadsheet."""
    return escape_formulas(data).to_csv(index=False, lineterminator="\n").encode()


def split_by_architecture(data: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return title and rows of each architecture, in their order."""
    subsets = (subset for _, subset in data.groupby("architecture", sort=False))
    return [(str(subset["architecture_title"].iloc[0]), subset) for subset in subsets]


def list_methods(data: pd.DataFrame) -> pd.DataFrame:
    """Return name, title and group of each method, in their order."""
    return data.drop_duplicates("method")[["method", "method_title", "group"]]


def list_method_groups(data: pd.DataFrame) -> list[str]:
    """Return the groups of methods, in their order."""
    return list(data["group"].unique())


def find_primary_output(results: Results, architecture: str) -> str:
    """Return the name of an architecture's primary output."""
    rows = results.metrics[results.metrics["architecture"] == architecture]
    names = rows.loc[rows["primary"] == True, "output"]  # noqa: E712 - a column of objects
    return str(names.iloc[0]) if len(names) else PRIMARY  # all its runs crashed
