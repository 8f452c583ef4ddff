"""Time the steps of a study on this machine and keep what was measured with where it was."""

import sys

from guidebp.files import write_atomic
from guidebp.hashing import readable_json
from guidebp.provenance import describe_machine
from guidebp.study.plan import STEP_TIMES, compute_image_shape, hash_step, read_step_times
from guidebp.study.study import Study
from guidebp.training.numerics import check_torch, choose_device
from guidebp.training.step_time import ON_CPU, step_seconds


def time_steps(study: Study, device: str) -> None:
    """Add seconds per step of every network, method and size of the study to results/step-times.json."""
    check_torch()
    chosen = choose_device(device)
    where = describe_machine(str(chosen))
    processor = f"{where['processor']} ({where['instructions']})"
    name = f"{processor}, one core" if chosen.type == "cpu" else where["device"]
    known = read_step_times()
    entry = known.get(name, {"seconds": {}})
    for run in {hash_step(study, run): run for run in study.runs}.values():
        seconds = step_seconds(run.spec, compute_image_shape(study, run), chosen)
        print(f"{run.dataset} {run.architecture} {run.method}: {seconds:.4g} s", file=sys.stderr, flush=True)
        entry["seconds"][hash_step(study, run)] = float(f"{seconds:.4g}")
    images = f"a step of {ON_CPU} images, scaled to the batch" if chosen.type == "cpu" else "a whole step"
    entry |= {"measured": images} | {
        key: where[key] for key in ("processor", "device", "torch", "python", "commit")
    }
    write_atomic(STEP_TIMES, readable_json(known | {name: entry}))
