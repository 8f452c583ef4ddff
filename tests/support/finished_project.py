"""A small project in which everything is done: made by hand, as training takes too long."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from safetensors.numpy import save

from guidebp.cli import main
from guidebp.hashing import encode_readable_json
from guidebp.paths import RUNS, StudyPaths
from guidebp.runs.index import write_index
from guidebp.runs.record import encode_record
from guidebp.runs.result import Calibration, History, NetworkCost, PathwayCounts, RunResult, SplitSizes
from guidebp.runs.store import PREDICTIONS, RECORD, TELEMETRY, RunStore
from guidebp.schema.yaml_files import read_yaml
from guidebp.study.packs import read_data_hashes
from guidebp.study.resolve import load_study
from guidebp.study.study import Study
from tests.support.tiny import ROOT

STUDY = """
title: Made
about: By hand.
blocks:
  - datasets: [made]
    architectures: [columns-digits]
    methods: [average, independent]
    recipe: digits-smoke
    seeds: [0, 1]
baselines: [independent]
seeds_per_pack: 2
"""
DATASET = """
made:
  title: Made
  source: {npz: {path: made.npz}}
  shape: [1, 8, 8]
  classes: 2
  split: {test: 0.2, validation: 0.1}
"""
CLAIM = """
made:
  paper: ours
  statement: Independent is better.
  source: nowhere
  metric: primary
  rule: superiority
  margin: 0.5
  comparisons: [{candidate: {method: independent}, baseline: {method: average}}]
  settings:
    exploratory: {datasets: [made], architectures: [columns-digits], study: made}
"""
OUTPUTS = ["kernel 3", "kernel 5", "merged", "softmax average"]
TEST = 8  # images
TELLS = {
    "seconds": 1.0,
    "step_seconds": 0.5,
    "steps": 4,
    "host": "here",
    "processor": "one",
    "instructions": "AVX2",
    "cores": 2,
    "device": "cpu",
    "device_class": "cpu",
    "threads": 1,
    "torch": "2.10.0",
    "python": "3.11.0",
    "commit": "0" * 40,
    "edited": False,
}


def result(random: np.random.Generator) -> RunResult:
    """The result of a run with random numbers of correct predictions."""
    correct = random.integers(1, TEST, len(OUTPUTS)).tolist()
    counts = PathwayCounts(alone=[10, 20], together=[10, 30])
    return RunResult(
        status="finished",
        outputs=OUTPUTS,
        pathways=2,
        primary="merged",
        sizes=SplitSizes(train=28, validation=4, test=TEST),
        parameters=30,
        trained=[True, True],
        backward_passes=1.0,
        cost=NetworkCost(parameters=counts, operations=counts),
        history=History(
            loss=[0.7, 0.6],
            gradient_share=[[0.5, 0.5], [0.4, 0.6]],
            cosine=[None, None],
            conflict=[None, None],
            validation_correct=[[1, 2, 3, 4], [2, 3, 4, 4]],
        ),
        test_correct=correct,
        calibration=Calibration(
            images=[[0, TEST]] * len(OUTPUTS),
            correct=[[0, right] for right in correct],
            confidence=[[0.0, 6.0]] * len(OUTPUTS),
        ),
    )


def index_packs(study: Study, store: RunStore) -> None:
    """Write the index of every pack of the study; the store holds all runs."""
    for pack in study.packs:
        write_index(StudyPaths(study.name).pack(pack.id), [run.key for run in pack.runs], store)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Verbs run in the project's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


def build(
    folder: Path,
    rendered: bool = False,
    study: str = STUDY,
    dataset: str = DATASET,
    claim: str = CLAIM,
    titles: Mapping[str, str] = MappingProxyType({}),
    architectures: Sequence[str] = ("columns-digits",),
) -> Path:
    """A project whose study `made` is trained and analysed; if `rendered`, with figures and report."""
    (folder / "config/recipes").mkdir(parents=True)
    for name in ("config.yaml", "recipes/digits.yaml"):
        shutil.copy(ROOT / "config" / name, folder / "config" / name)
    for name, kept in {"methods": ["average", "independent"], "architectures": architectures}.items():
        entries = read_yaml(ROOT / f"config/{name}.yaml")  # all of them would take most of a test's time
        chosen = {e: entries[e] | {"title": titles.get(e, entries[e]["title"])} for e in kept}
        text = json.dumps(chosen, indent=1)
        (folder / f"config/{name}.yaml").write_text(text)
    texts = {"studies/made": study, "datasets": dataset, "claims": claim, "published": "{}\n"}
    for name, text in texts.items():
        (folder / f"config/{name}.yaml").parent.mkdir(exist_ok=True)
        (folder / f"config/{name}.yaml").write_text(text)
    config = folder / "config/config.yaml"
    config.write_text(config.read_text().replace("study: demo", "study: made"))
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    np.savez(folder / "made.npz", images=images, labels=np.arange(40) % 2)
    with inside(folder):
        for verb in ("fetch", "prepare"):
            assert main([verb, "made"]) == 0
        loaded, store, hashes = load_study("made"), RunStore(RUNS), read_data_hashes(["made"])
        for run in loaded.runs:
            files = {PREDICTIONS: save({"predictions": np.zeros((len(OUTPUTS), TEST), np.uint8)})}
            files[RECORD] = encode_record(run.planned, hashes["made"], result(random), files)
            store.publish(run.key, files | {TELEMETRY: encode_readable_json(TELLS)})
        index_packs(loaded, store)
        for verb in ("collect", "analyse", *(("render", "report") if rendered else ())):
            assert main([verb]) == 0
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative path, without locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".locks" not in path.parts
    }
