# %% [markdown]
# # A method of your own
#
# A method is a class that trains a network with several logits. Most need a handful of lines. Here one is
# made and checked in the notebook; nothing is written to the repository. At the end: the three things that
# make it part of a study.

# %%
import inspect
import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import Code

from guidebp.methods import learned
from guidebp.methods.contract import MergeMethod
from guidebp.models import build_network
from guidebp.runs.spec import FamilySpec
from guidebp.seeds import use_stream

os.chdir(next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "Snakefile").exists()))

# %% [markdown]
# ## A model
#
# `learned.py`, a merge with trained weights, as it stands in `src/guidebp/methods/`: a frozen `Options`
# class, a class with the merge, `METHOD` at the end.

# %%
Code(inspect.getsource(learned), language="python")

# %% [markdown]
# `MergeMethod` and `Method` do the rest: cross-entropy of the merged logit, one optimiser step, and what it
# reports. A method that is no merge of logits gives its own `loss` or a whole `step` (`contract.py`).

# %%
Code(inspect.getsource(MergeMethod), language="python")

# %% [markdown]
# ## The new one
#
# A merge between `average` and `max`, with a temperature T, per class:
#
#     g = T log mean_k exp(z[k] / T)      T large: the average      T small: the largest


# %%
@dataclass(frozen=True)
class Options:
    """Between the largest logit (towards 0) and the average (large)."""

    temperature: float = 1.0

    def __post_init__(self):
        """Refuse what has no meaning."""
        if self.temperature <= 0:
            raise ValueError("temperature must be positive")


class Smooth(MergeMethod):
    """Cross-entropy of a smooth maximum of the logits."""

    def merge(self, logits, labels):
        """One logit [N, classes] of logits [K, N, classes]; the labels are not used."""
        return self.predict(logits)

    def predict(self, logits):
        """The merge itself: it needs no labels."""
        t = self.options.temperature
        return t * ((logits / t).logsumexp(dim=0) - math.log(len(logits)))


# %% [markdown]
# ## Does it keep the contract?
#
# A small network, one batch of noise, a step: a finite loss, and for each pathway the size of the gradient
# that it received.


# %%
def network(pathways):
    """Columns with kernels 3, 5, 7, ... for images of 8x8 pixels and ten classes."""
    kernels = [[size, size] for size in range(3, 3 + 2 * pathways, 2)]
    with use_stream("initial weights", "notebook", pathways):
        return build_network(FamilySpec("columns", {"kernels": kernels, "widths": [8, 16]}), (1, 8, 8), 10)


def method(pathways=3, **options):
    """The new method, ready to train."""
    return Smooth(network(pathways), Options(**options), partial(torch.optim.SGD, lr=0.1))


with use_stream("batch", "notebook"):
    images, labels = torch.randn(64, 1, 8, 8), torch.arange(64) % 10

smooth = method()
step = smooth.step(images, labels)
assert step.loss.isfinite() and (step.gradient_norms > 0).all()
print(f"loss {step.loss:.3f}")
pd.DataFrame({"gradient received": step.gradient_norms}, smooth.pathway_names).round(3)

# %% [markdown]
# Steps on one batch must lower its loss.

# %%
losses = [float(smooth.step(images, labels).loss) for _ in range(10)]
assert losses[-1] < losses[0]
print(" ".join(f"{loss:.2f}" for loss in losses))

# %% [markdown]
# With one pathway there is nothing to merge: the loss is plain cross-entropy.

# %%
single = method(pathways=1)
logits = single.logits(images)
assert torch.allclose(single.loss(logits, labels), F.cross_entropy(logits[0], labels))

# %% [markdown]
# What the formula promises: equal pathways are left as they are and share the gradient equally, and the
# temperature moves the merge from the largest logit to the average.

# %%
logits = torch.randn(3, 64, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
equal = logits[:1].repeat(3, 1, 1).requires_grad_()
merged = smooth.merge(equal, labels)
assert torch.allclose(merged, equal[0])
(shares,) = torch.autograd.grad(F.cross_entropy(merged, labels), equal)
assert torch.allclose(shares[0], shares[1]) and torch.allclose(shares[0], shares[2])

distances = pd.DataFrame(
    [
        {
            "temperature": temperature,
            "from the largest": float((logits.amax(dim=0) - merged).abs().max()),
            "from the average": float((logits.mean(dim=0) - merged).abs().max()),
        }
        for temperature in (0.01, 0.1, 1.0, 10.0, 1000.0)
        for merged in [method(temperature=temperature).predict(logits)]
    ]
).set_index("temperature")
assert distances["from the largest"].is_monotonic_increasing
assert distances["from the average"].is_monotonic_decreasing
distances.round(3)

# %% [markdown]
# A mistake in an option is refused before anything runs:

# %%
try:
    Options(temperature=0.0)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Three things make it part of a study
#
# **A file**, `src/guidebp/methods/smooth.py`: the two classes above with types, a docstring with the formula,
# and
#
#     METHOD = Smooth
#
# **An entry** in `config/methods.yaml`; the family is the file's name:
#
#     smooth:
#       title: smooth maximum
#       family: smooth
#       group: usual merges
#       options: {temperature: 1.0}
#
# **A study** that names it, `config/studies/mine.yaml`:
#
#     title: Smooth maximum on digits
#     about: A first look.
#     blocks:
#       - datasets: [digits]
#         architectures: [columns-digits]
#         methods: [average, max, independent, smooth]
#         recipe: digits-short
#         seeds: [0, 1, 2]
#     baselines: [average, independent]
#
# Then `guidebp generate`, `guidebp check --study mine` and `snakemake --config study=mine`: runs that other
# studies already have are not trained again. `CONTRIBUTING.md`, section "Adding a method", has the rest: what
# a network must offer, golden values, tests, the method's page. The contract's tests pick the entry up by
# themselves.
