"""GPUs are leased evenly, and a dead owner holds none."""

import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from guidebp.training import lease
from guidebp.training.lease import lease_device, use_leased_device

OWNER = """
import sys
from pathlib import Path
from guidebp.training.lease import lease_device
with lease_device(sys.argv[2:], Path(sys.argv[1])) as device:
    print(device, flush=True)
    sys.stdin.read()
"""
GPUS = ["one", "two", "three"]


def owner(where: Path) -> "subprocess.Popen[str]":
    """A process with a lease."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(where), *GPUS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: "subprocess.Popen[str]") -> int:
    """The device that it leased."""
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_each_takes_the_device_with_the_fewest(tmp_path: Path) -> None:
    with ExitStack() as held:
        taken = [held.enter_context(lease_device(GPUS, tmp_path)) for _ in range(7)]
    assert taken == [0, 1, 2, 0, 1, 2, 0]


def test_a_lease_that_ends_is_the_next_one_s(tmp_path: Path) -> None:
    with lease_device(GPUS, tmp_path), ExitStack() as second:
        assert second.enter_context(lease_device(GPUS, tmp_path)) == 1
        with lease_device(GPUS, tmp_path) as third:
            assert third == 2
            second.close()
            with lease_device(GPUS, tmp_path) as again:
                assert again == 1


@pytest.mark.slow
def test_a_killed_owner_holds_nothing_and_processes_share_evenly(tmp_path: Path) -> None:
    owners = [owner(tmp_path) for _ in range(3)]
    try:
        devices = [said(process) for process in owners]
        assert sorted(devices) == [0, 1, 2]
        dead = owners[devices.index(1)]
        assert (tmp_path / "two.0").read_text() == f"{dead.pid}\n", "the file names its owner"
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        with lease_device(GPUS, tmp_path) as device:
            assert device == 1
    finally:
        for process in owners:
            process.kill()
            process.communicate()


def test_the_fewest_count_not_the_lowest_number(tmp_path: Path) -> None:
    """Two devices with three leases each; two of the one and the first of the other end."""
    two = GPUS[:2]
    leases = [lease_device(two, tmp_path) for _ in range(6)]
    taken = [lease.__enter__() for lease in leases]
    assert taken == [0, 1, 0, 1, 0, 1]
    for ended in (2, 4, 1):
        leases[ended].__exit__(None, None, None)
    with lease_device(two, tmp_path) as device:
        assert device == 0, "one lease against two"
    for kept in (0, 3, 5):
        leases[kept].__exit__(None, None, None)


def test_a_cpu_needs_no_lease() -> None:
    with use_leased_device(torch.device("cpu")) as device:
        assert device == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpus_are_named_by_their_hardware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "find_lease_folder", lambda: tmp_path)
    with use_leased_device(torch.device("cuda")) as device:
        assert device.type == "cuda" and device.index is not None
        (file,) = tmp_path.iterdir()
        assert str(torch.cuda.get_device_properties(device).uuid) in file.name
