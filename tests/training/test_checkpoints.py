"""A run that is stopped anywhere and goes on ends in the same bytes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from guidebp.errors import StopRequested, UserError
from guidebp.hashing import encode_readable_json
from guidebp.jobs.pack import DEATHS, _count_death, publish_crashed, train_pack
from guidebp.jobs.worker import TrainingOptions
from guidebp.runs.spec import FamilySpec, PlannedRun, planned_run_to_json
from guidebp.runs.store import PREDICTIONS, RECORD, WEIGHTS, RunStore
from guidebp.training.__main__ import train_planned_runs
from guidebp.training.checkpoints import Checkpoint, CheckpointPolicy, Checkpoints, identify_machine
from guidebp.training.events import TrainingEvent
from guidebp.training.state_tree import flatten_state, unflatten_state
from guidebp.training.trainer import train_run
from tests.support.tiny import METHODS, PAIRS, planned, prepared, recipe, write_prepared

CPU = torch.device("cpu")
FULL = bool(os.environ.get("GUIDEBP_FULL"))
# every family of methods once, on its smallest architecture; every architecture once; all pairs in `make test-full`
SAMPLE = list(
    {METHODS[method].family: (method, network) for method, network in reversed(PAIRS)}.values()
) + list({network: (method, network) for method, network in PAIRS}.values())
CHOSEN = PAIRS if FULL else list(dict.fromkeys(SAMPLE))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    write_prepared(folder)
    return folder


def tiny(method: str, architecture: str, seed: int = 0, **changes: Any) -> PlannedRun:
    """Two epochs of five steps, with everything that has a state: momentum, a schedule, augmentation."""
    settings: dict[str, Any] = {
        "epochs": 2,
        "schedule": {"name": "cosine", "warmup": 0.2},
        "augmentation": {"flip": True, "crop": 1},
    }
    return planned(method, architecture, seed, recipe=recipe(**settings | changes))


def stopping(after: Iterator[bool]) -> CheckpointPolicy:
    """Asked to stop at the questions where the iterator says so."""
    return CheckpointPolicy(stop=lambda: next(after, False))


def checkpoints(store: RunStore, policy: CheckpointPolicy, machine: str = "cpu") -> Checkpoints:
    return Checkpoints(store, GUIDED.key, str(prepared().manifest.sha256), identify_machine(machine), policy)


GUIDED, LONGEST = (
    tiny("guidebp", "columns"),
    tiny("add", "one-column", epochs=100_000),
)  # nobody waits for its end


def contents(store: RunStore, run: PlannedRun) -> dict[str, bytes]:
    return {name: (store.folder(run.key) / name).read_bytes() for name in (RECORD, PREDICTIONS, WEIGHTS)}


@pytest.mark.parametrize(("method", "network"), CHOSEN, ids=map("-".join, CHOSEN))
def test_going_on_from_any_checkpoint_ends_in_the_same_bytes(
    method: str, network: str, data: Path, tmp_path: Path
) -> None:
    """Stopped after every third step; in `make test-full` after every step, through every checkpoint there is."""
    made, whole, pieces = tiny(method, network), RunStore(tmp_path / "whole"), RunStore(tmp_path / "pieces")
    train_planned_runs([made], data, whole, CPU, keep_weights=True)
    stops = 0
    while not pieces.has(made.key):
        # not before the run nor its next step (or three), but before the one after, and when saving
        answers = iter([False] * (2 if FULL else 4) + [True, True])
        try:
            train_planned_runs([made], data, pieces, CPU, keep_weights=True, policy=stopping(answers))
        except StopRequested:
            stops += 1
            assert not pieces.has(made.key) and stops < 20
    steps = json.loads((pieces.folder(made.key) / "telemetry.json").read_bytes())["steps"]
    assert steps > 7 and stops >= (steps - 2 if FULL else 2)
    assert contents(pieces, made) == contents(whole, made)
    assert not pieces.unfinished(made.key).exists()


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam"])
def test_every_optimiser_goes_on(name: str, data: Path, tmp_path: Path) -> None:
    made = tiny("learned", "columns", optimiser={"name": name, "lr": 1e-3, "weight_decay": 1e-4})
    whole, pieces = RunStore(tmp_path / "whole"), RunStore(tmp_path / "pieces")
    train_planned_runs([made], data, whole, CPU, keep_weights=True)
    with pytest.raises(StopRequested):
        train_planned_runs(
            [made], data, pieces, CPU, keep_weights=True, policy=stopping(iter([False] * 7 + [True, True]))
        )
    train_planned_runs([made], data, pieces, CPU, keep_weights=True)
    assert contents(pieces, made) == contents(whole, made)


class Chance(nn.Module):
    """Drops features by torch's own generator, as nn.Dropout does."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.dropout(images, 0.5, self.training)


def test_chance_within_a_step_follows_from_the_run_and_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from guidebp.training import trainer

    real = trainer.build_network

    def with_chance(*args: Any) -> Any:
        network: Any = real(*args)
        network.columns[0] = nn.Sequential(Chance(), network.columns[0])
        return network

    made = tiny("add", "columns")
    plain = train_run(made.spec, prepared(), CPU).result.history.loss
    monkeypatch.setattr(trainer, "build_network", with_chance)
    whole, pieces = RunStore(tmp_path / "whole"), RunStore(tmp_path / "pieces")
    train_planned_runs([made], data, whole, CPU, keep_weights=True)
    torch.rand(5)
    with pytest.raises(StopRequested):
        train_planned_runs(
            [made], data, pieces, CPU, keep_weights=True, policy=stopping(iter([False] * 5 + [True, True]))
        )
    torch.rand(3)
    before = torch.get_rng_state()
    train_planned_runs([made], data, pieces, CPU, keep_weights=True)
    assert torch.equal(torch.get_rng_state(), before), "who calls keeps their own chance"
    assert contents(pieces, made) == contents(whole, made)
    assert pieces.read(made.key).result.history.loss != plain


def test_checkpoints_are_due_by_epochs_and_by_minutes(tmp_path: Path) -> None:
    kept = checkpoints(RunStore(tmp_path), CheckpointPolicy(epochs=2))
    assert [kept.due(epochs=n) for n in range(1, 5)] == [False, True, False, True] and not kept.due()
    never = TrainingOptions(checkpoint_minutes=None).arguments()
    assert not checkpoints(RunStore(tmp_path), CheckpointPolicy(minutes=float(never[-1]))).due()
    kept = checkpoints(RunStore(tmp_path), CheckpointPolicy(minutes=1000.0))
    assert not kept.due() and not kept.due(epochs=2)
    kept.written -= 60_000
    assert kept.due()
    kept.save(Checkpoint(0, 1, {}, {}))
    assert not kept.due(), "the minutes begin anew"


def stopped(data: Path, store: RunStore, answers: Iterator[bool]) -> None:
    with pytest.raises(StopRequested):
        train_planned_runs([GUIDED], data, store, CPU, keep_weights=True, policy=stopping(answers))


def after(questions: int) -> Iterator[bool]:
    return iter([False] * questions + [True, True])


def test_the_one_before_takes_the_place_of_a_damaged_one(data: Path, tmp_path: Path) -> None:
    store, whole = RunStore(tmp_path / "runs"), RunStore(tmp_path / "whole")
    for questions in (4, 3, 3):
        stopped(data, store, after(questions))
    names = [path.name.split(".")[0] for path in store.checkpoints(GUIDED.key)]
    assert len(names) == 2 and names[0] > names[1], "the newest and the one before"
    newest, older = store.checkpoints(GUIDED.key)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    found = checkpoints(store, CheckpointPolicy()).newest()
    assert found is not None and older.name.startswith(f"{found.epoch:06d}-{found.step:08d}.")
    assert not newest.exists()
    newest.write_bytes(b"")
    older.unlink()
    assert checkpoints(store, CheckpointPolicy()).newest() is None
    train_planned_runs([GUIDED], data, store, CPU, keep_weights=True)
    train_planned_runs([GUIDED], data, whole, CPU, keep_weights=True)
    assert contents(store, GUIDED) == contents(whole, GUIDED)


def test_a_checkpoint_of_another_device_is_refused_and_of_other_data_passed_over(
    data: Path, tmp_path: Path
) -> None:
    store = RunStore(tmp_path)
    stopped(data, store, after(4))
    elsewhere = checkpoints(store, CheckpointPolicy(), machine="cuda NVIDIA H200")
    remedy = rf"was made on cpu, torch .* on cuda NVIDIA H200, .*: rm -r {store.unfinished(GUIDED.key)}"
    with pytest.raises(UserError, match=remedy):
        elsewhere.newest()
    for part, other_part in (("torch", "torch 2.99"), ("processor", "x86_64 Other with AVX512")):
        elsewhere.machine = identify_machine("cpu") | {part: other_part}
        with pytest.raises(UserError, match=re.escape(other_part)):
            elsewhere.newest()
    assert checkpoints(store, CheckpointPolicy()).newest() is not None
    other = checkpoints(store, CheckpointPolicy())
    other.data = "other"
    assert other.newest() is None
    other.save(Checkpoint(0, 1, {}, {}))
    assert [path.name[:15] for path in store.checkpoints(GUIDED.key)] == ["000000-00000001"], (
        "none stands before it"
    )


def test_a_run_that_cannot_go_on_here_does_not_hold_up_the_others(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from guidebp.training import __main__ as training

    store = RunStore(tmp_path)
    stopped(data, store, after(4))
    monkeypatch.setattr(training, "identify_machine", lambda device_class: {"device_class": "another"})
    following = tiny("add", "one-column")
    with pytest.raises(UserError, match=rf"resume on another .*: rm -r {store.unfinished(GUIDED.key)}"):
        train_planned_runs([GUIDED, following], data, store, CPU, keep_weights=False)
    assert store.has(following.key) and not store.has(GUIDED.key)


def test_a_checkpoint_that_cannot_be_written_costs_nothing(data: Path, tmp_path: Path) -> None:
    store, told, made = RunStore(tmp_path / "runs"), list[str](), tiny("add", "one-column")
    store.unfinished(made.key).parent.mkdir(parents=True)
    store.unfinished(made.key).write_text("a file where the folder should be")
    policy = CheckpointPolicy(epochs=1, warn=told.append)
    train_planned_runs([made], data, store, CPU, keep_weights=False, policy=policy)
    assert store.read(made.key).result.status == "finished"
    assert len(told) == 2 and "no checkpoint written" in told[0]


def test_states_of_any_nesting_are_stored_without_pickling() -> None:
    tensor = torch.arange(6.0).view(2, 3)
    value = {"a": [tensor, tensor.T, tensor], 3: (None, True, 0.1, "x"), "empty": torch.zeros(0), "d": {}}
    tensors: dict[str, Tensor] = {}
    about = json.loads(json.dumps(flatten_state(value, tensors)))
    assert sorted(tensors) == ["/a/0", "/a/1", "/empty"], "a tensor of two names is stored once"
    found = unflatten_state(about, tensors)
    assert found[3] == value[3] and found["d"] == {} and torch.equal(found["a"][1], tensor.T)
    with pytest.raises(TypeError, match="type object cannot be stored"):
        flatten_state({"x": object()}, {})


def follow(run: PlannedRun, data: Path, store: RunStore, on_epoch: Callable[[], None]) -> list[TrainingEvent]:
    events = list[TrainingEvent]()

    def note(event: TrainingEvent) -> None:
        events.append(event)
        if event.kind == "epoch":
            on_epoch()

    hashes = {"tiny": str(prepared().manifest.sha256)}
    with pytest.raises(StopRequested):
        train_pack([run], data, hashes, store, TrainingOptions("cpu"), note)
    return events


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.slow
def test_a_signal_leaves_a_checkpoint_and_says_continue(number: int, data: Path, tmp_path: Path) -> None:
    """It comes to the process that started the training, which passes it on."""
    heard = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    signal.signal(number, heard)  # whoever runs the tests may ignore it: nohup
    store = RunStore(tmp_path)
    follow(LONGEST, data, store, lambda: os.kill(os.getpid(), number))
    assert signal.getsignal(number) == heard
    (first,) = store.checkpoints(LONGEST.key)
    if number != signal.SIGTERM:
        return
    events = follow(LONGEST, data, store, lambda: os.kill(os.getpid(), number))
    start = next(event for event in events if event.kind == "start")
    assert start.resumed_epoch == int(first.name.split("-")[0])
    assert store.checkpoints(LONGEST.key)[0].name > first.name


@pytest.mark.slow
def test_who_insists_gets_an_end_that_is_no_death(data: Path, tmp_path: Path) -> None:
    """The second signal kills the child: somebody's wish, and no fault of the run's."""
    store = RunStore(tmp_path)

    def insist() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)

    events = follow(LONGEST, data, store, insist)
    assert "death" not in {event.kind for event in events}
    assert not (store.unfinished(LONGEST.key) / DEATHS).exists() and not store.has(LONGEST.key)


def test_a_crash_does_not_replace_what_another_process_has_finished(data: Path, tmp_path: Path) -> None:
    store, made = RunStore(tmp_path), tiny("add", "one-column")
    checksum = str(prepared().manifest.sha256)
    train_planned_runs([made], data, store, CPU, keep_weights=False)
    publish_crashed(made, checksum, store, "cpu")
    assert store.read(made.key).result.status == "finished"
    other = tiny("add", "one-column", seed=1)
    publish_crashed(other, checksum, store, "cpu")
    assert store.read(other.key).result.status == "crashed"


def trainer(data: Path, store: RunStore, *options: str) -> list[str]:
    specs = store.root.parent / "specs.json"
    specs.write_bytes(encode_readable_json([planned_run_to_json(LONGEST)]))
    command = [sys.executable, "-m", "guidebp.training", str(specs), "--data", str(data)]
    return [*command, "--store", str(store.root), "--device", "cpu", *options]


@pytest.mark.slow
def test_the_training_process_ends_with_its_parent(data: Path, tmp_path: Path) -> None:
    """A parent that is killed cannot pass on anything; its child sees that it is gone."""
    store = RunStore(tmp_path / "runs")
    middle = (
        "import os, subprocess, sys; "
        "child = subprocess.Popen([*sys.argv[1:], '--parent', str(os.getpid())], stdout=subprocess.PIPE); "
        "[line for line in child.stdout if b'epoch' in line and os.kill(os.getpid(), 9)]"
    )
    done = subprocess.run([sys.executable, "-c", middle, *trainer(data, store)], check=False)
    assert done.returncode == -signal.SIGKILL
    with store.lock(LONGEST.key):  # waits for the child's end
        assert len(store.checkpoints(LONGEST.key)) == 1 and not store.has(LONGEST.key)


@pytest.mark.slow
def test_who_waits_for_another_process_can_be_stopped(data: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    answers = iter([False, False, True])
    holder = (
        "import sys; from pathlib import Path; from guidebp.runs.store import RunStore\n"
        "with RunStore(Path(sys.argv[1])).lock(sys.argv[2]): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(store.root), GUIDED.key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        stopped(data, store, answers)
        process.kill()
    assert next(answers, None) is None and not store.checkpoints(GUIDED.key)


@pytest.mark.slow
def test_out_of_memory_costs_its_own_run_and_is_handed_back_once(data: Path, tmp_path: Path) -> None:
    """So many channels are refused by the allocator; with a scheduler the run waits for more memory."""
    small = tiny("add", "one-column")
    options = small.spec.architecture.options | {"widths": [4, 2**36]}
    big = PlannedRun(replace(small.spec, architecture=FamilySpec("columns", options)))
    specs = [big, small]
    store, hashes = RunStore(tmp_path), {"tiny": str(prepared().manifest.sha256)}
    events = list[TrainingEvent]()
    with pytest.raises(StopRequested, match=r"1 runs died; the next start, best with more memory"):
        train_pack(specs, data, hashes, store, TrainingOptions("cpu", hand_back=True), events.append)
    assert store.read(small.key).result.status == "finished", "the other goes on"
    assert not store.has(big.key)
    assert [event.signal for event in events if event.kind == "death"] == ["out of memory"]
    train_pack(specs, data, hashes, store, TrainingOptions("cpu", hand_back=True), events.append)
    assert store.read(big.key).result.status == "crashed"


def test_deaths_count_from_the_newest_checkpoint(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    assert [_count_death(store, GUIDED.key), _count_death(store, GUIDED.key)] == [1, 2]
    kept = checkpoints(store, CheckpointPolicy())
    kept.save(Checkpoint(0, 1, {}, {}))
    assert _count_death(store, GUIDED.key) == 1, "it came further than the last time"
    (store.unfinished(GUIDED.key) / DEATHS).write_text("{")
    assert _count_death(store, GUIDED.key) == 1
    shutil.rmtree(store.unfinished(GUIDED.key))
