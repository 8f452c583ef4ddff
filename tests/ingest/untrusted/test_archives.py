"""Hostile and damaged archives: nothing but what is asked for leaves them, and nothing is left behind."""

import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from guidebp.errors import UserError
from guidebp.ingest.fetching.fetch import fetch_dataset
from guidebp.ingest.untrusted import archives
from guidebp.ingest.untrusted.archives import decompress_file, unpack_archive
from guidebp.schema.datasets import Dataset
from tests.support.hostile_files import REMEDY, changed, refused, select_positions, tree
from tests.support.valid_files import PACKINGS, described, digits, noise, npz, packed, tar, zipped

# Sound ones


MEMBERS = {"d/one": b"1" * 3000, "d/deep/two": bytes(range(256)) * 9, "d/three": b"", "four": b"4"}


@pytest.mark.parametrize("form", [*PACKINGS, "zip", "zip stored"])
def test_nothing_but_what_is_wanted_leaves_an_archive(tmp_path: Path, form: str) -> None:
    if form.startswith("zip"):
        content = zipped(MEMBERS, zipfile.ZIP_STORED if "stored" in form else zipfile.ZIP_DEFLATED)
    else:
        content = tar(MEMBERS, form)
    (tmp_path / "archive").write_bytes(content)
    (tmp_path / "out").mkdir()
    unpack_archive(tmp_path / "archive", {"d/deep/two": tmp_path / "out/a", "d/three": tmp_path / "out/b"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "archive", "b", "out"]
    assert (tmp_path / "out/a").read_bytes() == MEMBERS["d/deep/two"]
    assert (tmp_path / "out/b").read_bytes() == b""


def test_tar_made_in_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(tar({f"./{name}": content for name, content in MEMBERS.items()}))
    unpack_archive(tmp_path / "archive", {"d/one": tmp_path / "a"})
    assert (tmp_path / "a").read_bytes() == MEMBERS["d/one"]


def test_tar_that_ends_with_a_zip(tmp_path: Path) -> None:
    """It must not pass for that zip."""
    inner = npz(images=noise(2, 2, 2), labels=digits(2))
    (tmp_path / "archive").write_bytes(tar({"d/one": b"1", "d/last.npz": inner}))
    unpack_archive(tmp_path / "archive", {"d/one": tmp_path / "a", "d/last.npz": tmp_path / "b"})
    assert (tmp_path / "a").read_bytes() == b"1" and (tmp_path / "b").read_bytes() == inner


@pytest.mark.parametrize("form", PACKINGS)
@pytest.mark.parametrize("size", [None, 3000])
def test_decompress(tmp_path: Path, form: str, size: int | None) -> None:
    (tmp_path / "packed").write_bytes(PACKINGS[form](MEMBERS["d/one"]))
    decompress_file(tmp_path / "packed", tmp_path / "out", size)
    assert (tmp_path / "out").read_bytes() == MEMBERS["d/one"]


# Others


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"bad", **more: Any) -> bytes:
    """A tar archive of two good files with another member between them."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, data in ((tarfile.TarInfo("good"), b"good"), (tarfile.TarInfo(name), content)):
            info.size = len(data)
            if info.name == name:
                info.type = kind
                for key, value in more.items():
                    setattr(info, key, value)
                info.size = info.size if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
        last = tarfile.TarInfo("last")
        last.size = 4
        archive.addfile(last, io.BytesIO(b"last"))
    return file.getvalue()


NAMES = {
    "absolute": "/guidebp-evil",
    "upwards": "../evil",
    "upwards inside": "d/../../evil",
    "upwards at the end": "d/..",
    "backslash": "..\\evil",
    "drive letter": "C:evil",
    "stream": "good:evil",
}
KINDS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "symbolic link": (tarfile.SYMTYPE, {"linkname": "/etc/passwd"}),
    "symbolic link inside": (tarfile.SYMTYPE, {"linkname": "good"}),
    "hard link": (tarfile.LNKTYPE, {"linkname": "good"}),
    "character device": (tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3}),
    "block device": (tarfile.BLKTYPE, {"devmajor": 8}),
    "fifo": (tarfile.FIFOTYPE, {}),
}


def refuse_archive(folder: Path, content: bytes, why: str, *wanted: str) -> None:
    """Unpacking raises, and nothing appears but, perhaps, the files that were asked for."""
    archive, out = folder / "in/archive", folder / "out"
    archive.parent.mkdir()
    out.mkdir()
    archive.write_bytes(content)
    before, names = tree(folder), wanted or ("good", "last")
    with refused(archive, why):
        unpack_archive(archive, {name: out / f"part-{number}" for number, name in enumerate(names)})
    assert tree(folder) - before <= {f"out/part-{number}" for number in range(len(names))}
    assert archive.read_bytes() == content


@pytest.mark.parametrize("packing", [bytes, packed], ids=["plain", "gz"])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_tar_with_a_name_that_leads_out(tmp_path: Path, name: str, packing: Callable[[bytes], bytes]) -> None:
    refuse_archive(tmp_path, packing(member(name)), "refused: a member is called .*leads out")
    assert not Path("/guidebp-evil").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_tar_with_what_is_no_file(tmp_path: Path, kind: str) -> None:
    code, more = KINDS[kind]
    refuse_archive(tmp_path, member("bad", code, **more), "refused: 'bad' is a link, a device or sparse")


def test_tar_with_a_link_in_the_place_of_what_is_wanted(tmp_path: Path) -> None:
    content = member("bad", tarfile.SYMTYPE, linkname="/etc/passwd")
    refuse_archive(tmp_path, content, "refused: 'bad' is a link", "bad")
    assert tree(tmp_path / "out") == set()


def test_tar_with_a_name_of_several_lines(tmp_path: Path) -> None:
    content = member("line\n\x1b[31mline", tarfile.FIFOTYPE)
    refuse_archive(tmp_path, content, r"refused: 'line\\n")


def sparse(size: int) -> bytes:
    """A tar archive whose only member claims `size` bytes and holds none of them, in GNU's old sparse format."""
    info = tarfile.TarInfo("good")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"%011o\0%011o\0" % (size, 0)  # the one piece of data: nothing, at the end
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def test_tar_with_a_sparse_member(tmp_path: Path) -> None:
    """Two kilobytes that unpack to eight megabytes, or to any size."""
    content = sparse(8 << 20)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:  # it is what it is meant to be
        assert archive.getmembers()[0].size == 8 << 20
    refuse_archive(tmp_path, content, "sparse", "good")
    assert tree(tmp_path / "out") == set()


def linked_zip(kind: int) -> bytes:
    """A zip archive with a member of a Unix file type."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("good"), b"good")
        info = zipfile.ZipInfo("bad")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, b"/etc/passwd")
    return file.getvalue()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_zip_with_what_is_no_file(tmp_path: Path, kind: int) -> None:
    refuse_archive(tmp_path, linked_zip(kind), "refused: 'bad' is a link or a device", "good")
    assert tree(tmp_path / "out") == set()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_zip_with_a_name_that_leads_out(tmp_path: Path, name: str) -> None:
    refuse_archive(tmp_path, zipped({"good": b"good", name: b"bad"}), "leads out", "good")
    assert tree(tmp_path / "out") == set()


def test_zip_with_a_zero_byte_in_a_name(tmp_path: Path) -> None:
    """What is called good+zero+evil must not pass for `good`."""
    content = zipped({"good_evil": b"bad"}).replace(b"good_evil", b"good\0evil")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["good"]
    refuse_archive(tmp_path, content, "leads out", "good")
    assert tree(tmp_path / "out") == set()


def test_zip_with_one_name_twice(tmp_path: Path) -> None:
    content = zipped({"one": b"first", "two": b"second"}).replace(b"two", b"one")
    refuse_archive(tmp_path, content, "one name twice", "one")


def test_zip_that_is_encrypted(tmp_path: Path) -> None:
    content = bytearray(zipped({"good": b"good"}))
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    refuse_archive(tmp_path, bytes(content), "'good' is encrypted", "good")


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_zip_packed_in_a_way_that_has_no_bound(tmp_path: Path, packing: int) -> None:
    """Python unpacks a block of these whole, however much it holds."""
    refuse_archive(tmp_path, zipped({"good": b"good"}, packing), "unusual way", "good")


def test_zip_with_overlapping_members(tmp_path: Path) -> None:
    """Many names for the same packed bytes."""
    file = io.BytesIO(zipped({"good": bytes(1000)}, zipfile.ZIP_STORED))
    content = file.getvalue()
    at = content.index(b"PK\1\2")
    entry = content[at : content.index(b"PK\5\6")]
    listed = b"".join(entry.replace(b"good", b"%04d" % number) for number in range(9)) + entry
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 10, 10, len(listed), at, 0)
    refuse_archive(tmp_path, content[:at] + listed + end, "overlap", "good")
    assert tree(tmp_path / "out") == set()


@pytest.mark.parametrize("make", [tar, zipped], ids=["tar", "zip"])
def test_bomb_by_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Mapping[str, bytes]], bytes]
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
    content = make({"good": b"good"} | {f"d/{number}": b"" for number in range(20)})
    refuse_archive(tmp_path, content, "more than 20 members", "good")


@pytest.mark.parametrize("form", ["gz", "bz2", "xz", "zip"])
def test_bomb_by_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 16)
    members = {"good": b"good", "zeros": bytes(4 << 20)}
    content = zipped(members) if form == "zip" else tar(members, form)
    refuse_archive(tmp_path, content, "bomb", "good")


@pytest.mark.parametrize("form", ["plain", "gz", "zip"])
def test_bomb_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 1 << 16)
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 16)
    members = {name: os.urandom(1 << 15) for name in ("a", "b", "c", "good")}
    content = zipped(members) if form == "zip" else tar(members, form)
    refuse_archive(tmp_path, content, "more than 65536 bytes|far more than its own size", "good")
    assert tree(tmp_path / "out") == set()


def test_bomb_that_hides_its_size(tmp_path: Path) -> None:
    """The list of the archive announces four bytes; no more than those may be written."""
    content = bytearray(zipped({"good": bytes(1 << 20)}))
    for at in (22, content.index(b"PK\1\2") + 24):
        content[at : at + 4] = struct.pack("<I", 4)
    refuse_archive(tmp_path, bytes(content), "damaged.*CRC", "good")
    assert (tmp_path / "out/part-0").stat().st_size <= 4


def test_bomb_behind_the_end_of_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 16)
    content = packed(tar({"good": b"good"}) + bytes(1 << 21))
    refuse_archive(tmp_path, content, "bomb", "good")


@pytest.mark.parametrize("form", ["gz", "bz2", "xz"])
def test_archives_are_unpacked_once_only(tmp_path: Path, form: str) -> None:
    """A packed archive inside the packing is no archive."""
    refuse_archive(tmp_path, packed(tar({"good": b"good"}, form)), "damaged")


@pytest.mark.parametrize("form", ["plain", "gz", "bz2", "xz", "zip"])
def test_truncated_archive(tmp_path: Path, form: str) -> None:
    members = {"first": noise(1, 900).tobytes(), "good": noise(1, 5000).tobytes()}
    content = zipped(members) if form == "zip" else tar(members, form)
    archive, out = tmp_path / "archive", tmp_path / "out"
    for length in {*range(0, len(content) // 2, 97), len(content) // 2}:
        archive.write_bytes(content[:length])
        with refused(archive, "damaged|holds no good"):
            unpack_archive(archive, {"good": out})
    assert tree(tmp_path) <= {"archive", "out"}


@pytest.mark.parametrize("form", ["gz", "bz2", "xz", "zip"])
def test_flipped_byte_in_a_packed_archive(tmp_path: Path, form: str) -> None:
    """It is found, or it changes nothing: a checksum covers the contents, also where tar ends before it."""
    members, found = {"good": noise(1, 200).tobytes()}, 0
    content = zipped(members, zipfile.ZIP_STORED) if form == "zip" else tar(members, form)
    archive, out = tmp_path / "archive", tmp_path / "out"
    positions = select_positions(len(content), 9)
    for at in positions:
        archive.write_bytes(changed(content, at, bytes([content[at] ^ 0x10])))
        try:
            unpack_archive(archive, {"good": out})
        except UserError as error:
            assert str(error).startswith(f"{archive}: ") and REMEDY.search(str(error))
            found += 1
        else:
            assert out.read_bytes() == members["good"]
    assert found > len(positions) / 2


def test_checksum_at_the_very_end_of_a_packed_archive(tmp_path: Path) -> None:
    content = tar({"good": b"good"}, "gz")
    refuse_archive(tmp_path, content[:-8] + b"\0" * 4 + content[-4:], "damaged.*CRC", "good")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "damaged"),
        (b"no archive", "damaged"),
        (b"<!DOCTYPE html><html>not found</html>" * 40, "damaged"),
        (b"PK\x03\x04" + b"no zip" * 50, "damaged"),
        (b"PK\x05\x06" + bytes(18), "holds no good"),
        (packed(b"no tar inside" * 100), "damaged"),
        (packed(b""), "damaged"),
        (b"\x1f\x8b" + b"no gzip", "damaged"),
        (b"BZh" + b"no bzip2", "damaged"),
        (b"\xfd7zXZ" + b"no xz", "damaged"),
        (tar({"bad": b"good", "go": b"", "good/": b""}), "holds no good, last"),
        (zipped({"bad": b"good", "Good": b""}), "holds no good, last"),
    ],
    ids=[
        "empty",
        "text",
        "web page",
        "zip in name only",
        "empty zip",
        "gzip of text",
        "gzip of nothing",
        "gzip in name only",
        "bzip2 in name only",
        "xz in name only",
        "tar without it",
        "zip without it",
    ],
)
def test_no_archive_or_not_the_right_one(tmp_path: Path, content: bytes, why: str) -> None:
    refuse_archive(tmp_path, content, why)
    assert tree(tmp_path / "out") == set()


def rewritten(block: bytes, at: int, new: bytes) -> bytes:
    """A tar header with another field and a right checksum."""
    made = bytearray(block)
    made[at : at + len(new)] = new
    made[148:156] = b" " * 8
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


@pytest.mark.parametrize(
    "size",
    [
        b"\xff" * 12,
        b"\x80" + b"\xff" * 11,
        b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7,
        b"77777777777\0",
        b"-1\0",
    ],
    ids=["negative", "huge", "63 bits", "8 GiB", "text"],
)
def test_tar_with_a_size_that_cannot_be(tmp_path: Path, size: bytes) -> None:
    sound = tar({"first": b"first", "good": b"good"})
    content = rewritten(sound[:512], 124, size) + sound[512:]
    refuse_archive(tmp_path, content, "'first' announces -?[0-9]+ bytes|damaged|holds no good", "good")
    assert tree(tmp_path / "out") == set()


@pytest.mark.parametrize("packing", [".gz", ".xz"])
def test_decompress_refuses(tmp_path: Path, packing: str) -> None:
    pack: Callable[[bytes], bytes] = packed if packing == ".gz" else lzma.compress
    path, out = tmp_path / f"a{packing}", tmp_path / "out"
    path.write_bytes(pack(bytes(5000)))
    with refused(path, "more than the 4999 bytes expected"):
        decompress_file(path, out, 4999)
    assert out.stat().st_size <= 4999
    path.write_bytes(pack(noise(1, 5000).tobytes())[:-9])
    with refused(path, "damaged"):
        decompress_file(path, out, 5000)


def fetched(folder: Path, content: bytes) -> Dataset:
    """A dataset of two files, `good` and `last`, in an archive that lies in a mirror."""
    (folder / "mirror").mkdir()
    (folder / "mirror/a.tar").write_bytes(content)
    paths = [{"path": name, "md5": md5(name.encode()).hexdigest()} for name in ("good", "last")]
    archive = {"path": "a.tar", "md5": md5(content).hexdigest()}
    return described({"files": paths, "reader": "cifar", "archive": archive}, (3, 32, 32))


@pytest.mark.parametrize("name", ["../evil", "damaged"])
def test_fetching_puts_all_files_of_an_archive_in_place_or_none(tmp_path: Path, name: str) -> None:
    content = member(name)
    entry = fetched(tmp_path, content.replace(b"last\0", b"lost\0") if name == "damaged" else content)
    with refused(tmp_path / "raw/made/a.tar", "leads out" if name == "../evil" else "holds no last"):
        fetch_dataset("made", entry, tmp_path / "raw", mirrors=[str(tmp_path / "mirror")])
    assert tree(tmp_path) & {"evil", "raw/evil", "mirror/evil"} == set()
    assert {path.name for path in (tmp_path / "raw/made").iterdir()} == {"a.tar"}


def test_fetching_takes_files_out_of_a_sound_archive(tmp_path: Path) -> None:
    entry = fetched(tmp_path, member("sound"))
    fetch_dataset("made", entry, tmp_path / "raw", mirrors=[str(tmp_path / "mirror")])
    assert {path: (tmp_path / "raw/made" / path).read_bytes() for path in ("good", "last")} == {
        "good": b"good",
        "last": b"last",
    }
