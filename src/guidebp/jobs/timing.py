"""Time the steps of a study on this machine, for predictions of hours."""

import sys
from dataclasses import replace

from guidebp.provenance import describe_machine
from guidebp.study.step_times import (
    MachineStepTimes,
    compute_image_shape,
    hash_step,
    read_step_times,
    write_step_times,
)
from guidebp.study.study import Study
from guidebp.training.numerics import check_torch, choose_device
from guidebp.training.step_time import ON_CPU, measure_step_seconds


def time_steps(study: Study, device: str) -> None:
    """Add seconds per step of every architecture, method and size of the study to results/step-times.json."""
    check_torch()
    chosen = choose_device(device)
    here = describe_machine(str(chosen))
    on_cpu = chosen.type == "cpu"
    name = f"{here['processor']} ({here['instructions']}), one core" if on_cpu else here["device"]
    machines = read_step_times()
    seconds = dict(machines.get(name, MachineStepTimes({})).seconds)
    for step, run in {hash_step(study, run): run for run in study.runs}.items():
        measured = measure_step_seconds(run.spec, compute_image_shape(study, run), chosen)
        print(f"{run.dataset} {run.architecture} {run.method}: {measured:.4g} s", file=sys.stderr, flush=True)
        seconds[step] = float(f"{measured:.4g}")
    times = MachineStepTimes(
        seconds, f"a step of {ON_CPU} images, scaled to the batch" if on_cpu else "a whole step"
    )
    origin = {key: here[key] for key in ("processor", "device", "torch", "python", "commit")}
    write_step_times(machines | {name: replace(times, **origin)})
