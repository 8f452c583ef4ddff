"""Conversion of nested state dictionaries to JSON and named tensors, and back, without pickling."""

from typing import Any

from torch import Tensor


def flatten_state(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the nested value as JSON; its tensors are copied to the CPU into `tensors`, shared ones once.

    Raises TypeError for a value that only pickling could store.
    """
    return _flatten(tree, "", tensors, {})


def unflatten_state(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the value that `flatten_state` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: unflatten_state(entry, tensors) for key, entry in content}
    entries = [unflatten_state(entry, tensors) for entry in content]
    return tuple(entries) if kind == "tuple" else entries


def _flatten(value: Any, path: str, tensors: dict[str, Tensor], names: dict[Any, str]) -> Any:
    if isinstance(value, Tensor):
        memory = value.data_ptr(), value.shape, value.stride(), value.dtype
        name = names.setdefault(memory, path) if value.numel() else path
        if name not in tensors:
            tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {
            "dict": [[key, _flatten(entry, f"{path}/{key}", tensors, names)] for key, entry in value.items()]
        }
    if isinstance(value, list | tuple):
        entries = [_flatten(entry, f"{path}/{i}", tensors, names) for i, entry in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": entries}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{path}: a state of type {type(value).__name__} cannot be stored without pickling")
