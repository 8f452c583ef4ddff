"""Provenance of results: code, machine, versions. It is recorded beside results and never enters a key."""

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


def describe_machine(device: str) -> dict[str, Any]:
    """Return host, processor, device and the versions that training depends on."""
    import torch

    from guidebp.training.numerics import describe_instructions

    cuda = device.startswith("cuda")
    return {
        "host": platform.node(),
        "processor": read_processor_name(),
        "instructions": describe_instructions(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "device_class": f"cuda {torch.cuda.get_device_name()}" if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **describe_code(),
    }


@cache
def describe_code() -> dict[str, Any]:
    """Return the commit of the running code (None outside a git checkout), whether it was edited, and versions."""
    root = Path(__file__).parent

    def git(*args: str) -> str | None:
        try:
            process = run_git(root, *args)
        except OSError:
            return None
        return None if process.returncode else process.stdout.strip()

    status = git("status", "--porcelain", "--", str(root))
    return {
        "commit": git("rev-parse", "HEAD"),
        "edited": bool(status) if status is not None else None,
        "guidebp": guidebp_version,
        "engine": ENGINE_VERSION,
        "python": platform.python_version(),
    }


def read_processor_name() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def describe_rendering(inputs: dict[str, str], keys: list[str]) -> dict[str, Any]:
    """Return the provenance of a rendered file: `inputs` maps paths to sha256, `keys` are the runs shown."""
    packages = {}
    for name in ("numpy", "pandas", "scipy", "scikit-posthocs", "matplotlib"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:  # pragma: no cover - all are dependencies
            continue
    command = " ".join(["guidebp", *sys.argv[1:]])
    return {"command": command, "inputs": inputs, "runs": keys, "packages": packages, **describe_code()}
