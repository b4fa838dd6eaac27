"""How layers, losses and learning rules are declared.

A *spec* is a frozen dataclass that JAX sees as a tree. Its numbers (a learning rate, a dropout rate, a penalty) are
leaves, so they are values of a compiled program: changing one compiles nothing, and `jax.vmap` runs a whole axis of
them. What changes the shape of the program (a layer's width, the form of a rule) is declared with `static` and is
part of the program's identity.
"""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

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
