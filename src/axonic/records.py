"""Frozen dataclasses from plain JSON, each value checked against the type of its field: a file may have been forged."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

T = TypeVar("T")


def from_json(cls: type[T], data: Any) -> T:
    """An instance of the dataclass `cls` from the JSON object that `dataclasses.asdict` gives.

    Fields may be of type str, bool, int, float (finite), `Literal`, dataclasses, unions and tuples `tuple[X, ...]` of
    these, or `Any` for a str, bool, int or finite float.

    Raises
    ------
    ValueError : `data` is no object, or a field is unknown, missing or of another type.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"no {cls.__name__} but {data!r:.40}")
    hints = typing.get_type_hints(cls)
    unknown = set(data) - {field.name for field in dataclasses.fields(cls)}  # pyright: ignore[reportArgumentType]
    if unknown:
        raise ValueError(f"a {cls.__name__} has no {sorted(unknown)[0]!r}")
    values = {name: _value(hints[name], value, f"{cls.__name__}.{name}") for name, value in data.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _value(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return from_json(typing.cast(type, kind), value)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_value(arguments[0], item, where) for item in value)
    if origin is Literal and isinstance(value, str) and value in arguments:
        return value
    if origin in (typing.Union, types.UnionType):
        for one in arguments:
            try:
                return _value(one, value, where)
            except ValueError:
                continue
    if kind is Any and isinstance(value, bool | int | float | str) and _is_finite(value):
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value):
        return float(value)
    if kind in (str, bool, int) and type(value) is kind:
        return value
    raise ValueError(f"{where} = {value!r:.40}")


def _is_finite(value: Any) -> bool:
    try:
        return not isinstance(value, int | float) or math.isfinite(value)
    except OverflowError:
        return False
