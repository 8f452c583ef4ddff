"""What a training step costs: time, backward passes and, where runs know it, peak memory."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import groups_in, methods_in, networks, titled
from guidebp.rendering.style import COLOURS, FAINT, label_methods, look, method_rows, nothing, yardstick

TIME, PASSES, MEMORY = "time per step (ms)", "backward passes per step", "peak memory (MiB)"


def data(results: Results, dataset: str) -> pd.DataFrame:
    """One row per run and quantity, with the mean over the seeds."""
    runs = results.metrics.drop_duplicates("key")
    costs = results.costs[results.costs["dataset"] == dataset].reset_index(drop=True)
    wide = costs[["architecture", "method", "seed"]].copy()
    wide[TIME] = 1000 * costs["step_seconds"] / costs["steps"]
    wide[PASSES] = costs["key"].map(runs.set_index("key")["backward_passes"]).astype(float)
    if "peak_memory" in costs:
        wide[MEMORY] = costs["peak_memory"] / 2**20
    rows = wide.melt(["architecture", "method", "seed"], var_name="quantity").dropna(subset="value")
    means = rows.groupby(["architecture", "method", "quantity"], sort=False)["value"]
    return titled(results, rows.assign(mean=means.transform("mean")))


@look()
def draw(data: pd.DataFrame) -> Figure:
    """One row of panels per architecture, a panel per quantity that some run knows."""
    if data.empty:
        return nothing("No finished runs.")
    cells = networks(data)
    quantities = list(data["quantity"].unique())
    figure, axes = method_rows(cells, len(quantities))
    for row, (network, cell) in zip(axes, cells, strict=True):
        methods = methods_in(cell)
        places = {method: y for y, method in enumerate(methods["method"])}
        for panel, quantity in zip(row, quantities, strict=True):
            rows = cell[cell["quantity"] == quantity]
            means = rows.drop_duplicates("method")
            y = [places[m] for m in means["method"]]
            panel.hlines(y, 0, means["mean"], color=COLOURS[0], lw=0.9)
            small, large = {"ms": 2.5, "alpha": 0.45, "mew": 0}, {"ms": 4, "mec": "white", "mew": 0.4}
            panel.plot(rows["value"], [places[m] for m in rows["method"]], "o", color=COLOURS[0], **small)
            panel.plot(means["mean"], y, "o", color=COLOURS[0], **large)
            for mean in means.loc[means["method"] == yardstick(list(methods["method"])), "mean"]:
                panel.axvline(mean, color=FAINT, lw=0.8, ls=":", zorder=1)
            panel.set_xlim(left=0)
            panel.set_xlabel(quantity)
        row[0].set_title(network)
        label_methods(row[0], methods, groups_in(data))
    return figure
