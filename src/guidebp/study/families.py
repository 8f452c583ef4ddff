"""What can be known of a method's or an architecture's file without importing torch.

Each file of `guidebp.methods` and `guidebp.models` with an `Options` dataclass is a family. Importing one costs
seconds (torch), and the workflow resolves its study at every start, so the file is read as text: the hash
of its code goes into run keys, its `Options` class (plain Python) validates options, and the literals `NEEDS`
of a method and `OFFERS` of an architecture tell which pairs fit.
"""

import ast
import hashlib
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated_dataclass

from guidebp.study.files import explain

PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Family:
    """One file: the hash of its code, its options and its literals."""

    name: str
    code: str
    options: TypeAdapter[Any]
    literals: dict[str, Any]

    def resolve(self, options: dict[str, Any]) -> tuple[Any, list[str]]:
        """The validated Options object, or None and what is wrong, one line per fault."""
        try:
            return self.options.validate_python(options), []
        except ValidationError as error:
            return None, explain(error)


def code_hash(source: str) -> str:
    """Hash of the program in `source` without comments, docstrings and layout, 16 hexadecimal digits."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]


@cache
def families(kind: Literal["methods", "models"]) -> dict[str, Family]:
    """All families of a package folder, by name (`-` for `_` of the file name)."""
    found = {}
    for path in sorted((PACKAGE / kind).glob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "class Options" in source:
            name = path.stem.replace("_", "-")
            found[name] = _read(name, source)
    return found


def _read(name: str, source: str) -> Family:
    """A family from its source: only its Options class and its literal constants are evaluated."""
    tree = ast.parse(source)
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Options"]
    scope: dict[str, Any] = {"dataclass": dataclass, "field": field, "Literal": Literal, "__name__": name}
    exec(compile(ast.Module(classes, []), f"{name}.Options", "exec", dont_inherit=True), scope)
    options = validated_dataclass(scope["Options"], config=ConfigDict(extra="forbid"))
    literals = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                literals[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return Family(name, code_hash(source), TypeAdapter(options), literals)


def plain(options: Any) -> dict[str, Any]:
    """Options as JSON-ready values."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(options).items()}
