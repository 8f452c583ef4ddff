"""Numerics of a run, explicit: `exact` (fp32, deterministic) or `fast` (bf16 autocast, TF32).

`exact` promises the same bytes on the same device class with the same torch; `fast` promises speed and the same
accuracy up to rounding. Where bf16 would be emulated, `fast` stays in fp32.
"""

import re
from contextlib import AbstractContextManager, nullcontext

import torch

from guidebp.errors import UserError


def check_torch() -> None:
    """Raise UserError if torch is older than 2.10: its loading of files was unsafe (CVE-2026-24747)."""
    found = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if found and (int(found[1]), int(found[2])) < (2, 10):
        raise UserError(
            f"torch {torch.__version__} is too old, 2.10 is needed; run: make setup, or pip install -U torch"
        )


def choose_device(wanted: str) -> torch.device:
    """Return the device for "auto" (CUDA when present), "cpu" or "cuda".

    Raises UserError for "cuda" without a CUDA device.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda is asked for, but torch finds no CUDA device; use auto or cpu")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def set_numerics(numerics: str, device: torch.device) -> None:
    """Set torch's global switches for one run. It gets one thread: small runs slow down when they share cores."""
    exact = numerics == "exact"
    torch.set_num_threads(1)
    # the same as torch.use_deterministic_algorithms, which imports torch's compiler for it: seconds
    torch.set_deterministic_debug_mode("error" if exact else "default")
    # A debugging aid that fills every fresh tensor: a tenth of a small step, and nothing here reads unset memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not exact
    torch.backends.cudnn.allow_tf32 = not exact
    torch.backends.cuda.matmul.allow_tf32 = not exact
    torch.set_flush_denormal(True)


def use_autocast(numerics: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context for steps and evaluations: bf16 for `fast` if the device has bf16 instructions."""
    if numerics == "fast" and (device.type != "cpu" or cpu_has_bf16()):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def describe_instructions() -> str:
    """Describe the instructions that torch uses.

    Processors of the same name differ in them, and in speed by half.
    """
    return torch.backends.cpu.get_cpu_capability() + " BF16" * cpu_has_bf16()


def cpu_has_bf16() -> bool:
    """Return True if this is an x86 processor with AVX-512 BF16 or AMX.

    Other x86 processors emulate bf16, many times slower. Other kinds are not known here and are treated alike.
    """
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
