"""Every entry point on every kind of damage: one line that names the file, no traceback, nothing changed."""

import io
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidebp import ENGINE_VERSION
from guidebp.cli import main
from guidebp.hashing import hash_json
from guidebp.runs.spec import KEY_DIGITS
from guidebp.training import __main__ as training
from tests.support.finished_project import build, contents, inside
from tests.support.project import Project

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sound project; nobody may change it."""
    return build(tmp_path_factory.mktemp("whole") / "project")


@pytest.fixture(scope="module")
def rendered(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with figures, tables and report."""
    folder = tmp_path_factory.mktemp("rendered") / "project"
    shutil.copytree(whole, folder)
    with inside(folder):
        assert main(["render"]) == main(["report"]) == 0
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where copies stand, one after the other."""
    found = tmp_path_factory.mktemp("place")
    (found / "beside").write_text("nobody's business")
    return found


def fresh(whole: Path, place: Path) -> Path:
    """A copy that may be changed."""
    folder = place / "project"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    return folder


@pytest.fixture
def project(whole: Path, place: Path, request: pytest.FixtureRequest) -> Path:
    """A copy; with figures for those who read figures."""
    case = getattr(request.node, "callspec", None)
    drawn = case is not None and case.params.get("verb") in ("render", "report")
    return fresh(request.getfixturevalue("rendered") if drawn else whole, place)


def attempt(
    project: Path, capsys: pytest.CaptureFixture[str], *command: str, writes: bool = False
) -> tuple[int, str]:
    """Exit code and standard error of a verb; a failure has changed nothing, unless it `writes` before."""
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
    if code and not writes:
        assert contents(project.parent) == before
    else:
        outside = {
            name: content
            for name, content in contents(project.parent).items()
            if not name.startswith("project/")
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
    ("data/prepared/made.json", GONE | BYTES | CUT | JSON, ["collect", "restore --records-only", "verify"]),
    ("data/prepared/made.json", BYTES, ["train --pack PACK"]),
    ("data/prepared/made.safetensors", BYTES | CUT, ["verify"]),
    (f"{RUN}/record.json", GONE | BYTES | CUT | JSON, ["collect"]),
    (f"{RUN}/predictions.safetensors", GONE | BYTES | CUT, ["collect"]),
    (f"{RUN}/telemetry.json", BYTES | CUT | JSON, ["collect"]),
    (PACK, GONE | BYTES | CUT | JSON, ["collect"]),
    ("results/made/records/*.tar.xz", GONE | BYTES | CUT, ["restore --records-only"]),
    ("results/made/telemetry.jsonl", BYTES | CUT | JSON, ["restore --records-only", "analyse"]),
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
    ("results/step-times.json", BYTES | JSON, ["collect"]),
]
# Where there is nothing wrong: (file, damage, verb).
SOUND = {
    ("config/config.yaml", "empty", "fetch made"),  # all has defaults
    ("config/datasets.yaml", "empty", "verify"),
    ("data/raw/made/fetched.json", "missing", "verify made"),  # not fetched, or so it seems
    ("data/raw/made/fetched.json", "unreadable", "verify made"),
    ("data/prepared/made.safetensors", "unreadable", "verify"),
    (f"{RUN}/telemetry.json", "other object", "collect"),
    ("results/made/telemetry.jsonl", "half", "restore --records-only"),  # some costs are known
    ("config/claims.yaml", "empty", "claims"),
    ("config/published.yaml", "empty", "check"),
    ("results/made/telemetry.jsonl", "empty", "restore --records-only"),  # no costs are known
    ("results/made/claims.json", "unreadable", "claims"),  # as if there were no verdicts yet
    (f"{RUN}/telemetry.json", "unreadable", "collect"),
    ("results/made/telemetry.jsonl", "unreadable", "restore --records-only"),
    ("results/step-times.json", "unreadable", "collect"),
}
EVERY = 1 if os.environ.get("GUIDEBP_FULL") else 3  # `make test-full` has all of them
CASES = [
    pytest.param(file, damage, verb, id=f"{verb}-{file}-{name}")
    for file, damages, verbs in TABLE
    for name, damage in damages.items()
    for verb in verbs
    if (file, name, verb) not in SOUND
][::EVERY]


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
    (GONE | BYTES | CUT | JSON)[damage](sorted(project.glob(file))[0])
    assert attempt(project, capsys, *command(project, verb))[0] == 0


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        pytest.param(file, damage, id=f"{file}-{name}")
        for file, damages, _ in TABLE
        if not file.startswith(("config", "results/made/figures", "results/made/tables"))
        for name, damage in damages.items()
    ][::EVERY],
)
def test_the_doctor_survives_it_all(
    project: Path, capsys: pytest.CaptureFixture[str], file: str, damage: Damage
) -> None:
    (project / "results/step-times.json").write_text("{}")
    damage(sorted(project.glob(file))[0])
    before = contents(project.parent)
    with inside(project):
        code = main(["doctor"])
    said = capsys.readouterr()
    assert contents(project.parent) == before
    if code == 2:
        assert said.err.startswith("guidebp doctor: ") and len(said.err.splitlines()) == 1
    else:
        assert said.out.splitlines()[-1].endswith("faults") and "Traceback" not in said.err


OF_STUDY = ["train --pack p", "time", "collect", "specs", "analyse", "claims", "render", "report"]
OF_STUDY += ["expect", "restore", "doctor", "status", "check"]
STUDIES = ["mad", "../made", "/made", "runs", "a\nb", ""]


@pytest.mark.parametrize(
    ("verb", "study"),
    [*((verb, "mad") for verb in OF_STUDY), *((v, s) for v in ("analyse", "check") for s in STUDIES)],
)
def test_unknown_studies(project: Path, capsys: pytest.CaptureFixture[str], verb: str, study: str) -> None:
    code, said = attempt(project, capsys, *verb.split(), "--study", study)
    assert code == 2 and len(said.splitlines()) == 1, said


@pytest.mark.parametrize("verb", ["fetch", "prepare", "verify"])
@pytest.mark.parametrize("dataset", ["mad", "../made", "a\nb", "", "$(id)"])
def test_unknown_datasets(project: Path, capsys: pytest.CaptureFixture[str], verb: str, dataset: str) -> None:
    code, said = attempt(project, capsys, verb, dataset)
    assert code == 2 and len(said.splitlines()) == 1 and "config/datasets.yaml: no dataset" in said


FOLDERS = {
    "config": ["check", "fetch made", "verify", "analyse"],
    "config/studies": ["check"],
    "data": ["fetch made", "prepare made", "collect"],
    "data/raw": ["fetch made"],
    "data/prepared": ["prepare made", "collect", "restore --records-only"],
    "results": ["collect", "analyse", "render", "report", "restore --records-only", "train --pack PACK"],
    "results/made": ["collect", "analyse", "report", "restore --records-only"],
    "results/made/packs": ["collect", "restore --records-only"],
    "results/runs": ["collect", "restore --records-only"],
    "results/made/means": ["analyse"],
    "results/made/plots": ["analyse"],
    "results/made/figures": ["render", "report"],
    "results/made/tables": ["report"],
}


@pytest.mark.parametrize(
    ("folder", "verb"), [(folder, verb) for folder, verbs in FOLDERS.items() for verb in verbs]
)
def test_a_file_in_the_place_of_a_folder(
    project: Path, capsys: pytest.CaptureFixture[str], folder: str, verb: str
) -> None:
    """Which nobody, not even root, can read or write as a folder."""
    words = command(project, verb)
    shutil.rmtree(project / folder)
    (project / folder).write_text("a file")
    code, said = attempt(project, capsys, *words, writes=verb == "analyse")
    assert code == 2 and len(said.splitlines()) == 1, said
    assert (project / folder).read_text() == "a file"


VERBS = ["check", "specs", "status", "claims", "verify", "collect", "analyse", "restore --records-only"]
# Without a checksum of their own: a digit more may be a study's truth.
UNCHECKED = ("telemetry", "prepared/made.json")
WORDS = st.text('0123456789{}[],.:"-aeNn', min_size=1, max_size=8).map(str.encode)


@given(st.data())
def test_random_damage_is_a_line_or_does_no_harm(whole: Path, place: Path, data: st.DataObject) -> None:
    """Nothing that a damaged file brings about lasts: what verbs write is what they wrote before."""
    project = fresh(whole, place)
    names = [name for name in contents(project) if name.startswith(("data", "results/made", "results/runs"))]
    names = [name for name in names if not name.startswith(("results/made/figures", "results/made/tables"))]
    name = data.draw(st.sampled_from(names))
    content = (project / name).read_bytes()
    start = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(st.binary(min_size=1, max_size=8) | WORDS)
    (project / name).write_bytes(content[:start] + new + content[start + len(new) :])
    before = contents(project)
    verb = data.draw(st.sampled_from(VERBS))
    said = io.StringIO()
    with inside(project), redirect_stderr(said), redirect_stdout(io.StringIO()):
        code = main(verb.split())
    after, lines = contents(project), said.getvalue().splitlines()
    if code:
        assert (
            code == 2 and lines and all(line.startswith(f"guidebp {verb.split()[0]}: ") for line in lines)
        ), lines
        assert after == before
    elif not any(part in name for part in UNCHECKED):
        assert after | {name: content} == before | {name: content}


def changed(spec: dict[str, Any], *keys: str, value: Any = None) -> dict[str, Any]:
    """The spec with another value at a place; without it for None."""
    copy: dict[str, Any] = json.loads(json.dumps(spec))
    inner = copy
    for key in keys[:-1]:
        inner = inner.setdefault(key, {})
    if value is None:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return copy


def with_first(change: Callable[[dict[str, Any]], Any]) -> Damage:
    """The file holds what `change` makes of its first planned run."""
    return lambda path: void(path.write_text(json.dumps(change(json.loads(path.read_text())[0]))))


def run_without(name: str) -> Damage:
    """The first planned run lacks a key of its own."""
    return with_first(lambda run: [changed(run, name)])


def swapped(*keys: str, value: Any = None) -> Damage:
    """One value of the first spec is another, and the key is that of the new spec: the value alone is at fault."""

    def swap(run: dict[str, Any]) -> list[dict[str, Any]]:
        spec = changed(run["spec"], *keys, value=value)
        return [run | {"spec": spec, "key": hash_json(spec, KEY_DIGITS)}]

    return with_first(swap)


def with_old_key(*keys: str, value: Any = None) -> Damage:
    """One value of the first spec is another; the key is that of the old spec."""
    return with_first(lambda run: [run | {"spec": changed(run["spec"], *keys, value=value)}])


REQUIRED = [
    *((name,) for name in ("seed", "engine", "dataset", "architecture", "method", "recipe")),
    *(("dataset", name) for name in ("name", "split", "classes")),
    *(("dataset", "split", name) for name in ("test", "validation")),
    *((kind, name) for kind in ("architecture", "method") for name in ("family", "options")),
    *(("recipe", name) for name in ("optimiser", "epochs", "batch_size")),
    *(("recipe", "optimiser", name) for name in ("name", "lr")),
]
OPTIONAL = [
    *(("recipe", name) for name in ("schedule", "numerics", "augmentation", "downsample")),
    *(("recipe", "schedule", name) for name in ("name", "warmup")),
    ("architecture", "base"),
]
NO_JSON, NO_RUN, UNKNOWN = "specs.json: not JSON", "0: not a planned run (", "0: names something unknown ("
# Damage to a file of planned runs, and text of the message that names the place at fault.
SPECS: dict[str, tuple[Damage, str]] = {
    **{name: (damage, "specs.json") for name, damage in (GONE | BYTES).items()},
    **{name: (BYTES[name], NO_JSON) for name in ("empty", "binary", "not UTF-8")},
    **{name: (damage, NO_JSON) for name, damage in CUT.items()},
    "deep": (JSON["deep"], NO_JSON),
    "no list": (with_first(lambda run: run), "specs.json: not a list of planned runs"),
    "list of numbers": (with_first(lambda _: [3]), f"{NO_RUN}expected an object)"),
    "list of lists": (with_first(lambda run: [[run]]), f"{NO_RUN}expected an object)"),
    "list of specs": (with_first(lambda run: [run["spec"]]), f"{NO_RUN}key: missing)"),
    "second run": (with_first(lambda run: [run, 3]), "specs.json: 1: not a planned run (expected an object)"),
    **{
        f"run without {name}": (
            run_without(name),
            f"{NO_RUN}{name}: missing)",
        )
        for name in ("key", "spec", "locks")
    },
    "run with claims": (with_first(lambda run: [run | {"claims": {}}]), f"{NO_RUN}'claims': unknown key)"),
    "key is a list": (with_first(lambda run: [run | {"key": [1]}]), f"{NO_RUN}key: the spec has the key"),
    "spec is a list": (with_first(lambda run: [run | {"spec": [1]}]), f"{NO_RUN}spec: expected an object"),
    "locks are a list": (
        with_first(lambda run: [run | {"locks": [1]}]),
        f"{NO_RUN}locks: expected an object",
    ),
    "lock without setting": (
        with_first(lambda run: [run | {"locks": {"claim": "hash"}}]),
        f"{NO_RUN}locks.claim: expected an object",
    ),
    **{
        f"without {'.'.join(keys)}": (swapped(*keys), f"{NO_RUN}{'.'.join(keys)}: missing)")
        for keys in REQUIRED
    },
    **{
        f"{'.'.join(keys)} is a list": (swapped(*keys, value=[1]), f"{NO_RUN}{'.'.join(keys)}: expected ")
        for keys in REQUIRED + OPTIONAL
    },
    "key that leads elsewhere": (
        with_first(lambda run: [run | {"key": "../../elsewhere"}]),
        f"{NO_RUN}key: the spec has the key",
    ),
    "key of another spec": (with_old_key("seed", value=7), f"{NO_RUN}key: the spec has the key"),
    "key of another recipe": (
        with_old_key("recipe", "epochs", value=7),
        f"{NO_RUN}key: the spec has the key",
    ),
    "dataset that leads elsewhere": (
        swapped("dataset", "name", value="../elsewhere"),
        f"{UNKNOWN}dataset.name: ",
    ),
    "dataset anywhere": (swapped("dataset", "name", value="/elsewhere"), f"{UNKNOWN}dataset.name: "),
    "unknown family": (swapped("method", "family", value="magic"), f"{UNKNOWN}method: "),
    "unknown architecture": (swapped("architecture", "family", value="magic"), f"{UNKNOWN}architecture: "),
    "unknown base": (
        swapped("architecture", "base", value={"family": "magic", "options": {}}),
        f"{UNKNOWN}architecture.base: ",
    ),
    "family of another package": (swapped("method", "family", value="..cli"), f"{UNKNOWN}method: "),
    "module that is no family": (swapped("method", "family", value="contract"), f"{UNKNOWN}method: "),
    "unknown option": (swapped("method", "options", value={"colour": "red"}), f"{UNKNOWN}method: "),
    "unknown optimiser": (
        swapped("recipe", "optimiser", "name", value="magic"),
        f"{UNKNOWN}recipe.optimiser: ",
    ),
    "option of two lines": (swapped("method", "options", value={"a\nb": 1}), f"{UNKNOWN}method: "),
    "unknown schedule": (
        swapped("recipe", "schedule", "name", value="magic"),
        f"{NO_RUN}recipe.schedule.name: ",
    ),
    "engine of another version": (
        swapped("engine", value=ENGINE_VERSION - 1),
        f"0: of another version (found engine {ENGINE_VERSION - 1}, expected {ENGINE_VERSION})",
    ),
    "key of a later version": (swapped("recipe", "magic", value=1), f"{NO_RUN}recipe.magic: unknown key)"),
    "key of two lines": (swapped("recipe", "a\nb", value=1), f"{NO_RUN}recipe.'a\\nb': unknown key)"),
    "augmentation that is a text": (
        swapped("recipe", "augmentation", value="all"),
        f"{NO_RUN}recipe.augmentation: expected an object",
    ),
    **{
        f"{name} {value!r}": (swapped("recipe", name, value=value), f"{NO_RUN}recipe{place}: ")
        for name in ("epochs", "batch_size", "downsample")
        for value, place in ((0, ""), (-2, ""), ("2", f".{name}"), (1.5, f".{name}"), (True, f".{name}"))
    },
    **{
        f"lr {shown}": (
            with_old_key("recipe", "optimiser", "lr", value=value),
            f"{NO_RUN}recipe.optimiser.lr: ",
        )
        for shown, value in {"text": "fast", "NaN": math.nan, "infinity": math.inf, "10^400": 10**400}.items()
    },
}


def train(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The message with which `python -m guidebp.training specs.json` ends; nothing is trained."""
    before = contents(project.parent)
    monkeypatch.setattr(sys, "argv", ["training", "specs.json", "--store", "elsewhere"])
    with inside(project), pytest.raises(SystemExit) as caught:
        training.main()
    said = capsys.readouterr().err
    assert caught.value.code == 2 and len(said.splitlines()) == 1, said
    assert said.startswith("python -m guidebp.training: ")
    assert contents(project.parent) == before
    return said


@pytest.fixture
def specs(project: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The project's own, in a file."""
    with inside(project):
        assert main(["specs"]) == 0
    path = project / "specs.json"
    path.write_text(capsys.readouterr().out)
    return path


@pytest.mark.parametrize("case", SPECS)
def test_specs_that_are_none(
    specs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    damage, place = SPECS[case]
    damage(specs)
    assert place in train(specs.parent, monkeypatch, capsys)


@pytest.mark.parametrize("file", ["made.json", "made.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "folder", "unreadable", "empty", "binary"])
def test_training_refuses_damaged_data(
    specs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: str, damage: str
) -> None:
    (GONE | BYTES)[damage](specs.parent / "data/prepared" / file)
    assert file in train(specs.parent, monkeypatch, capsys)


@pytest.mark.slow
def test_training_as_a_process(tmp_path: Path) -> None:
    (tmp_path / "specs.json").write_text("[3]")
    command = [sys.executable, "-m", "guidebp.training", "specs.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines() == [
        "python -m guidebp.training: specs.json: 0: not a planned run (expected an object). "
        "Run: guidebp specs > specs.json"
    ]


@pytest.mark.parametrize(
    ("file", "damage", "expected"),
    [
        ("config/config.yaml", "bomb", "stand for more than"),
        ("config/studies/tiny.yaml", "binary", "studies/tiny.yaml: "),
        ("config/methods.yaml", "folder", "methods.yaml: cannot be read"),
    ],
)
@pytest.mark.workflow
def test_snakemake_says_it_too(tmp_path: Path, file: str, damage: str, expected: str) -> None:
    project = Project(tmp_path / "project")
    (BYTES | YAML)[damage](project.folder / file)
    said = project.call("snakemake", "-n", code=1)
    assert expected in said and "Traceback" not in said
