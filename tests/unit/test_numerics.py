"""What `exact` and `fast` switch."""

from pathlib import Path

import pytest
import torch

from guidebp.training import numerics
from guidebp.training.numerics import autocast, cpu_has_bf16, set_numerics

CPU = torch.device("cpu")


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("kind", ["exact", "fast"])
def test_only_fast_rounds_and_only_where_the_processor_does(
    kind: str, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numerics, "cpu_has_bf16", lambda: native)
    with autocast(kind, CPU):
        found = torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3))
    assert found.dtype == (torch.bfloat16 if kind == "fast" and native else torch.float32)


def test_the_processor_is_asked() -> None:
    """As its flags have it, where Linux lists them."""
    try:
        with Path("/proc/cpuinfo").open() as file:
            flags = next((line.split() for line in file if line.startswith("flags")), [])
    except FileNotFoundError:
        pytest.skip("no /proc/cpuinfo")
    assert cpu_has_bf16() == bool({"avx512_bf16", "amx_tile"} & set(flags))


@pytest.mark.parametrize("kind", ["exact", "fast"])
def test_switches(kind: str) -> None:
    set_numerics(kind, CPU)
    assert torch.are_deterministic_algorithms_enabled() == (kind == "exact")
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == (kind == "fast")
    assert torch.get_num_threads() == 1
