"""What `exact` and `fast` switch."""

import sys
from pathlib import Path

import pytest
import torch

from guidebp.errors import UserError
from guidebp.jobs import timing
from guidebp.training import __main__ as training
from guidebp.training import numerics
from guidebp.training.numerics import check_torch, cpu_has_bf16, set_numerics, use_autocast

CPU = torch.device("cpu")


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("kind", ["exact", "fast"])
def test_only_fast_rounds_and_only_where_the_processor_does(
    kind: str, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numerics, "cpu_has_bf16", lambda: native)
    with use_autocast(kind, CPU):
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


@pytest.mark.parametrize("version", ["1.13.1", "2.9.1", "2.9.0a0+git12", "2.0"])
def test_training_refuses_a_torch_that_is_too_old(
    version: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(sys, "argv", ["training", str(tmp_path / "none.json")])
    with pytest.raises(SystemExit) as caught:
        training.main()
    assert caught.value.code == 2
    message = f"python -m guidebp.training: torch {version} is too old, 2.10 is needed; run: make setup"
    assert capsys.readouterr().err.startswith(message)
    with pytest.raises(UserError, match="is too old"):
        timing.time_steps(None, "cpu")  # type: ignore[arg-type]  # it looks at torch first


@pytest.mark.parametrize("version", ["2.10.0", "2.10.0+cu128", "2.11.0a0+git12", "3.0.0", "10.1"])
def test_a_new_torch_is_taken(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    check_torch()
