"""Every entry point on every kind of damage: one line that names the file, no traceback, nothing changed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from guidebp.cli import main
from tests.unit.finished import build, contents, inside

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sound project; nobody may change it."""
    return build(tmp_path_factory.mktemp("whole") / "project", rendered=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where its copies stand, one after the other."""
    found = tmp_path_factory.mktemp("place")
    (found / "beside").write_text("nobody's business")
    return found


def fresh(whole: Path, place: Path) -> Path:
    folder = place / "project"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    return folder


@pytest.fixture
def project(whole: Path, place: Path) -> Path:
    return fresh(whole, place)


def attempt(project: Path, capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, str]:
    """The verb's exit code and what it says on standard error; a failure has changed nothing."""
    before = contents(project.parent)
    capsys.readouterr()
    with inside(project):
        code = main(command)
    said = capsys.readouterr().err
    if code:
        assert code in (1, 2)
        prefix = f"guidebp {command[0]}: "
        lines = said.splitlines()
        assert lines and all(line.startswith(prefix) and line.isprintable() for line in lines), said
        assert "Traceback" not in said
        assert contents(project.parent) == before
    else:
        outside = {
            name: content for name, content in contents(project.parent).items() if "project" not in name
        }
        assert outside == {"beside": b"nobody's business"}
    return code, said


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def endless_link(path: Path) -> None:
    """What nobody can read, not even root."""
    path.unlink()
    path.symlink_to(path.name)


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def writing(content: bytes) -> Damage:
    return lambda path: void(path.write_bytes(content))


def void(_: object) -> None:
    """Nothing."""


GONE: dict[str, Damage] = {"missing": lambda path: path.unlink()}
BYTES: dict[str, Damage] = {
    "folder": folder_instead,
    "unreadable": endless_link,
    "empty": writing(b""),
    "binary": writing(bytes(range(256))),
    "not UTF-8": writing("title: Käse\n".encode("latin-1")),
}
CUT: dict[str, Damage] = {"half": half}
JSON: dict[str, Damage] = {
    "list": writing(b"[]"),
    "number": writing(b"3"),
    "text": writing(b'"a"'),
    "null": writing(b"null"),
    "NaN": writing(b'{"sha256": NaN}'),
    "deep": writing(b"[" * 100_000),
    "other object": writing(b'{"version": 1, "files": 3, "sha256": {}}'),
}
YAML: dict[str, Damage] = {
    "no YAML": writing(b"a: [\n"),
    "list": writing(b"- 1\n"),
    "bomb": writing(
        b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (n + 1, n + 1, n, n) for n in range(97, 121))
    ),
}
RUN, PACK = "results/runs/*", "results/made/packs/*.json"
# The file (of several, the first), what happens to it, who reads it.
TABLE: list[tuple[str, dict[str, Damage], list[str]]] = [
    ("config/config.yaml", GONE | BYTES | YAML, ["check", "fetch made", "analyse", "status"]),
    ("config/studies/made.yaml", GONE | BYTES | YAML, ["check", "specs", "collect"]),
    ("config/datasets.yaml", GONE | BYTES | YAML, ["check", "fetch made", "prepare made", "verify"]),
    ("config/methods.yaml", GONE | BYTES | YAML, ["check"]),
    ("config/architectures.yaml", GONE | BYTES | YAML, ["check"]),
    ("config/recipes/digits.yaml", GONE | BYTES | YAML, ["check"]),
    ("config/claims.yaml", GONE | BYTES | YAML, ["claims"]),
    ("config/published.yaml", GONE | BYTES | YAML, ["check"]),
    ("made.npz", GONE | BYTES | CUT, ["prepare made", "verify"]),
    ("data/raw/made/fetched.json", GONE | BYTES | CUT | JSON, ["verify made"]),
    ("data/prepared/made.json", GONE | BYTES | CUT | JSON, ["collect", "restore", "verify"]),
    ("data/prepared/made.json", BYTES, ["train --pack PACK"]),
    ("data/prepared/made.safetensors", BYTES | CUT, ["verify"]),
    (f"{RUN}/record.json", GONE | BYTES | CUT | JSON, ["collect"]),
    (f"{RUN}/predictions.safetensors", GONE | BYTES | CUT, ["collect"]),
    (f"{RUN}/telemetry.json", BYTES | CUT | JSON, ["collect"]),
    (PACK, GONE | BYTES | CUT | JSON, ["collect"]),
    ("results/made/records.tar.xz", GONE | BYTES | CUT, ["restore"]),
    ("results/made/telemetry.jsonl", BYTES | CUT | JSON, ["restore", "analyse"]),
    ("results/made/study.json", GONE | BYTES | CUT | JSON, ["analyse", "render", "report"]),
    ("results/made/claims.lock.json", GONE | BYTES | CUT | JSON, ["analyse"]),
    ("results/made/metrics.csv", GONE | BYTES | CUT, ["analyse", "render"]),
    ("results/made/history.parquet", GONE | BYTES | CUT, ["analyse"]),
    ("results/made/inference.parquet", GONE | BYTES | CUT, ["analyse"]),
    ("results/made/calibration.parquet", GONE | BYTES | CUT, ["analyse"]),
    ("results/made/cosines.parquet", GONE | BYTES | CUT, ["report"]),
    ("results/made/claims.json", BYTES | CUT | JSON, ["claims", "report"]),
    ("results/made/comparisons.csv", GONE | BYTES, ["report"]),
    ("results/made/claims.csv", GONE | BYTES, ["report"]),
    ("results/made/ranks.csv", GONE | BYTES, ["report"]),
    ("results/made/rank-pairs.csv", GONE | BYTES, ["render"]),
    ("results/made/figures/*.svg", {**GONE, "folder": folder_instead}, ["report"]),
    ("results/made/tables/*.csv", GONE | BYTES, ["report"]),
    ("results/step-times.json", BYTES | JSON, ["claims", "collect"]),
]
# Where there is nothing wrong: (file, damage, verb).
SOUND = {
    ("config/claims.yaml", "empty", "claims"),
    ("config/published.yaml", "empty", "check"),
    ("results/made/telemetry.jsonl", "empty", "restore"),  # no costs are known
    ("results/made/claims.json", "unreadable", "claims"),  # as if there were no verdicts yet
    (f"{RUN}/telemetry.json", "unreadable", "collect"),
    ("results/made/telemetry.jsonl", "unreadable", "restore"),
    ("results/step-times.json", "unreadable", "claims"),
    ("results/step-times.json", "unreadable", "collect"),
}
CASES = [
    pytest.param(file, damage, verb, id=f"{verb}-{file}-{name}")
    for file, damages, verbs in TABLE
    for name, damage in damages.items()
    for verb in verbs
    if (file, name, verb) not in SOUND
]


def command(project: Path, text: str) -> list[str]:
    pack = next(project.glob(PACK)).stem
    return [pack if word == "PACK" else word for word in text.split()]


@pytest.mark.parametrize(("file", "damage", "verb"), CASES)
def test_damage_is_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], file: str, damage: Damage, verb: str
) -> None:
    words = command(project, verb)
    (project / "results/step-times.json").write_text("{}")
    damage(sorted(project.glob(file))[0])
    code, said = attempt(project, capsys, *words)
    assert code == 2, said


@pytest.mark.parametrize(
    ("file", "damage", "verb"), sorted(SOUND), ids=lambda value: str(value).replace("/", "-")
)
def test_what_need_not_be_there(
    project: Path, capsys: pytest.CaptureFixture[str], file: str, damage: str, verb: str
) -> None:
    (project / "results/step-times.json").write_text("{}")
    (GONE | BYTES)[damage](sorted(project.glob(file))[0])
    assert attempt(project, capsys, *command(project, verb))[0] == 0


OF_STUDY = [
    "train --pack p",
    "time",
    "collect",
    "specs",
    "analyse",
    "claims",
    "render",
    "report",
    "restore",
    "status",
    "check",
]


@pytest.mark.parametrize("verb", OF_STUDY)
@pytest.mark.parametrize("study", ["mad", "../made", "/made", "runs", "logs", "a\nb", "", "Made"])
def test_unknown_studies(project: Path, capsys: pytest.CaptureFixture[str], verb: str, study: str) -> None:
    code, said = attempt(project, capsys, *verb.split(), "--study", study)
    assert code == 2 and len(said.splitlines()) == 1, said


@pytest.mark.parametrize("verb", ["fetch", "prepare", "verify"])
@pytest.mark.parametrize("dataset", ["mad", "../made", "a\nb", "", "$(id)"])
def test_unknown_datasets(project: Path, capsys: pytest.CaptureFixture[str], verb: str, dataset: str) -> None:
    code, said = attempt(project, capsys, verb, dataset)
    assert code == 2 and len(said.splitlines()) == 1 and "config/datasets.yaml: no dataset" in said


@pytest.mark.parametrize(
    ("folder", "verbs"),
    [
        ("config", ["check", "fetch made", "verify", "analyse"]),
        ("config/studies", ["check"]),
        ("data", ["fetch made", "prepare made", "collect"]),
        ("data/raw", ["fetch made"]),
        ("data/prepared", ["prepare made", "collect", "restore"]),
        ("results", ["collect", "analyse", "render", "report", "restore"]),
        ("results/made", ["collect", "analyse", "render", "report", "restore"]),
        ("results/made/packs", ["collect", "restore"]),
        ("results/runs", ["collect", "restore"]),
        ("results/made/figures", ["render", "report"]),
        ("results/made/tables", ["report"]),
        ("results/made/means", ["analyse"]),
        ("results/made/plots", ["analyse"]),
    ],
)
def test_a_file_in_the_place_of_a_folder(
    project: Path, capsys: pytest.CaptureFixture[str], folder: str, verbs: list[str]
) -> None:
    """Which root, too, can neither read nor write as a folder."""
    for verb in verbs:
        shutil.rmtree(project)
        shutil.copytree(project.parent.parent / "unused", project) if False else None
    del verbs
