"""A prepared file that lies about itself is a UserError; what is accepted is what safetensors reads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save, save_file

from guidebp.data.manifest import PreparedFile, compute_content_hash
from guidebp.data.prepared import load_prepared
from guidebp.errors import UserError
from tests.support.arrays_on_disk import noise
from tests.support.hostile_files import select_positions
from tests.support.tiny import make_manifest


def valid() -> bytes:
    labels, test = np.arange(5, dtype=np.int16), np.zeros(5, dtype=np.uint8)
    return save({"images": noise(5, (1, 3, 3)), "labels": labels, "test": test})


def with_header(change: Callable[[dict[str, Any]], Any], spare: bytes = b"") -> bytes:
    """The valid file with its header changed, and `spare` behind it."""
    content = valid()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    changed = change(header)
    text = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :] + spare


def array(name: str, **changes: Any) -> Callable[[dict[str, Any]], Any]:
    """A change of an array's entry in the header."""
    return lambda header: header | {name: header[name] | changes}


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda header: {key: value for key, value in header.items() if key != name}


LIES: dict[str, bytes] = {
    "empty": b"",
    "garbage": bytes(range(256)) * 9,
    "endless header": (1 << 62).to_bytes(8, "little") + valid()[8:],
    "header beyond the file": (10_000).to_bytes(8, "little") + valid()[8:],
    "nested too deep": with_header(lambda _: b"[" * 60_000),
    "a list": with_header(lambda header: list(header)),
    "a number": with_header(lambda _: 7),
    "number of too many digits": with_header(lambda _: b"1" * 6_000),
    "list in place of an entry": with_header(lambda header: header | {"labels": [1]}),
    "array missing": with_header(without("test")),
    "array too many": with_header(lambda header: header | {"more": header["test"]}),
    "array of an odd name": with_header(lambda header: header | {"\ud800": header["test"]}),
    "no type": with_header(lambda header: header | {"test": {"shape": [5], "data_offsets": [45, 50]}}),
    "unknown type": with_header(array("test", dtype="U9")),
    "other type": with_header(array("images", dtype="I8")),
    "list for a type": with_header(array("test", dtype=["U8"])),
    "no shape": with_header(array("test", shape=[])),
    "no shape of the labels": with_header(array("labels", shape=[], data_offsets=[50, 60])),
    "shape of a fraction": with_header(array("test", shape=[5.0])),
    "shape of text": with_header(array("test", shape="5")),
    "shape of truth": with_header(array("images", shape=[5, True, 3, 3])),
    "negative number of rows": with_header(array("images", shape=[-5, 1, -3, 3])),
    "negative sides": with_header(array("images", shape=[5, 1, -3, -3])),
    "shape too large": with_header(array("images", shape=[500, 1, 3, 3])),
    "endless rows of nothing": with_header(array("images", shape=[1 << 60, 0], data_offsets=[0, 0])),
    "rows that differ": with_header(array("images", shape=[3, 1, 5, 3])),
    "three dimensions": with_header(array("images", shape=[5, 3, 3])),
    "places swapped": with_header(
        lambda header: array("test", data_offsets=header["test"]["data_offsets"][::-1])(header)
    ),
    "one place": with_header(array("test", data_offsets=[45])),
    "places of fractions": with_header(array("test", data_offsets=[45.0, 50.0])),
    "negative places": with_header(array("test", data_offsets=[-60, -55])),
    "places that overlap": with_header(array("test", data_offsets=[0, 5])),
    "places beyond the end": with_header(array("test", data_offsets=[1 << 40, (1 << 40) + 5])),
    "bytes behind the end": with_header(lambda header: header, spare=b"more"),
}


def accepted(path: Path) -> bool:
    """Whether both ways to read a prepared file take it; then they agree with safetensors' own."""
    try:
        found = PreparedFile(path).compute_content_hash()
    except UserError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        with pytest.raises(UserError):
            load_prepared(path.parent, path.stem)
        return False
    assert found == compute_content_hash(load_file(path))
    path.with_suffix(".json").write_bytes(make_manifest(found).to_bytes())
    load_prepared(path.parent, path.stem)
    return True


def test_what_safetensors_writes_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "made.safetensors"
    path.write_bytes(valid())
    assert accepted(path)
    path.write_bytes(with_header(lambda header: header))
    assert accepted(path)


@pytest.mark.parametrize("case", LIES)
def test_file_that_lies(tmp_path: Path, case: str) -> None:
    path = tmp_path / "made.safetensors"
    path.write_bytes(LIES[case])
    (tmp_path / "made.json").write_bytes(make_manifest("0").to_bytes())
    assert not accepted(path)


def test_file_that_ends_early(tmp_path: Path) -> None:
    path, content = tmp_path / "made.safetensors", valid()
    (tmp_path / "made.json").write_bytes(make_manifest("0").to_bytes())
    for length in select_positions(len(content), 5, head=16):
        path.write_bytes(content[:length])
        assert not accepted(path), length


@pytest.mark.parametrize(
    "other", [np.float16, np.float64, np.uint16, np.bool_], ids=lambda kind: kind.__name__
)
def test_safetensors_file_of_something_else(tmp_path: Path, other: type[np.generic]) -> None:
    path = tmp_path / "made.safetensors"
    save_file({"images": np.zeros((5, 1, 3, 3), dtype=other)}, path)
    (tmp_path / "made.json").write_bytes(make_manifest("0").to_bytes())
    assert not accepted(path)


def test_no_file_and_a_folder_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "made.safetensors"
    (tmp_path / "made.json").write_bytes(make_manifest("0").to_bytes())
    assert not accepted(path)
    path.mkdir()
    assert not accepted(path)


NUMBERS = (
    st.integers(-9, 99) | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none() | st.text()
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["U8", "I16", "F32"]) | NUMBERS,
        "shape": st.lists(NUMBERS, max_size=4) | NUMBERS,
        "data_offsets": st.lists(NUMBERS, max_size=3) | NUMBERS,
    },
)


@given(st.data())
def test_random_damage_is_a_user_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Either the whole file is random, or some of its bytes, or an entry of its header."""
    path = tmp_path_factory.mktemp("fuzz") / "made.safetensors"
    content = bytearray(valid())
    kind = data.draw(st.sampled_from(["file", "bytes", "entry"]))
    if kind == "file":
        content = bytearray(data.draw(st.binary(max_size=200)))
    elif kind == "bytes":
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
            content[place] = data.draw(st.integers(0, 255))
    else:
        name = data.draw(st.sampled_from(["images", "labels", "test", "more"]))
        new = data.draw(ENTRIES)
        content = bytearray(with_header(lambda header: header | {name: header.get(name, {}) | new}))
    path.write_bytes(content)
    path.with_suffix(".json").write_bytes(make_manifest("0").to_bytes())
    accepted(path)
