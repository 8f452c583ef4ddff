"""Conversion of frozen dataclasses to JSON values and back. Only this module omits defaults and checks types.

A field that equals its default is left out, so a field that is added later changes neither keys nor older files.
Only the standard library: training imports this.
"""

import math
import types
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
JsonObject = dict[str, object]


def to_json(value: object) -> Any:
    """Return the JSON value of a dataclass, without the fields that equal their defaults; tuples become lists.

    Integers in float fields become floats: JSON tells 1 and 1.0 apart, but equal values must have equal keys.
    """
    if is_dataclass(value) and not isinstance(value, type):
        entries = ((field, getattr(value, field.name)) for field in fields(value))
        entries_by_name = {
            field.name: to_json(entry)
            for field, entry in entries
            if not _has_default(field) or entry != _default(field)
        }
        for name in _float_fields(type(value)) & entries_by_name.keys():
            entries_by_name[name] = _to_floats(entries_by_name[name])
        return entries_by_name
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    return value


def from_json(kind: type[T], value: object, key: str = "") -> T:
    """Return the dataclass `kind` that the JSON value describes. `key` names the value in errors.

    Raises ValueError for a missing or unknown key, for a value of another type, and for NaN and infinity where a
    float is expected. Integers may stand for floats.
    """
    converted: T = _convert(kind, value, key)
    return converted


def _convert(kind: Any, value: Any, key: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is object:
        return value
    if is_dataclass(kind):
        return _dataclass(kind, value, key)
    if origin is Literal:
        if value in arguments and not isinstance(value, bool):
            return value
        raise _error(key, value, _describe(kind))
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
        raise _error(key, value, _describe(kind))
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
    kinds = [kind for kind in arguments if kind is not types.NoneType]
    if value is None and len(kinds) < len(arguments):
        return None
    if len(kinds) == 1:  # its error names the key inside an object
        return _convert(kinds[0], value, key)
    for kind in kinds:
        with suppress(ValueError):
            return _convert(kind, value, key)
    raise _error(key, value, " or ".join(map(_describe, kinds)))


def _sequence(origin: Any, arguments: tuple[Any, ...], value: Any, key: str) -> Any:
    if not isinstance(value, list | tuple):
        raise _error(key, value, "a list")
    alike = origin is list or arguments[-1] is Ellipsis
    kinds = [arguments[0]] * len(value) if alike else list(arguments)
    if len(kinds) != len(value):
        raise _error(key, value, f"{len(kinds)} values")
    entries = (
        _convert(kind, entry, _join(key, str(i)))
        for i, (kind, entry) in enumerate(zip(kinds, value, strict=True))
    )
    return origin(entries)


def _describe(kind: Any) -> str:
    """The description of a type for an error message."""
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return "an object" if is_dataclass(kind) else str(kind.__name__)


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _float_fields(kind: type) -> frozenset[str]:
    """The names of fields that hold floats and no integers, directly or in lists."""
    return frozenset(
        name for name, hint in _types(kind).items() if _mentions(hint, float) and not _mentions(hint, int)
    )


def _mentions(hint: Any, kind: type) -> bool:
    return hint is kind or any(_mentions(argument, kind) for argument in get_args(hint))


def _to_floats(value: Any) -> Any:
    if isinstance(value, list):
        return [_to_floats(entry) for entry in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _has_default(field: "Field[Any]") -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _default(field: "Field[Any]") -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _join(key: str, name: str) -> str:
    """The key of an entry within `key`; names with characters that are not printable are escaped."""
    name = name if name.isprintable() else repr(name)
    return f"{key}.{name}" if key else name


def _error(key: str, value: object, expected: str) -> ValueError:
    prefix = f"{key}: " if key else ""
    return ValueError(f"{prefix}expected {expected}, found {value!r:.60}")
