"""Frozen dataclasses to JSON values and back: the one place that omits defaults and checks types.

A field that equals its default is left out, so a field that is added later changes neither keys nor older files.
Only the standard library: training imports this.
"""

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
JsonObject = dict[str, object]


def to_json(value: object) -> Any:
    """The JSON value of a dataclass, without the fields that equal their defaults; tuples become lists."""
    if is_dataclass(value) and not isinstance(value, type):
        entries = ((field, getattr(value, field.name)) for field in fields(value))
        return {
            field.name: to_json(entry)
            for field, entry in entries
            if not _has_default(field) or entry != _default(field)
        }
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    return value


def from_json(kind: type[T], value: object, key: str = "") -> T:
    """The dataclass `kind` from its JSON value. `key` names the value in errors.

    Raises ValueError for a missing or unknown key, for a value of another type, and for NaN and infinity where a
    float is expected. Integers may stand for floats.
    """
    found: T = _convert(kind, value, key)
    return found


def _convert(kind: Any, value: Any, key: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is object:
        return value
    if is_dataclass(kind):
        return _dataclass(kind, value, key)
    if origin is Literal:
        if value in arguments and not isinstance(value, bool):
            return value
        raise _error(key, value, " or ".join(map(repr, arguments)))
    if origin in (Union, types.UnionType):
        return _union(arguments, value, key)
    if origin in (list, tuple):
        return _sequence(origin, arguments, value, key)
    if origin is dict:
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise _error(key, value, "an object")
        return {name: _convert(arguments[1], entry, _join(key, name)) for name, entry in value.items()}
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value, key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _error(key, value, "null" if kind is types.NoneType else kind.__name__)
    return value


def _finite(value: float, key: str) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        number = math.inf
    if not math.isfinite(number):
        raise _error(key, value, "a finite number")
    return number


def _dataclass(kind: Any, value: Any, key: str) -> Any:
    if not isinstance(value, dict):
        raise _error(key, value, "an object")
    types_by_name, known = _types(kind), {field.name: field for field in fields(kind)}
    for name in value:
        if name not in known:
            raise ValueError(f"{_join(key, name)}: unknown key")
    for name, field in known.items():
        if name not in value and not _has_default(field):
            raise ValueError(f"{_join(key, name)}: missing")
    return kind(
        **{name: _convert(types_by_name[name], entry, _join(key, name)) for name, entry in value.items()}
    )


def _union(arguments: tuple[Any, ...], value: Any, key: str) -> Any:
    for kind in arguments:
        try:
            return _convert(kind, value, key)
        except ValueError as error:
            failure = error
    raise failure


def _sequence(origin: Any, arguments: tuple[Any, ...], value: Any, key: str) -> Any:
    if not isinstance(value, list | tuple):
        raise _error(key, value, "a list")
    alike = origin is list or arguments[-1] is Ellipsis
    kinds = [arguments[0]] * len(value) if alike else list(arguments)
    if len(kinds) != len(value):
        raise _error(key, value, f"{len(kinds)} values")
    entries = (
        _convert(kind, entry, f"{key}.{i}") for i, (kind, entry) in enumerate(zip(kinds, value, strict=True))
    )
    return origin(entries)


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _has_default(field: "Field[Any]") -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _default(field: "Field[Any]") -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _join(key: str, name: str) -> str:
    """The key of an entry within `key`; foreign names that are not printable appear as escapes."""
    name = name if name.isprintable() else repr(name)
    return f"{key}.{name}" if key else name


def _error(key: str, value: object, expected: str) -> ValueError:
    return ValueError(f"{key}: expected {expected}, found {value!r:.60}")
