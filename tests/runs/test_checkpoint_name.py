"""File names of checkpoints: written, read, sorted by where the run was, and told from other files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidebp.runs.checkpoint_name import CheckpointName

SHA256 = "0123456789abcdef" * 4
NAME = f"000012-00000345.{SHA256}.safetensors"
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)


def test_name_by_hand() -> None:
    assert str(CheckpointName(epoch=12, step=345, sha256=SHA256)) == NAME
    assert CheckpointName.parse(NAME) == CheckpointName(12, 345, SHA256)


@given(st.integers(0, 10**9), st.integers(0, 10**12), HASHES)
def test_names_are_read_as_they_are_written(epoch: int, step: int, sha256: str) -> None:
    name = CheckpointName(epoch, step, sha256)
    assert CheckpointName.parse(str(name)) == name


@given(st.lists(st.tuples(st.integers(0, 10**6 - 1), st.integers(0, 10**8 - 1), HASHES), min_size=2))
def test_names_sort_by_epoch_and_step(places: list[tuple[int, int, str]]) -> None:
    names = sorted(str(CheckpointName(*place)) for place in places)
    checkpoints = [CheckpointName.parse(name) for name in names]
    order = [(checkpoint.epoch, checkpoint.step) for checkpoint in checkpoints if checkpoint]
    assert len(order) == len(places) and order == sorted(order)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "deaths.json",
        f"00012-00000345.{SHA256}.safetensors",
        f"000012-0000345.{SHA256}.safetensors",
        f"0000012-00000345.{SHA256}.safetensors",
        f"000012-000000345.{SHA256}.safetensors",
        f"00001a-00000345.{SHA256}.safetensors",
        f"-00012-00000345.{SHA256}.safetensors",
        f"٠٠٠٠١٢-00000345.{SHA256}.safetensors",
        f"000012_00000345.{SHA256}.safetensors",
        f"000012-00000345.{SHA256[:-1]}.safetensors",
        f"000012-00000345.{SHA256}0.safetensors",
        f"000012-00000345.{SHA256.upper()}.safetensors",
        f"000012-00000345.{SHA256}.pt",
        f"000012-00000345.{SHA256}.safetensors.part",
        f"000012-00000345.{SHA256}.safetensors\n",
        f".000012-00000345.{SHA256}.safetensors",
        f"folder/000012-00000345.{SHA256}.safetensors",
        "000012-00000345.safetensors",
    ],
)
def test_other_files_are_no_checkpoints(name: str) -> None:
    assert CheckpointName.parse(name) is None
