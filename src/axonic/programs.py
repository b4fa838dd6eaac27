"""Functions compiled by JAX, and room for their programs.

A compiled program takes some fifty to two hundred of the memory mappings of its process, of which Linux grants 65,530.
A process that fits networks of a hundred different shapes, as a search over sizes or columns does, would run out of
them and crash. So once `MOST` programs are held, all are let go before the next fit or prediction; what is needed again
comes from the cache on disk (`axonic.engine`).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax

MOST = 128

_functions: list[Any] = []


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """`jax.jit` with these options, for functions of a module; to be used as a decorator."""
    if function is None:
        return functools.partial(compiled, **options)
    jitted = jax.jit(function, **options)
    _functions.append(jitted)
    return jitted


def held() -> int:
    """How many programs are held."""
    return sum(function._cache_size() for function in _functions)


def make_room() -> None:
    """Let all programs go if there are `MOST` of them."""
    if held() >= MOST:
        for function in _functions:
            function.clear_cache()
