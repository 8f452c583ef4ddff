"""A Slurm of one node on this machine: `python -m tests.slurm.cluster up|down DIR`.

Needs root and Debian's packages slurm-wlm and munge; no systemd, no database, no file outside DIR.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
# Processes are found by their process group, which needs no cgroups; memory is counted, not enforced. As with
# cgroups, the end of a job's first process is the end of all. The GPUs are only counted: a job that asks for one
# gets a place, and trains on the processor.
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldDebug=verbose
SlurmdDebug=verbose
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
MinJobAge=3600
KillWait=30
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES MaxTime=1440 PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes={host} MaxTime=1440 PriorityTier=2 PreemptMode=OFF
"""


def missing() -> str:
    """Why no cluster can be started here; empty where one can."""
    absent = [name for name in (*DAEMONS, "sbatch") if not shutil.which(name, path=_search())]
    if absent:
        return f"needs {', '.join(absent)}: apt-get install --no-install-recommends slurm-wlm munge"
    return "" if os.geteuid() == 0 else "needs root, as Slurm's daemons do"


def up(folder: Path) -> dict[str, str]:
    """Start a cluster that keeps everything in the folder; the variables that its users need."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("state", "spool"):
        (folder / name).mkdir(exist_ok=True)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    configuration = folder / "slurm.conf"
    configuration.write_text(_configuration(folder))
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
    variables = {
        "SLURM_CONF": str(configuration),
        "PATH": os.pathsep.join((_own_srun(folder), os.environ.get("PATH", ""))),
    }
    try:
        _start(
            *("munged", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"),
            *(f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"),
            f"--seed-file={folder}/munged.seed",
        )
        _start("slurmctld", "-f", str(configuration))
        _start("slurmd", "-f", str(configuration))
        wait_for(lambda: _state(variables) == "idle", "an idle node")
    except BaseException:
        for log in sorted(folder.glob("*.log")):
            print(f"{log.name}:", *log.read_text().splitlines()[-20:], sep="\n", file=sys.stderr)
        down(folder)
        raise
    return variables


def down(folder: Path) -> None:
    """End the cluster's jobs and daemons and remove its folder."""
    folder = folder.resolve()
    if (folder / "slurmctld.pid").exists():
        _end_jobs({"SLURM_CONF": str(folder / "slurm.conf")})
    for name in reversed(DAEMONS):
        file = folder / f"{name}.pid"
        if file.exists() and (text := file.read_text().strip()):
            _end(int(text))
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """A cluster while the block runs: the environment variables that its users need."""
    variables = up(folder)
    try:
        yield variables
    finally:
        down(folder)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Ask again and again until the condition holds; an error at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.1)


def ask(variables: dict[str, str], *command: str) -> str:
    """The output of a command of Slurm; empty when it fails, as it does while the daemons start."""
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _configuration(folder: Path) -> str:
    words = subprocess.run(
        [shutil.which("slurmd", path=_search()) or "slurmd", "-C"], capture_output=True, text=True, check=True
    ).stdout.split()
    node = dict(word.split("=", 1) for word in words if "=" in word)
    controller_port, node_port = _free_ports(2)
    return CONFIGURATION.format(
        folder=folder,
        host=node["NodeName"],
        cpus=node["CPUs"],
        memory=node["RealMemory"],
        controller_port=controller_port,
        node_port=node_port,
    )


def _own_srun(folder: Path) -> str:
    """A folder with an srun that knows this cluster: the executor takes SLURM_CONF from a job's steps."""
    script = folder / "bin/srun"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    script.chmod(0o755)
    return str(script.parent)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _search() -> str:
    # the daemons lie in sbin, which only root's login shell has on its path
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def _start(*command: str) -> None:
    """Run a daemon, which goes into the background by itself."""
    program = shutil.which(command[0], path=_search())
    assert program, command[0]
    # its output goes nowhere: a daemon that kept a pipe of ours open would never let us go
    code = subprocess.call(
        [program, *command[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    if code != 0:
        raise RuntimeError(f"{command[0]} ended with code {code}")


def _state(variables: dict[str, str]) -> str:
    return ask(variables, "sinfo", "--noheader", "--partition=tests", "--format=%T")


def _end_jobs(variables: dict[str, str]) -> None:
    """Kill what still runs, at once."""
    jobs = ask(variables, "squeue", "--noheader", "--format=%A").split()
    if jobs:
        ask(variables, "scancel", "--full", "--signal=KILL", *jobs)
        ask(variables, "scancel", *jobs)
        with contextlib.suppress(TimeoutError):  # the daemons are ended all the same
            wait_for(lambda: not ask(variables, "squeue", "--noheader"), "the end of all jobs")


def _end(process: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            os.kill(process, number)
            wait_for(lambda: not _alive(process), f"the end of process {process}", 20)
        if not _alive(process):
            return


def _alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # a zombie only waits for its parent
    return status.rpartition(")")[2].split()[0] != "Z"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.slurm.cluster", description=__doc__)
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.action == "down":
        down(arguments.folder)
    elif reason := missing():
        sys.exit(reason)
    else:
        for name, value in up(arguments.folder).items():
            print(f"export {name}={value}")


if __name__ == "__main__":
    main()
