"""What the pipeline costs beside the training: planning, collecting, analysing, rendering studies of many runs.

Studies of recorded runs are made up from the records of the demo study, which must have been run: `make`.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from safetensors.numpy import load, save

from benchmarks.measure import AbsentError
from guidebp.errors import UserError
from guidebp.paths import PREPARED, RAW, RUNS, StudyPaths
from guidebp.runs.index import write_index
from guidebp.runs.record import encode_record
from guidebp.runs.result import RunResult
from guidebp.runs.store import PREDICTIONS, RECORD, TELEMETRY, RunStore
from guidebp.study.packs import read_data_hashes
from guidebp.study.resolve import load_study

ROOT = Path(__file__).resolve().parents[1]
LINKED = ["Snakefile", "workflow", "profiles", "src", "environment.yml", "pyproject.toml"]
# what is wanted: seconds, and MiB
PLAN, NOTHING = {10_000: 10.0}, {1_000: 4.0}
ANALYSED = {10_000: (60.0, 2048.0)}
RENDERED = 60.0
PACKS = 100  # above, the indexes of packs are written here: a process for each only finds its runs done

Row = dict[str, Any]


def measure(sizes: list[int]) -> dict[str, Any]:
    """A table with a row per command and size."""
    rows: list[Row] = []
    for size in sizes:
        with project(size) as (runs, packs):
            rows += of_study(size, runs, packs)
    return {"title": "The pipeline beside the training", "rows": rows}


# the least that any workflow costs: the second has params, for whose sake Snakemake imports pandas
RULES = {"one rule": "", "one rule with params": "params: a=1"}


def floor() -> dict[str, Any]:
    """A table: Snakemake itself with nothing to do."""
    rows: list[Row] = []
    for name, more in RULES.items():
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            text = f'rule all:\n    output: "done"\n    {more}\n    shell: "touch {{output}}"\n'
            Path("Snakefile").write_text(text)
            run("snakemake", "--cores", "1")
            seconds = statistics.median(run("snakemake", "--cores", "1")[0] for _ in range(3))
        rows.append({"what": f"{name}, nothing to do", "seconds": round(seconds, 2)})
    return {"title": "Snakemake alone", "rows": rows}


def of_study(size: int, runs: int, packs: int) -> list[Row]:
    """Commands on a study of so many recorded runs, in the folder that is the current one."""
    rows: list[Row] = []

    def timed(what: str, *command: str, wanted: float | None = None) -> None:
        seconds, memory = run(*command)
        print(f"{what}, {runs} runs: {seconds:.1f} s, {memory:.0f} MiB", file=sys.stderr, flush=True)
        row: Row = {"what": what, "runs": runs, "packs": packs, "seconds": round(seconds, 2)}
        rows.append(row | {"MiB": round(memory), "at most": wanted})

    wanted, mebibytes = ANALYSED.get(size, (None, None))
    timed("snakemake -n", "snakemake", "-n", "--quiet", "all", wanted=PLAN.get(size))
    if packs <= PACKS:
        timed("snakemake, every run in the store", "snakemake", "--quiet", "all")
    else:
        index_packs()
    timed("guidebp collect", "guidebp", "collect")
    timed("guidebp analyse", "guidebp", "analyse")
    rows.append(total("collect and analyse", rows[-2:]) | {"at most": wanted, "at most MiB": mebibytes})
    timed("guidebp render", "guidebp", "render")
    timed("guidebp report", "guidebp", "report")
    rows.append(total("render and report", rows[-2:]) | {"at most": RENDERED})
    timed("snakemake once more", "snakemake", "--quiet", "all")  # the tables are newer than what made them
    timed("snakemake, nothing to do", "snakemake", "--quiet", "all", wanted=NOTHING.get(size))
    timed("guidebp doctor", "guidebp", "doctor")
    timed("guidebp status", "guidebp", "status")
    return rows


def total(what: str, rows: list[Row]) -> Row:
    """Commands that run one after the other."""
    seconds = round(sum(row["seconds"] for row in rows), 2)
    return rows[0] | {"what": what, "seconds": seconds, "MiB": max(row["MiB"] for row in rows)}


# Started from a small process: until it runs its program, a child counts the memory of whoever started it.
STARTER = """
import json, os, sys
child = os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), usage.ru_maxrss], file)
"""


def run(*command: str) -> tuple[float, float]:
    """Seconds, and the largest resident memory in MiB of a command or of one that it starts."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.NamedTemporaryFile() as usage:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-S", "-c", STARTER, usage.name, *command],
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - started
        code, kibibytes = json.loads(Path(usage.name).read_text())
    if code:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return seconds, kibibytes / 1024


@contextmanager
def project(size: int) -> Iterator[tuple[int, int]]:
    """A project, now the current folder, whose study has at least so many runs recorded; numbers of runs, packs."""
    study = load_study("demo", ROOT)
    cells = len({(run.dataset, run.architecture, run.method) for run in study.runs})
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in LINKED:
            (root / name).symlink_to((ROOT / name).resolve())
        shutil.copytree(ROOT / "config", root / "config")
        for name in study.datasets:
            if not (ROOT / RAW / name).exists():
                raise AbsentError("needs the demo's data (make)")
            shutil.copytree(ROOT / RAW / name, root / RAW / name)
            (root / PREPARED).mkdir(exist_ok=True)
            for path in (ROOT / PREPARED).glob(f"{name}.*"):
                shutil.copy(path, root / PREPARED)
        text = yaml.safe_load((ROOT / "config/studies/demo.yaml").read_text())
        for block in text["blocks"]:
            block["seeds"] = list(range(-(-size // cells)))
        (root / "config/studies/many.yaml").write_text(yaml.safe_dump(text))
        settings = root / "config/config.yaml"
        settings.write_text(settings.read_text().replace("study: demo", "study: many"))
        with chdir(root):
            yield record_made_up_runs()


def record_made_up_runs() -> tuple[int, int]:
    """Record every run of the study as one of the demo's with slightly other results; numbers of runs and packs."""
    demo, many = load_study("demo"), load_study("many")
    real, store = RunStore(ROOT / RUNS), RunStore(RUNS)
    templates: dict[tuple[str, str, str], tuple[RunResult, NDArray[np.uint8]]] = {}
    for run in demo.runs:
        cell = run.dataset, run.architecture, run.method
        if cell not in templates:
            try:
                result = real.read(run.key).result
            except UserError as error:
                raise AbsentError(f"needs the demo's runs (make): {error}") from error
            predictions = load((real.folder(run.key) / PREDICTIONS).read_bytes())["predictions"]
            templates[cell] = result, predictions
    noise = np.random.default_rng(0)
    hashes = read_data_hashes(many.datasets)
    costs = json.dumps({"seconds": 2.0, "step_seconds": 1.5, "steps": 176, "device_class": "cpu"}).encode()
    for run in many.runs:
        result, predictions = templates[run.dataset, run.architecture, run.method]
        moved = [max(0, count - int(noise.integers(5))) for count in result.test_correct or []]
        shuffled = noise.permutation(predictions, axis=1)  # equal ones would be packed into nothing
        files = {PREDICTIONS: save({"predictions": shuffled})}
        result = replace(result, test_correct=moved)
        record = encode_record(run.planned, hashes[run.dataset], result, files)
        folder = store.folder(run.key)  # not published as trained runs are: that waits for the disk
        folder.mkdir(parents=True)
        for name, content in {RECORD: record, TELEMETRY: costs, **files}.items():
            (folder / name).write_bytes(content)
    return len(many.runs), len(many.packs)


def index_packs() -> None:
    """Write the indexes of all packs, as training does that finds every run in the store."""
    many, store = load_study("many"), RunStore(RUNS)
    for pack in many.packs:
        write_index(StudyPaths(many.name).pack(pack.id), [run.key for run in pack.runs], store)
