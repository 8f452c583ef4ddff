"""The real workflow on a real Slurm of one node: `make test-slurm`."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import ask, cluster, missing
from tests.support.project import Project

WHY_NOT = missing() if os.environ.get("GUIDEBP_SLURM") else "only in `make test-slurm`"
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

# without a database of jobs only squeue knows them; one node has little to offer, and no network file system
SNAKEMAKE = (
    *("snakemake", "--profile", "workflow/profiles/slurm", "--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5"),
    *("--slurm-keep-successful-logs", "--default-resources", "mem_mb=2000", "runtime=10"),
)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A cluster, known to all commands of this module."""
    with cluster(tmp_path_factory.mktemp("slurm")) as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield variables


@pytest.fixture(scope="module")
def project(slurm: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that ran to its end on the cluster, in two packs."""
    made = Project(tmp_path_factory.mktemp("project"))
    made.edit("config/studies/tiny.yaml", "seeds_per_pack: 2", "seeds_per_pack: 1")
    made.call(*SNAKEMAKE)
    return made


def test_the_cluster_gives_the_report_and_a_second_run_has_nothing_to_do(project: Project) -> None:
    assert (project.folder / "results/tiny/report.html").stat().st_size > 0
    assert len(project.runs()) == 6
    assert "Nothing to be done" in project.call(*SNAKEMAKE)
    assert "Nothing to be done" in project.call("snakemake", "-n")


def test_packs_were_jobs_of_slurm(project: Project, slurm: dict[str, str]) -> None:
    states = dict(
        line.split("|")
        for line in ask(slurm, "squeue", "--noheader", "--states=all", "-o", "%A|%T").splitlines()
    )
    logs = project.folder.glob(".snakemake/slurm_logs/rule_train/*/*.log")
    trained = {path.stem for path in logs}
    assert len(trained) == 2
    assert {states[job] for job in trained} == {"COMPLETED"}
    for job in trained:
        assert "Comment=rule_train_wildcards_" in ask(slurm, "scontrol", "show", "job", job)
    # what needs a network runs where snakemake runs
    assert not list(project.folder.glob(".snakemake/slurm_logs/rule_fetch"))


def test_records_equal_those_of_a_run_without_slurm(project: Project, tmp_path: Path) -> None:
    local = Project(tmp_path)
    local.call("snakemake", "experiments")
    pattern = "results/runs/*/record.json"
    assert local.files(pattern) == project.files(pattern)


STOPPED = {
    # by a person, or by a job that is more urgent
    "cancelled": ("scancel", "{job}"),
    "preempted": ("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=true"),
}


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with runs of many epochs that is trained without Slurm, and undisturbed."""
    made = Project(tmp_path_factory.mktemp("longer"))
    made.edit("config/studies/tiny.yaml", "[average, independent, guidebp]", "[average]")
    made.edit("config/studies/tiny.yaml", "[average, independent]", "[average]")
    made.edit("config/recipes/tiny.yaml", "epochs: 1", "epochs: 60")
    made.edit("config/config.yaml", "study: tiny", "study: tiny\ncheckpoint_epochs: 5")
    made.call("snakemake", "--quiet", "all", "--", "experiments")
    return made


@pytest.mark.parametrize("how", STOPPED)
def test_a_stopped_job_goes_on_from_its_checkpoint(
    slurm: dict[str, str], longer: Project, tmp_path: Path, how: str
) -> None:
    made = Project(tmp_path)
    for path in ("config/studies/tiny.yaml", "config/recipes/tiny.yaml", "config/config.yaml"):
        (made.folder / path).write_bytes((longer.folder / path).read_bytes())
    process = made.start(*SNAKEMAKE, "--", "experiments")
    made.wait(lambda: bool(list(made.folder.glob("results/runs/.unfinished/*/*.safetensors"))), process)
    job = next(made.folder.glob(".snakemake/slurm_logs/rule_train/*/*.log")).stem
    command = [word.format(job=job) for word in STOPPED[how]]
    subprocess.run(command, env={**os.environ, **slurm}, check=True)
    assert process.wait() == 0
    (log,) = made.folder.glob("results/logs/train/tiny/*.log")
    assert "resumes in epoch" in log.read_text()
    pattern = "results/runs/*/record.json"
    assert made.files(pattern) == longer.files(pattern)


def test_packs_as_an_array_of_jobs(slurm: dict[str, str], tmp_path: Path) -> None:
    made = Project(tmp_path)
    made.edit("config/studies/tiny.yaml", "seeds_per_pack: 2", "seeds_per_pack: 1")
    made.call(*SNAKEMAKE, "--slurm-array-jobs", "train", "--", "experiments")
    assert len(made.runs()) == 6
    assert "Nothing to be done" in made.call("snakemake", "-n", "--", "experiments")
