"""One epoch of a run: its steps, the quantities that they report, and the validation after them."""

from typing import NamedTuple

import torch
from torch import Tensor

from guidebp.data.batches import Batches
from guidebp.evaluation.conflict import compute_cosines, has_conflict, probe_conflict
from guidebp.evaluation.outputs import compute_logits, count_correct, predict_output_classes
from guidebp.runs.spec import RecipeSpec
from guidebp.seeds import derive_stream_seed
from guidebp.training.checkpoints import Checkpoints
from guidebp.training.numerics import use_autocast
from guidebp.training.schedules import compute_lr_factor, scale_lr
from guidebp.training.state import EpochEntry, TrainingState


class Angles(NamedTuple):
    """Sums over the steps that compared the pathways' gradients: cosines [K, K], conflicts, number of steps."""

    cosines: Tensor
    conflicts: Tensor
    steps: int


def train_epoch(
    state: TrainingState, batches: Batches, recipe: RecipeSpec, checkpoints: Checkpoints | None = None
) -> bool:
    """Train the rest of an epoch, validate, and update `state`; return True if the loss was finite.

    Everything is summed on the device and fetched once at the end. Methods that have the pathways' gradients
    compare them at every step. For other methods they are computed once more, on the last batch.
    """
    method = state.method
    if state.step == 0:
        torch.manual_seed(
            derive_stream_seed("chance within a step", batches.dataset, batches.seed, state.epoch)
        )
    method.train()
    images, labels = run_steps(state, batches, recipe, checkpoints)
    loss, gradient = state.sums["loss"], state.sums["gradient"]
    if not bool(torch.isfinite(loss + gradient.sum())):
        return False
    angles = Angles(state.sums["angles"], state.sums["conflicting"], state.compared)
    if not method.reports_products:
        with use_autocast(recipe.numerics, batches.device):
            products = probe_conflict(method, images, labels)
        if products is not None:
            angles = Angles(compute_cosines(products), has_conflict(products), 1)
    validation_correct: list[int] = []
    if len(batches.labels["validation"]):
        with use_autocast(recipe.numerics, batches.device):
            predictions = predict_output_classes(
                method, compute_logits(method, batches.evaluation("validation"))
            )
        validation_correct = count_correct(predictions, batches.labels["validation"]).tolist()
    state.end_epoch(summarise_epoch(state, batches.steps, angles, validation_correct))
    return True


def run_steps(
    state: TrainingState, batches: Batches, recipe: RecipeSpec, checkpoints: Checkpoints | None
) -> tuple[Tensor, Tensor]:
    """Train on the epoch's batches from `state.step` on; return the images and labels of the last batch."""
    method, total = state.method, batches.steps * recipe.epochs
    state.start_clock()
    for images, labels in batches.epoch(state.epoch, method.streams, state.step):
        if checkpoints and checkpoints.due():
            state.stop_clock()
            checkpoints.save(state.capture())
        factor = compute_lr_factor(recipe.schedule, state.epoch * batches.steps + state.step, total)
        for name, optimiser in method.optimisers.items():
            if name not in method.constant_rates:
                scale_lr(optimiser, factor)
        with use_autocast(recipe.numerics, batches.device):
            step = method.step(images, labels)
        state.add(step)
    state.stop_clock()
    return images, labels


def summarise_epoch(
    state: TrainingState, steps: int, angles: Angles, validation_correct: list[int]
) -> EpochEntry:
    """Return the means over an epoch of `steps` steps, rounded to the digits that are reliable."""
    loss, gradient = state.sums["loss"], state.sums["gradient"]
    share = gradient / gradient.sum().clamp(min=torch.finfo(torch.float64).tiny)
    entry = EpochEntry(
        loss=round_significant(loss.item() / steps),
        gradient_share=[round(value, 4) for value in share.tolist()],
        validation_correct=validation_correct,
    )
    if angles.steps == 0 or state.method.pathways < 2 or not bool(torch.isfinite(angles.cosines).all()):
        return entry
    mean = (angles.cosines / angles.steps).cpu()
    above = mean[torch.ones_like(mean, dtype=torch.bool).triu(diagonal=1)]
    return entry._replace(
        cosine=round(above.mean().item(), 4),
        conflict=round(angles.conflicts.item() / angles.steps, 4),
        cosines=[[round(value, 4) for value in row] for row in mean.tolist()],
    )


def round_significant(value: float) -> float:
    """Round to six significant digits: a float32 sum has no more, and records are half as large."""
    return float(f"{value:.6g}")
