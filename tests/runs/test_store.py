"""The run store: complete or absent, verified when read, one process per run."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidebp import files as files_module
from guidebp.errors import UserError
from guidebp.files import write_atomic
from guidebp.hashing import encode_canonical_json, hash_json
from guidebp.runs import store as store_module
from guidebp.runs.record import RECORD_VERSION, encode_record
from guidebp.runs.result import RunResult
from guidebp.runs.spec import Locks, PlannedRun, RunSpec, spec_to_json
from guidebp.runs.store import PREDICTIONS, RECORD, TELEMETRY, RunStore
from tests.support.tiny import recipe, spec

SPEC = spec("add", "columns")
OTHER = replace(SPEC, seed=1)
KEY, RUN = SPEC.key, PlannedRun(SPEC)
CONTENT = b"\x00\x01predicted classes" * 9
# A record of the right version without anything else
EMPTY = b'{"version":%d' % RECORD_VERSION


def files(correct: int = 5, run: PlannedRun = RUN) -> dict[str, bytes]:
    """The files of a trained run by name; `correct` are its correct test predictions."""
    result = RunResult("finished", outputs=["merged"], test_correct=[correct])
    content = {PREDICTIONS: CONTENT}
    content[RECORD] = encode_record(run, "data-hash", result, content)
    content[TELEMETRY] = b'{"seconds": 1}\n'
    return content


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    runs = RunStore(tmp_path / "runs")
    runs.publish(KEY, files())
    return runs


def entries(store: RunStore) -> list[str]:
    return sorted(path.name for path in store.root.iterdir())


def test_what_is_published_is_read(store: RunStore) -> None:
    record = store.read(KEY)
    assert record.result == RunResult("finished", outputs=["merged"], test_correct=[5])
    assert record.spec == SPEC and record.data == "data-hash"
    assert store.has(KEY) and store.holds(SPEC, "data-hash") and not store.holds(SPEC, "other data")
    assert store.telemetry(KEY) == {"seconds": 1}
    assert entries(store) == [KEY]
    assert {p.name: p.read_bytes() for p in store.folder(KEY).iterdir()} == files()


def test_absent_run(tmp_path: Path) -> None:
    empty = RunStore(tmp_path / "nowhere")
    assert not empty.has(KEY) and not empty.holds(SPEC, "data-hash") and empty.running_keys() == set()
    with pytest.raises(UserError, match=r"record\.json: no such run\. Run: snakemake"):
        empty.read(KEY)
    assert empty.telemetry(KEY) == {}
    assert not empty.root.exists()


def test_replaced(store: RunStore) -> None:
    store.publish(KEY, files(7))
    assert store.read(KEY).result.test_correct == [7]
    assert entries(store) == [KEY]


@pytest.mark.parametrize("replacing", [False, True])
@pytest.mark.parametrize("fail_at", range(3))
def test_failure_while_writing_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replacing: bool, fail_at: int
) -> None:
    store, calls = RunStore(tmp_path / "runs"), 0
    if replacing:
        store.publish(KEY, files())

    def failing(path: Path, content: bytes) -> None:
        nonlocal calls
        if calls == fail_at:
            raise KeyboardInterrupt
        calls += 1
        write_atomic(path, content)

    monkeypatch.setattr(store_module, "write_atomic", failing)
    with pytest.raises(KeyboardInterrupt):
        store.publish(KEY, files(7))
    assert entries(store) == ([KEY] if replacing else [])
    assert store.has(KEY) == replacing
    if replacing:
        assert store.read(KEY).result.test_correct == [5]


def test_failing_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file"
    write_atomic(path, b"old")

    def full(_: int) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(files_module.os, "fsync", full)
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in path.parent.iterdir()] == ["file"]
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o644


@given(st.data())
def test_every_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """In the record and in the predictions; a record that parses to the very same values is no damage."""
    store = RunStore(tmp_path_factory.mktemp("runs"))
    store.publish(KEY, files())
    good = store.read(KEY)
    name = data.draw(st.sampled_from([RECORD, PREDICTIONS]))
    path = store.folder(KEY) / name
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        record = store.read(KEY)
    except UserError as error:
        assert str(path) in str(error)
        assert f"Run: rm -r {store.folder(KEY)} && snakemake" in str(error)
        assert not store.holds(SPEC, "data-hash")
    else:
        assert name == RECORD and record == good


def rewritten(change: dict[str, Any], *absent: str) -> bytes:
    """A record with other contents, or without keys, and a right checksum."""
    body = json.loads(files()[RECORD]) | change
    body = {key: value for key, value in body.items() if key not in ("sha256", *absent)}
    return encode_canonical_json(body | {"sha256": hash_json(body)})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (RECORD, b"", "not a record"),
        (RECORD, files()[RECORD][:-1], "not a record"),
        (RECORD, b"\xff\xfe", "not a record"),
        (RECORD, b"[1]", f"not a record of version {RECORD_VERSION}"),
        (RECORD, b"null", f"not a record of version {RECORD_VERSION}"),
        (RECORD, EMPTY + b"}", "checksum does not match"),
        (RECORD, EMPTY + b',"result":NaN}', "checksum does not match|not a record"),
        (RECORD, rewritten({"version": RECORD_VERSION - 1}), f"not a record of version {RECORD_VERSION}"),
        (RECORD, files(run=PlannedRun(OTHER))[RECORD], f"its spec has the key {OTHER.key}, not {KEY}"),
        (RECORD, rewritten({"spec": spec_to_json(OTHER)}), f"its spec has the key {OTHER.key}, not {KEY}"),
        (RECORD, rewritten({"spec": [1]}), r"not a record \(spec: expected an object"),
        (RECORD, rewritten({}, "spec"), r"not a record \(spec: expected an object"),
        (
            RECORD,
            rewritten({"spec": spec_to_json(SPEC) | {"a\nb": 1}}),
            r"not a record \('a\\nb': unknown key",
        ),
        (RECORD, rewritten({"result": {"status": "perfect"}}), r"not a record \(result\.status: expected"),
        (
            RECORD,
            rewritten({"result": {"status": "finished", "loss": 0}}),
            r"not a record \(result\.loss: unk",
        ),
        (RECORD, rewritten({}, "result"), r"not a record \(result: expected an object"),
        (RECORD, rewritten({}, "data"), r"not a record \(data: expected str"),
        (RECORD, rewritten({"files": [PREDICTIONS]}), r"not a record \(files: expected an object"),
        (RECORD, rewritten({"locks": {"claim": "hash"}}), r"not a record \(locks\.claim: expected an object"),
        (RECORD, files(6)[RECORD].replace(b"[6]", b"[9]"), "checksum does not match"),
        (PREDICTIONS, CONTENT[:-1], "missing or changed"),
        (PREDICTIONS, None, "missing or changed"),
    ],
)
def test_damage(store: RunStore, name: str, content: bytes | None, message: str) -> None:
    path = store.folder(KEY) / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        store.read(KEY)
    assert str(caught.value).startswith(f"{path}: ") and len(str(caught.value).splitlines()) == 1
    assert f"Run: rm -r {store.folder(KEY)} && snakemake" in str(caught.value)
    assert not store.holds(SPEC, "data-hash")


@pytest.mark.parametrize(
    "other",
    [
        OTHER,
        replace(SPEC, engine=SPEC.engine + 1),
        replace(SPEC, method=replace(SPEC.method, code="0123")),
        replace(SPEC, recipe=recipe(lr=0.1)),
    ],
    ids=["seed", "engine", "code", "recipe"],
)
def test_a_run_planted_at_the_key_of_another_is_refused(store: RunStore, other: RunSpec) -> None:
    store.folder(KEY).rename(store.folder(other.key))
    with pytest.raises(UserError, match=f"its spec has the key {KEY}, not {other.key}") as caught:
        store.read(other.key)
    assert f"Run: rm -r {store.folder(other.key)} && snakemake" in str(caught.value)
    assert store.has(other.key) and not store.holds(other, "data-hash")
    assert not store.holds(SPEC, "data-hash"), "and it is no longer where it belongs"


def test_holds_compares_the_spec_itself(store: RunStore) -> None:
    """A record is not accepted for another spec, even if both have one key."""
    same_key = replace(SPEC, seed=1)
    vars(same_key)["key"] = KEY  # as if the hashes collided
    assert same_key.key == KEY and same_key != SPEC
    assert not store.holds(same_key, "data-hash") and store.holds(SPEC, "data-hash")


def test_locks_are_stored_and_decide_nothing(tmp_path: Path) -> None:
    locks: Locks = {"claim": {"published": "0123", "exploratory": "4567"}}
    run = PlannedRun(SPEC, locks)
    assert run.key == KEY and spec_to_json(run.spec) == spec_to_json(SPEC)
    store = RunStore(tmp_path)
    store.publish(KEY, files(run=run))
    record = store.read(KEY)
    assert record.locks == locks and record.spec == SPEC
    assert store.holds(SPEC, "data-hash")
    without = json.loads(files()[RECORD])
    stored = json.loads((store.folder(KEY) / RECORD).read_bytes())
    assert {key for key in stored if stored[key] != without[key]} == {"locks", "sha256"}


HOLDER = """
import sys
from pathlib import Path
from guidebp.runs.store import RunStore
with RunStore(Path(sys.argv[1])).lock(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_lock_excludes_other_processes_and_ends_with_them(store: RunStore) -> None:
    def holder() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(store.root), KEY]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with holder() as first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        assert store.running_keys() == {KEY}
        with store.lock("another run"):
            assert store.running_keys() == {KEY, "another run"}
        assert store.running_keys() == {KEY}
        with holder() as second:
            assert second.stdout is not None and second.stdin is not None
            first.kill()  # the kernel lets go: the second gets it
            assert second.stdout.readline() == "held\n"
            assert store.running_keys() == {KEY}
            second.stdin.close()
        assert second.returncode == 0
    assert store.running_keys() == set()
    with store.lock(KEY):
        assert store.running_keys() == {KEY}


def test_two_processes_never_hold_a_lock_at_once(store: RunStore) -> None:
    """Each reads and raises a counter under the lock; a lost update shows as a smaller sum."""
    counter = store.root / "counter"
    counter.write_text("0")
    script = (
        "import sys; from pathlib import Path; from guidebp.runs.store import RunStore\n"
        "store, path = RunStore(Path(sys.argv[1])), Path(sys.argv[1]) / 'counter'\n"
        "for _ in range(300):\n"
        "    with store.lock('k'):\n"
        "        path.write_text(str(int(path.read_text()) + 1))\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", script, str(store.root)]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert counter.read_text() == "600"
