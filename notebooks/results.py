# %% [markdown]
# # Reading the results of a study
#
# Every number of the report is in the tables of `results/<study>/`. Here they are read, one comparison is
# made by hand, and figures are redrawn with methods of one's own choice. Another study: `GUIDEBP_STUDY=name
# jupyter lab`.

# %%
# %matplotlib inline
# %config InlineBackend.figure_format = "retina"
import os
from dataclasses import fields
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import HTML, display
from scipy import stats

from guidebp.analysis.results import load_results
from guidebp.paths import StudyPaths
from guidebp.rendering.figures import calibration, curves, early_exit

os.chdir(next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "Snakefile").exists()))
STUDY = os.environ.get("GUIDEBP_STUDY", "demo")
pd.options.display.precision = 3

paths = StudyPaths(STUDY)
results = load_results(paths, analysed=True)
title, text = (escape(results.about[name]) for name in ("title", "about"))
display(HTML(f"<p><strong>{title}.</strong> {text}</p>"))
results.metrics.drop_duplicates("key")["status"].value_counts().to_frame("runs")

# %% [markdown]
# ## The tables
#
# All are tidy: one observation per row, the same names in front. `results.NAME` is a table, `paths.NAME` its
# file (those of `costs` are the lines of `telemetry.jsonl`).

# %%
tables = {field.name: getattr(results, field.name) for field in fields(results)}
tables = {name: table for name, table in tables.items() if isinstance(table, pd.DataFrame)}
files = {name: "telemetry" if name == "costs" else name for name in tables}
about = {name: (getattr(paths, file).name, getattr(StudyPaths, file).__doc__) for name, file in files.items()}
overview = pd.DataFrame(about, ["file", "what it holds"]).T
overview.insert(1, "rows", {name: len(table) for name, table in tables.items()})
overview["columns"] = [
    ", ".join(table.columns.difference(results.metrics.columns[:6], sort=False)) for table in tables.values()
]


def left(table):
    """Text in full, and on the left."""
    return (
        table.style.format(escape="html")
        .set_properties(**{"text-align": "left"})
        .set_table_styles([{"selector": "th", "props": "text-align: left"}])
    )


left(overview)

# %% [markdown]
# `metrics` has a row per run and output: each pathway alone, the merged outputs, and which of them is
# `primary`, the one that speaks for the network. One run:

# %%
metrics = results.metrics
first = metrics[metrics["key"] == metrics["key"].iloc[0]]
print(" / ".join(first.iloc[0][["dataset", "architecture", "method", "recipe"]]))
first[["output", "pathway", "primary", "accuracy", "calibration_error", "parameters", "operations"]]

# %% [markdown]
# `history` is long: a value per epoch, output and quantity. A pivot makes it wide.

# %%
history = results.history
history = history[history["key"] == metrics["key"].iloc[0]]
history = history.fillna({"output": ""})  # the loss is of all outputs
history.pivot(index="epoch", columns=["quantity", "output"], values="value")

# %% [markdown]
# ## A paired comparison by hand
#
# Methods compared at one seed start from equal weights and see equal batches, so their accuracies are subtracted
# seed by seed. A row of `comparisons.csv`, on one network, for the primary output:

# %%
rows = results.comparisons
rows = rows[
    (rows["measure"] == "primary") & (rows["n"] > 1) & (rows["failed"] + rows["failed_baseline"] == 0)
]
wanted = rows[(rows["method"] == "guidebp") & (rows["baseline"] == "independent")]
row = next(iter(pd.concat([wanted, rows]).to_dict("records")), None)
if row is None:
    print(f"The study {STUDY} has no two methods with two finished runs each on one network.")
else:
    display(pd.Series(row, dtype=object).to_frame("comparisons.csv"))

# %% [markdown]
# The same from `metrics`. The interval is a t interval of the mean difference; two things are added. Where
# each seed draws its own test set, training sets overlap and the variance carries the factor `1/n +
# test/train` in place of `1/n` (Nadeau and Bengio). And accuracies move in steps of one test image: a
# standard deviation below what such a step can hide is not believed.

# %%
if row is not None:
    cell = metrics[metrics["primary"] == True]  # noqa: E712 - empty where a run crashed
    for name in ("dataset", "architecture", "recipe"):
        cell = cell[cell[name] == row[name]]
    wide = cell.pivot(index=["seed", "device_class"], columns="method", values="accuracy")
    differences = (wide[row["method"]] - wide[row["baseline"]]).dropna()

    train, test = cell["train_images"].iloc[0], cell["test_images"].iloc[0]
    official = results.about["datasets"][row["dataset"]]["split"]["test"] == "official"
    n, mean = len(differences), differences.mean()
    sd = max(differences.std(), 100 / test / np.sqrt(12))
    error = sd * np.sqrt(1 / n + (0 if official else test / train))
    half = stats.t.ppf(0.975, n - 1) * error
    by_hand = {
        "difference": mean,
        "sd": sd,
        "low": mean - half,
        "high": mean + half,
        "p": 2 * stats.t.sf(abs(mean) / error, n - 1),
    }
    assert n == row["n"]
    for name, value in by_hand.items():
        assert np.isclose(value, row[name]), name
    display(differences.to_frame(f"{row['method']} - {row['baseline']}"))
    display(pd.DataFrame({"by hand": by_hand, "comparisons.csv": {name: row[name] for name in by_hand}}))

# %% [markdown]
# `p_holm` corrects p for the number of methods compared with one baseline on one network. With few
# seeds intervals are wide: `detectable` says how large a true difference such a test would find.
#
# ## The verdicts
#
# A claim is a statement of a paper, with a rule and a margin fixed in `config/claims.yaml` before the runs
# that decide it. `results.verdicts` has each with its verdict in every setting of which the study has runs.
# Only the settings `published` and `small-scale` decide; exploratory runs never do.

# %%
effects = ["effect", "low", "high"]
verdicts = [
    {
        **{name: claim[name] for name in ("name", "statement")},
        "setting": setting,
        "verdict": found.get("verdict", claim["verdict"]),
        **{name: found.get(name) for name in (*effects, "n")},
        "unit": claim["unit"],
    }
    for claim in results.verdicts
    for setting, found in (claim["settings"] or {"no runs": {}}).items()
]
left(pd.DataFrame(verdicts).set_index(["name", "setting"]).rename_axis([None, None])).format(
    dict.fromkeys(effects, "{:.2f}") | {"n": "{:.0f}"}, na_rep="", escape="html"
)

# %% [markdown]
# `results.claims` has the paired differences of each claim. Those with the role `decides` must all satisfy the
# rule. The verdict follows the one with the lowest interval, shown above. The first claim with runs:

# %%
tested = [claim for claim in results.verdicts if claim["settings"]]
if tested:
    claim = tested[0]
    setting, found = next(iter(claim["settings"].items()))
    rows = results.claims
    rows = rows[(rows["claim"] == claim["name"]) & (rows["setting"] == setting) & (rows["role"] == "decides")]
    print(f"{claim['name']}: {claim['statement']} Rule: {claim['rule']}, margin {claim['margin']}.")
    display(
        rows[
            [
                *("dataset", "architecture", "candidate", "baseline", "output"),
                *("n", "difference", "low", "high", "p_holm"),
            ]
        ]
    )
    assert np.isclose(rows["difference"], found["effect"], atol=1e-5).any(), (
        "the verdict's effect is one of these"
    )
else:
    print(f"The study {STUDY} has no runs that a claim looks at.")

# %% [markdown]
# ## A figure with one's own choice
#
# Each figure is a module with two functions. `prepare_figure_data(results, dataset)` returns the numbers as a
# table, and `draw_figure(data)` draws them. In between, the table can be filtered. It is also a CSV file beside the
# figure.

# %%
section = results.about["sections"][0]["name"]
dataset = next(iter(results.about["datasets"]))
data = curves.prepare_figure_data(results.section(section), dataset)
chosen = [
    name for name in ("average", "independent", "guidebp", "guidebp-hard") if name in set(data["method"])
]
chosen = chosen or list(data["method"].unique()[:4])
architecture = data["architecture"].iloc[0]
curves.draw_figure(data[data["method"].isin(chosen) & (data["architecture"] == architecture)])

# %% [markdown]
# ## A figure of one's own
#
# The tables are tidy: seaborn takes them as they are. Every seed of these methods, each pathway alone:

# %%
alone = metrics[metrics["pathway"].notna() & (metrics["status"] == "finished")]
alone = alone[
    (alone["dataset"] == dataset) & (alone["architecture"] == architecture) & alone["method"].isin(chosen)
]
alone = alone.astype({"accuracy": float})
axes = sns.stripplot(
    alone,
    x="accuracy",
    y="method",
    hue="output",
    order=chosen,
    dodge=True,
    jitter=False,
    palette="colorblind",
)
axes.set(xlabel="test accuracy of a pathway alone (%)", ylabel="")
sns.move_legend(axes, "upper left", bbox_to_anchor=(1, 1))

# %% [markdown]
# ## Early exits
#
# A network with several exits can answer early. `inference` has the accuracy and the mean operations of each run
# and each way of using the exits. The first section with such networks:

# %%
views = (results.section(entry["name"]) for entry in results.about["sections"] if entry["exits"])
sections = (early_exit.prepare_figure_data(view, dataset) for view in views)
exits = next((table for table in sections if len(table)), None)
if exits is None:
    print(f"The study {STUDY} has no finished run with several trained exits on {dataset}.")
else:
    display(early_exit.draw_figure(exits[exits["architecture"] == exits["architecture"].iloc[0]]))

# %% [markdown]
# ## Calibration
#
# Is a network as often right as it is sure? Images in bins of confidence, and in each bin the share that is
# right.

# %%
reliability = calibration.prepare_figure_data(results.section(section), dataset)
reliability = reliability[reliability["architecture"] == architecture]
calibration.draw_figure(reliability[reliability["method"].isin(chosen)])

# %%
reliability.groupby("method_title", sort=False)["calibration_error"].first().to_frame(
    "expected calibration error (%)"
)
