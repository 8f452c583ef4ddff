"""The run store: complete or absent, verified when read, one process per run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidebp import files as files_module
from guidebp.errors import UserError
from guidebp.files import write_atomic
from guidebp.hashing import canonical_json, json_hash
from guidebp.runs import store as store_module
from guidebp.runs.record import encode_record
from guidebp.runs.store import PREDICTIONS, RECORD, TELEMETRY, RunStore

KEY = "0123456789abcdef0123"
CONTENT = b"\x00\x01predicted classes" * 9


def files(accuracy: float = 0.5, key: str = KEY) -> dict[str, bytes]:
    """What the trainer publishes."""
    made = {PREDICTIONS: CONTENT}
    result = {"status": "finished", "accuracy": accuracy}
    made[RECORD] = encode_record({"key": key, "engine": 1}, "data-hash", result, made)
    made[TELEMETRY] = b'{"seconds": 1}\n'
    return made


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    found = RunStore(tmp_path / "runs")
    found.publish(KEY, files())
    return found


def entries(store: RunStore) -> list[str]:
    return sorted(path.name for path in store.root.iterdir())


def test_what_is_published_is_read(store: RunStore) -> None:
    record = store.read(KEY)
    assert record["result"] == {"status": "finished", "accuracy": 0.5} and record["data"] == "data-hash"
    assert store.has(KEY) and store.holds(KEY, "data-hash") and not store.holds(KEY, "other data")
    assert store.telemetry(KEY) == {"seconds": 1}
    assert entries(store) == [KEY]
    assert {p.name: p.read_bytes() for p in store.folder(KEY).iterdir()} == files()


def test_absent_run(tmp_path: Path) -> None:
    empty = RunStore(tmp_path / "nowhere")
    assert not empty.has(KEY) and not empty.holds(KEY, "data-hash") and empty.running() == set()
    with pytest.raises(UserError, match=r"record\.json: no such run; run snakemake"):
        empty.read(KEY)
    assert empty.telemetry(KEY) == {}
    assert not empty.root.exists()


def test_replaced(store: RunStore) -> None:
    store.publish(KEY, files(0.75))
    assert store.read(KEY)["result"]["accuracy"] == 0.75
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
        store.publish(KEY, files(0.75))
    assert entries(store) == ([KEY] if replacing else [])
    assert store.has(KEY) == replacing
    if replacing:
        assert store.read(KEY)["result"]["accuracy"] == 0.5


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
        found = store.read(KEY)
    except UserError as error:
        assert str(path) in str(error)
        assert f"delete {store.folder(KEY)} and run snakemake again" in str(error)
        assert not store.holds(KEY, "data-hash")
    else:
        assert name == RECORD and found == good


def rewritten(change: dict[str, Any]) -> bytes:
    """A record with other contents and a right checksum."""
    body = json.loads(files()[RECORD]) | change
    body.pop("sha256")
    return canonical_json(body | {"sha256": json_hash(body)})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (RECORD, b"", "not a record"),
        (RECORD, files()[RECORD][:-1], "not a record"),
        (RECORD, b"\xff\xfe", "not a record"),
        (RECORD, b"[1]", "not a record of version 3"),
        (RECORD, b"null", "not a record of version 3"),
        (RECORD, b'{"version":3}', "checksum does not match"),
        (RECORD, b'{"version":3,"result":NaN}', "checksum does not match|not a record"),
        (RECORD, rewritten({"version": 1}), "not a record of version 3"),
        (RECORD, files(key="f" * 20)[RECORD], "checksum does not match"),
        (RECORD, files(0.6)[RECORD].replace(b"0.6", b"0.9"), "checksum does not match"),
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
    assert str(caught.value).startswith(f"{path}: ")
    assert f"delete {store.folder(KEY)} and run snakemake again" in str(caught.value)
    assert not store.holds(KEY, "data-hash")


def test_moved_to_another_key(store: RunStore) -> None:
    other = "f" * 20
    store.folder(KEY).rename(store.folder(other))
    with pytest.raises(UserError, match="checksum does not match"):
        store.read(other)
    assert not store.holds(other, "data-hash")


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
        assert store.running() == {KEY}
        with store.lock("another run"):
            assert store.running() == {KEY, "another run"}
        assert store.running() == {KEY}
        with holder() as second:
            assert second.stdout is not None and second.stdin is not None
            first.kill()  # the kernel lets go: the second gets it
            assert second.stdout.readline() == "held\n"
            assert store.running() == {KEY}
            second.stdin.close()
        assert second.returncode == 0
    assert store.running() == set()
    with store.lock(KEY):
        assert store.running() == {KEY}


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
