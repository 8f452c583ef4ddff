"""Figures: one per file, each a function of a study's results and a dataset that gives figure and data.

Callable from a notebook: `draw(load_results(Layout("demo")), "digits")`.
"""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.tables import Results


class Drawn(NamedTuple):
    """A figure and exactly the numbers it shows."""

    figure: Figure
    data: pd.DataFrame


def figure_function(name: str) -> Callable[[Results, str], Drawn]:
    """The `draw` of the figure's file."""
    draw: Callable[[Results, str], Drawn] = import_module(
        "guidebp.rendering.figures." + name.replace("-", "_")
    ).draw
    return draw
