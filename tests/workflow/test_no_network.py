"""Beyond `guidebp fetch`, nothing asks for a network: the workflow runs where there is none."""

import subprocess
from pathlib import Path

import pytest

from tests.workflow.project import Project

# A network of its own, of which only the loop is up: a notebook and its kernel talk through it.
UP = "import fcntl, os, socket, struct, sys; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 1))"
ALONE = ("unshare", "-rn", "python", "-c", f"{UP}; os.execvp(sys.argv[1], sys.argv[1:])")


def alone() -> bool:
    """Whether this machine lets a user do without its network."""
    try:
        return subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.workflow
def test_the_whole_workflow_runs_without_a_network(tmp_path: Path) -> None:
    """The tiny study's raw files come out of an installed package."""
    if not alone():
        pytest.skip("unshare -rn is not permitted here")
    project = Project(tmp_path / "project")
    interfaces = project.call(*ALONE, "cat", "/proc/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    project.call(*ALONE, "snakemake", "--cores", "1")
    assert (project.folder / "results/tiny/report.html").exists()
    assert (project.folder / "results/tiny/notebooks/new-method.html").exists()
