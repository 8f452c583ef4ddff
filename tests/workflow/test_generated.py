"""The committed files that are made from others: up to date, valid, and true of config/ as it stands."""

import copy
import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from guidebp.rendering.documents.generate import render_documents, write_documents
from guidebp.schema.file_kinds import FILES
from guidebp.schema.generated import SCHEMAS, contents, write_generated
from guidebp.schema.yaml_files import read_yaml

ROOT = Path(__file__).parents[2]
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


def test_documents_have_the_numbers_of_the_results() -> None:
    """Every measured number in them is derived anew."""
    for path, content in render_documents(ROOT).items():
        assert (ROOT / path).read_bytes() == content, f"{path} is out of date; run: guidebp generate"


def test_documents_follow_the_results(tmp_path: Path) -> None:
    for name in ("docs", "benchmarks/results"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "README.md", tmp_path)
    before = render_documents(tmp_path)
    path = tmp_path / "benchmarks/results/amd-epyc-avx512-bf16-cpu.json"
    path.write_text(re.sub(r'"seconds": [-0-9.]+', '"seconds": 43.21', path.read_text()))
    after = render_documents(tmp_path)
    scaling = Path("docs/scaling.md")
    assert b"43.2 s" in after[scaling] and b"43.2 s" not in before[scaling]
    assert scaling in write_documents(tmp_path)
    assert (tmp_path / scaling).read_bytes() == after[scaling]


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
