"""Where a result comes from: code, machine, versions. Recorded beside results, never part of a key."""

import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from guidebp import ENGINE_VERSION
from guidebp import __version__ as guidebp_version
from guidebp.git import run_git


def machine(device: str) -> dict[str, Any]:
    """Host, processor, device and the versions that training depends on."""
    import torch

    from guidebp.training.numerics import instructions

    cuda = device.startswith("cuda")
    return {
        "host": platform.node(),
        "processor": processor(),
        "instructions": instructions(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "device_class": f"cuda {torch.cuda.get_device_name()}" if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **code(),
    }


@cache
def code() -> dict[str, Any]:
    """Commit of the code that runs (None outside a git checkout), whether it was edited, versions."""
    root = Path(__file__).parent

    def git(*args: str) -> str | None:
        try:
            done = run_git(root, *args)
        except OSError:
            return None
        return None if done.returncode else done.stdout.strip()

    status = git("status", "--porcelain", "--", str(root))
    return {
        "commit": git("rev-parse", "HEAD"),
        "edited": bool(status) if status is not None else None,
        "guidebp": guidebp_version,
        "engine": ENGINE_VERSION,
        "python": platform.python_version(),
    }


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def rendering(inputs: dict[str, str], keys: list[str]) -> dict[str, Any]:
    """Provenance of a rendered file: `inputs` maps paths to their sha256, `keys` are those of the runs shown."""
    packages = {}
    for name in ("numpy", "pandas", "scipy", "scikit-posthocs", "matplotlib"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:  # pragma: no cover - all are dependencies
            continue
    command = " ".join(["guidebp", *sys.argv[1:]])
    return {"command": command, "inputs": inputs, "runs": keys, "packages": packages, **code()}
