"""Cost of a training step: time, backward passes and, where it was recorded, peak memory."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import add_titles, list_method_groups, list_methods, split_by_architecture
from guidebp.rendering.style import (
    COLOURS,
    FAINT,
    apply_figure_style,
    choose_baseline,
    create_method_panels,
    draw_message,
    label_method_axis,
)

TIME, PASSES, MEMORY = "time per step (ms)", "backward passes per step", "peak memory (MiB)"


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """Return one row per run and quantity, with the mean over the seeds."""
    runs = results.metrics.drop_duplicates("key")
    costs = results.costs[results.costs["dataset"] == dataset].reset_index(drop=True)
    wide = costs[["architecture", "method", "seed"]].copy()
    wide[TIME] = 1000 * costs["step_seconds"] / costs["steps"]
    wide[PASSES] = costs["key"].map(runs.set_index("key")["backward_passes"]).astype(float)
    if "peak_memory" in costs:
        wide[MEMORY] = costs["peak_memory"] / 2**20
    rows = wide.melt(["architecture", "method", "seed"], var_name="quantity").dropna(subset="value")
    means = rows.groupby(["architecture", "method", "quantity"], sort=False)["value"]
    return add_titles(results, rows.assign(mean=means.transform("mean")))


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw one row of panels per architecture, a panel per quantity that some run recorded."""
    if data.empty:
        return draw_message("No finished runs.")
    architectures = split_by_architecture(data)
    quantities = list(data["quantity"].unique())
    figure, axes = create_method_panels(architectures, len(quantities))
    for row, (heading, subset) in zip(axes, architectures, strict=True):
        methods = list_methods(subset)
        positions = {method: y for y, method in enumerate(methods["method"])}
        for panel, quantity in zip(row, quantities, strict=True):
            rows = subset[subset["quantity"] == quantity]
            means = rows.drop_duplicates("method")
            y = [positions[m] for m in means["method"]]
            panel.hlines(y, 0, means["mean"], color=COLOURS[0], lw=0.9)
            small, large = {"ms": 2.5, "alpha": 0.45, "mew": 0}, {"ms": 4, "mec": "white", "mew": 0.4}
            panel.plot(rows["value"], [positions[m] for m in rows["method"]], "o", color=COLOURS[0], **small)
            panel.plot(means["mean"], y, "o", color=COLOURS[0], **large)
            for mean in means.loc[means["method"] == choose_baseline(list(methods["method"])), "mean"]:
                panel.axvline(mean, color=FAINT, lw=0.8, ls=":", zorder=1)
            panel.set_xlim(left=0)
            panel.set_xlabel(quantity)
        row[0].set_title(heading)
        label_method_axis(row[0], methods, list_method_groups(data))
    return figure
