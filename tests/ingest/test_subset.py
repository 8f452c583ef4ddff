"""A fixed stratified part of a dataset: which images, always the same ones, and only of a sound whole."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from guidebp.data import manifest as manifest_module
from guidebp.errors import UserError
from guidebp.ingest.contents import Images
from guidebp.ingest.subset import choose_subset_images
from guidebp.schema.catalogue import read_datasets, resolve_subset
from guidebp.schema.datasets import Dataset, SubsetEntry, SubsetSource
from tests.support.arrays_on_disk import DRAWN, OFFICIAL, contents, entry, noise, prepared
from tests.support.tiny import ROOT

LABELS = [0, 1, 2, 0, 1, 0] * 5  # 15, 10 and 5 of the classes
TEST = [2, 1, 0, 1]
# NumPy promises to keep the raw bits of its generators; these indices change only if the choice itself does,
# and then every subset that somebody has trained on does.
GOLDEN = {
    "whole": [5, 11, 12, 14, 16, 19, 23, 27, 28],
    "other": [0, 3, 5, 6, 16, 19, 23, 25, 26],
}


def numbered(count: int, first: int = 0) -> Images:
    """Images [count, 1, 2, 2] that hold their number."""
    numbers = np.arange(first, first + count)
    return (
        np.stack([numbers % 256, numbers // 256, numbers % 7, numbers % 3], axis=1)
        .astype(np.uint8)
        .reshape(-1, 1, 2, 2)
    )


def whole(folder: Path, official: bool = True, **changes: Any) -> Dataset:
    """A dataset of 30 and 4 images, prepared as `whole`; its entry."""
    dataset = entry(
        folder,
        *(numbered(30), LABELS, numbered(4, 30), TEST),
        **({"classes": ["a", "b", "c"], "split": OFFICIAL if official else DRAWN} | changes),
    )
    prepared(folder, dataset, "whole")
    return dataset


def part(dataset: Dataset, images: int) -> Dataset:
    """The entry of a part."""
    return resolve_subset(dataset, SubsetEntry(subset_of="whole", images=images, title=None))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_same_images_for_ever(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where NumPy's shuffling changes, which it may."""
    for forbidden in ("default_rng", "Generator", "RandomState", "permutation", "shuffle"):
        monkeypatch.setattr(np.random, forbidden, lambda *_: pytest.fail("asked NumPy to shuffle"))
    labels = np.array(LABELS)
    assert choose_subset_images(labels, np.arange(30), 9, name).tolist() == GOLDEN[name]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.data())
def test_each_class_has_its_share(labels: list[int], data: st.DataObject) -> None:
    """Largest remainders, ties to the lower label, in exact fractions; nothing but candidates, in order."""
    candidates = data.draw(st.sets(st.integers(0, len(labels) - 1), min_size=1).map(sorted))
    count = data.draw(st.integers(1, len(candidates)))
    array = np.array(labels)
    chosen = choose_subset_images(array, np.array(candidates), count, "whole")
    assert len(chosen) == count and set(chosen.tolist()) <= set(candidates)
    assert (np.diff(chosen) > 0).all()
    members = {label: sum(labels[place] == label for place in candidates) for label in range(6)}
    exact = {label: Fraction(count * size, len(candidates)) for label, size in members.items()}
    quota = {label: int(share) for label, share in exact.items()}
    first = sorted(members, key=lambda label: (quota[label] - exact[label], label))
    for label in first[: count - sum(quota.values())]:
        quota[label] += 1
    found = {label: int((array[chosen] == label).sum()) for label in range(6)}
    assert found == quota
    assert all(abs(found[label] - exact[label]) < 1 for label in found)


def test_ties_go_to_the_lower_label() -> None:
    """4/3, 1/3 and 1/3: as floating-point numbers the first would lose."""
    labels = np.array([2, 1, 0, 0, 0, 0])
    assert labels[choose_subset_images(labels, np.arange(6), 2, "whole")].tolist() == [0, 0]


def test_choices_follow_from_name_size_and_label_alone() -> None:
    labels = np.repeat([0, 1], 500)
    first = choose_subset_images(labels, np.arange(1000), 200, "whole")
    assert choose_subset_images(labels, np.arange(1000), 200, "whole").tolist() == first.tolist()
    other = choose_subset_images(labels, np.arange(1000), 200, "other")
    assert first.tolist() != other.tolist()
    ones = (first[first >= 500] - 500).tolist()
    assert first[first < 500].tolist() != ones  # classes of equal sizes are chosen from differently
    bigger = choose_subset_images(labels, np.arange(1000), 400, "whole")
    assert not set(first.tolist()) <= set(bigger.tolist())
    labels[:500] = 2
    assert (choose_subset_images(labels, np.arange(1000), 200, "whole")[-100:] - 500).tolist() == ones


@pytest.mark.parametrize("block", [8, 1 << 22])
def test_part_of_a_dataset_with_official_test_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(manifest_module, "READ_BLOCK", block)
    dataset = whole(tmp_path)
    base = json.loads((tmp_path / "prepared/whole.json").read_bytes())
    manifest = prepared(tmp_path, part(dataset, 9), "part")
    found = load_file(tmp_path / "prepared/part.safetensors")
    chosen = choose_subset_images(np.array(LABELS), np.arange(30), 9, "whole")
    assert np.array_equal(found["images"], numbered(34)[[*chosen, *range(30, 34)]])
    assert found["labels"].tolist() == [*(LABELS[place] for place in chosen), *TEST]
    assert found["test"].tolist() == [0] * 9 + [1] * 4
    assert manifest["dataset"] == "part" and manifest["images"] == 13
    assert manifest["per_class"] == {"training": [5, 3, 1], "test": [1, 2, 1]}  # 4.5, 3 and 1.5
    assert manifest["classes"] == ["a", "b", "c"] and manifest["shape"] == [1, 2, 2]
    assert manifest["files"] == {"whole.safetensors": base["sha256"]}
    images = numbered(34)[chosen]
    assert manifest["mean"] == pytest.approx([images.mean()], rel=1e-5)


@pytest.mark.parametrize("flagged", [False, True], ids=["no test images", "test images that no split uses"])
def test_part_of_a_dataset_that_draws_its_test_set(tmp_path: Path, flagged: bool) -> None:
    """So many images in all, whatever file they came from."""
    if flagged:
        dataset, images, labels = whole(tmp_path, official=False), numbered(34), [*LABELS, *TEST]
    else:
        dataset, images, labels = entry(tmp_path, numbered(30), LABELS), numbered(30), LABELS
        prepared(tmp_path, dataset, "whole")
    manifest = prepared(tmp_path, part(dataset, 12), "part")
    found = load_file(tmp_path / "prepared/part.safetensors")
    chosen = choose_subset_images(np.array(labels), np.arange(len(labels)), 12, "whole")
    assert manifest["images"] == 12 == len(chosen)
    assert np.array_equal(found["images"], images[chosen])
    assert np.array_equal(found["labels"], np.array(labels)[chosen])
    assert np.array_equal(found["test"], chosen >= 30)
    prepared(tmp_path, part(dataset, len(labels)), "part")
    assert np.array_equal(load_file(tmp_path / "prepared/part.safetensors")["images"], images)


def test_names_of_classes_come_from_the_whole(tmp_path: Path) -> None:
    dataset = whole(tmp_path, classes=3)
    path = tmp_path / "prepared/whole.json"
    manifest = json.loads(path.read_bytes())
    path.write_text(json.dumps(manifest | {"classes": ["x", "y", "z"]}))  # as a reader finds them
    assert prepared(tmp_path, part(dataset, 9), "part")["classes"] == ["x", "y", "z"]


def test_part_of_the_whole_again_has_the_same_bytes(tmp_path: Path) -> None:
    dataset = whole(tmp_path)
    prepared(tmp_path, part(dataset, 9), "part")
    before = contents(tmp_path / "prepared")
    prepared(tmp_path, part(dataset, 9), "part")
    assert contents(tmp_path / "prepared") == before


def test_the_most_that_can_be_asked_for(tmp_path: Path) -> None:
    dataset = whole(tmp_path)
    assert prepared(tmp_path, part(dataset, 30), "part")["images"] == 34
    with pytest.raises(UserError, match=r"'whole' has 30 images outside its test set, fewer than the 31"):
        prepared(tmp_path, part(dataset, 31), "part")
    drawn = whole(tmp_path, official=False)
    assert prepared(tmp_path, part(drawn, 34), "part")["images"] == 34
    with pytest.raises(
        UserError, match=r"'whole' has 34 images, fewer than the 35 of its subset; lower `images`"
    ):
        prepared(tmp_path, part(drawn, 35), "part")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def change_a_pixel(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)


def of_another_dataset(path: Path) -> None:
    path.write_text(path.read_text().replace('"sha256": "', '"sha256": "0'))


DAMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no file": ("whole.safetensors", Path.unlink, r"whole\.safetensors: missing; run: snakemake"),
    "file cut short": ("whole.safetensors", cut_short, r"whole\.safetensors: not a prepared dataset"),
    "a pixel changed": ("whole.safetensors", change_a_pixel, r"whole\.safetensors: its contents differ from"),
    "no manifest": (
        "whole.json",
        Path.unlink,
        r"whole\.json: no manifest of dataset 'whole'; run: snakemake",
    ),
    "manifest cut short": ("whole.json", cut_short, r"whole\.json: not a JSON manifest"),
    "manifest of another file": (
        "whole.json",
        of_another_dataset,
        r"whole\.safetensors: its contents differ",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_whole_that_is_damaged(tmp_path: Path, damage: str) -> None:
    dataset = whole(tmp_path)
    prepared(tmp_path, part(dataset, 9), "part")
    file, harm, message = DAMAGES[damage]
    if file == "whole.json" and harm is cut_short:
        (tmp_path / "prepared/whole.json").write_text("{")
    else:
        harm(tmp_path / "prepared" / file)
    before = contents(tmp_path / "prepared")
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, part(dataset, 10), "part")
    assert contents(tmp_path / "prepared") == before


def test_copies_that_the_whole_has_dropped_stay_away(tmp_path: Path) -> None:
    images = noise(40, (1, 3, 3))
    images[20:] = images[:20]
    dataset = entry(tmp_path, images, [0, 1] * 20, drop_copies=True)
    assert prepared(tmp_path, dataset, "whole")["copies"]["dropped"] == 20
    manifest = prepared(tmp_path, part(dataset, 20), "part")
    assert manifest["images"] == 20 and manifest["copies"]["dropped"] == 0


def test_parts_in_the_catalogue_are_as_their_wholes() -> None:
    datasets = read_datasets(ROOT)
    parts = {name: entry for name, entry in datasets.items() if isinstance(entry.source, SubsetSource)}
    assert len(parts) == 6
    for name, found in parts.items():
        assert isinstance(found.source, SubsetSource)
        base = datasets[found.source.subset_of]
        changed = {"title", "source", "counts"}
        assert found.counts and base.counts and found.counts.test == base.counts.test
        assert found.counts.training == 10_000
        assert found.model_dump(exclude=changed) == base.model_dump(exclude=changed)
        assert name == f"{found.source.subset_of}-10k" and found.source.images == 10_000
        assert found.title == f"{base.title}, 10,000 training images"
