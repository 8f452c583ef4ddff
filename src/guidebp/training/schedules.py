"""Learning-rate schedules and optimisers of a recipe."""

import math

from torch.optim import Optimizer

from guidebp.runs.spec import ScheduleSpec


def compute_lr_factor(schedule: ScheduleSpec, step: int, steps: int) -> float:
    """Return the factor of the base learning rate in step `step` (from 0) of `steps`.

    constant: 1. step: `factor` for each milestone (a share of training) passed. cosine: half a cosine to 0.
    `warmup` (a share of training) rises linearly before any of them.
    """
    done = step / steps
    warmup = schedule.warmup
    if done < warmup:
        return float((step + 1) / math.ceil(warmup * steps))
    if schedule.name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))
    if schedule.name == "step":
        return float(schedule.factor ** sum(done >= milestone for milestone in schedule.milestones))
    return 1.0


def scale_lr(optimiser: Optimizer, factor: float) -> None:
    """Scale every group's own initial learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
