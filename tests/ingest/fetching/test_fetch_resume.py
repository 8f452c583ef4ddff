"""What has arrived of a download is used again, or thrown away where it is of another file."""

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from guidebp.ingest.fetching.fetch import fetch_dataset
from tests.support.http_server import (
    CONTENT,
    OTHER,
    Answer,
    Server,
    contents,
    dropped,
    flipped,
    patient,
    plain,
    raw_file,
    refusal,
    sound,
    status,
    toy,
    write,
)

pytestmark = pytest.mark.usefixtures("nothing_of_this_machine")

PACKED: dict[str, Callable[[bytes], bytes]] = {".xz": lzma.compress, ".gz": gzip.compress}


def test_resumed(tmp_path: Path, server: Server) -> None:
    write(tmp_path / "toy/.a.bin.part", CONTENT[:60_000])
    fetch_dataset("toy", toy(raw_file(url=server.on("/a.bin", sound(CONTENT)))), tmp_path)
    assert contents(tmp_path) == {"a.bin": CONTENT} and server.asked == ["/a.bin bytes=60000-"]


def test_resumed_after_every_lost_connection(tmp_path: Path, server: Server) -> None:
    url = server.on("/a.bin", sound(CONTENT, 70_000), sound(CONTENT, 20_000))
    (line,) = refusal(tmp_path, toy(raw_file(url=url)))
    assert "/a.bin: connection lost" in line and line.endswith(", 2 attempts")
    assert contents(tmp_path) == {".a.bin.part": CONTENT[:90_000]}
    fetch_dataset("toy", toy(raw_file(url=url)), tmp_path)
    assert contents(tmp_path) == {"a.bin": CONTENT}
    assert server.asked == ["/a.bin", "/a.bin bytes=70000-", "/a.bin bytes=90000-"]


def test_lost_connection_of_an_answer_without_length(tmp_path: Path, server: Server) -> None:
    """The catalogue's size tells that something is missing."""
    url = server.on("/a.bin", plain(CONTENT[:70_000], None), sound(CONTENT))
    fetch_dataset("toy", toy(raw_file(url=url)), tmp_path, downloader=patient())
    assert contents(tmp_path) == {"a.bin": CONTENT} and server.asked == ["/a.bin", "/a.bin bytes=70000-"]


def test_answer_without_length(tmp_path: Path, server: Server) -> None:
    for size in (None, len(CONTENT)):
        fetch_dataset(
            "toy", toy(raw_file(size=size, url=server.on("/a.bin", plain(CONTENT, None)))), tmp_path
        )
        assert contents(tmp_path) == {"a.bin": CONTENT}
        (tmp_path / "toy/a.bin").unlink()


def test_server_that_ignores_range(tmp_path: Path, server: Server) -> None:
    write(tmp_path / "toy/.a.bin.part", CONTENT[:60_000])
    fetch_dataset("toy", toy(raw_file(url=server.on("/a.bin", plain(CONTENT)))), tmp_path)
    assert contents(tmp_path) == {"a.bin": CONTENT} and server.asked == ["/a.bin bytes=60000-"]


RANGES = {  # of a file that holds more than the server's, with and without a size in the catalogue
    "part of another version": (flipped(CONTENT[:60_000]), len(CONTENT), ["/a.bin bytes=60000-", "/a.bin"]),
    "whole other version": (flipped(CONTENT), len(CONTENT), ["/a.bin"]),
    "longer than the file": (CONTENT + b"x", len(CONTENT), ["/a.bin"]),
    "whole, size unknown": (CONTENT, None, ["/a.bin bytes=100000-", "/a.bin"]),
    "longer, size unknown": (CONTENT * 2, None, ["/a.bin bytes=200000-", "/a.bin"]),
    "other version, size unknown": (OTHER, None, ["/a.bin bytes=5000-", "/a.bin"]),
}


@pytest.mark.parametrize(("part", "size", "asked"), RANGES.values(), ids=RANGES)
def test_part_that_is_not_the_beginning(
    tmp_path: Path, server: Server, part: bytes, size: int | None, asked: list[str]
) -> None:
    write(tmp_path / "toy/.a.bin.part", part)
    wanted = raw_file(size=size, url=server.on("/a.bin", sound(CONTENT)))
    fetch_dataset("toy", toy(wanted), tmp_path, downloader=patient())
    assert contents(tmp_path) == {"a.bin": CONTENT} and server.asked == asked


@pytest.mark.parametrize("packing", [".xz", ".gz"])
def test_part_of_another_packed_file(tmp_path: Path, server: Server, packing: str) -> None:
    packed = PACKED[packing](CONTENT)
    write(tmp_path / f"toy/.a.bin.part{packing}", flipped(packed)[:40_000])
    server.on(f"/a.bin{packing}", sound(packed))
    fetch_dataset("toy", toy(raw_file()), tmp_path, [server.address])
    assert contents(tmp_path) == {"a.bin": CONTENT}
    assert server.asked[-2:] == [f"/a.bin{packing} bytes=40000-", f"/a.bin{packing}"]


def test_packed_part_is_resumed_and_removed(tmp_path: Path, server: Server) -> None:
    packed = gzip.compress(CONTENT)
    server.on("/a.bin.gz", sound(packed, 30_000), status(404))
    refusal(tmp_path, toy(raw_file()), server.address)
    assert contents(tmp_path) == {".a.bin.part.gz": packed[:30_000]}
    server.on("/a.bin.gz", sound(packed))
    fetch_dataset("toy", toy(raw_file()), tmp_path, [server.address])
    assert server.asked[-1] == "/a.bin.gz bytes=30000-" and contents(tmp_path) == {"a.bin": CONTENT}


def test_nothing_is_left_of_a_source_that_failed(tmp_path: Path, server: Server) -> None:
    server.on("/mirror/a.bin", sound(CONTENT, 30_000), status(404))
    server.on("/mirror/a.bin.gz", sound(gzip.compress(CONTENT), 30_000), status(404))
    url = server.on("/a.bin", sound(CONTENT))
    fetch_dataset("toy", toy(raw_file(url=url)), tmp_path, [f"{server.address}/mirror"], downloader=patient())
    assert contents(tmp_path) == {"a.bin": CONTENT} and server.asked[-1] == "/a.bin bytes=30000-"


@pytest.mark.parametrize(
    "first", [status(500), status(503), status(429), dropped], ids=["500", "503", "429", "cut"]
)
def test_passing_failure(tmp_path: Path, server: Server, first: Answer) -> None:
    url = server.on("/a.bin", first, sound(CONTENT))
    fetch_dataset("toy", toy(raw_file(url=url)), tmp_path, downloader=patient())
    assert contents(tmp_path) == {"a.bin": CONTENT} and server.asked == ["/a.bin", "/a.bin"]


def test_lasting_failure_is_not_asked_for_twice(tmp_path: Path, server: Server) -> None:
    (line,) = refusal(tmp_path, toy(raw_file(url=f"{server.address}/a.bin")))
    assert line.endswith("/a.bin: HTTP 404") and server.asked == ["/a.bin"]
