"""docs/datasets.md, walked through as its reader would: data of one's own, by YAML alone, up to the report."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import FULL, ROOT, Project, long

FENCE = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MINE = ["my-images", "my-arrays", "my-class"]
pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project in which every block of the document was run or written, from top to bottom."""
    project = Project(tmp_path_factory.mktemp("project"))
    for kind, path, text in FENCE.findall((ROOT / "docs/datasets.md").read_text()):
        if kind == "yaml":
            with (project.folder / path).open("a") as file:
                file.write(f"\n{text}")
        elif kind == "python":
            project.call(sys.executable, "-c", text)
        elif kind == "sh":
            if not FULL:  # drawing takes longest
                assert "study=mine\n" in text
                text = text.replace("study=mine\n", "study=mine -- experiments\n")
            project.call("bash", "-euo", "pipefail", "-c", text)
    yield project


def manifest(project: Project, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((project.folder / f"data/prepared/{name}.json").read_text())
    return found


def test_the_document_leads_to_runs_on_all_three(walked: Project) -> None:
    assert len(walked.runs()) == 3 * 3 * 2


@long
def test_the_document_leads_to_a_report_on_all_three(walked: Project) -> None:
    page = (walked.folder / "results/mine/report.html").read_text()
    for title in ("My images", "My arrays", "A class of torchvision"):
        assert f">{title}</h2>" in page
    for name in MINE:
        assert (walked.folder / f"results/mine/figures/samples_{name}.png").stat().st_size > 1000
    assert "Nothing to be done" in walked.call("snakemake", "-n", "--config", "study=mine")


def test_manifests_say_what_was_found(walked: Project) -> None:
    images, arrays, made = (manifest(walked, name) for name in MINE)
    assert images["images"] == 300
    assert images["classes"] == [f"digit {label}" for label in range(10)]
    assert (arrays["images"], arrays["official_test_images"]) == (500, 100)
    assert (made["images"], made["official_test_images"], made["shape"]) == (400, 100, [3, 8, 8])


def test_the_augmentation_of_the_arrays_is_part_of_their_runs_alone(walked: Project) -> None:
    records = [json.loads(path.read_text()) for path in walked.folder.glob("results/runs/*/record.json")]
    augmentations = {r["spec"]["dataset"]["name"]: r["spec"]["recipe"].get("augmentation") for r in records}
    assert augmentations == {"my-images": None, "my-arrays": {"crop": 1}, "my-class": None}


def test_a_changed_image_is_prepared_and_trained_anew(walked: Project) -> None:
    before = manifest(walked, "my-images")["sha256"]
    assert "ok" in walked.call("guidebp", "verify", "my-images")
    picture = next((walked.folder / "my-images/digit 3").glob("*.png"))
    shutil.copy(next((walked.folder / "my-images/digit 5").glob("*.png")), picture)
    assert "has changed since it was fetched" in walked.call("guidebp", "verify", "my-images", code=2)
    walked.call("snakemake", "--config", "study=mine", "--", "experiments")
    assert manifest(walked, "my-images")["sha256"] != before
    walked.call("guidebp", "verify")
    assert len(walked.runs()) == 18, "the runs on the old images are replaced"
    assert "Nothing to be done" in walked.call(
        "snakemake", "-n", "--config", "study=mine", "--", "experiments"
    )


def test_a_picture_moved_to_another_class_is_seen(walked: Project) -> None:
    walked.call("guidebp", "fetch", "my-images")
    picture = next((walked.folder / "my-images/digit 7").glob("*.png"))
    picture.rename(walked.folder / "my-images/digit 8/moved.png")
    walked.call("snakemake", "--config", "study=mine", "--", "data")
    training = manifest(walked, "my-images")["per_class"]
    found = [len(list((walked.folder / f"my-images/digit {label}").glob("*.png"))) for label in range(10)]
    assert training == {"training": found, "test": [0] * 10}


@long
@pytest.mark.skipif(
    not Path(os.environ.get("GUIDEBP_MIRRORS", "nowhere")).is_dir(),
    reason="needs a folder of real datasets, named by GUIDEBP_MIRRORS",
)
def test_subset_of_a_real_dataset_and_its_torchvision_class(tmp_path: Path) -> None:
    project = Project(tmp_path)
    root = tmp_path / "torchvision/FashionMNIST/raw"
    root.mkdir(parents=True)
    for path in (Path(os.environ["GUIDEBP_MIRRORS"]) / "FashionMNIST/raw").iterdir():
        shutil.copy(path, root)
    with (project.folder / "config/datasets.yaml").open("a") as file:
        file.write(
            """
fashion-200: {subset_of: fashion-mnist, images: 200}
by-class:
  title: By class
  source:
    torchvision: FashionMNIST
    root: torchvision
    download: true
    arguments: {train: true}
    test_arguments: {train: false}
  shape: [1, 28, 28]
  classes: 10
  split: {test: official, validation: 0.1}
"""
        )
    targets = [f"data/prepared/{name}.json" for name in ("fashion-200", "by-class")]
    project.call("snakemake", *targets)
    assert manifest(project, "by-class")["sha256"] == manifest(project, "fashion-mnist")["sha256"]
    assert manifest(project, "by-class")["classes"] == [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
    ]  # fmt: skip
    assert manifest(project, "fashion-200")["per_class"] == {"training": [20] * 10, "test": [1000] * 10}
    assert "Nothing to be done" in project.call("snakemake", "-n", *targets)
