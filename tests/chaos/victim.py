"""A project to which bad things happen, and what must be the same afterwards."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil

from tests.support.project import Project

# What may depend on the machine is left out: times, and figures of times.
KEPT = (
    "results/runs/*/record.json",
    "results/runs/*/predictions.safetensors",
    "results/*/*.csv",
    "results/*/records/*.xz",
    "results/*/claims*.json",
    "results/*/tables/*",
    "results/*/figures/*.[psc]*",
)
KEY = "results/runs/*/record.json"


class Victim(Project):
    """A study with a checkpoint after every epoch; `target` is how far the workflow is to run."""

    def __init__(self, folder: Path, target: str = "all", study: str = "smoke") -> None:
        super().__init__(folder)
        self.target, self.study = target, study
        self.edit("config/config.yaml", "study: tiny", f"study: {study}\ncheckpoint_epochs: 1")
        for path in (folder / "config/studies").glob("*.yaml"):  # gc and doctor would resolve them all
            if path.stem not in ("smoke", "tiny"):
                path.unlink()
        self.edit("config/claims.yaml", (folder / "config/claims.yaml").read_text(), "{}\n")

    @property
    def workflow(self) -> tuple[str, ...]:
        """What a user types."""
        return ("snakemake", "--quiet", "all", "--", self.target)

    def kept(self) -> dict[str, bytes]:
        """What every undisturbed run of the study has in common."""
        return {name: content for name, content in self.files(*KEPT).items() if "/cost_" not in name}

    def diagnosis(self) -> list[str]:
        """What `guidebp doctor` says; faults are no failure of it."""
        done = subprocess.run(
            ["guidebp", "doctor"],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        return [line.strip() for line in done.stdout.splitlines()]

    def doctor(self) -> list[str]:
        """The commands that it prints; the study's own goes as far as the target."""
        lines = self.diagnosis()
        own, full = f"study={self.study}", " ".join((f"study={self.study}", *self.workflow[1:]))
        commands = [line.removeprefix("-> ") for line in lines if line.startswith("-> ")]
        return [command.replace(own, full) for command in commands]

    def mend(self) -> None:
        """Run what the doctor prints, then the workflow to its end, as the documentation says."""
        for command in dict.fromkeys(self.doctor()):
            if command.startswith(("rm ", "snakemake")):
                self.call("bash", "-euc", command)
        self.call("guidebp", "gc", "--yes")
        self.call(*self.workflow)

    def processes(self) -> list[psutil.Process]:
        """All that run in this folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()) == self.folder.resolve() and process.pid != os.getpid():
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def until_alone(self) -> None:
        """Wait for the end of what a killed process has left running."""
        while self.processes():
            time.sleep(0.05)


def kill_after(victim: Victim, seconds: float, whom: str) -> bool:
    """Start the workflow and kill all of its processes or Snakemake alone, or ask all to stop; whether in time."""
    process = victim.start(*victim.workflow)
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        pass
    if whom in SIGNALS:
        os.killpg(process.pid, SIGNALS[whom])
    else:
        process.kill()  # snakemake alone: what it has started goes on, and is waited for
    process.wait()
    victim.until_alone()
    return True


SIGNALS = {"all": signal.SIGKILL, "asked": signal.SIGTERM}


def kill_often(
    victim: Victim,
    rng: random.Random,
    times: int,
    seconds: float,
    whom: tuple[str, ...] = ("all", "snakemake"),
) -> int:
    """Kill the workflow at random moments and go on by the printed commands, until it was killed so often.

    `seconds`: what it takes undisturbed. When it comes to its end before, it begins anew; ends finished.
    """
    killed = 0
    while killed < times:
        if kill_after(victim, rng.uniform(0.5, seconds), whom[killed % len(whom)]):
            killed += 1
            for command in victim.doctor():
                if command.startswith("snakemake --unlock"):
                    victim.call("snakemake", "--unlock")
        else:
            shutil.rmtree(victim.folder / "results")
    victim.mend()
    return killed


def statuses(victim: Project) -> list[str]:
    """Of all runs in the store."""
    return sorted(json.loads(content)["result"]["status"] for content in victim.files(KEY).values())
