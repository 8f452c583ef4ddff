"""Everything that can be wrong with a source: it is passed over or named, and never leaves a wrong file."""

import gzip
import hashlib
import io
import lzma
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guidebp.ingest.fetching.fetch import fetch_dataset
from tests.support.http_server import (
    CONTENT,
    HTML,
    OTHER,
    Answer,
    Server,
    contents,
    dropped,
    endless,
    flipped,
    patient,
    plain,
    raw_file,
    refusal,
    refusing,
    serving,
    silence,
    sound,
    status,
    toy,
    trickle,
    write,
)

pytestmark = pytest.mark.usefixtures("nothing_of_this_machine")

PACKED: dict[str, Callable[[bytes], bytes]] = {".xz": lzma.compress, ".gz": gzip.compress}


# What an address answers, what of the catalogue's entry is known besides, and the reason that is given.
ANSWERS: dict[str, tuple[Answer, dict[str, Any], str]] = {
    "truncated": (plain(CONTENT[:-1]), {}, "offers 99999 bytes, expected 100000"),
    "truncated, size unknown": (plain(CONTENT[:-1]), {"size": None}, "has sha256 "),
    "truncated, no length": (plain(CONTENT[:-1], None), {}, "connection lost, 2 attempts"),
    "longer": (plain(CONTENT + b"x"), {}, "offers 100001 bytes, expected 100000"),
    "longer, no length": (plain(CONTENT + b"x", None), {}, "sends more than 100000 bytes"),
    "bit flipped": (plain(flipped(CONTENT)), {}, "has sha256 "),
    "last bit flipped": (plain(flipped(CONTENT, -1)), {"size": None}, "has sha256 "),
    "wrong md5": (plain(CONTENT), {"sha256": None, "md5": "0" * 32}, f"expected {'0' * 32}"),
    "right md5, wrong sha256": (
        plain(CONTENT),
        {"md5": hashlib.md5(CONTENT).hexdigest(), "sha256": "0" * 64},
        f"expected {'0' * 64}",
    ),
    "empty": (plain(b""), {}, "offers 0 bytes, expected 100000"),
    "empty, size unknown": (plain(b""), {"size": None}, "is empty"),
    "page": (plain(HTML), {}, f"offers {len(HTML)} bytes, expected 100000"),
    "page, size unknown": (plain(HTML), {"size": None}, "is a web page, not data, and has sha256 "),
    "claims more": (plain(CONTENT, len(CONTENT) + 1), {}, "offers 100001 bytes, expected 100000"),
    "claims more, size unknown": (plain(CONTENT, len(CONTENT) + 1), {"size": None}, "attempts"),
    "claims less": (plain(CONTENT, 4000), {}, "offers 4000 bytes, expected 100000"),
    "claims less, size unknown": (plain(CONTENT, 4000), {"size": None}, "has sha256 "),
    "always cut": (sound(CONTENT, 1000), {}, "connection lost"),
    "cut before the answer": (dropped, {}, "connection lost"),
    "endless": (endless, {}, "sends more than 100000 bytes"),
    "401": (status(401), {}, "HTTP 401"),
    "404": (status(404), {}, "HTTP 404"),
    "500": (status(500), {}, "HTTP 500, 2 attempts"),
    "503": (status(503), {}, "HTTP 503, 2 attempts"),
    "416": (status(416), {}, "the server has less than was there, 2 attempts"),
    "nothing new": (status(304), {}, "HTTP 304"),
}


@pytest.mark.parametrize(("answer", "known", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_bad_answer(
    tmp_path: Path, server: Server, answer: Answer, known: dict[str, Any], reason: str
) -> None:
    """Alone it is one line, the next file comes all the same; with another source the right file comes."""
    bad, good = server.on("/bad/a.bin", answer), server.on("/good/a.bin", sound(CONTENT))
    wanted = raw_file(url=bad, **known)
    dataset = toy(wanted, raw_file("b.bin", OTHER, url=server.on("/b.bin", sound(OTHER))))
    (line,) = refusal(tmp_path, dataset)
    assert line.startswith(f"{tmp_path}/toy/a.bin: not to be had ({wanted.description}); put it there")
    assert (
        line.partition("tried: ")[2].startswith(f"{bad}: ") and reason in line and "guidebp fetch toy" in line
    )
    found = contents(tmp_path)
    assert found.pop("b.bin") == OTHER and set(found) <= {".a.bin.part"} and "fetched.json" not in found
    if "sha256" not in known:
        fetch_dataset(
            "toy", toy(raw_file(url=good, **known)), tmp_path, [f"{server.address}/bad"], downloader=patient()
        )
        assert contents(tmp_path) == {"a.bin": CONTENT, "b.bin": OTHER}


@pytest.mark.slow
@pytest.mark.parametrize("silent", [True, False], ids=["silence", "trickle"])
def test_slow_source(tmp_path: Path, server: Server, silent: bool) -> None:
    """It is given up after the time limit and resumed at the next; a host without any answer is asked no more."""
    server.on("/a.bin", silence if silent else trickle(CONTENT))
    server.on("/b.bin", silence if silent else trickle(OTHER))
    with serving() as other:
        files = [raw_file(url=other.on("/a.bin", sound(CONTENT))), raw_file("b.bin", OTHER)]
        other.on("/b.bin", sound(OTHER))
        mirrors = [server.address, other.address]
        fetch_dataset("toy", toy(*files), tmp_path, mirrors, downloader=patient(1.0))
        assert contents(tmp_path) == {"a.bin": CONTENT, "b.bin": OTHER}
        if silent:
            assert server.asked == ["/a.bin", "/a.bin"] and other.asked == ["/a.bin", "/b.bin"]
        else:
            assert server.asked[0] == "/a.bin" and server.asked[1].startswith("/a.bin bytes=")
            assert [path.partition("=")[0] for path in other.asked] == ["/a.bin bytes", "/b.bin bytes"]


def test_slow_source_alone(tmp_path: Path, server: Server) -> None:
    for path, answer in {"/a.bin": silence, "/b.bin": silence}.items():
        server.on(path, answer)
    dataset = toy(
        raw_file(url=f"{server.address}/a.bin"), raw_file("b.bin", OTHER, url=f"{server.address}/b.bin")
    )
    first, second = refusal(tmp_path, dataset, downloader=patient(0.2))
    assert first.endswith("/a.bin: no answer within 0.2 s, 2 attempts") and second.endswith(
        "gave no answer above"
    )
    server.on("/a.bin", trickle(CONTENT))
    line = refusal(tmp_path, toy(raw_file(url=f"{server.address}/a.bin")), downloader=patient(0.2))[0]
    assert line.endswith("/a.bin: less than 1000 bytes a second, 2 attempts")
    (left,) = contents(tmp_path).items()
    assert left[0] == ".a.bin.part" and left[1] and CONTENT.startswith(left[1])


def test_vanished_mirrors(tmp_path: Path, server: Server) -> None:
    """A folder that is gone and an address that refuses: asked once, not for every file and packing."""
    gone, files = [str(tmp_path / "gone"), refusing()], [raw_file(), raw_file("b.bin", OTHER)]
    first, second = refusal(tmp_path, toy(*files), *gone)
    assert first.count("gone: no such folder") == 1 == second.count("gone: no such folder")
    assert first.count("no connection") == 1 and first.count("gave no answer above") == 2
    assert "no connection" not in second and second.count("gave no answer above") == 3
    for path, content in {"/a.bin": CONTENT, "/b.bin": OTHER}.items():
        server.on(path, sound(content))
    fetch_dataset("toy", toy(*files), tmp_path, [*gone, server.address])
    assert contents(tmp_path) == {"a.bin": CONTENT, "b.bin": OTHER}


@pytest.mark.parametrize(
    ("mirror", "reason"),
    {
        "": "no such file",
        "file": "no such folder",
        "~nobody-at-all/x": "no such folder",
        "ftp://127.0.0.1/x": "no such folder",
        "http://": "no usable address",
        "http://[::1": "no usable address",
        "https://a b/": "no usable address",
    }.items(),
    ids=str,
)
def test_name_that_is_no_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, mirror: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "file", CONTENT)
    (line,) = refusal(tmp_path, toy(raw_file()), mirror)
    assert reason in line
    server.on("/a.bin", sound(CONTENT))
    fetch_dataset("toy", toy(raw_file()), tmp_path, [mirror, server.address])
    assert contents(tmp_path) == {"a.bin": CONTENT}


# What a mirror folder holds in the place of a.bin, and the reason that is given.
COPIES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "truncated": ("", lambda: CONTENT[:-1], "has 99999 bytes, expected 100000"),
    "longer": ("", lambda: CONTENT + b"x", "has 100001 bytes, expected 100000"),
    "bit flipped": ("", lambda: flipped(CONTENT), "has sha256 "),
    "empty": ("", lambda: b"", "is empty"),
    "page": ("", lambda: HTML, "is a web page, not data, and has "),
    "xz truncated": (".xz", lambda: lzma.compress(CONTENT)[:-20], "damaged ("),
    "xz flipped": (".xz", lambda: flipped(lzma.compress(CONTENT)), "damaged ("),
    "xz of another file": (".xz", lambda: lzma.compress(OTHER), "has 5000 bytes, expected 100000"),
    "xz empty": (".xz", lambda: b"", "is empty"),
    "xz bomb": (
        ".xz",
        lambda: lzma.compress(bytes(5_000_000)),
        "refused: holds more than the 100000 bytes expected",
    ),
    "gz truncated": (".gz", lambda: gzip.compress(CONTENT)[:-20], "damaged ("),
    "gz flipped": (".gz", lambda: flipped(gzip.compress(CONTENT)), "damaged ("),
    "gz bomb": (
        ".gz",
        lambda: gzip.compress(bytes(5_000_000)),
        "refused: holds more than the 100000 bytes expected",
    ),
    "gz page": (".gz", lambda: HTML, "is a web page, not data, and has "),
}


@pytest.mark.parametrize("by_address", [False, True], ids=["folder", "address"])
@pytest.mark.parametrize(("packing", "make", "reason"), COPIES.values(), ids=COPIES)
def test_bad_copy(
    tmp_path: Path, server: Server, packing: str, make: Callable[[], bytes], reason: str, by_address: bool
) -> None:
    held = make()
    path = write(tmp_path / f"mirror/a.bin{packing}", held)
    if by_address:
        server.on(f"/mirror/a.bin{packing}", sound(held) if held else plain(held))
        if not packing:
            reason = "offers " if len(held) != len(CONTENT) else reason
    mirror = f"{server.address}/mirror" if by_address else str(path.parent)
    (line,) = refusal(tmp_path, toy(raw_file()), mirror)
    assert reason in line and f"{mirror}/a.bin{packing}: " in line
    assert contents(tmp_path) == {}
    fetch_dataset("toy", toy(raw_file(url=server.on("/a.bin", sound(CONTENT)))), tmp_path, [mirror])
    assert contents(tmp_path) == {"a.bin": CONTENT} and path.read_bytes() == held


def test_packed_answer_without_end(tmp_path: Path, server: Server) -> None:
    """It ends soon after the size of the file: packing makes nothing much larger."""
    for packing in PACKED:
        server.on(f"/mirror/a.bin{packing}", endless)
    (line,) = refusal(tmp_path, toy(raw_file()), f"{server.address}/mirror")
    assert line.count("sends more than 116596 bytes") == 2 and contents(tmp_path) == {}


def test_damaged_file_stays_when_nothing_better_is_had(tmp_path: Path) -> None:
    write(tmp_path / "toy/a.bin", flipped(CONTENT))
    (line,) = refusal(tmp_path, toy(raw_file()))
    assert f"tried: {tmp_path}/toy/a.bin: has sha256 " in line and contents(tmp_path) == {
        "a.bin": flipped(CONTENT)
    }


Member = tuple[str, bytes, dict[str, Any]]


def member(name: str = "in/b.bin", content: bytes = b"", **header: Any) -> Member:
    return name, content, header


def tar(*members: Member) -> bytes:
    """A tar.gz archive of members with these headers."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
        for name, content, header in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in header.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


GOOD = member("in/a.bin", CONTENT, mode=0o7777)
HELD: dict[str, tuple[Callable[[], bytes], str]] = {
    "symbolic link": (lambda: tar(GOOD, member(type=tarfile.SYMTYPE, linkname="../../../x")), "refused: "),
    "hard link": (lambda: tar(GOOD, member(type=tarfile.LNKTYPE, linkname="in/a.bin")), "refused: "),
    "device": (lambda: tar(GOOD, member(type=tarfile.CHRTYPE)), "refused: "),
    "absolute path": (lambda: tar(GOOD, member("/b.bin", OTHER)), "refused: "),
    "upwards": (lambda: tar(GOOD, member("in/../../b.bin", OTHER)), "refused: "),
    "upwards, zip": (lambda: zipped({"in/a.bin": CONTENT, "../b.bin": OTHER}), "refused: "),
    "bomb": (lambda: tar(GOOD, member(content=bytes(100 << 20))), "refused: "),
    "bomb, zip": (lambda: zipped({"in/a.bin": CONTENT, "in/b.bin": bytes(100 << 20)}), "refused: "),
    "truncated": (lambda: tar(GOOD, member(content=OTHER))[:-2000], "damaged ("),
    "bit flipped": (lambda: flipped(tar(GOOD, member(content=OTHER)), 50_000), "damaged ("),
    "truncated, zip": (lambda: zipped({"in/a.bin": CONTENT, "in/b.bin": OTHER})[:-40], "damaged ("),
    "bit flipped, zip": (lambda: flipped(zipped({"in/a.bin": CONTENT, "in/b.bin": OTHER})), "damaged ("),
    "no archive": (lambda: OTHER, "damaged ("),
    "page": (lambda: HTML, "damaged ("),
    "file lacking": (lambda: tar(GOOD), "holds no in/b.bin"),
}


@pytest.mark.parametrize(("make", "reason"), HELD.values(), ids=HELD)
def test_bad_archive(tmp_path: Path, server: Server, make: Callable[[], bytes], reason: str) -> None:
    """Even with the right checksum: none of it is taken; what the archive is not needed for comes."""
    held = make()
    archive = raw_file("all.tgz", held, url=server.on("/all.tgz", sound(held)))
    files = [raw_file("in/a.bin"), raw_file("in/b.bin", OTHER), raw_file("c.bin", OTHER[::-1])]
    write(tmp_path / "mirror/c.bin", OTHER[::-1])
    (line,) = refusal(tmp_path / "raw", toy(*files, archive=archive), str(tmp_path / "mirror"))
    assert line.startswith(f"{tmp_path}/raw/toy/all.tgz: {reason}") and "; delete it and " in line
    assert contents(tmp_path / "raw") == {"all.tgz": held, "c.bin": OTHER[::-1]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mirror", "raw"]


def test_archive_with_a_wrong_member(tmp_path: Path, server: Server) -> None:
    """Only that one is refused."""
    held = tar(GOOD, member("in/b.bin", flipped(OTHER)), member("in/c.bin", OTHER[::-1]))
    archive = raw_file("all.tgz", held, url=server.on("/all.tgz", sound(held)))
    files = [raw_file("in/a.bin"), raw_file("in/b.bin", OTHER), raw_file("in/c.bin", OTHER[::-1])]
    (line,) = refusal(tmp_path, toy(*files, archive=archive))
    assert line.startswith(f"{tmp_path}/toy/all.tgz: in/b.bin in it has sha256 ") and "fetch again" in line
    assert contents(tmp_path) == {"all.tgz": held, "in/a.bin": CONTENT, "in/c.bin": OTHER[::-1]}
    assert (tmp_path / "toy/in/a.bin").stat().st_mode & 0o7133 == 0


def test_damaged_archive_is_fetched_again(tmp_path: Path, server: Server) -> None:
    held = tar(GOOD, member("in/b.bin", OTHER))
    archive = raw_file("all.tgz", held, url=server.on("/all.tgz", sound(held)))
    write(tmp_path / "toy/all.tgz", held[:-1000])
    fetch_dataset("toy", toy(raw_file("in/a.bin"), archive=archive), tmp_path)
    assert contents(tmp_path) == {"all.tgz": held, "in/a.bin": CONTENT}


class Trap:
    """Unpickling it makes a folder."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, ("executed",)


def test_nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    """Neither a pickle, nor a script, nor a package with such a name, however it comes."""
    monkeypatch.chdir(tmp_path)
    trap = pickle.dumps(Trap())
    script = b"#!/bin/sh\nmkdir executed\n"
    held = tar(member("in/batch", trap, mode=0o777))
    files = [
        raw_file("data.pkl", trap, url=server.on("/data.pkl", sound(trap))),
        raw_file("run.sh", script, url=server.on("/run.sh", sound(script))),
        raw_file("sitecustomize.py", b"import os; os.mkdir('executed')\n", package="toy_trap/__init__.py"),
        raw_file("in/batch", trap),
    ]
    write(tmp_path / "site/toy_trap/__init__.py", b"import os; os.mkdir('executed')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    archive = raw_file("all.tgz", held, url=server.on("/all.tgz", sound(held)))
    fetch_dataset("toy", toy(*files, archive=archive), tmp_path / "raw")
    assert len(contents(tmp_path / "raw")) == 5 and not (tmp_path / "executed").exists()
    assert all(not path.stat().st_mode & 0o111 for path in (tmp_path / "raw").rglob("*") if path.is_file())
    with pytest.raises(FileExistsError):  # the trap is one
        (tmp_path / "executed").mkdir()
        pickle.loads(trap)
