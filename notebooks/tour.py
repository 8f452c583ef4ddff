# %% [markdown]
# # A tour of the guided merge
#
# A network with several pathways emits several logits. Usually they are added or averaged before the loss,
# and then every pathway receives the same gradient, whether it is strong or weak. GuideBP ([arXiv
# 2104.11620](https://arxiv.org/abs/2104.11620)) scores how weak each pathway is *for each class* and builds
# one logit from the scores that steers the gradient through the weakest pathways.
#
# That much is known. The formula is not: what follows is `guidebp`, the first of seven *readings* of ours
# (`docs/methods/guidebp.md`), and it shows what the reading does, not what the authors did.

# %%
# %matplotlib inline
# %config InlineBackend.figure_format = "retina"
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import display
from PIL import Image

from guidebp.analysis.results import MERGED, PATHWAYS, load_results, measure_runs
from guidebp.ingest.samples import get_sample_size
from guidebp.methods import build_method
from guidebp.methods.contract import compute_pathway_norms
from guidebp.methods.guidebp import compute_class_error, compute_pathway_weights
from guidebp.models import build_network
from guidebp.paths import PREPARED, StudyPaths
from guidebp.rendering.figures import accuracy, gradient_share, samples
from guidebp.rendering.style import COLOURS, PAGE_WIDTH, apply_figure_style
from guidebp.runs.json_fields import to_json
from guidebp.runs.spec import FamilySpec
from guidebp.seeds import use_stream

os.chdir(next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "Snakefile").exists()))
STUDY = os.environ.get("GUIDEBP_STUDY", "demo")
results = load_results(StudyPaths(STUDY), analysed=True)
dataset = next(iter(results.about["datasets"]))
print(results.about["title"], "-", results.title("datasets", dataset))

# %% [markdown]
# ## One batch
#
# The sheet of samples that lies beside a prepared dataset holds the first training images of every class, a
# row per class. They are our batch.

# %%
sheet = np.asarray(Image.open(PREPARED / f"{dataset}.png"))
height, width = get_sample_size(*results.about["data"][dataset]["shape"][1:])
down, across = sheet.shape[0] // height, sheet.shape[1] // width
pixels = sheet.reshape(down, height, across, width, -1).transpose(0, 2, 4, 1, 3)
pixels = torch.tensor(pixels.reshape(down * across, -1, height, width), dtype=torch.float32)
mean, deviation = pixels.mean((0, 2, 3), keepdim=True), pixels.std((0, 2, 3), keepdim=True)
images, labels = (pixels - mean) / deviation, torch.arange(down).repeat_interleave(across)
classes = results.about["data"][dataset]["classes"][:down]

samples.draw_figure(samples.prepare_figure_data(results, dataset))

# %% [markdown]
# ## Three pathways that know nothing yet
#
# Three small columns that differ in kernel size, initialised from seed 0 as at the start of a run. Their
# probabilities for one image are almost uniform and differ between pathways.

# %%
COLUMNS = FamilySpec(
    "columns", {"kernels": [[3, 3], [5, 5], [7, 7]], "widths": [8, 16], "features": "flatten"}
)
with use_stream("initial weights", dataset, to_json(COLUMNS), 0):
    network = build_network(COLUMNS, tuple(images.shape[1:]), down)
with torch.no_grad():
    fresh = network(images)  # [pathway, image, class]


def heat(table, colours, top=None, label="class"):
    """Coloured numbers of [pathway, class], or of several such tables by name; at most ten classes."""
    tables = table if isinstance(table, dict) else {"": table}
    made = pd.concat(
        {
            name: pd.DataFrame(np.asarray(values), network.pathway_names, classes)
            for name, values in tables.items()
        }
    )
    made = made.iloc[:, :10].rename_axis(columns=label)
    made = made if len(tables) > 1 else made.droplevel(0)
    return made.style.format("{:.2f}").background_gradient(colours, axis=None, vmin=0, vmax=top)


one = int((labels == 1).nonzero()[0])  # the first image of the second class
print(f"probabilities for an image of class {classes[1]}")
heat(fresh[:, one].softmax(dim=1), "Blues", top=1)

# %% [markdown]
# ## A thought experiment
#
# With pathways that know equally little, steering has little to do. So suppose that the first pathway already
# knew the first half of the classes: its logit of the true class is raised by 4 for their images. This state
# is made up; it stands beside the fresh one.
#
# The *weakness* of a pathway about a class is its error there, `w = |t - p|`, with `t` 1 for the true class
# and 0 for the others. Below, for the true class of each image, averaged over the images of a class.

# %%
known = labels < down // 2
supposed = fresh.clone()
supposed[0, known, labels[known]] += 4


def of_true_class(values):
    """[pathway, image] to the mean over the images of each class [pathway, class]."""
    return torch.stack([values[:, labels == c].mean(dim=1) for c in range(down)], dim=1)


truth = F.one_hot(labels, down).bool()
weakness = {
    "fresh": compute_class_error(fresh, truth),
    "supposed": compute_class_error(supposed, truth),
}
heat(
    {name: of_true_class((w * truth).sum(dim=2)) for name, w in weakness.items()},
    "Oranges",
    top=1,
    label="class of the images",
)

# %% [markdown]
# ## The guided logit
#
# For each image and each class the weaknesses of the pathways become weights that sum to their number, `a = K
# w / sum w`, and the guided logit is `g = sum a z`. No gradient flows through the weights. Here for the image
# from above, whose class the first pathway now knows: in that column the others get the weight.

# %%
w = weakness["supposed"]
a = len(supposed) * compute_pathway_weights(w, "soft")
guided = (a * supposed).sum(dim=0)
print("weights of the pathways for one image; under add each is 1")
heat(a[:, one], "Purples")

# %%
logits = {"add": supposed.sum(dim=0), "guided": guided}
losses = {name: float(F.cross_entropy(z[one], labels[one])) for name, z in logits.items()}
print(
    f"loss of the image of class {classes[1]}:",
    ", ".join(f"{name} {loss:.2f}" for name, loss in losses.items()),
)
table = pd.DataFrame({name: z[one].numpy() for name, z in logits.items()}, classes).T.iloc[:, :10]
table.rename_axis(columns="one logit for training").style.format("{:.2f}").background_gradient(
    "RdBu_r", axis=None, vmin=-table.abs().max(axis=None), vmax=table.abs().max(axis=None)
)

# %% [markdown]
# The pathway that knows counts less, so the guided logit of this image is further from right than the sum,
# and training goes on where adding would nearly rest. Prediction knows no labels: it averages the logits,
# whatever the merge in training.
#
# ## The gradient that reaches each pathway
#
# Every method of the project is a class that gives a loss from logits and labels. These are the usual merges,
# `independent` (each pathway its own loss, the baseline) and the seven readings.

# %%
METHODS = {
    "add": ("merges", {"merge": "add"}),
    "average": ("merges", {"merge": "average"}),
    "independent": ("independent", {}),
    "guidebp": ("guidebp", {}),
    "guidebp-average": ("guidebp", {"scale": "mean"}),
    "guidebp-gradient": ("guidebp", {"guide": "gradient"}),
    "guidebp-hard": ("guidebp", {"selection": "hard"}),
    "guidebp-margin": ("guidebp", {"score": "logit", "selection": "hard"}),
    "guidebp-class": ("guidebp", {"score": "recall"}),
    "guidebp-pathway": ("guidebp", {"score": "pathway", "selection": "hard"}),
}


def method(name):
    """A method for the network; without an optimiser, as nothing is trained here."""
    family, options = METHODS[name]
    return build_method(FamilySpec(family, options), network, lambda parameters: None)


def gradient(name, logits):
    """The gradient of a method's loss at the logits."""
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(method(name).loss(logits, labels), logits)[0]


assert torch.allclose(method("guidebp").merge(supposed, labels), guided), (
    "the logit made by hand is the method's"
)

reaching = {name: gradient(name, supposed) for name in METHODS}
heat(
    {name: 1000 * of_true_class(torch.linalg.vector_norm(g, dim=2)) for name, g in reaching.items()},
    "Greens",
    label="class of the images",
)

# %% [markdown]
# Size of the gradient at each pathway's logits, mean over the images of a class, times 1000, in the supposed
# state. `add` and `average` treat all pathways alike and slow down on the first half for all of them, because
# one of them knows it. `independent` slows down for that one alone. Most readings spare it too and keep the
# others going, each in its way; `guidebp-class` has seen one batch only, and its memory of recall has yet to
# fill.
#
# The share of each pathway, summed over the batch, as a run records it in every step:


# %%
@apply_figure_style()
def shares(states):
    """Stacked bars: the share of the gradient per pathway, a panel per state of the logits."""
    figure, grid = plt.subplots(1, len(states), figsize=(PAGE_WIDTH, 2.6), layout="constrained", sharey=True)
    for axes, (title, logits) in zip(grid, states.items(), strict=True):
        norms = torch.stack([compute_pathway_norms(gradient(name, logits)) for name in METHODS])
        portions = (norms / norms.sum(dim=1, keepdim=True)).numpy()
        for k, pathway in enumerate(network.pathway_names):
            axes.barh(
                list(METHODS),
                portions[:, k],
                left=portions[:, :k].sum(axis=1),
                color=COLOURS[k],
                label=pathway,
            )
        for k in range(1, network.pathways):
            axes.axvline(k / network.pathways, color="white", lw=0.8, ls="--")
        axes.set(title=title, xlabel="share of the gradient", xlim=(0, 1))
        axes.grid(False)
    grid[0].invert_yaxis()
    figure.legend(
        *grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(network.pathway_names)
    )


shares({"fresh": fresh, "supposed": supposed})

# %% [markdown]
# ## What came of it in training
#
# From here on the study's results. A figure is a module: `prepare_figure_data` returns its numbers and
# `draw_figure` draws them.

# %%
merging = {name for name, entry in results.about["methods"].items() if entry["family"] == "guidebp"}
sections = results.about["sections"]
combinations = [(section["name"], *names) for section in sections for names in section["combinations"]]
guided_combinations = [names for names in combinations if names[1] == dataset and names[3] in merging]


def redraw(figure):
    """A figure of the first network with a guided method."""
    if not guided_combinations:
        return print(f"The study {STUDY} has no guided merge on {dataset}: nothing to show here.")
    section, _, architecture, _ = guided_combinations[0]
    data = figure.prepare_figure_data(results.section(section), dataset)
    return figure.draw_figure(data[data["architecture"] == architecture])


redraw(gradient_share)

# %% [markdown]
# Shares of the gradient over the epochs. Under `add` and `average` they are equal by construction. Where a
# strip leaves the dashes, some pathway receives more than the others.

# %%
redraw(accuracy)

# %% [markdown]
# Test accuracy of every pathway alone and merged. Under the usual merges a pathway alone need not be good:
# only what they say together is trained. Means over the seeds:

# %%
if guided_combinations:
    section, _, architecture, _ = guided_combinations[0]
    runs = measure_runs(results.section(section).metrics)
    runs = runs[(runs["dataset"] == dataset) & (runs["architecture"] == architecture)]
    table = runs.groupby("method", sort=False)[[PATHWAYS, MERGED]].mean().round(1)
    table["runs"] = runs.groupby("method")["status"].apply(lambda status: (status == "finished").sum())
    display(table)
else:
    print(f"The study {STUDY} has no guided merge on {dataset}.")

# %% [markdown]
# Read this with `independent` beside it: it too makes strong pathways, without any guidance. And read it as
# what it is: readings of a formula that is not reachable and, in a study as small as the demo, exploratory.
# Which statements of the paper are decided, and by which rule, says the report.
