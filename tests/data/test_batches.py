"""Batches leave the data where it is: in the file, shared by all processes, or on the device, once."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from guidebp.data import batches as batches_module
from guidebp.data.batches import Batches, compute_channel_statistics
from guidebp.data.prepared import Prepared, load_prepared
from guidebp.data.splits import draw_split
from guidebp.runs.spec import RunSpec, SplitSpec, spec_to_json
from guidebp.runs.store import RunStore
from guidebp.training import __main__ as training
from tests.support.arrays_on_disk import entry, needs_proc, noise, prepared
from tests.support.tiny import make_manifest, planned, recipe, spec, write_prepared

CPU = torch.device("cpu")
ALL = {"flip": True, "crop": 2, "cutout": 3}


def data(channels: int = 3, count: int = 60) -> Prepared:
    """Images whose channels differ, and differ more the later they come."""
    images = noise(count, (channels, 8, 6)).astype(np.int64)
    images = images * np.arange(1, channels + 1).reshape(-1, 1, 1) // channels
    images = images * np.arange(count).reshape(-1, 1, 1, 1) // count
    found = torch.from_numpy(images.astype(np.uint8))
    return Prepared(found, torch.arange(count) % 4, torch.arange(count) % 5 == 0, make_manifest(""))


# Statistics


@pytest.mark.parametrize("test", ["official", 0.3])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_statistics_are_those_of_the_training_images(
    channels: int, test: Literal["official"] | float
) -> None:
    found = data(channels)
    plain = spec("add", "columns")
    run_spec = replace(plain, dataset=replace(plain.dataset, split=SplitSpec(test, 0.25)))
    split = draw_split(found.labels, found.official_test, run_spec.dataset, 0)
    batches = Batches(found, split, run_spec, CPU)
    pixels = found.images[split.train].numpy().astype(np.float64)
    mean, deviation = pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3))
    np.testing.assert_allclose(batches.scale.flatten().numpy(), 1 / deviation, rtol=1e-6)
    np.testing.assert_allclose(batches.shift.flatten().numpy(), -mean / deviation, rtol=1e-6)
    others = found.images.numpy().astype(np.float64).mean(axis=(0, 2, 3))
    assert not np.allclose(mean, others, rtol=1e-4)
    for part in ("validation", "test"):
        shown = torch.cat(list(batches.evaluation(part, 7))).numpy()
        raw = found.images[getattr(split, part)].numpy()
        expected = (raw - mean[:, None, None]) / deviation[:, None, None]
        np.testing.assert_allclose(shown, expected, rtol=1e-5, atol=1e-6)


def test_statistics_do_not_depend_on_how_many_images_are_looked_at_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, index = data().images, torch.arange(3, 57)
    expected = compute_channel_statistics(images, index)
    for block in (1, 1000, 1 << 30):
        monkeypatch.setattr(batches_module, "BLOCK", block)
        for mine, wanted in zip(compute_channel_statistics(images, index), expected, strict=True):
            assert torch.equal(mine, wanted)


def test_no_more_than_a_block_of_images_is_ever_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "BLOCK", 10 * 3 * 8 * 6)
    gathered: list[int] = []

    class Watched(Tensor):
        def __getitem__(self, rows: Any) -> Any:
            found = super().__getitem__(rows)
            gathered.append(len(found))
            return found

    images = data().images.as_subclass(Watched)
    compute_channel_statistics(images, torch.arange(57))
    assert max(gathered) == 10 and sum(gathered) >= 57


# One copy


def test_a_run_reads_the_images_where_they_are() -> None:
    found = data()
    before = found.images.clone()
    run_spec = spec("add", "columns", recipe=recipe(augmentation=ALL))
    split = draw_split(found.labels, found.official_test, run_spec.dataset, 0)
    batches = Batches(found.copy_to(CPU), split, run_spec, CPU)
    assert batches.images.data_ptr() == found.images.data_ptr()
    for number in range(2):
        for images, _ in batches.epoch(number, 2):
            images.zero_()  # whatever a method does to its batch
    for part in ("validation", "test"):
        for images in batches.evaluation(part):
            images.zero_()
    assert torch.equal(found.images, before)


class Watch:
    """Counts how often prepared data is opened and moved, and notes where runs find their images."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[str] = []
        self.moved = 0
        self.places: list[int] = []
        real_load, real_on, real_run = load_prepared, Prepared.copy_to, training.train_run

        def load(folder: Path, name: str) -> Prepared:
            self.opened.append(name)
            return real_load(folder, name)

        def on(found: Prepared, device: torch.device) -> Prepared:
            self.moved += 1
            return real_on(found, device)

        def run(run_spec: RunSpec, found: Prepared, *rest: Any) -> Any:
            self.places.append(found.images.data_ptr())
            return real_run(run_spec, found, *rest)

        monkeypatch.setattr(training, "load_prepared", load)
        monkeypatch.setattr(Prepared, "copy_to", on)
        monkeypatch.setattr(training, "train_run", run)


def test_a_process_opens_a_dataset_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_prepared(tmp_path / "data")
    watch = Watch(monkeypatch)
    runs = [planned("add", "one-column", seed) for seed in range(3)]
    training.train_planned_runs(runs, tmp_path / "data", RunStore(tmp_path / "runs"), CPU, keep_weights=False)
    assert watch.opened == ["tiny"] and watch.moved == 1
    assert len(watch.places) == 3 and len(set(watch.places)) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_process_moves_a_dataset_to_the_device_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prepared(tmp_path / "data")
    watch = Watch(monkeypatch)
    runs = [planned("add", "one-column", seed) for seed in range(3)]
    training.train_planned_runs(
        runs, tmp_path / "data", RunStore(tmp_path / "runs"), torch.device("cuda"), keep_weights=False
    )
    assert watch.opened == ["tiny"] and watch.moved == 1
    assert len(watch.places) == 3 and len(set(watch.places)) == 1
    device = torch.device("cuda")
    found = data(count=20_000).copy_to(device)
    assert found.images.device.type == "cuda" and found.labels.device.type == "cpu"
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    run_spec = spec("add", "columns", recipe=recipe(augmentation=ALL))
    split = draw_split(found.labels, found.official_test, run_spec.dataset, 0)
    torch.cuda.reset_peak_memory_stats()
    batches = Batches(found, split, run_spec, device)
    assert batches.images.data_ptr() == found.images.data_ptr()
    assert torch.cuda.memory_allocated() - before < found.images.numel() / 4
    assert all(images.is_cuda and labels.is_cuda for images, labels in batches.epoch(0, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_the_device_are_those_of_the_cpu() -> None:
    found = data()
    run_spec = spec("add", "columns", recipe=recipe(augmentation=ALL))
    split = draw_split(found.labels, found.official_test, run_spec.dataset, 0)
    device = torch.device("cuda")
    here, there = (
        Batches(found, split, run_spec, CPU),
        Batches(found.copy_to(device), split, run_spec, device),
    )
    for (mine, labels), (theirs, their_labels) in zip(here.epoch(0, 2), there.epoch(0, 2), strict=True):
        torch.testing.assert_close(theirs.cpu(), mine, rtol=1e-6, atol=1e-6)
        assert torch.equal(their_labels.cpu(), labels)


EPOCH = """
import json, sys
from dataclasses import replace
from pathlib import Path

import torch
from guidebp.data.batches import Batches
from guidebp.data.prepared import load_prepared
from guidebp.data.splits import draw_split
from guidebp.runs.spec import spec_from_json


def kilobytes(lines):
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}


def anonymous():
    return kilobytes(Path("/proc/self/smaps_rollup").read_text().splitlines())["Anonymous"]


def mapping(name):
    parts = [[]]
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.split()[0].endswith(":"):
            parts[-1].append(line)
        else:
            parts.append([line])
    (found,) = [part for part in parts if part and part[0].endswith(name)]
    return kilobytes(found[1:])


def run_through(folder, name):
    data = load_prepared(Path(folder), name)
    run_spec = replace(spec, dataset=replace(spec.dataset, name=name))
    split = draw_split(data.labels, data.official_test, run_spec.dataset, 0)
    for images, labels in Batches(data, split, run_spec, torch.device("cpu")).epoch(0, 1):
        pass
    return data


torch.set_num_threads(1)
folder, spec = sys.argv[1], spec_from_json(json.loads(sys.argv[2]))
run_through(folder, "small")  # whatever torch sets up for itself
before = anonymous()
data = run_through(folder, "made")
grown = anonymous() - before
print("done", flush=True)
sys.stdin.readline()
print(json.dumps({"grown": grown, "mapping": mapping("/made.safetensors")}), flush=True)
sys.stdin.readline()
"""


@needs_proc
@pytest.mark.slow
def test_processes_share_the_pages_of_the_file(tmp_path: Path) -> None:
    """Two run through an epoch of the same 60 MB, and are looked at while both still hold it."""
    prepared(tmp_path, entry(tmp_path, noise(76_000, (1, 28, 28)), np.arange(76_000) % 4))
    prepared(tmp_path, entry(tmp_path, noise(2_000, (1, 28, 28)), np.arange(2_000) % 4), "small")
    size = (tmp_path / "prepared/made.safetensors").stat().st_size
    run_spec = spec("add", "columns", recipe=recipe(augmentation=ALL, batch_size=100))
    argument = json.dumps(spec_to_json(run_spec))
    command = [sys.executable, "-c", EPOCH, str(tmp_path / "prepared"), argument]
    pipe = subprocess.PIPE
    children = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    try:
        for child in children:
            assert line_of(child.stdout) == "done\n"
        found = [json.loads(answer(child)) for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()
    assert size > 59_000_000
    for one in found:
        pages = {name: 1024 * value for name, value in one["mapping"].items()}
        assert pages["Rss"] > 0.9 * size  # the file is there, whole
        assert pages["Anonymous"] == pages["Private_Dirty"] == 0  # and nothing of it is this process's own
        assert pages["Pss"] < 0.6 * size
        assert 1024 * one["grown"] < size / 2  # labels, orders, draws; a copy would be the whole


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def answer(child: "subprocess.Popen[str]") -> str:
    """What the child says when it is asked; it stays."""
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
    return line_of(child.stdout)
