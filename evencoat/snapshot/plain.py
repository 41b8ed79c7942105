"""Structures of core state to plain arrays by name, and back under the eyes of a template.

A structure is a NamedTuple or a frozen dataclass of numbers, arrays, enumerations, structures and tuples of those. The
way back believes nothing: every field must be there, none may be left over, shapes and types are the template's, and a
number that is none is refused where the template has a finite one.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

NONE = "?none"  # ends the name of a field that is None
PAIRS_MAX = 1000  # no tuple of numbers in a state is longer

NUMBERS: tuple[tuple[tuple[type, ...], type], ...] = (  # in this order: a bool is an int too
    ((bool, np.bool_), np.bool_),
    ((int, np.integer), np.int64),
    ((float, np.floating, tuple), np.float64),
)

AnyArray = npt.NDArray[Any]


class FieldRefused(ValueError):
    """A field that cannot be taken over: its name, what it is, and what it must be."""


def to_arrays(value: Any, name: str = "") -> dict[str, AnyArray]:
    """Arrays by dotted name. Raises TypeError for what no state holds."""
    if value is None:
        return {name + NONE: np.zeros(0, dtype=np.uint8)}
    if isinstance(value, np.ndarray):
        return {name: np.ascontiguousarray(value)}
    if isinstance(value, str):
        return {name: np.frombuffer(str(value).encode(), dtype=np.uint8)}
    fields = _fields(type(value))
    if fields:
        parts = (to_arrays(getattr(value, field), f"{name}.{field}" if name else field) for field in fields)
        return {key: array for part in parts for key, array in part.items()}
    for kinds, dtype in NUMBERS:
        if isinstance(value, kinds):
            return {name: np.asarray(value, dtype=dtype)}
    raise TypeError(f"{name}: no state holds a {type(value).__name__}")


def from_arrays(template: Any, arrays: Mapping[str, AnyArray], shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """A structure like the template, of these arrays. Raises FieldRefused naming the first field that does not fit.

    shapes: of arrays that the template has as None.
    """
    left = dict(arrays)
    formed = _structure(type(template), template, left, "", shapes)
    if left:
        raise FieldRefused(f"{min(left)}: unknown field")
    return formed


def _fields(kind: type) -> tuple[str, ...]:
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return tuple(getattr(kind, "_fields", ()))


def _structure(
    kind: type, template: Any, left: dict[str, AnyArray], name: str, shapes: Mapping[str, tuple[int, ...]]
) -> Any:
    hints = typing.get_type_hints(kind)
    prefix = f"{name}." if name else ""
    return kind(
        **{
            field: _field(hints[field], getattr(template, field), left, f"{prefix}{field}", shapes)
            for field in _fields(kind)
        }
    )


def _field(
    hint: Any, template: Any, left: dict[str, AnyArray], name: str, shapes: Mapping[str, tuple[int, ...]]
) -> Any:
    optional = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    if optional:
        if left.pop(name + NONE, None) is not None:
            return None
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    if isinstance(hint, type) and _fields(hint):
        if template is None:
            raise FieldRefused(f"{name}: unknown field: this controller has none")
        return _structure(hint, template, left, name, shapes)
    array = left.pop(name, None)
    if array is None:
        raise FieldRefused(f"{name}: missing")
    if hint is float or hint is int or hint is bool:
        return _number(hint, template, array, name)
    if isinstance(hint, type) and issubclass(hint, str):
        return _word(hint, array, name)
    if typing.get_origin(hint) is tuple:
        return _tuple(template, array, name)
    shape = shapes.get(name) if template is None else template.shape
    if shape is None:
        raise FieldRefused(f"{name}: unknown field: this controller has none")
    return _array(np.asarray(template if template is not None else np.zeros(shape)), shape, array, name)


def _number(kind: type, template: Any, array: AnyArray, name: str) -> Any:
    expected = {float: np.float64, int: np.int64, bool: np.bool_}[kind]
    if array.shape != () or array.dtype not in (expected, np.int64 if kind is float else expected):
        raise FieldRefused(f"{name}: {array.dtype} of shape {array.shape}, must be one {np.dtype(expected)}")
    value = kind(array.item())
    if kind is float and not math.isfinite(value) and (template is None or math.isfinite(template)):
        raise FieldRefused(f"{name} = {value}: must be finite")
    return value


def _word(kind: type, array: AnyArray, name: str) -> Any:
    if array.dtype != np.uint8 or array.ndim != 1:
        raise FieldRefused(f"{name}: {array.dtype} of shape {array.shape}, must be text")
    text = array.tobytes().decode(errors="replace")
    try:
        return kind(text)
    except ValueError as error:
        raise FieldRefused(f"{name} = {text[:80]!r}: {error}") from error


def _array(template: AnyArray, shape: tuple[int, ...], array: AnyArray, name: str) -> AnyArray:
    if array.shape != shape or array.dtype != template.dtype:
        raise FieldRefused(f"{name}: {array.dtype} of shape {array.shape}, must be {template.dtype} of shape {shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all() and np.isfinite(template).all():
        where = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise FieldRefused(f"{name}{list(where)} = {array[where]}: must be finite")
    own = array.copy()
    own.flags.writeable = template.flags.writeable
    return own


def _tuple(template: Any, array: AnyArray, name: str) -> Any:
    """A tuple of arrays of one shape, of numbers, or of tuples of numbers."""
    if template and isinstance(template[0], np.ndarray):
        stacked = _array(np.asarray(template), (len(template), *template[0].shape), array, name)
        return tuple(np.ascontiguousarray(block) for block in stacked)
    if array.dtype != np.float64 or array.ndim > 2 or len(array) > PAIRS_MAX:
        raise FieldRefused(f"{name}: {array.dtype} of shape {array.shape}, must be a row of numbers, or of pairs")
    finite = all(math.isfinite(part) for part in template) if template and array.ndim == 1 else not template
    if finite and not np.isfinite(array).all():
        raise FieldRefused(f"{name} = {array.tolist()}: must be finite")
    if array.ndim == 1 and template and len(array) != len(template):
        raise FieldRefused(f"{name}: {len(array)} numbers, must be {len(template)}")
    return tuple(tuple(row) for row in array.tolist()) if array.ndim == 2 else tuple(array.tolist())
