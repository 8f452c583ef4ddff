"""Share of the gradient per pathway over epochs: a strip per method, a column per architecture."""

import matplotlib.pyplot as plt

from guidebp.analysis.tables import Results
from guidebp.rendering.figures import Drawn
from guidebp.rendering.figures.accuracy import mark
from guidebp.rendering.style import COLOURS, WIDTH, group_colour, look


def draw(results: Results, dataset: str) -> Drawn:
    """Stacked shares; equal heights mean that every pathway receives the same."""
    history = results.history
    rows = history[(history["dataset"] == dataset) & (history["quantity"] == "gradient share")]
    data = (
        rows.groupby(["architecture", "method", "output", "epoch"], sort=False)["value"].mean().reset_index()
    )
    architectures = [a for d, a in results.cells if d == dataset]
    about = results.about["methods"]
    methods = [m for m in about if m in set(data["method"])]
    groups = list(dict.fromkeys(about[m]["group"] for m in methods))
    with look():
        figure, axes = plt.subplots(
            len(methods),
            len(architectures),
            figsize=(WIDTH, 0.5 * len(methods) + 1.1),
            squeeze=False,
            sharex=True,
            layout="constrained",
        )
        for column, architecture in enumerate(architectures):
            cell = data[data["architecture"] == architecture]
            names = list(dict.fromkeys(cell["output"]))
            for panel, method in zip(axes[:, column], methods, strict=True):
                panel.set(ylim=(0, 1), yticks=[])
                if column == 0:  # the method's name stands where a tick would
                    colour = group_colour(about[method]["group"], groups)
                    panel.set_yticks([0.5], [about[method]["title"]], color=colour)
                    panel.tick_params(axis="y", length=0)
                wide = cell[cell["method"] == method].pivot(index="epoch", columns="output", values="value")
                if wide.empty:
                    panel.tick_params(axis="x", length=0, labelbottom=False)
                    panel.spines[:].set_visible(False)
                    panel.grid(False)
                    continue
                own = [name for name in names if name in wide]  # a method may add pathways of its own
                colours = [COLOURS[names.index(name)] for name in own]
                panel.stackplot(wide.index, [wide[name] for name in own], colors=colours, lw=0, alpha=0.85)
                for k in range(1, len(own)):
                    panel.axhline(k / len(own), color="white", lw=0.6, ls=(0, (2, 2)))
                panel.set_xlim(wide.index.min(), wide.index.max())
                panel.grid(False)
            axes[0, column].legend(
                handles=[mark(COLOURS[k], "s", name) for k, name in enumerate(names)],
                title=results.title("architectures", architecture),
                loc="lower center",
                bbox_to_anchor=(0.5, 1.05),
                ncols=2 if len(names) > 3 and len(architectures) > 1 else 3,
                columnspacing=0.8,
                handletextpad=0.1,
                fontsize=6,
                title_fontsize=6.5,
            )
            drawn = [p for p, m in zip(axes[:, column], methods, strict=True) if m in set(cell["method"])]
            drawn[-1].tick_params(axis="x", labelbottom=True)
            drawn[-1].set_xlabel("epoch")
    return Drawn(figure, data)
