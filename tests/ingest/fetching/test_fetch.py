"""Fetching: which source is used, what is asked of it, what is noted; the real catalogue and the real files."""

import gzip
import hashlib
import json
import lzma
import os
import socket
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guidebp.cli import main
from guidebp.ingest.fetching.fetch import FileFetcher, fetch_dataset
from guidebp.ingest.fetching.locations import FileLocations, list_mirrors
from tests.support.http_server import (
    CONTENT,
    HTML,
    OTHER,
    Server,
    contents,
    flipped,
    patient,
    plain,
    project,
    raw_file,
    refusal,
    refusing,
    sound,
    toy,
    write,
)

pytestmark = pytest.mark.usefixtures("nothing_of_this_machine")

MIRRORS = os.environ.get("GUIDEBP_MIRRORS", "")
REAL = ["mnist", "fashion-mnist", "cifar-10", "cmaterdb"]
PACKED: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".xz": lzma.compress, ".gz": gzip.compress}
FORBIDDEN = "http://never.invalid"  # an address that must not be asked


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was used"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("a name was looked up"))


def test_intact_file_is_left_alone(tmp_path: Path, server: Server) -> None:
    path = write(tmp_path / "toy/a.bin", CONTENT)
    write(tmp_path / "mirror/a.bin", CONTENT)
    before = path.stat()
    mirrors = [str(tmp_path / "mirror"), server.address]
    fetch_dataset("toy", toy(raw_file(url=server.on("/a.bin", sound(CONTENT)))), tmp_path, mirrors)
    assert path.stat() == before and server.asked == []


@pytest.mark.parametrize(
    "damaged", [CONTENT[:-1], flipped(CONTENT), b"", HTML], ids=["short", "bit", "0", "html"]
)
def test_damaged_file_is_replaced(tmp_path: Path, server: Server, damaged: bytes) -> None:
    write(tmp_path / "toy/a.bin", damaged)
    fetch_dataset("toy", toy(raw_file(url=server.on("/a.bin", sound(CONTENT)))), tmp_path)
    assert contents(tmp_path) == {"a.bin": CONTENT} and server.asked == ["/a.bin"]


@pytest.mark.parametrize("packing", PACKED)
def test_mirror_folder(tmp_path: Path, no_network: None, packing: str) -> None:
    write(tmp_path / f"mirror/deep/a.bin{packing}", PACKED[packing](CONTENT))
    dataset = toy(raw_file("deep/a.bin", url=f"{FORBIDDEN}/a.bin"))
    fetch_dataset("toy", dataset, tmp_path / "raw", [str(tmp_path / "mirror")])
    assert contents(tmp_path / "raw") == {"deep/a.bin": CONTENT}


@pytest.mark.parametrize("packing", PACKED)
def test_mirror_address(tmp_path: Path, server: Server, packing: str) -> None:
    server.on(f"/pub/deep/a.bin{packing}", sound(PACKED[packing](CONTENT)))
    dataset = toy(raw_file("deep/a.bin", url=f"{server.address}/official"))
    fetch_dataset("toy", dataset, tmp_path, [f"{server.address}/pub/"])
    assert contents(tmp_path) == {"deep/a.bin": CONTENT}
    order = ["/pub/deep/a.bin", "/pub/deep/a.bin.xz", "/pub/deep/a.bin.gz"]
    assert server.asked == order[: list(PACKED).index(packing) + 1]


def test_mirrors_in_turn(tmp_path: Path, server: Server) -> None:
    """The first that has the right file wins; broken ones, folder or address, are passed over."""
    mirrors = [str(tmp_path / name) for name in ("gone", "empty", "wrong", "damaged", "right", "never")]
    (tmp_path / "empty").mkdir()
    write(tmp_path / "wrong/a.bin", flipped(CONTENT))
    write(tmp_path / "damaged/a.bin.xz", lzma.compress(CONTENT)[:-9])
    write(tmp_path / "right/a.bin.gz", gzip.compress(CONTENT))
    (tmp_path / "never/a.bin").mkdir(parents=True)
    dataset = toy(raw_file())
    fetch_dataset("toy", dataset, tmp_path / "raw", [f"{server.address}/x", *mirrors, f"{server.address}/y"])
    assert contents(tmp_path / "raw") == {"a.bin": CONTENT}
    assert server.asked == ["/x/a.bin", "/x/a.bin.xz", "/x/a.bin.gz"]
    line = refusal(tmp_path / "2", dataset, *mirrors[:4], mirrors[5])[0]
    parts = [
        "gone: no such folder",
        "empty/a.bin: no such file",
        "wrong/a.bin: has sha256",
        "never/a.bin: no such file",
    ]
    assert [part for part in [*parts, "damaged/a.bin.xz: "] if part not in line] == []


def test_mirror_comes_before_package_and_address(tmp_path: Path, no_network: None) -> None:
    write(tmp_path / "mirror/digits.csv.gz", OTHER)
    wanted = raw_file(
        "digits.csv.gz", OTHER, package="sklearn/datasets/data/digits.csv.gz", url=f"{FORBIDDEN}/d"
    )
    fetch_dataset("toy", toy(wanted), tmp_path, [str(tmp_path / "mirror")])
    assert contents(tmp_path) == {"digits.csv.gz": OTHER}


def test_package_comes_before_the_address_and_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None
) -> None:
    write(tmp_path / "site/toy_package/__init__.py", b"raise SystemExit('imported')")
    write(tmp_path / "site/toy_package/data/a.bin", CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    dataset = toy(raw_file(package="toy_package/data/a.bin", url=f"{FORBIDDEN}/a.bin"))
    fetch_dataset("toy", dataset, tmp_path / "raw", [str(tmp_path / "no mirror")])
    assert contents(tmp_path / "raw") == {"a.bin": CONTENT} and "toy_package" not in sys.modules


@pytest.mark.parametrize("package", ["toy_nowhere/a.bin", "toy.nowhere/a.bin", "json/a.bin", "sys/a.bin"])
def test_address_when_the_package_has_nothing(tmp_path: Path, server: Server, package: str) -> None:
    wanted = raw_file(package=package, url=server.on("/a.bin", sound(CONTENT)))
    fetch_dataset("toy", toy(wanted), tmp_path)
    assert contents(tmp_path) == {"a.bin": CONTENT} and server.asked == ["/a.bin"]
    line = refusal(tmp_path / "2", toy(raw_file(package=package)))[0]
    assert f"package {package}: " in line and "a.bin is not installed; run: make setup" in line


def pack(path: Path, files: dict[str, bytes]) -> bytes:
    """A tar or zip archive; its bytes."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        source = path.with_name("source")
        with tarfile.open(path, "w:gz") as tar:
            for name, content in files.items():
                tar.add(write(source, content), name)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["all.tar.gz", "all.zip"])
def test_archive(tmp_path: Path, server: Server, name: str) -> None:
    """Asked for only when a file is missing; then only what is missing is taken out, and nothing else."""
    held = pack(
        tmp_path / name, {"in/a.bin": CONTENT, "in/b.bin": OTHER, "in/c.bin": OTHER[::-1], "in/run.sh": b"x"}
    )
    archive = raw_file(name, held, url=server.on(f"/{name}", sound(held)))
    files = [raw_file("in/a.bin"), raw_file("in/b.bin", OTHER), raw_file("in/c.bin", OTHER[::-1])]
    write(tmp_path / "mirror/in/c.bin", OTHER[::-1])
    kept = write(tmp_path / "raw/toy/in/b.bin", OTHER).stat()
    fetch_dataset("toy", toy(*files, archive=archive), tmp_path / "raw", [str(tmp_path / "mirror")])
    wanted = {"in/a.bin": CONTENT, "in/b.bin": OTHER, "in/c.bin": OTHER[::-1]}
    assert contents(tmp_path / "raw") == wanted | {name: held} and server.asked == [f"/{name}"]
    assert (tmp_path / "raw/toy/in/b.bin").stat() == kept
    (tmp_path / "raw/toy" / name).unlink()
    fetch_dataset("toy", toy(*files, archive=archive), tmp_path / "raw")
    assert contents(tmp_path / "raw") == wanted and server.asked == [f"/{name}"]


def test_archive_whose_files_another_process_has_taken_out(tmp_path: Path) -> None:
    held = pack(tmp_path / "all.zip", {"a.bin": CONTENT})
    write(tmp_path / "raw/toy/all.zip", held)
    kept = write(tmp_path / "raw/toy/a.bin", CONTENT).stat()
    FileFetcher("toy", tmp_path / "raw/toy", FileLocations("toy", [], False, patient())).extract_files(
        raw_file("all.zip", held), [raw_file()]
    )
    assert (tmp_path / "raw/toy/a.bin").stat() == kept


def test_mirrors_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list_mirrors([]) == [] and list_mirrors(["b", "a"]) == ["b", "a"]
    monkeypatch.setenv("GUIDEBP_MIRRORS", " /x y , ,http://h/p,a,")
    assert list_mirrors([]) == ["/x y", "http://h/p", "a"]
    assert list_mirrors(["b", "a"]) == ["/x y", "http://h/p", "a", "b"]


def test_fetched_json_lists_every_file_by_sha256(tmp_path: Path) -> None:
    names = {"z.bin": CONTENT, "in/a.bin": OTHER}
    for name, content in names.items():
        write(tmp_path / "mirror" / name, content)
    wrong = toy(raw_file("z.bin"), raw_file("in/a.bin", OTHER), raw_file("lacking.bin"))
    refusal(tmp_path, wrong, str(tmp_path / "mirror"))
    assert not (tmp_path / "toy/fetched.json").exists()
    files = [
        raw_file("z.bin", sha256=None, md5=hashlib.md5(CONTENT).hexdigest()),
        raw_file("in/a.bin", OTHER),
    ]
    fetch_dataset("toy", toy(*files), tmp_path, [str(tmp_path / "mirror")])
    noted = json.loads((tmp_path / "toy/fetched.json").read_bytes())
    assert noted == {"files": {name: hashlib.sha256(content).hexdigest() for name, content in names.items()}}


UNVERIFIED: dict[str, Any] = {"sha256": None, "unverified": True}


def test_unverified_file_is_downloaded_only_when_allowed(tmp_path: Path, server: Server) -> None:
    url = server.on("/a.bin", sound(CONTENT))
    server.on("/mirror/a.bin", sound(CONTENT))
    dataset = toy(raw_file(url=url, **UNVERIFIED))
    (line,) = refusal(tmp_path, dataset, f"{server.address}/mirror")
    assert line.startswith(f"{tmp_path}/toy/a.bin: ") and "100000 bytes, no published checksum" in line
    assert "guidebp fetch --allow-unverified toy, or set allow_unverified in config/config.yaml" in line
    assert server.asked == [] and contents(tmp_path) == {}
    fetch_dataset("toy", dataset, tmp_path, allow_unverified=True)
    assert server.asked == ["/a.bin"] and contents(tmp_path) == {"a.bin": CONTENT}


def test_unverified_file_at_a_mirror_address_alone(tmp_path: Path, server: Server) -> None:
    server.on("/a.bin", sound(CONTENT))
    (line,) = refusal(tmp_path, toy(raw_file(**UNVERIFIED)), server.address)
    assert "guidebp fetch --allow-unverified toy" in line and server.asked == []
    fetch_dataset("toy", toy(raw_file(**UNVERIFIED)), tmp_path, [server.address], allow_unverified=True)
    assert contents(tmp_path) == {"a.bin": CONTENT}


def test_unverified_file_of_a_mirror_folder(tmp_path: Path, no_network: None) -> None:
    write(tmp_path / "mirror/a.bin", CONTENT)
    dataset = toy(raw_file(size=None, url=f"{FORBIDDEN}/a.bin", **UNVERIFIED))
    fetch_dataset("toy", dataset, tmp_path, [str(tmp_path / "mirror")])
    assert contents(tmp_path) == {"a.bin": CONTENT}


def test_unverified_file_is_never_made_of_two_versions(tmp_path: Path, server: Server) -> None:
    write(tmp_path / "toy/.a.bin.part", OTHER)
    dataset = toy(raw_file(size=None, url=server.on("/a.bin", sound(CONTENT)), **UNVERIFIED))
    fetch_dataset("toy", dataset, tmp_path, allow_unverified=True)
    assert contents(tmp_path) == {"a.bin": CONTENT} and server.asked == ["/a.bin"]


@pytest.mark.parametrize("answer", [HTML, b""], ids=["html", "empty"])
def test_unverified_file_that_is_no_data(tmp_path: Path, server: Server, answer: bytes) -> None:
    dataset = toy(raw_file(size=None, url=server.on("/a.bin", plain(answer)), **UNVERIFIED))
    (line,) = refusal(tmp_path, dataset, allow_unverified=True)
    assert line.endswith("/a.bin: is a web page, not data" if answer else "/a.bin: is empty")
    assert contents(tmp_path) == {}


def test_offline_with_nothing_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each file and for the archive: what to put where."""
    gone, md5 = refusing(), hashlib.md5(OTHER).hexdigest()
    files = [
        raw_file("in/a.bin"),
        raw_file("in/b.bin", OTHER, size=None, sha256=None, md5=md5, url=f"{gone}/b.bin"),
    ]
    held = pack(tmp_path / "all.zip", {"in/a.bin": CONTENT, "in/b.bin": OTHER})
    archive = raw_file("all.zip", held, url=f"{gone}/all.zip")
    folder = project(tmp_path / "p", toy(*files, archive=archive), mirrors=[str(tmp_path / "gone")])
    monkeypatch.chdir(folder)
    assert main(["fetch", "toy"]) == 2
    lines = capsys.readouterr().err.splitlines()
    descriptions = [files[0].description, f"md5 {md5}", archive.description]
    for line, name, known in zip(lines, ["in/a.bin", "in/b.bin", "all.zip"], descriptions, strict=True):
        assert line.startswith(f"guidebp fetch: data/raw/toy/{name}: not to be had") and f"({known})" in line
        assert f"put it there, or as {name} into a folder that GUIDEBP_MIRRORS names" in line
        assert "and run: guidebp fetch toy" in line and f"{tmp_path / 'gone'}: no such folder" in line
        assert ("or the whole archive as said below" in line) == (name != "all.zip")
    assert "100000 bytes, sha256 " in lines[0] and "which holds all of toy" in lines[2]
    assert "no connection" in lines[1] and "gave no answer above" in lines[2]
    assert [path for path in Path("data").rglob("*") if path.is_file() and ".locks" not in path.parts] == []
    write(Path("data/raw/toy/all.zip"), held)  # as the line says
    assert main(["fetch", "toy"]) == 0
    assert contents(Path("data/raw")) == {"in/a.bin": CONTENT, "in/b.bin": OTHER, "all.zip": held}


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Settings of config.yaml, and the flag; what cannot be had does not keep the next dataset from coming."""
    folder = project(tmp_path / "p", toy(raw_file()), mirrors=["mirror"])
    entries = {
        name: json.loads((folder / "config/datasets.yaml").read_text())["toy"] for name in ("toy", "more")
    }
    entries["toy"]["source"]["files"][0]["path"] = "lacking.bin"
    (folder / "config/datasets.yaml").write_text(json.dumps(entries))
    write(folder / "mirror/a.bin", CONTENT)
    monkeypatch.chdir(folder)
    assert main(["fetch", "toy", "more"]) == 2
    assert (
        Path("data/raw/more/a.bin").read_bytes() == CONTENT and not Path("data/raw/toy/fetched.json").exists()
    )
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("guidebp fetch: ")]
    assert line.startswith("guidebp fetch: data/raw/toy/lacking.bin: ")
    assert main(["fetch", "more"]) == 0


@pytest.mark.parametrize("way", ["flag", "config"])
def test_command_allows_unverified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, way: str
) -> None:
    wanted = raw_file(url=server.on("/a.bin", sound(CONTENT)), **UNVERIFIED)
    monkeypatch.chdir(project(tmp_path / "p", toy(wanted), allow_unverified=way == "config"))
    assert main(["fetch", "toy", *(["--allow-unverified"] if way == "flag" else [])]) == 0
    assert Path("data/raw/toy/a.bin").read_bytes() == CONTENT
