"""CIFAR's pickles, by Pythons and NumPys of every age, give what torchvision and `pickle` read from them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from numpy.typing import NDArray

from guidebp.ingest.untrusted.pickles import read_pickle
from tests.support.valid_files import batch, digits, files, noise, older, python2, read, same, text_keys

BATCHES = [
    f"cifar-10-batches-py/{name}" for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
]
META = "cifar-10-batches-py/batches.meta"
NAMES = ["air plane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def pickled(value: dict[bytes, Any], writer: str) -> bytes:
    """The dictionary as a Python and a NumPy of some age write it."""
    version, protocol, *options = writer.split()
    if version == "python2":
        return python2(value, int(protocol))
    content = pickle.dumps(text_keys(value) if "text" in options else value, int(protocol))
    return older(content) if "numpy1" in options else content


PYTHON2 = [f"python2 {protocol}" for protocol in range(3)]
PYTHON3 = [f"python3 {protocol} text" for protocol in range(6)]
OTHERS = [
    *(f"python3 {protocol}" for protocol in range(6)),
    "python3 4 text numpy1",
    "python3 5 text numpy1",
]


def cifar10(folder: Path, writer: str, count: int = 3) -> tuple[NDArray[Any], NDArray[Any]]:
    """All files of CIFAR-10 with random contents: its images and labels."""
    images, labels = noise(6 * count, 3, 32, 32), digits(6 * count)
    (folder / BATCHES[0]).parent.mkdir(parents=True)
    for number, path in enumerate(BATCHES):
        rows = slice(number * count, (number + 1) * count)
        (folder / path).write_bytes(pickled(batch(images[rows], labels[rows]), writer))
    names = [name.replace(" ", "_") for name in NAMES]
    listed = names if "text" in writer else [name.encode() for name in names]
    (folder / META).write_bytes(pickled({b"label_names": listed, b"num_vis": 3072}, writer))
    return images, labels


@pytest.mark.parametrize("writer", [*PYTHON2, *PYTHON3, *OTHERS])
def test_cifar(tmp_path: Path, writer: str) -> None:
    images, labels = cifar10(tmp_path, writer)
    found = read(files("cifar", *BATCHES, META, shape=(3, 32, 32)), tmp_path)
    same(found, images, labels, test=3)
    assert found.names == NAMES


@pytest.mark.parametrize("writer", [*PYTHON2, *PYTHON3])
def test_cifar_is_what_torchvision_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    cifar10(tmp_path, writer)
    unchecked = [[Path(path).name, None] for path in BATCHES]
    made = torchvision.datasets.CIFAR10
    monkeypatch.setattr(made, "train_list", unchecked[:5])
    monkeypatch.setattr(made, "test_list", unchecked[5:])
    monkeypatch.setattr(made, "meta", made.meta | {"md5": None})
    halves = [made(str(tmp_path), train=train) for train in (True, False)]
    found = read(files("cifar", *BATCHES, META, shape=(3, 32, 32)), tmp_path)
    images, labels = (np.concatenate([getattr(half, key) for half in halves]) for key in ("data", "targets"))
    same(found, images.transpose(0, 3, 1, 2), labels, test=3)
    assert found.names == [name.replace("_", " ") for name in halves[0].classes]


@pytest.mark.parametrize("writer", ["python2 2", "python3 4"])
def test_cifar_100_has_fine_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    images, labels, names = noise(7, 3, 32, 32), digits(7) * 11, [f"fine_{n}" for n in range(100)]
    for name, rows in (("train", slice(4)), ("test", slice(4, 7))):
        made = batch(images[rows], labels[rows], "fine_labels") | {b"coarse_labels": [1] * len(labels[rows])}
        (folder / name).write_bytes(pickled(made, writer))
    meta = {b"coarse_label_names": [b"coarse"] * 20, b"fine_label_names": [name.encode() for name in names]}
    (folder / "meta").write_bytes(pickled(meta, writer))
    paths = [f"cifar-100-python/{name}" for name in ("train", "test", "meta")]
    found = read(files("cifar", *paths, shape=(3, 32, 32), classes=100), tmp_path)
    same(found, images, labels, test=3)
    assert found.names == [name.replace("_", " ") for name in names]
    if writer == "python2 2":
        oracle = torchvision.datasets.CIFAR100
        for key, name in (("train_list", "train"), ("test_list", "test")):
            monkeypatch.setattr(oracle, key, [[name, None]])
        monkeypatch.setattr(oracle, "meta", oracle.meta | {"md5": None})
        half = oracle(str(tmp_path), train=False)
        assert np.array_equal(half.data.transpose(0, 3, 1, 2), found.images[4:])
        assert half.targets == found.labels[4:].tolist() and half.classes == names


@pytest.mark.parametrize("kind", ["u1", "i1", "<u2", ">i2", "<i4", ">u4", "<i8", ">u8", "<f4", ">f8", "?"])
@pytest.mark.parametrize("protocol", range(6))
def test_arrays_in_a_pickle(tmp_path: Path, kind: str, protocol: int) -> None:
    array = (np.arange(12).reshape(3, 4) % 5).astype(kind)
    (tmp_path / "a").write_bytes(pickle.dumps({"array": array, "none": None, "yes": True}, protocol))
    found = read_pickle(tmp_path / "a")
    assert found["array"].dtype == array.dtype and np.array_equal(found["array"], array)
    assert found["none"] is None and found["yes"] is True


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_in_a_pickle(tmp_path: Path, protocol: int) -> None:
    value: dict[str, Any] = {
        "a": [1, -1, 256, 70000, -(2**40), 2**80, True, None],
        "text": "é\n\\",
        "b" * 300: ((), (1, [{}])),
    }
    value["self"] = value["a"]
    (tmp_path / "a").write_bytes(pickle.dumps(value, protocol))
    assert read_pickle(tmp_path / "a") == value


@pytest.mark.parametrize("protocol", range(3))
def test_every_byte_in_a_pickle_of_python_2(tmp_path: Path, protocol: int) -> None:
    every = bytes(range(256))
    (tmp_path / "a").write_bytes(python2([every, every[:9], b"'", b'"', b"\\"], protocol))
    assert read_pickle(tmp_path / "a") == [every, every[:9], b"'", b'"', b"\\"]
