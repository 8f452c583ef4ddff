"""`guidebp fetch` as processes of its own: killed, several at once, without room, without rights."""

import io
import json
import lzma
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from guidebp.ingest.fetching.fetch import fetch_dataset
from tests.support.http_server import (
    CONTENT,
    OTHER,
    SOON,
    CommandRunner,
    Server,
    contents,
    project,
    raw_file,
    refusal,
    sound,
    start,
    toy,
    write,
)

pytestmark = [pytest.mark.usefixtures("nothing_of_this_machine"), pytest.mark.slow]

GUIDEBP = ("-m", "guidebp.cli")
# Everything is imported before anything happens.
READY = """
import os, sys
import encodings.idna, guidebp.ingest.fetching.fetch, guidebp.schema.catalogue, guidebp.schema.yaml_files
import guidebp.paths
from guidebp.cli import main
"""
# Children that fetch at once; each says when it begins.
AT_ONCE = """
children = []
for _ in range(int(sys.argv[1])):
    children.append(os.fork())
    if not children[-1]:
        os.write(1, b"begins\\n")
        os._exit(main(["fetch", "toy"]))
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def said(errors: str) -> list[str]:
    """The lines of the command, without the progress bar; no traceback is among them."""
    assert "Traceback" not in errors
    return [
        line[line.index("guidebp fetch: ") :] for line in errors.splitlines() if "guidebp fetch: " in line
    ]


def zipped(name: str, content: bytes) -> bytes:
    """A zip archive of one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def test_killed_download_is_resumed(tmp_path: Path, server: Server, commands: CommandRunner) -> None:
    hold = threading.Event()
    url = server.on("/a.bin", sound(CONTENT, 80_000, hold), sound(CONTENT))
    folder = project(tmp_path / "p", toy(raw_file(url=url)))
    raw, part = folder / "data/raw", folder / "data/raw/toy/.a.bin.part"
    with start(folder, *GUIDEBP, "fetch", "toy") as process:
        patience = iter(range(SOON * 50))
        while not part.exists() or part.stat().st_size < 50_000:
            next(patience)
            assert process.poll() is None and not hold.wait(0.02)
        process.send_signal(signal.SIGKILL)
        errors = process.communicate()[1]
    hold.set()
    assert process.returncode == -signal.SIGKILL and "Traceback" not in errors
    (left,) = contents(raw).items()
    assert left[0] == ".a.bin.part" and CONTENT.startswith(left[1]) and server.asked == ["/a.bin"]
    code, errors = commands.run(folder, "fetch", "toy")
    assert code == 0, errors
    assert server.asked == ["/a.bin", f"/a.bin bytes={len(left[1])}-"] and contents(raw) == {"a.bin": CONTENT}


def test_several_at_once_ask_once(tmp_path: Path, server: Server) -> None:
    """The server holds the second half back until all have begun."""
    count, hold = 8, threading.Event()
    files = [
        raw_file(url=server.on("/a.bin", sound(CONTENT, 50_000, hold))),
        raw_file("b.bin", OTHER, url=server.on("/b.bin", sound(OTHER))),
        raw_file("c.bin", OTHER[::-1]),
    ]
    held = zipped("c.bin", OTHER[::-1])
    archive = raw_file("all.zip", held, url=server.on("/all.zip", sound(held)))
    folder = project(tmp_path / "p", toy(*files, archive=archive))
    with start(folder, "-c", READY + AT_ONCE, str(count)) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(count)] == ["begins\n"] * count
        hold.set()
        output, errors = process.communicate(timeout=SOON)
    assert output == f"{[0] * count}\n" and "Traceback" not in errors
    assert sorted(server.asked) == ["/a.bin", "/all.zip", "/b.bin"]
    wanted = {"a.bin": CONTENT, "all.zip": held, "b.bin": OTHER, "c.bin": OTHER[::-1]}
    assert contents(folder / "data/raw") == wanted


def test_file_larger_than_the_process_may_write(
    tmp_path: Path, server: Server, commands: CommandRunner
) -> None:
    url = server.on("/a.bin", sound(CONTENT))
    folder = project(
        tmp_path / "p",
        toy(raw_file("b.bin", OTHER, url=server.on("/b.bin", sound(OTHER))), raw_file(url=url)),
    )
    code, errors = commands.run(folder, "fetch", "toy", file_size=65536)
    (line,) = said(errors)
    assert code == 2 and line.startswith("guidebp fetch: data/raw/toy/a.bin: File too large; raise the limit")
    assert contents(folder / "data/raw") == {"b.bin": OTHER, ".a.bin.part": CONTENT[:65536]}
    assert commands.run(folder, "fetch", "toy")[0] == 0
    assert contents(folder / "data/raw") == {"a.bin": CONTENT, "b.bin": OTHER}
    assert server.asked == ["/b.bin", "/a.bin", "/a.bin bytes=65536-"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounter, unmounter = shutil.which("mount"), shutil.which("umount")
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not mounter or not unmounter or subprocess.run([mounter, *options], capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run([unmounter, str(folder)], check=True)


def mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True)


@pytest.mark.parametrize("source", ["address", "packed address", "folder", "packed folder", "package"])
def test_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_disk: Path, server: Server, source: str
) -> None:
    """What has arrived stays for when there is room."""
    packing = ".xz" if source.startswith("packed") else ""
    held = lzma.compress(CONTENT) if packing else CONTENT
    server.on(f"/a.bin{packing}", sound(held))
    write(tmp_path / f"mirror/a.bin{packing}", held)
    write(tmp_path / "site/toy_package/a.bin", CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    mirror = server.address if source.endswith("address") else str(tmp_path / "mirror")
    dataset = toy(raw_file(package="toy_package/a.bin" if source == "package" else None))
    mirrors = [] if source == "package" else [mirror]
    (line,) = refusal(small_disk, dataset, *mirrors)
    assert line == f"{small_disk}/toy/a.bin: No space left on device; free some space and run the same again"
    ((name, left),) = contents(small_disk).items()
    assert name == f".a.bin.part{packing if 'address' in source else ''}"
    assert (held if "address" in source else CONTENT).startswith(left) and left
    mount("-o", "remount,size=1m", str(small_disk))
    fetch_dataset("toy", dataset, small_disk, mirrors)
    assert contents(small_disk) == {"a.bin": CONTENT}
    if source == "address":
        assert server.asked == ["/a.bin", f"/a.bin bytes={len(left)}-"]


def test_full_disk_while_unpacking(small_disk: Path) -> None:
    """The archive has room, what it holds has none: nothing half-written is left."""
    held = zipped("b.bin", bytes(len(CONTENT)))
    write(small_disk / "toy/all.zip", held)
    dataset = toy(raw_file("b.bin", bytes(len(CONTENT))), archive=raw_file("all.zip", held))
    (line,) = refusal(small_disk, dataset)
    assert line == f"{small_disk}/toy: No space left on device; free some space and run the same again"
    assert contents(small_disk) == {"all.zip": held}


def test_read_only_disk(small_disk: Path, tmp_path: Path) -> None:
    write(tmp_path / "mirror/a.bin", OTHER)
    dataset, mirror = toy(raw_file("a.bin", OTHER)), str(tmp_path / "mirror")
    mount("-o", "remount,ro", str(small_disk))
    (line,) = refusal(small_disk, dataset, mirror)
    assert line.startswith(f"{small_disk}/") and "; mount it writable or work elsewhere and run" in line
    mount("-o", "remount,rw", str(small_disk))
    fetch_dataset("toy", dataset, small_disk, [mirror])
    mount("-o", "remount,ro", str(small_disk))
    fetch_dataset("toy", dataset, small_disk)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that somebody else may enter; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        if os.geteuid() == 0 and not all(above.stat().st_mode & 1 for above in folder.parents):
            pytest.skip(f"nobody else may enter {folder.parent}")
        yield folder


def test_without_rights(open_folder: Path, commands: CommandRunner) -> None:
    """A folder that is complete needs no right to write."""
    folder = project(open_folder / "p", toy(raw_file("a.bin", OTHER)), mirrors=["mirror"])
    write(folder / "mirror/a.bin", OTHER)
    raw = folder / "data/raw"
    (raw / "toy").mkdir(parents=True)
    raw.chmod(0o555)
    code, errors = commands.run(folder, "fetch", "toy", as_nobody=True)
    (line,) = said(errors)
    assert code == 2 and line.startswith("guidebp fetch: data/raw/.locks: Permission denied; give yourself ")
    assert list(raw.rglob("*")) == [raw / "toy"]
    raw.chmod(0o777)
    (raw / "toy").chmod(0o555)
    code, errors = commands.run(folder, "fetch", "toy", as_nobody=True)
    (line,) = said(errors)
    assert code == 2 and line.startswith(
        "guidebp fetch: data/raw/toy/a.bin: Permission denied; give yourself "
    )
    assert contents(raw) == {}
    (raw / "toy").chmod(0o777)
    assert commands.run(folder, "fetch", "toy", as_nobody=True)[0] == 0
    (raw / "toy").chmod(0o555)
    raw.chmod(0o555)
    assert commands.run(folder, "fetch", "toy", as_nobody=True)[0] == 0
    assert contents(raw) == {"a.bin": OTHER}


def test_mirrors_that_may_not_be_read(open_folder: Path, commands: CommandRunner) -> None:
    """They are passed over; alone, they are said to be the reason."""
    folder = project(
        open_folder / "p", toy(raw_file("a.bin", OTHER)), mirrors=["file", "folder", "above/folder"]
    )
    for mirror in ("file", "folder", "above/folder", "right"):
        write(folder / mirror / "a.bin", OTHER)
    for path in ("file/a.bin", "folder", "above"):
        (folder / path).chmod(0)
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/raw").chmod(0o777)
    code, errors = commands.run(folder, "fetch", "toy", as_nobody=True)
    (line,) = said(errors)
    assert code == 2 and "data/raw/toy/a.bin: not to be had" in line
    for mirror in ("file", "folder", "above/folder"):
        assert f"{mirror}/a.bin: cannot be read (Permission denied)" in line
    config = json.loads((folder / "config/config.yaml").read_text())
    (folder / "config/config.yaml").write_text(json.dumps({"mirrors": [*config["mirrors"], "right"]}))
    assert commands.run(folder, "fetch", "toy", as_nobody=True)[0] == 0
    assert contents(folder / "data/raw") == {"a.bin": OTHER}


def test_mirror_on_a_failing_disk(tmp_path: Path) -> None:
    """/proc/self/mem is a file that opens and cannot be read."""
    memory = Path("/proc/self/mem")
    if not memory.exists():
        pytest.skip("needs Linux's /proc")
    for packing in ("", ".xz"):
        (tmp_path / "bad").mkdir(exist_ok=True)
        (tmp_path / f"bad/a.bin{packing}").symlink_to(memory)
    write(tmp_path / "good/a.bin", CONTENT)
    (line,) = refusal(tmp_path / "raw", toy(raw_file()), str(tmp_path / "bad"))
    assert line.count("cannot be read (Input/output error)") == 2
    fetch_dataset("toy", toy(raw_file()), tmp_path / "raw", [str(tmp_path / "bad"), str(tmp_path / "good")])
    assert contents(tmp_path / "raw") == {"a.bin": CONTENT}


@pytest.mark.parametrize("path", ["raw", "raw/toy", "raw/toy/in", "raw/.locks"])
def test_file_where_a_folder_should_be(tmp_path: Path, path: str) -> None:
    write(tmp_path / "mirror/in/a.bin", CONTENT)
    blocking = write(tmp_path / path, b"something else")
    (line,) = refusal(tmp_path / "raw", toy(raw_file("in/a.bin")), str(tmp_path / "mirror"))
    assert line.startswith(str(blocking)) and "a file stands where a folder should be: move it away" in line
    assert blocking.read_bytes() == b"something else"


def test_folder_where_the_file_should_be(tmp_path: Path) -> None:
    write(tmp_path / "mirror/a.bin", CONTENT)
    kept = write(tmp_path / "raw/toy/a.bin/kept", OTHER)
    (line,) = refusal(tmp_path / "raw", toy(raw_file()), str(tmp_path / "mirror"))
    assert line.startswith(f"{tmp_path}/raw/toy/a.bin: ") and "a folder stands where a file should be" in line
    assert kept.read_bytes() == OTHER
