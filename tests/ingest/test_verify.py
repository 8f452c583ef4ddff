"""`guidebp verify`: what is damaged, changed, missing or intact, of raw and of prepared files."""

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guidebp.cli import main
from guidebp.ingest.fetching.fetch import fetch_dataset
from guidebp.ingest.prepare import prepare_dataset
from guidebp.ingest.verify import VerificationResult, verify_dataset
from guidebp.schema.datasets import Dataset, SubsetSource
from tests.support.hostile_files import select_positions
from tests.support.http_server import (
    HTML,
    OTHER,
    CommandRunner,
    flipped,
    project,
    raw_file,
    toy,
    write,
)
from tests.support.tiny import make_manifest


def arrays() -> bytes:
    """Forty images of four classes."""
    file, images = io.BytesIO(), np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(file, images=images, labels=np.arange(40) % 4)
    return file.getvalue()


ARRAYS = arrays()
TOY = toy(raw_file("in/a.npz", ARRAYS))
UNVERIFIED = toy(raw_file("in/a.npz", ARRAYS, sha256=None, unverified=True))
NPZ, PREPARED, MANIFEST = "raw/toy/in/a.npz", "prepared/toy.safetensors", "prepared/toy.json"
NOTE = "raw/toy/fetched.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write(folder / NPZ, ARRAYS)
    fetch_dataset("toy", TOY, folder / "raw")
    prepare_dataset("toy", TOY, folder / "raw", folder / "prepared")
    return folder


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy of data/, fetched and prepared."""
    shutil.copytree(made, tmp_path / "data")
    return tmp_path / "data"


def found(data: Path, dataset: Dataset = TOY) -> list[VerificationResult]:
    return list(verify_dataset("toy", dataset, data / "raw", data / "prepared"))


def replace(path: Path, content: bytes | None) -> Path:
    """Give a file this content; None deletes it."""
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    return path


PREPARED_OK = VerificationResult("toy", "prepared", "ok", "contents as in the manifest")


def test_intact(data: Path) -> None:
    raw, prepared = found(data)
    assert raw == ("toy", "raw", "ok", "1 files by sha256") and prepared == PREPARED_OK


def test_what_it_was_checked_by(data: Path) -> None:
    assert found(data, UNVERIFIED)[0].text == "1 files by sha256 since it was fetched, 1 unverified"
    write(data / "raw/toy/b.bin", OTHER)
    write(data / "raw/toy/c.bin", OTHER)
    by_md5 = raw_file("b.bin", OTHER, sha256=None, md5=hashlib.md5(OTHER).hexdigest())
    dataset = toy(
        raw_file("in/a.npz", ARRAYS), by_md5, raw_file("c.bin", OTHER, sha256=None, unverified=True)
    )
    fetch_dataset("toy", dataset, data / "raw")
    assert found(data, dataset)[0][2:] == ("ok", "3 files by md5 and sha256, 1 unverified")


def test_absent(data: Path, tmp_path: Path) -> None:
    shutil.rmtree(data / "prepared")
    raw, prepared = found(data)
    assert raw.state == "ok" and prepared[1:3] == ("prepared", "absent")
    assert prepared.text == f"run: snakemake {data}/prepared/toy.safetensors"
    raw, _ = found(tmp_path / "nowhere")
    assert raw == ("toy", "raw", "absent", "run: guidebp fetch toy") and not (tmp_path / "nowhere").exists()


RAW_DAMAGE: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "is missing"),
    "empty": (b"", "is empty"),
    "truncated": (ARRAYS[:-1], f"has {len(ARRAYS) - 1} bytes, expected {len(ARRAYS)}"),
    "longer": (ARRAYS + b"x", f"has {len(ARRAYS) + 1} bytes, expected {len(ARRAYS)}"),
    "bit flipped": (flipped(ARRAYS), "has sha256 "),
    "page": (HTML, "is a web page, not data, and has "),
}


@pytest.mark.parametrize(("content", "reason"), RAW_DAMAGE.values(), ids=RAW_DAMAGE)
def test_damaged_raw_file(data: Path, content: bytes | None, reason: str) -> None:
    """Fetching again, which is the remedy, makes all well."""
    path = replace(data / NPZ, content)
    raw, prepared = found(data)
    assert raw.state == "damaged" and raw.text.startswith(f"{path} {reason}")
    assert raw.text.endswith("; run: guidebp fetch toy") and prepared == PREPARED_OK
    write(data / "mirror/in/a.npz", ARRAYS)
    fetch_dataset("toy", TOY, data / "raw", [str(data / "mirror")])
    assert [finding.state for finding in found(data)] == ["ok", "ok"]


def test_file_without_checksum_that_has_changed(data: Path) -> None:
    replace(data / NPZ, flipped(ARRAYS))
    raw, _ = found(data, UNVERIFIED)
    assert raw.state == "damaged"
    assert raw.text == "in/a.npz has changed since it was fetched; run: guidebp fetch toy, then snakemake"


def test_catalogue_that_has_changed_since(data: Path) -> None:
    """The note lists other files than the catalogue."""
    write(data / "raw/toy/b.bin", OTHER)
    first, second = raw_file("in/a.npz", ARRAYS), raw_file("b.bin", OTHER)
    for files in ([second], [first, second], [first]):
        dataset = toy(*files)
        assert "has changed since it was fetched; run: guidebp fetch toy" in found(data, dataset)[0].text
        fetch_dataset("toy", dataset, data / "raw")
        assert found(data, dataset)[0].state == "ok"


NOTES: dict[str, bytes] = {
    "empty": b"",
    "truncated": b'{"files": {"in/a.npz": "12',
    "no text": b"\xff\xfe\x00",
    "null": b"null",
    "number": b"1",
    "list": b"[1]",
    "no files": b"{}",
    "files: null": b'{"files": null}',
    "files: list": b'{"files": ["in/a.npz"]}',
    "files: number": b'{"files": 3}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", NOTES.values(), ids=NOTES)
def test_garbled_note(data: Path, content: bytes) -> None:
    path = replace(data / NOTE, content)
    raw, _ = found(data)
    assert raw.state == "damaged"
    assert raw.text == f"{path} is no note of what was fetched; run: guidebp fetch toy"
    fetch_dataset("toy", TOY, data / "raw")
    assert found(data)[0].state == "ok"


@pytest.mark.parametrize(
    "files", [{}, {"in/a.npz": "0" * 64}, {"in/a.npz": None}, {"in/a.npz": [1]}], ids=str
)
def test_wrong_note(data: Path, files: dict[str, Any]) -> None:
    replace(data / NOTE, json.dumps({"files": files}).encode())
    raw, _ = found(data)
    assert raw.state == "damaged" and raw.text.startswith("in/a.npz has changed since it was fetched; ")


def test_missing_note(data: Path) -> None:
    path = replace(data / NOTE, None)
    raw, _ = found(data)
    assert raw[2:] == ("damaged", f"{path} is missing; run: guidebp fetch toy")


def test_every_bit_of_the_prepared_file_s_head(data: Path) -> None:
    path = data / PREPARED
    good = path.read_bytes()
    head = 8 + int.from_bytes(good[:8], "little")
    bits = [*select_positions(8 * head, 7), *range(8 * head, 8 * len(good), 97), 8 * len(good) - 1]
    for bit in bits:
        content = bytearray(good)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        raw, prepared = found(data)
        assert raw.state == "ok" and prepared.state == "damaged", f"bit {bit}"
        assert prepared.text.startswith(f"{path}: ") and prepared.text.endswith(f"run: snakemake {path}")


@pytest.mark.parametrize("keep", [0, 4, 100, -1], ids=["empty", "4 bytes", "100 bytes", "all but one"])
def test_truncated_prepared_file(data: Path, keep: int) -> None:
    path = data / PREPARED
    path.write_bytes(path.read_bytes()[:keep])
    assert found(data)[1].state == "damaged" and found(data)[1].text.startswith(f"{path}: ")


MANIFESTS: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "no manifest of dataset 'toy'"),
    "empty": (b"", "not a JSON manifest"),
    "no text": (b"\xff\xfe\x00", "not a JSON manifest"),
    "list": (b"[1]", "expected a JSON object"),
    "without checksum": (b"{}", "not a complete manifest (dataset: missing)"),
    "with a wrong type": (
        make_manifest("00").to_bytes().replace(b'"00"', b"0"),
        "not a complete manifest (sha256: expected str, found 0)",
    ),
    "of something else": (make_manifest("00").to_bytes(), "contents differ from the manifest"),
}


@pytest.mark.parametrize(("content", "reason"), MANIFESTS.values(), ids=MANIFESTS)
def test_manifest(data: Path, content: bytes | None, reason: str) -> None:
    replace(data / MANIFEST, content)
    raw, prepared = found(data)
    assert raw.state == "ok" and prepared.state == "damaged" and reason in prepared.text
    assert str(data / MANIFEST) in prepared.text and "run: snakemake " in prepared.text


def test_root_of_the_user_s_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/of another dataset").write_text("a terabyte")
    source = {"torchvision": "FakeData", "root": str(tmp_path / "root")}
    rest = {"title": "x", "shape": [3, 8, 8], "classes": 10, "split": {"test": 0.2, "validation": 0.1}}
    dataset = Dataset.model_validate(rest | {"source": source})
    fetch_dataset("x", dataset, tmp_path / "raw")
    assert json.loads((tmp_path / "raw/x/fetched.json").read_text()) == {"files": {}}
    found = list(verify_dataset("x", dataset, tmp_path / "raw", tmp_path))
    assert found[0] == ("x", "raw", "ok", "no raw files of its own")


def test_part_of_another_dataset_has_no_raw_files(data: Path) -> None:
    part = TOY.model_copy(update={"source": SubsetSource(subset_of="other", images=10)})
    assert found(data, part) == [PREPARED_OK]


def own(path: Path, kind: str) -> Dataset:
    """A dataset of the user's own files."""
    source = {"npz": {"path": str(path)}} if kind == "npz" else {"folder": str(path)}
    split = {"test": 0.2, "validation": 0.1}
    entry = {"title": "Own", "source": source, "shape": [1, 8, 8], "classes": 2, "split": split}
    return Dataset.model_validate_json(json.dumps(entry))


def test_own_arrays(tmp_path: Path) -> None:
    path = write(tmp_path / "own.npz", ARRAYS)
    dataset = own(path, "npz")
    assert found(tmp_path, dataset)[0].state == "absent"
    fetch_dataset("toy", dataset, tmp_path / "raw")
    assert found(tmp_path, dataset)[0][2:] == ("ok", f"{path} unchanged since it was fetched")
    path.write_bytes(flipped(ARRAYS))
    assert found(tmp_path, dataset)[0].text.startswith(f"{path} has changed since it was fetched; ")
    path.unlink()
    assert found(tmp_path, dataset)[0][2:] == (
        "damaged",
        f"{path}: no such file; correct its path in config/datasets.yaml",
    )


@pytest.mark.parametrize("change", ["edited", "added", "renamed", "moved", "deleted"])
def test_own_folder(tmp_path: Path, change: str) -> None:
    root = tmp_path / "own"
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        write(root / name, name.encode())
    dataset = own(root, "folder")
    fetch_dataset("toy", dataset, tmp_path / "raw")
    assert found(tmp_path, dataset)[0].state == "ok"
    path = root / "cat/1.png"
    if change == "edited":
        path.write_bytes(b"other")
    elif change == "added":
        write(root / "cat/3.png", b"new")
    elif change == "deleted":
        path.unlink()
    else:
        path.rename(root / ("cat/3.png" if change == "renamed" else "dog/3.png"))
    raw, _ = found(tmp_path, dataset)
    assert raw[2:] == (
        "damaged",
        f"{root} has changed since it was fetched; run: guidebp fetch toy, then snakemake",
    )


@pytest.fixture
def command(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project of `data`, which is where the test stands; a second dataset was never fetched."""
    folder = project(data.parent / "p", TOY)
    data.rename(folder / "data").chmod(0o755)
    entry = json.loads((folder / "config/datasets.yaml").read_text())["toy"]
    (folder / "config/datasets.yaml").write_text(json.dumps({"toy": entry, "other": entry}))
    monkeypatch.chdir(folder)
    return folder / "data"


def test_command(command: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:3] for line in lines] == [["toy", "raw", "ok"], ["toy", "prepared", "ok"]]
    assert main(["verify", "other"]) == 0
    output = capsys.readouterr().out
    assert "absent  run: guidebp fetch other" in output and "toy" not in output


def test_command_finds_all_damage(command: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace(command / NPZ, flipped(ARRAYS))
    replace(command / MANIFEST, None)
    assert main(["verify"]) == 2
    output, errors = capsys.readouterr()
    first, second = errors.splitlines()
    assert first.startswith("guidebp verify: toy: data/raw/toy/in/a.npz has sha256 ") and output == ""
    assert first.endswith("; run: guidebp fetch toy")
    assert second.startswith("guidebp verify: toy: data/prepared/toy.json: no manifest")
    assert main(["verify", "other"]) == 0
    assert main(["verify", "toys"]) == 2
    assert "no dataset 'toys'; did you mean 'toy'?" in capsys.readouterr().err


def test_command_where_nothing_was_fetched(command: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(command)
    assert main(["verify"]) == 0
    assert (
        capsys.readouterr().out == "data/raw: no dataset has been fetched yet. Run: guidebp fetch DATASET\n"
    )
    assert not command.exists()


@pytest.mark.slow
@pytest.mark.parametrize("path", [NPZ, NOTE, PREPARED, MANIFEST])
def test_command_on_a_file_that_may_not_be_read(command: Path, commands: CommandRunner, path: str) -> None:
    (command / path).chmod(0)
    code, errors = commands.run(command.parent, "verify", as_nobody=True)
    (line,) = errors.splitlines()
    assert code == 2 and line.startswith(f"guidebp verify: toy: data/{path}")
    assert "Permission denied" in line and "; " in line
