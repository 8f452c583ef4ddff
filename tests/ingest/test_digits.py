"""The digits, from the bundled file to a prepared one; every damage on the way is a UserError with a remedy."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from guidebp.data.manifest import ManifestClassCounts, ManifestCopyCounts, compute_content_hash, read_manifest
from guidebp.data.prepared import load_prepared
from guidebp.errors import UserError
from guidebp.files import file_hash
from guidebp.ingest.fetching.fetch import fetch_dataset
from guidebp.ingest.prepare import prepare_dataset
from guidebp.schema.catalogue import read_datasets
from guidebp.schema.datasets import FilesSource
from tests.support.tiny import ROOT, make_manifest

DIGITS = read_datasets(ROOT)["digits"]
assert isinstance(DIGITS.source, FilesSource)
SOURCE, FILE = DIGITS.source, DIGITS.source.files[0]
RAW = f"raw/digits/{FILE.path}"
PREPARED = ["prepared/digits.json", "prepared/digits.png", "prepared/digits.safetensors"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    fetch_dataset("digits", DIGITS, folder / "raw")
    prepare_dataset("digits", DIGITS, folder / "raw", folder / "prepared")
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    for name in (RAW, *PREPARED):
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
    arrays = load_file(made / "prepared/digits.safetensors")
    assert manifest.dataset == "digits" and manifest.sha256 == compute_content_hash(arrays)
    assert manifest.images == 1797 and manifest.shape == (1, 8, 8)
    counts = tuple(np.bincount(load_digits().target).tolist())
    assert manifest.per_class == ManifestClassCounts(training=counts, test=(0,) * 10)
    assert manifest.classes == tuple(str(digit) for digit in range(10))
    assert manifest.official_test_images == 0
    assert manifest.copies == ManifestCopyCounts(0, 0, (), dropped=0)
    assert manifest.files == {FILE.path: file_hash(made / RAW)} == {FILE.path: FILE.sha256}


def test_committed_manifest_is_that_of_the_digits(made: Path) -> None:
    committed = ROOT / "data/prepared/digits.json"
    assert committed.read_bytes() == (made / "prepared/digits.json").read_bytes()


def test_preparing_again_writes_the_same_bytes(copied: Path) -> None:
    before = {path.name: path.read_bytes() for path in (copied / "prepared").iterdir()}
    prepare_dataset("digits", DIGITS, copied / "raw", copied / "prepared")
    assert {path.name: path.read_bytes() for path in (copied / "prepared").iterdir()} == before
    assert sorted(before) == [Path(name).name for name in PREPARED]


def test_content_hash_sees_names_types_shapes_and_values() -> None:
    base = {"a": np.arange(6, dtype=np.int16)}
    variants: list[dict[str, np.ndarray]] = [
        {"b": base["a"]},
        {"a": base["a"].astype(np.int32)},
        {"a": base["a"].reshape(2, 3)},
        {"a": base["a"] + 1},
        base | {"b": base["a"]},
    ]
    hashes = [compute_content_hash(arrays) for arrays in [base, *variants]]
    assert len(set(hashes)) == len(hashes)
    assert compute_content_hash({"a": np.arange(12, dtype=np.int16).repeat(2)[:12:2]}) == hashes[0]


@pytest.mark.parametrize("damage", ["missing", "changed", "truncated"])
def test_damaged_raw_file_is_not_prepared(copied: Path, damage: str) -> None:
    path = copied / RAW
    good = path.read_bytes()
    before = {name: (copied / name).read_bytes() for name in PREPARED}
    if damage == "missing":
        path.unlink()
    elif damage == "changed":
        flip(path, 1000)
    else:
        path.write_bytes(good[:-1])
    reason = {
        "missing": "is missing",
        "changed": "has sha256 ",
        "truncated": "has 57522 bytes, expected 57523",
    }
    with pytest.raises(UserError, match=rf"digits\.csv\.gz: {reason[damage]}.*; run: guidebp fetch digits"):
        prepare_dataset("digits", DIGITS, copied / "raw", copied / "prepared")
    assert {name: (copied / name).read_bytes() for name in PREPARED} == before
    fetch_dataset("digits", DIGITS, copied / "raw")
    assert path.read_bytes() == good


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (1, 4, 16)}, r"images are \(1, 8, 8\), the catalogue says \(1, 4, 16\)"),
        ({"classes": 9}, "labels from 0 to 9, not 0 to 8, as its classes in"),
        ({"split": DIGITS.split.model_copy(update={"test": "official"})}, "has no official test set"),
    ],
    ids=["shape", "classes", "split"],
)
def test_catalogue_that_announces_something_else(
    copied: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        prepare_dataset("digits", DIGITS.model_copy(update=change), copied / "raw", copied / "other")
    assert list((copied / "other").iterdir()) == []


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
    path = tmp_path / RAW
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    file = FILE.model_copy(update={"sha256": file_hash(path), "size": len(content)})
    dataset = DIGITS.model_copy(update={"source": SOURCE.model_copy(update={"files": [file]})})
    with pytest.raises(UserError, match=r"digits\.csv\.gz: .*fetch again"):
        prepare_dataset("digits", dataset, tmp_path / "raw", tmp_path / "prepared")


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
    "content",
    [None, "", "{", "[]", "[" * 100_000, "\ud7ff", make_manifest("0" * 64).to_bytes().decode(), "{}"],
    ids=["missing", "empty", "no JSON", "a list", "nested too deep", "one letter", "other hash", "no hash"],
)
def test_damaged_manifest(copied: Path, content: str | None) -> None:
    path = copied / "prepared/digits.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(UserError, match=r"digits\.json.*run: snakemake"):
        load_prepared(copied / "prepared", "digits")
