"""What can be known of a method's or an architecture's file without importing torch.

Each file of `guidebp.methods` and `guidebp.models` with an `Options` dataclass is a family. Importing one costs
seconds (torch), and the workflow resolves its study at every start, so the file is read as text: the hash
of its code goes into run keys, and its `Options` class (plain Python) validates options and tells, by `needs` of a
method and `offers` of an architecture, which pairs fit.
"""

import ast
import hashlib
import io
import json
import tokenize
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated_dataclass

from guidebp.errors import UserError
from guidebp.schema.yaml_files import explain

PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Family:
    """One file: the hash of its code and its options."""

    name: str
    code: str
    options: TypeAdapter[Any]

    def resolve(self, options: dict[str, Any]) -> tuple[Any, list[str]]:
        """The validated Options object, or None and what is wrong, one line per fault."""
        try:
            return self.options.validate_json(json.dumps(options)), []
        except ValidationError as error:
            return None, explain(error)


def code_hash(source: str) -> str:
    """Hash of the program in `source` without comments, docstrings and blank lines, 16 hexadecimal digits.

    Of the text, not of a dump of the tree, which differs between versions of Python.
    """
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            text = node.body[0]
            last = text.end_lineno or text.lineno
            lines[text.lineno - 1 : last] = [""] * (last - text.lineno + 1)
    kept = [line.rstrip() for line in lines if line.strip()]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:16]


@cache
def families(kind: Literal["methods", "models"]) -> dict[str, Family]:
    """All families of a package folder, by name (`-` for `_` of the file name)."""
    found = {}
    for path in sorted((PACKAGE / kind).glob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "class Options" in source:
            name = path.stem.replace("_", "-")
            try:
                found[name] = _read(name, source)
            except (SyntaxError, NameError, TypeError) as error:
                raise UserError(
                    f"{path}: cannot be read ({error}); Options may use plain Python, literal constants of its "
                    "file, dataclass, field and Literal"
                ) from error
    return found


def _read(name: str, source: str) -> Family:
    """A family from its source: only its Options class and its literal constants are evaluated."""
    tree = ast.parse(source)
    classes: list[ast.stmt] = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Options"]
    checked = partial(
        validated_dataclass, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    )
    scope: dict[str, Any] = {"dataclass": checked, "field": field, "Literal": Literal, "__name__": name}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with suppress(ValueError):
                scope[node.targets[0].id] = ast.literal_eval(node.value)
    exec(compile(ast.Module(classes, []), f"{name}.Options", "exec", dont_inherit=True), scope)
    options: TypeAdapter[Any] = TypeAdapter(scope["Options"])
    return Family(name, code_hash(source), options)


def unmet(method: Any, architecture: Any) -> str | None:
    """Why a method of these Options cannot train an architecture of those; None when it can.

    A method's `needs() -> {what: (least number, reason)}` is held against an architecture's `offers() -> {what:
    number}`; without either, nothing is needed or offered.
    """
    offers, needs = _offers(architecture), _needs(method)
    return next((reason for what, (least, reason) in needs.items() if offers.get(what, 0) < least), None)


def several_exits(method: Any, architecture: Any) -> bool:
    """Whether runs of the two have several exits along one trunk: the architecture's, or ones the method adds."""
    return bool(_offers(architecture).get("trunk", 0) > 1 or _needs(method).get("parts", (0, ""))[0] > 1)


def _offers(architecture: Any) -> dict[str, int]:
    return architecture.offers() if hasattr(architecture, "offers") else {}


def _needs(method: Any) -> dict[str, tuple[int, str]]:
    return method.needs() if hasattr(method, "needs") else {}


def plain(options: Any) -> dict[str, Any]:
    """Options as JSON-ready values."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(options).items()}
