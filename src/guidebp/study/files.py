"""Reading YAML files against the schema, with messages that a person can act on."""

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from guidebp.errors import UserError
from guidebp.study.schema import FILES


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key '{key}' stands here twice", problem_mark=key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause for error messages: the nearest valid name if there is one, and all valid names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}known: {', '.join(known) or 'none'}"


def read_yaml(path: Path) -> Any:
    """The parsed file; UserError when it is missing or no YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    try:
        return yaml.load(text, Loader=_UniqueKeys)  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        # the last three: PyYAML's own answer to a wrong explicit tag such as `!!bool maybe`
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not valid YAML: {reason}") from error


def read_file(path: Path, kind: str) -> Any:
    """A file of `kind` (a key of `schema.FILES`) as its model; UserError names file, key and expectation."""
    return check(path, read_yaml(path), kind)


def check(where: Path | str, value: Any, kind: str) -> Any:
    """A parsed value as the model of `kind`; UserError names `where`, key and expectation."""
    try:
        # as JSON: strict about types, yet a list may stand for a tuple
        text = json.dumps({} if value is None else value)
        return TypeAdapter(FILES[kind]).validate_json(text, strict=True)
    except (TypeError, ValueError) as error:
        if not isinstance(error, ValidationError):
            raise UserError(f"{where}: holds a value that JSON has no form for ({error})") from error
        raise UserError("\n".join(f"{where}: {line}" for line in explain(error))) from error


def explain(error: ValidationError) -> list[str]:
    """One line per fault: key, expectation, what was found."""
    lines = []
    for fault in error.errors():
        # pydantic appends the tag of a union's member or a mapping's "[key]" to the location
        where = ".".join(str(part) for part in fault["loc"] if str(part)[:1] not in ("[", "<"))
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            message = "unknown key"
        found = fault["input"]
        shown = f", found {found!r:.60}" if isinstance(found, str | int | float | bool) else ""
        lines.append(f"{where}: {message}{shown}" if where else f"{message}{shown}")
    return list(dict.fromkeys(lines))
