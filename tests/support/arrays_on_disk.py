"""Hand-made datasets on disk, for the tests of preparing: arrays in .npz files and the catalogue entry for them."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guidebp.data.manifest import read_manifest
from guidebp.ingest.contents import Images
from guidebp.ingest.prepare import prepare_dataset
from guidebp.schema.datasets import Dataset, SubsetSource

OFFICIAL = {"test": "official", "validation": 0.1}
DRAWN = {"test": 0.2, "validation": 0.1}


def entry(
    folder: Path,
    images: Images,
    labels: Any,
    test: Images | None = None,
    test_labels: Any = (),
    **changes: Any,
) -> Dataset:
    """The catalogue entry of images [N, C, H, W] and their labels, written to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    source: dict[str, Any] = {"npz": {"path": str(folder / "training.npz")}}
    np.savez(folder / "training.npz", images=images, labels=np.array(labels, dtype=np.int64))
    if test is not None:
        source["test"] = {"path": str(folder / "test.npz")}
        np.savez(folder / "test.npz", images=test, labels=np.array(test_labels, dtype=np.int64))
    described = {
        "title": "Hand-made",
        "source": source,
        "shape": images.shape[1:],
        "classes": max([1, *labels, *test_labels]) + 1,
        "split": DRAWN if test is None else OFFICIAL,
    }
    return Dataset.model_validate(described | changes)


def noise(count: int, shape: tuple[int, int, int], seed: int = 0) -> Images:
    """Random images [count, *shape]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def prepared(folder: Path, dataset: Dataset, name: str = "made") -> dict[str, Any]:
    """Prepare it to `folder`/prepared; the JSON of the manifest, which reads back to the same bytes."""
    prepare_dataset(name, dataset, folder / "raw", folder / "prepared")
    content = (folder / "prepared" / f"{name}.json").read_bytes()
    assert read_manifest(folder / "prepared", name).to_bytes() == content
    manifest: dict[str, Any] = json.loads(content)
    return manifest


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


PEAK = r"""
import json, re, sys
from pathlib import Path
from guidebp.ingest.prepare import prepare_dataset
from guidebp.schema.datasets import Dataset, SubsetSource

if len(sys.argv) > 1:
    name, dataset, subset, raw, prepared = json.loads(sys.argv[1])
    dataset = Dataset.model_validate(dataset)
    if subset:
        dataset = dataset.model_copy(update={"source": SubsetSource.model_validate(subset)})
    prepare_dataset(name, dataset, Path(raw), Path(prepared))
print(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
"""
MEASURABLE = Path("/proc/self/smaps_rollup").exists()
needs_proc = pytest.mark.skipif(not MEASURABLE, reason="needs Linux's /proc")


def extra_memory(name: str, dataset: Dataset, folder: Path) -> int:
    """Bytes that a process of its own needs at most to prepare the dataset, beyond those of importing."""
    described, subset = dataset.model_dump(mode="json"), None
    if isinstance(dataset.source, SubsetSource):  # which no entry has as its source
        described, subset = described | {"source": {"folder": "none"}}, described["source"]
    return _peak_memory(
        json.dumps([name, described, subset, str(folder / "raw"), str(folder / "prepared")])
    ) - (_peak_memory())


@cache
def _peak_memory(*arguments: str) -> int:
    """Bytes that a process of its own needs at most.

    Not ru_maxrss: a child inherits that of the process which started it.
    """
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout) * 1024
