"""Families of methods and architectures: their options and the hash of their code, read without importing torch.

Each file of `guidebp.methods` and `guidebp.models` with an `Options` dataclass is a family. Importing one costs
seconds (torch), and the workflow resolves its study at every start, so the file is read as text. The hash
of its code goes into run keys. Its `Options` class (plain Python) validates options. A method's `requirement()` and
an architecture's `offer()` decide which pairs fit.
"""

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated_dataclass

from guidebp.errors import UserError
from guidebp.requirements import Offer, Requirement
from guidebp.runs.json_fields import JsonObject, to_json
from guidebp.schema.yaml_files import explain_validation

PACKAGE = Path(__file__).parent.parent


class ArchitectureOptions(Protocol):
    """The `Options` of an architecture that does not copy another one."""

    def smallest_image(self) -> int:
        """Pixels a side of the smallest image that it takes."""


@dataclass(frozen=True)
class Family:
    """One file.

    Attributes:
        name: the file's name with `-` for `_`.
        code: hash of the file's code.
        options: validates values for its `Options` class.
    """

    name: str
    code: str
    options: TypeAdapter[Any]

    def resolve(self, options: dict[str, Any]) -> tuple[Any, list[str]]:
        """The validated Options object and no faults, or None and one line per fault."""
        try:
            return self.options.validate_json(json.dumps(options)), []
        except ValidationError as error:
            return None, explain_validation(error)


def hash_code(source: str) -> str:
    """Hash of the program in `source` without comments, docstrings, imports and blank lines, 16 hexadecimal digits.

    Of the text, not of a dump of the tree, which differs between versions of Python. Imports are left out because a
    shared module may move; changes within shared modules are the business of `ENGINE_VERSION`.
    """
    lines = source.split("\n")
    # from the end, so that earlier ranges keep their positions; a comment within an import is removed before it
    for start, end in sorted(_find_unhashed(source, lines), reverse=True):
        before, after = lines[start[0]][: start[1]], lines[end[0]][end[1] :]
        # the semicolon that separates an import from another statement of its line goes with it
        if after.lstrip().startswith(";"):
            after = after.lstrip()[1:].lstrip()
        elif before.rstrip().endswith(";"):
            before = before.rstrip()[:-1]
        lines[start[0] : end[0] + 1] = [before + after] + [""] * (end[0] - start[0])
    code = [line.rstrip() for line in lines if line.strip()]
    return hashlib.sha256("\n".join(code).encode()).hexdigest()[:16]


Position = tuple[int, int]  # line and character, both from 0


def _find_unhashed(source: str, lines: list[str]) -> Iterator[tuple[Position, Position]]:
    """Start and end of every comment, docstring and import."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            yield (row - 1, column), (row - 1, len(lines[row - 1]))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield _locate(node, lines)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node) is not None
        ):
            yield _locate(node.body[0], lines)


def _locate(node: ast.stmt, lines: list[str]) -> tuple[Position, Position]:
    """Start and end of a statement; the tree counts columns in bytes."""
    assert node.end_lineno is not None and node.end_col_offset is not None

    def characters(row: int, offset: int) -> int:
        return len(lines[row].encode()[:offset].decode())

    first, last = node.lineno - 1, node.end_lineno - 1
    return (first, characters(first, node.col_offset)), (last, characters(last, node.end_col_offset))


@cache
def read_families(kind: Literal["methods", "models"]) -> dict[str, Family]:
    """All families of a package folder, by name."""
    families = {}
    for path in sorted((PACKAGE / kind).glob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "class Options" in source:
            name = path.stem.replace("_", "-")
            try:
                families[name] = _read_family(name, source)
            except (SyntaxError, NameError, TypeError) as error:
                raise UserError(
                    f"{path}: cannot be read ({error}); Options may use plain Python, literal constants of its "
                    "file, dataclass, field, Literal, Requirement and Offer"
                ) from error
    return families


def _read_family(name: str, source: str) -> Family:
    """A family from its source: only its Options class and its literal constants are evaluated."""
    tree = ast.parse(source)
    classes: list[ast.stmt] = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Options"]
    checked = partial(
        validated_dataclass, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    )
    scope: dict[str, Any] = {
        "dataclass": checked,
        "field": field,
        "Literal": Literal,
        "Requirement": Requirement,
        "Offer": Offer,
        "__name__": name,
    }
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with suppress(ValueError):
                scope[node.targets[0].id] = ast.literal_eval(node.value)
    exec(compile(ast.Module(classes, []), f"{name}.Options", "exec", dont_inherit=True), scope)
    options: TypeAdapter[Any] = TypeAdapter(scope["Options"])
    return Family(name, hash_code(source), options)


def explain_mismatch(method: object, architecture: object) -> str | None:
    """The reason why a method of these Options cannot train an architecture of those; None when it can.

    Options without a `requirement()` need nothing, Options without an `offer()` offer nothing.
    """
    requirement = _get_requirement(method)
    return None if requirement.is_met_by(_get_offer(architecture)) else requirement.reason


def has_several_exits(method: object, architecture: object) -> bool:
    """Return True if runs of the two have several exits along one trunk.

    The exits belong to the architecture, or the method adds them.
    """
    return _get_offer(architecture).exits > 1 or _get_requirement(method).units > 1


def _get_offer(architecture: object) -> Offer:
    offer = architecture.offer() if hasattr(architecture, "offer") else Offer()
    assert isinstance(offer, Offer)
    return offer


def _get_requirement(method: object) -> Requirement:
    requirement = method.requirement() if hasattr(method, "requirement") else Requirement()
    assert isinstance(requirement, Requirement)
    return requirement


def options_to_json(options: Any) -> JsonObject:
    """All options as JSON values, defaults included."""
    values: JsonObject = to_json(asdict(options))
    return values
