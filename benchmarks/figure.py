"""The ratios of all cases in one figure."""

from pathlib import Path
from typing import Any

from benchmarks.text import number
from guidebp.rendering.style import (
    COLOURS,
    FAINT,
    INK,
    apply_figure_style,
    create_figure,
    encode_figure,
    freeze_layout,
)


@apply_figure_style()
def draw(known: dict[str, Any], path: Path) -> None:
    """A panel per case: each side's ratio to the first, median and range over the rounds; grey: what is wanted."""
    cases = [entry for entry in known.values() if "sides" in entry]
    if not cases:
        return
    shown = [[name for name, side in case["sides"].items() if "ratio" in side] for case in cases]
    heights = [0.2 * len(names) for names in shown]
    figure = create_figure(sum(heights) + 0.75 * len(cases), side=0.1)
    axes = figure.subplots(len(cases), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axis, case, names in zip(axes, cases, shown, strict=True):
        axis.axvline(1, color=INK, lw=0.7)
        for y, name in enumerate(names):
            side = case["sides"][name]
            axis.plot([side["lowest"], side["highest"]], [y, y], color=COLOURS[0], lw=1.1)
            axis.plot(side["ratio"], y, "o", color=COLOURS[0], ms=4, mec="white", mew=0.4)
            if name in case["needed"]:
                axis.plot([case["needed"][name]] * 2, [y - 0.4, y + 0.4], color=FAINT, lw=1.5)
            told = f"{side['ratio']:.2f}   {number(side['median'])} {case['unit']}"
            axis.annotate(told, (1.01, y), xycoords=axis.get_yaxis_transform(), va="center", fontsize=6.5)
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_xlim(left=0)
        more = "more" if case["more is better"] else "less"
        axis.set_title(case["title"])
        axis.set_xlabel(f"{case['unit']}, in units of '{names[0]}' ({more} is better)")
    freeze_layout(figure)
    path.write_bytes(encode_figure(figure, "png"))
