"""Faults, one function each: inject it into a copy of a prepared project, go on as documented, end finished."""

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.chaos.victim import Victim, kill_often, statuses
from tests.support.killer import KILLER

Fault = Callable[[Victim, random.Random], int]


def killed(victim: Victim, rng: random.Random) -> int:
    """SIGKILL at random moments."""
    return kill_often(victim, rng, times=int(os.environ.get("GUIDEBP_KILLS", "20")), seconds=40)


def asked_to_stop(victim: Victim, rng: random.Random) -> int:
    """Ctrl-C and SIGTERM to all processes at random moments of training."""
    count = 0
    for number in (signal.SIGINT, signal.SIGTERM):
        process = victim.start(*victim.workflow)
        victim.wait(lambda: bool(list(victim.folder.glob("results/runs/.locks/*"))), process)
        os.killpg(process.pid, number)
        process.wait()
        victim.until_alone()
        count += 1
    victim.call("snakemake", "--unlock")
    victim.mend()
    return count


def full_disk(victim: Victim, rng: random.Random) -> int:
    """The run store on a file system of 200 KB, later of 100 MB."""
    return within_namespace(
        victim,
        "mkdir -p results/runs; mount -t tmpfs -o size=200k none results/runs",
        "mount -o remount,size=100m results/runs",
        expected="No space left on device; free some space",
    )


def read_only(victim: Victim, rng: random.Random) -> int:
    """Results that cannot be written, later can."""
    return within_namespace(
        victim,
        "mkdir -p results/runs; mount -t tmpfs none results/runs; mount -o remount,ro results/runs",
        "mount -o remount,rw results/runs",
        expected="Read-only file system; mount it writable",
    )


def can_mount() -> bool:
    """Whether a mount is allowed in a namespace of its own."""
    command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(command, check=False).returncode == 0


def within_namespace(victim: Victim, break_it: str, mend_it: str, expected: str) -> int:
    """Run the workflow where a mount breaks it, see the message, mend it and go on; the store is copied out."""
    workflow = " ".join(victim.workflow)
    script = f"""
        {break_it}
        if {workflow} &> log; then echo "nothing failed"; exit 1; fi
        grep -q "{expected}" log || {{ cat log; exit 1; }}
        {mend_it}
        {workflow}
        cp -a results/runs results/copy; umount results/runs; rm -r results/runs; mv results/copy results/runs
    """
    victim.call("unshare", "--map-root-user", "--mount", "bash", "-euc", script)
    victim.mend()
    return 1


def corrupt_checkpoint(victim: Victim, rng: random.Random) -> int:
    """A flipped bit in the newest checkpoint of a run that was stopped, then in all of them."""
    count = 0
    for whole in (False, True):
        shutil.rmtree(victim.folder / "results", ignore_errors=True)
        process = victim.start(*victim.workflow)
        victim.wait(lambda: bool(checkpoints(victim)), process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        victim.until_alone()
        for path in checkpoints(victim)[: None if whole else 1]:
            flip(path, rng)
            count += 1
        victim.mend()
    return count


def checkpoints(victim: Victim) -> list[Path]:
    """Of all runs, the newest of each first."""
    return sorted(victim.folder.glob("results/runs/.unfinished/*/*.safetensors"), reverse=True)


def damaged_files(victim: Victim, rng: random.Random) -> int:
    """A flipped bit in a record, in predictions, in a prepared file; half an index; a run that is gone."""
    victim.call(*victim.workflow)
    records = sorted(victim.folder.glob("results/runs/*/record.json"))
    rng.shuffle(records)
    flip(records[0], rng)
    flip(records[1].with_name("predictions.safetensors"), rng)
    shutil.rmtree(records[2].parent)
    index = sorted(victim.folder.glob("results/*/packs/*.json"))[0]
    index.write_bytes(index.read_bytes()[:100])
    victim.mend()
    prepared = victim.folder / "data/prepared/digits.safetensors"
    flip(prepared, rng)
    assert any("digits.safetensors" in text for text in victim.diagnosis())
    prepared.unlink()
    victim.call("snakemake", "--quiet", "all", "--", "data/prepared/digits.safetensors")
    victim.mend()
    return 5


def two_at_once(victim: Victim, rng: random.Random) -> int:
    """A second snakemake in the same folder: it is refused, the first goes on."""
    first = victim.start(*victim.workflow)
    victim.wait(lambda: bool(list(victim.folder.glob(".snakemake/locks/*"))), first)
    assert "cannot be locked" in victim.call("snakemake", "--", victim.target, code=1)
    assert first.wait() == 0
    return 1


def shared_store(victim: Victim, rng: random.Random) -> int:
    """Two projects with one run store train the same study at once: every run is trained once."""
    twin = victim.copy(victim.folder.with_name(victim.folder.name + "-twin"))
    (victim.folder / "results/runs").mkdir(parents=True)
    (twin.folder / "results").mkdir(exist_ok=True)
    (twin.folder / "results/runs").symlink_to(victim.folder / "results/runs")
    both = [each.start(*each.workflow) for each in (victim, twin)]
    assert [process.wait() for process in both] == [0, 0]
    said = "".join(
        path.read_text() for each in (victim, twin) for path in each.folder.glob("results/logs/train/*/*.log")
    )
    assert said.count(": finished") == len(victim.files("results/runs/*/record.json")), said
    assert twin.files("results/smoke/*.csv") == victim.files("results/smoke/*.csv")
    return 1


def dies(victim: Victim, once: str, twice: str) -> None:
    """Run the workflow while one run's process is killed once and another's twice, as for want of memory."""
    kills = victim.folder / "kills"
    kills.mkdir()
    (kills / "sitecustomize.py").write_text(KILLER)
    (kills / once).write_text("SIGKILL")
    (kills / twice).write_text("SIGKILL SIGKILL")
    path = f"{kills}{os.pathsep}{victim.folder / 'src'}"
    victim.call("env", f"GUIDEBP_TEST_KILLS={kills}", f"PYTHONPATH={path}", *victim.workflow)
    shutil.rmtree(kills)


def out_of_memory(victim: Victim, rng: random.Random) -> int:
    """A process that the kernel kills once is started anew; killed twice it is a crashed run, the others go on."""
    keys = [run["key"] for run in json.loads(victim.call("guidebp", "specs"))]
    once, twice = rng.sample(keys, 2)
    dies(victim, once, twice)
    assert statuses(victim) == ["crashed"] + ["finished"] * (len(keys) - 1)
    assert any(line.startswith("guidebp gc --crashed; snakemake") for line in victim.doctor())
    victim.call("guidebp", "gc", "--crashed", "--yes")
    victim.mend()
    return 3


def diverging(victim: Victim, rng: random.Random) -> int:
    """A rate at which every loss is NaN: recorded as diverged, reported, and no failure."""
    recipe = victim.folder / "config/recipes/digits.yaml"
    before = recipe.read_text()
    head, tail = before.split("digits-smoke:")
    recipe.write_text(head + "digits-smoke:" + tail.replace("lr: 0.05", "lr: 1.0e+36", 1))
    victim.call(*victim.workflow)
    found = statuses(victim)
    assert set(found) == {"diverged"}, found
    recipe.write_text(before)
    victim.mend()
    return len(found)


def flip(path: Path, rng: random.Random) -> None:
    """Turn one bit of a file over."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


FAULTS: dict[str, Fault] = {
    "killed at random (SIGKILL)": killed,
    "asked to stop (Ctrl-C, SIGTERM)": asked_to_stop,
    "full disk": full_disk,
    "read-only results": read_only,
    "corrupt checkpoint": corrupt_checkpoint,
    "damaged record, predictions, index, data; lost run": damaged_files,
    "two snakemake in one folder": two_at_once,
    "two studies share the run store": shared_store,
    "out of memory (killed by the kernel)": out_of_memory,
    "loss is NaN": diverging,
}
