"""Read YAML files and check them against the schema, with messages that a person can act on."""

import copy
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from guidebp.errors import UserError
from guidebp.schema.file_kinds import FILES

MAX_YAML_BYTES = 10_000_000
MAX_YAML_VALUES = 1_000_000  # the values behind an alias count at each of its uses
CHARACTERS_PER_VALUE = 32  # a text counts once more for every so many characters


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(
                    problem="merge keys (<<) are not supported; write the keys out, or alias a whole value",
                    problem_mark=key_node.start_mark,
                )
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key '{key}' stands here twice", problem_mark=key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Parse a file; UserError when it is missing, no YAML, or larger than any that a person wrote."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_YAML_BYTES + 1)
        if len(content) > MAX_YAML_BYTES:
            raise UserError(
                f"{path}: has more than {MAX_YAML_BYTES:,} bytes, which no file of config/ needs; shorten it"
            )
        text = content.decode("utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    try:
        return copy.deepcopy(_parse_yaml(text))  # a copy, as some callers edit what they get
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        # the last three: PyYAML's own answer to a wrong explicit tag such as `!!bool maybe`
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not valid YAML: {reason}") from error


@lru_cache(maxsize=16)  # several studies read the same catalogues, and parsing takes longest
def _parse_yaml(text: str) -> Any:
    """Parse a YAML text; raises yaml.YAMLError or another exception of PyYAML when it is not valid."""
    loader = _UniqueKeys(text)  # a SafeLoader
    node = loader.get_single_node()
    if node is None:
        return None
    _count_values(node, {})
    return loader.construct_document(node)


def _count_values(node: yaml.Node, counts: dict[int, int]) -> int:
    """Count the values below a composed node; MarkedYAMLError when aliases make them endless or too many.

    `counts` holds the counts of nodes by identity, 0 while a node is being counted. So a file of a few lines that
    stands for billions of values is refused before any is built.
    """
    if id(node) not in counts:
        counts[id(node)] = 0
        below = (
            [child for pair in node.value for child in pair]
            if isinstance(node, yaml.MappingNode)
            else node.value
        )
        if isinstance(below, str):
            counts[id(node)] = 1 + len(below) // CHARACTERS_PER_VALUE
        else:
            counts[id(node)] = 1 + sum(_count_values(child, counts) for child in below)
    count = counts[id(node)]
    if not 0 < count <= MAX_YAML_VALUES:
        problem = (
            f"its aliases stand for more than {MAX_YAML_VALUES:,} values"
            if count
            else "an alias stands within its own anchor"
        )
        raise yaml.MarkedYAMLError(problem=f"{problem}; write the values out", problem_mark=node.start_mark)
    return count


def read_config_file(path: Path, kind: str) -> Any:
    """Read a file of `kind` (a key of `FILES`) as its model; UserError names file, key and expectation."""
    return check_config_value(path, read_yaml(path), kind)


def check_config_value(where: Path | str, value: Any, kind: str) -> Any:
    """Return a parsed value as the model of `kind`; UserError names `where`, key and expectation."""
    try:
        # as JSON: strict about types, yet a list may stand for a tuple
        text = json.dumps({} if value is None else value)
        return TypeAdapter(FILES[kind]).validate_json(text, strict=True)
    except (TypeError, ValueError, RecursionError) as error:
        if not isinstance(error, ValidationError):
            raise UserError(f"{where}: holds a value that JSON has no form for ({error})") from error
        raise UserError("\n".join(f"{where}: {line}" for line in explain_validation(error))) from error


def explain_validation(error: ValidationError) -> list[str]:
    """Return one line per fault: key, expectation, what was found."""
    lines = []
    for fault in error.errors():
        # pydantic appends the tag of a union's member or a mapping's "[key]" to the location
        keys = [str(key) for key in fault["loc"] if str(key)[:1] not in ("[", "<")]
        where = ".".join(key if key.isprintable() else repr(key) for key in keys)
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            message = "unknown key"
        value = fault["input"]
        shown = f", found {value!r:.60}" if isinstance(value, str | int | float | bool) else ""
        lines.append(f"{where}: {message}{shown}" if where else f"{message}{shown}")
    return list(dict.fromkeys(lines))
