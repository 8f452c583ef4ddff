"""The digits, from the bundled file to a prepared one; every damage on the way is a UserError with a remedy."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from guidebp.data.fetch import fetch
from guidebp.data.prepare import prepare
from guidebp.data.prepared import content_hash, load_prepared, read_manifest
from guidebp.errors import UserError
from guidebp.store import file_hash
from guidebp.study.files import read_file
from guidebp.study.schema import Dataset
from tests.unit.tiny import ROOT

DIGITS: Dataset = read_file(ROOT / "config/datasets.yaml", "datasets")["digits"]
FILE = "digits/digits.csv.gz"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    fetch("digits", DIGITS, folder / "raw")
    prepare("digits", DIGITS, folder / "raw", folder / "prepared")
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    for name in (f"raw/{FILE}", "prepared/digits.json", "prepared/digits.safetensors"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((made / name).read_bytes())
    return tmp_path


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_content_is_that_of_scikit_learn(made: Path) -> None:
    found, (images, labels) = load_prepared(made / "prepared", "digits"), load_digits(return_X_y=True)
    assert found.images.dtype == torch.uint8 and found.images.shape == (1797, 1, 8, 8)
    assert np.array_equal(found.images.numpy().reshape(-1, 64), images * 15)
    assert np.array_equal(found.labels.numpy(), labels) and found.labels.dtype == torch.int64
    assert not found.official_test.any() and found.official_test.dtype == torch.bool


def test_manifest_says_what_the_file_holds(made: Path) -> None:
    manifest = read_manifest(made / "prepared", "digits")
    tensors = load_file(made / "prepared/digits.safetensors")
    assert manifest["sha256"] == content_hash(tensors)
    assert manifest["images"] == 1797 == sum(manifest["per_class"]) and manifest["shape"] == [1, 8, 8]
    assert manifest["per_class"] == np.bincount(load_digits().target).tolist()
    assert manifest["official_test_images"] == 0
    assert manifest["files"] == {FILE: file_hash(made / "raw" / FILE)} == {FILE: DIGITS.files[0].sha256}


def test_preparing_again_writes_the_same_bytes(copied: Path) -> None:
    before = {path.name: path.read_bytes() for path in (copied / "prepared").iterdir()}
    prepare("digits", DIGITS, copied / "raw", copied / "prepared")
    assert {path.name: path.read_bytes() for path in (copied / "prepared").iterdir()} == before


def test_content_hash_sees_names_types_shapes_and_values() -> None:
    base = {"a": torch.arange(6, dtype=torch.int16)}
    variants = [
        {"b": base["a"]},
        {"a": base["a"].to(torch.int32)},
        {"a": base["a"].view(2, 3)},
        {"a": base["a"] + 1},
        base | {"b": base["a"]},
    ]
    hashes = [content_hash(tensors) for tensors in [base, *variants]]
    assert len(set(hashes)) == len(hashes)
    assert content_hash({"a": torch.arange(12, dtype=torch.int16)[:6]}) == hashes[0]


@pytest.mark.parametrize("damage", ["missing", "changed", "truncated"])
def test_damaged_raw_file(copied: Path, damage: str) -> None:
    path = copied / "raw" / FILE
    good = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "changed":
        flip(path, 1000)
    else:
        path.write_bytes(good[:-1])
    with pytest.raises(UserError, match=r"digits\.csv\.gz: missing or damaged; run: guidebp fetch digits"):
        prepare("digits", DIGITS, copied / "raw", copied / "prepared")
    fetch("digits", DIGITS, copied / "raw")
    assert path.read_bytes() == good


def test_fetch_leaves_an_intact_file_alone(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guidebp.data.fetch.bundled", lambda *_: pytest.fail("fetched again"))
    fetch("digits", DIGITS, copied / "raw")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "not the file of the catalogue"),
        ({"package": None}, "no source for digits/digits.csv.gz; put the file of 57523 bytes"),
        ({"package": "nowhere_at_all/x.csv"}, "package 'nowhere_at_all' with x.csv is not installed"),
    ],
)
def test_what_cannot_be_fetched(tmp_path: Path, change: dict[str, object], message: str) -> None:
    wrong = DIGITS.model_copy(update={"files": [DIGITS.files[0].model_copy(update=change)]})
    with pytest.raises(UserError, match=message):
        fetch("digits", wrong, tmp_path)
    assert list(tmp_path.rglob("*.gz")) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reader": "digit-csv"}, "unknown reader 'digit-csv'; did you mean 'digits-csv'"),
        ({"shape": (1, 4, 16)}, "the catalogue says"),
        ({"classes": 9}, "not 0 to classes - 1"),
        ({"split": DIGITS.split.model_copy(update={"test": "official"})}, "has no official test set"),
    ],
)
def test_catalogue_that_announces_something_else(
    copied: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        prepare("digits", DIGITS.model_copy(update=change), copied / "raw", copied / "other")
    assert not (copied / "other").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(b"a,b\n"),
        gzip.compress(b"1,2,3\n"),
        gzip.compress(b"17" + b",0" * 64 + b"\n"),
    ],
    ids=["no gzip", "letters", "three columns", "beyond 16"],  # compressed bytes carry the time
)
def test_raw_file_of_another_format(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE
    path.parent.mkdir()
    path.write_bytes(content)
    source = DIGITS.files[0].model_copy(update={"sha256": file_hash(path), "size": len(content)})
    with pytest.raises(UserError, match=r"digits\.csv\.gz: .*fetch again"):
        prepare("digits", DIGITS.model_copy(update={"files": [source]}), tmp_path, tmp_path / "prepared")


@pytest.mark.parametrize("damage", ["missing", "changed", "truncated", "empty", "other contents"])
def test_damaged_prepared_file(copied: Path, damage: str) -> None:
    path = copied / "prepared/digits.safetensors"
    if damage == "missing":
        path.unlink()
    elif damage == "changed":
        flip(path, -1)
    elif damage == "other contents":
        save_file({"images": torch.zeros(1)}, path)
    else:
        path.write_bytes(b"" if damage == "empty" else path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"digits\.safetensors: .*run: snakemake"):
        load_prepared(copied / "prepared", "digits")


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", "\ud7ff", json.dumps({"sha256": "0" * 64}), "{}"], ids=repr
)
def test_damaged_manifest(copied: Path, content: str | None) -> None:
    path = copied / "prepared/digits.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(UserError, match=r"digits\.json.*run: snakemake"):
        load_prepared(copied / "prepared", "digits")
