"""How layers, losses and learning rules are declared.

A *spec* is a frozen dataclass that JAX sees as a tree. Its numbers (a learning rate, a dropout rate, a penalty) are
leaves, so they are values of a compiled program: changing one compiles nothing, and `jax.vmap` runs a whole axis of
them. What changes the shape of the program (a layer's width, the form of a rule) is declared with `static` and is
part of the program's identity.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, dataclass_transform

import jax
import numpy as np

from axonic.errors import InputError

T = TypeVar("T")

Number = Any
"""A hyperparameter: a Python number in a program's text, a traced scalar inside a compiled program."""


def static(*, default: Any = dataclasses.MISSING) -> Any:
    """A field that belongs to the program's identity; it must be hashable."""
    return dataclasses.field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, field_specifiers=(static, dataclasses.field))
def spec(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass and a JAX tree whose leaves are its fields that are not `static`.

    Not by `jax.tree_util.register_dataclass`: the structures of two classes registered so compare equal if their static
    fields do, and now and then, as hashes fall, a program compiled for one rule or loss is run for another.
    """
    cls = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]  made a dataclass above
    meta = tuple(field.name for field in fields if field.metadata.get("static"))
    data = tuple(field.name for field in fields if field.name not in meta)
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in data)

    def flatten(value: T) -> tuple[tuple, tuple]:
        fields = value.__dict__
        return tuple([fields[name] for name in data]), tuple([fields[name] for name in meta])

    def flatten_with_keys(value: T) -> tuple[tuple, tuple]:
        leaves, static = flatten(value)
        return tuple(zip(keys, leaves, strict=True)), static

    def unflatten(static: tuple, leaves: Any) -> T:
        value = object.__new__(cls)  # leaves may be anything: __post_init__ checks what a user gives
        value.__dict__.update(zip(data, leaves, strict=True))
        value.__dict__.update(zip(meta, static, strict=True))
        return value

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


class Ranged:
    """A spec that refuses impossible values when it is made: numbers outside their range, and what is neither true nor
    false where that is asked. Arrays, traced ones among them, are taken as they are."""

    ranges: ClassVar[Mapping[str, str]] = {}
    """Where each number lies, such as "(0, inf)"; the lower end may be another field's name."""

    def __post_init__(self) -> None:
        for name, interval in self.ranges.items():
            if name in vars(self) and not self._lies_in(interval, vars(self)[name]):
                what, how = f"{name} = {vars(self)[name]!r} is impossible", f"give a number in {interval}"
                raise InputError(what, how, type(self).__name__)
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]  every rule is a spec
            value = vars(self)[field.name]
            if field.type in (bool, "bool") and not isinstance(value, bool | np.bool_):
                raise InputError(f"{field.name} = {value!r} is impossible", "give True or False", type(self).__name__)

    def _lies_in(self, interval: str, value: Any) -> bool:
        if isinstance(value, jax.Array | np.ndarray):
            return True
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            return False
        low, high = interval[1:-1].split(", ")
        low = vars(self).get(low, low)
        low, high = -np.inf if isinstance(low, jax.Array | np.ndarray) else float(low), float(high)
        return bool(
            (low <= value if interval[0] == "[" else low < value)
            and (value <= high if interval[-1] == "]" else value < high)
        )
