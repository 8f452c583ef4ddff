"""Files made from others and committed: JSON Schemas for editors, environment.yml for conda users, notebooks.

`guidebp generate` writes them and a test fails when they are out of date, so nobody edits them by hand.
Editors find a file's schema through its first line (`# yaml-language-server: $schema=...`).
"""

import json
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from guidebp.files import write_atomic
from guidebp.paths import NOTEBOOKS
from guidebp.schema.families import read_families
from guidebp.schema.file_kinds import FILES

Json = dict[str, Any]

SCHEMAS = Path("workflow/schemas")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Which file of config/ each kind describes: the schema's title.
DESCRIBES = {
    "config": "config/config.yaml",
    "study": "config/studies/*.yaml",
    "recipes": "config/recipes/*.yaml",
}
# The kinds whose entries name a family: the entry's model in schema.py and the family's package.
FAMILIES: dict[str, tuple[str, Literal["methods", "models"]]] = {
    "architectures": ("Architecture", "models"),
    "methods": ("Method", "methods"),
}

ENVIRONMENT = """\
# Made from pyproject.toml by `guidebp generate` (part of `make lock`): edit that file, not this one.
# For conda users: conda brings Python, pip the rest, with the bounds of pyproject.toml. The exact versions
# under test are those of requirements.lock, which `make setup` installs.
name: guidebp
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python{python}
  - pip
  - pip:
{requirements}
"""


def contents(root: Path) -> dict[Path, str]:
    """The content of every generated file, by its path below the project's folder `root`."""
    made = {SCHEMAS / f"{kind}.schema.json": _text(json_schema(kind)) for kind in FILES}
    made[Path("environment.yml")] = environment(tomllib.loads((root / "pyproject.toml").read_text("utf-8")))
    for script in sorted((root / NOTEBOOKS).glob("*.py")):
        made[NOTEBOOKS / f"{script.stem}.ipynb"] = notebook(script)
    return made


def write_generated(root: Path = Path()) -> list[Path]:
    """Write every generated file below `root`; returns their paths."""
    made = contents(root)
    for path, text in made.items():
        write_atomic(root / path, text.encode())
    return list(made)


def json_schema(kind: str) -> Json:
    """The JSON Schema of a kind of file (a key of `schema.FILES`)."""
    schema: Json = TypeAdapter(FILES[kind]).json_schema()
    schema |= {"$schema": DIALECT, "title": DESCRIBES.get(kind, f"config/{kind}.yaml")}
    if "patternProperties" in schema:  # a mapping: pydantic leaves names that break the pattern open
        schema["additionalProperties"] = False
    if kind in FAMILIES:
        _describe_options(schema["$defs"], *FAMILIES[kind])
    return schema


def environment(project: Json) -> str:
    """The text of environment.yml for the parsed pyproject.toml."""
    requirements = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"], "--editable ."]
    return ENVIRONMENT.format(
        python=project["project"]["requires-python"],
        # quoted, as JSON strings are YAML: a requirement may hold characters that mean something to YAML
        requirements="\n".join(f"      - {json.dumps(line)}" for line in requirements),
    )


def notebook(script: Path) -> str:
    """The text of the notebook without outputs that a percent script is paired with."""
    import jupytext  # type: ignore[import-untyped] # only developers have it

    made = jupytext.read(script, fmt="py:percent")
    made.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for number, cell in enumerate(made.cells):
        cell["id"] = f"{script.stem}-{number}"
    made.nbformat_minor = 5  # the first with ids of cells
    return str(jupytext.writes(made, fmt="ipynb")) + "\n"


def _describe_options(definitions: Json, model: str, package: Literal["methods", "models"]) -> None:
    """Let an entry's family decide which options it may have, so that an editor completes their names."""
    known = read_families(package)
    entry = definitions[model]
    entry["properties"]["family"] = {
        "description": entry["properties"]["family"]["description"],
        "enum": sorted(known),
        "title": "Family",
    }
    entry["allOf"] = []
    for name, family in sorted(known.items()):
        options: Json = family.options.json_schema(ref_template=f"#/$defs/{name}.{{model}}")
        for inner, definition in options.pop("$defs", {}).items():
            definitions[f"{name}.{inner}"] = definition
        # an Options that refers to itself is among its own definitions, and then already here
        definitions.setdefault(f"{name}.Options", options)
        then: Json = {"properties": {"options": {"$ref": f"#/$defs/{name}.Options"}}}
        if definitions[f"{name}.Options"].get("required"):
            then["required"] = ["options"]
        when = {"properties": {"family": {"const": name}}, "required": ["family"]}
        entry["allOf"].append({"if": when, "then": then})


def _text(schema: Json) -> str:
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
