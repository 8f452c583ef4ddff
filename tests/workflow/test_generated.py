"""The committed files that are made from others: up to date, valid, and true of config/ as it stands."""

import copy
import hashlib
import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from guidebp.analysis.collect import describe
from guidebp.canonical import readable_json
from guidebp.rendering.documents import documents, write_documents
from guidebp.study.files import read_yaml
from guidebp.study.generated import SCHEMAS, contents, write_generated
from guidebp.study.resolve import load_study
from guidebp.study.schema import FILES

ROOT = Path(__file__).parents[2]
RESULTS = "results/desk"
PUBLISHED = ["demo", "desk", "desk-again", "desk-matched", "desk-long"]
CONFIG = sorted((ROOT / "config").rglob("*.yaml"))
HEADER = re.compile(r"# yaml-language-server: \$schema=(\S+)")


def schema_of(path: Path) -> dict[str, Any]:
    """The schema that the file's first line names."""
    header = HEADER.fullmatch(path.read_text("utf-8").splitlines()[0])
    assert header, f"{path}: its first line names no schema"
    schema: dict[str, Any] = json.loads((path.parent / header[1]).read_text("utf-8"))
    return schema


def faults(path: Path, value: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(schema_of(path)).iter_errors(value)]


def catalogue(kind: str) -> tuple[Path, Any]:
    path = ROOT / "config" / f"{kind}.yaml"
    return path, copy.deepcopy(read_yaml(path))


def entries_with_options() -> list[tuple[str, str, str]]:
    return [
        (kind, name, option)
        for kind in ("architectures", "methods")
        for name, entry in catalogue(kind)[1].items()
        for option in entry.get("options", {})
    ]


def test_generated_files_are_up_to_date() -> None:
    for path, text in contents(ROOT).items():
        assert (ROOT / path).read_text("utf-8") == text, f"{path} is out of date; run: guidebp generate"


@pytest.mark.parametrize("study", PUBLISHED)
def test_committed_studies_are_described_as_they_stand(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed is of today's configuration; else `guidebp restore` would find it changed."""
    monkeypatch.chdir(ROOT)
    committed = (ROOT / "results" / study / "study.json").read_bytes()
    made = describe(load_study(study), json.loads(committed)["planned"])
    assert readable_json(made) == committed, f"run: guidebp restore --study {study}, and commit what changed"


def test_documents_have_the_numbers_of_the_results() -> None:
    """Every measured number in them is derived anew."""
    for path, content in documents(ROOT).items():
        assert (ROOT / path).read_bytes() == content, f"{path} is out of date; run: guidebp generate"


def test_pictures_in_documents_are_rendered_figures() -> None:
    lines = (ROOT / RESULTS / "rendered.sha256").read_text().splitlines()
    pictures = sorted((ROOT / "docs").glob("*.png"))
    assert pictures
    for path in pictures:
        made = hashlib.sha256(path.read_bytes()).hexdigest()
        assert f"{made}  {RESULTS}/figures/{path.name}" in lines, (
            f"{path}: out of date; run: guidebp generate"
        )


def test_documents_follow_the_results(tmp_path: Path) -> None:
    for name in (
        "docs",
        "benchmarks/results",
        *(str(path.relative_to(ROOT)) for path in (ROOT / "results").glob("desk*")),
    ):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "README.md", tmp_path)
    before = documents(tmp_path)
    for name, key, value in (
        (f"{RESULTS}/claims.json", "effect", "12.34"),
        ("benchmarks/results/amd-epyc-avx512-bf16-cpu.json", "seconds", "43.21"),
    ):
        path = tmp_path / name
        path.write_text(re.sub(rf'"{key}": [-0-9.]+', f'"{key}": {value}', path.read_text()))
    (tmp_path / RESULTS / "analysed.sha256").unlink()  # which would refuse the change
    after = documents(tmp_path)
    for name, number in {
        "README.md": "+12.34",
        "docs/findings.md": "+12.34",
        "docs/scaling.md": "43.2 s",
    }.items():
        assert number.encode() in after[Path(name)] and number.encode() not in before[Path(name)]
    (tmp_path / RESULTS / "figures").mkdir(exist_ok=True)
    picture = next((ROOT / "docs").glob("*.png"))
    (tmp_path / RESULTS / "figures" / picture.name).write_bytes(b"drawn anew")
    assert Path("docs") / picture.name in write_documents(tmp_path)
    assert (tmp_path / "docs" / picture.name).read_bytes() == b"drawn anew"
    assert (tmp_path / "docs/findings.md").read_bytes() == after[Path("docs/findings.md")]


def test_every_kind_of_file_has_a_schema_and_no_other_lies_about() -> None:
    assert {path.name for path in (ROOT / SCHEMAS).iterdir()} == {f"{kind}.schema.json" for kind in FILES}


def test_write_generated_writes_what_contents_says(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    written = write_generated(tmp_path)
    assert {path: (tmp_path / path).read_text("utf-8") for path in written} == contents(tmp_path)


@pytest.mark.parametrize("kind", FILES)
def test_schemas_are_valid(kind: str) -> None:
    schema = json.loads((ROOT / SCHEMAS / f"{kind}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    targets = re.findall(r'"\$ref": "([^"]*)"', json.dumps(schema))
    assert {target.removeprefix("#/$defs/") for target in targets} <= set(schema.get("$defs", {}))


@pytest.mark.parametrize("path", CONFIG, ids=lambda path: str(path.relative_to(ROOT)))
def test_config_files_fit_their_schema(path: Path) -> None:
    assert faults(path, read_yaml(path)) == []


@pytest.mark.parametrize(("kind", "name", "option"), entries_with_options())
def test_a_misspelt_option_does_not_fit(kind: str, name: str, option: str) -> None:
    path, value = catalogue(kind)
    options = value[name]["options"]
    options[option + "x"] = options.pop(option)
    assert any(f"'{option}x'" in fault for fault in faults(path, value))


@pytest.mark.parametrize("kind", ["architectures", "methods"])
def test_an_unknown_family_or_a_name_that_is_none_does_not_fit(kind: str) -> None:
    path, value = catalogue(kind)
    entry = next(iter(value.values()))
    assert faults(path, value | {"No name": entry})
    assert faults(path, value | {"other": entry | {"family": "no-such-family"}})


def test_missing_options_do_not_fit_a_family_that_needs_some() -> None:
    path, value = catalogue("methods")
    del value["add"]["options"]
    assert faults(path, value)


def test_environment_names_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    environment = read_yaml(ROOT / "environment.yml")
    python, pip, packages = environment["dependencies"]
    assert (python, pip) == ("python" + project["project"]["requires-python"], "pip")
    assert packages["pip"][-1] == "--editable ."
    assert packages["pip"][:-1] == project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    assert environment["channels"] == ["conda-forge", "nodefaults"]


LOCKS = ["requirements.lock", "requirements-slurm.lock"]


def locked(lock: str = LOCKS[0]) -> list[tuple[str, str]]:
    """A lock's requirements: name, and the text with version, markers and hashes; a name may come twice."""
    text = (ROOT / lock).read_text("utf-8")
    blocks = re.split(r"^(?=[^\s#])", text, flags=re.MULTILINE)
    return [(re.split(r"[=\s\[]", block)[0], block) for block in blocks if block.strip()]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    # names such as aiohttp and dvc-http are no addresses
    assert not re.search(r"https?:|://|--(extra-)?index-url|--find-links", text)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_is_pinned_and_hashed(lock: str) -> None:
    for name, block in locked(lock):
        assert re.match(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==\S+ ", block), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), name


def test_lock_holds_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    apart = {re.split(r"[^\w.-]", line)[0] for line in project["dependency-groups"]["slurm"]}
    assert apart == {name for name, _ in locked(LOCKS[1])}
    names = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in wanted}
    assert names <= {name for name, _ in locked()}
