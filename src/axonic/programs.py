"""Functions compiled by JAX, and room for their programs.

A compiled program takes some fifty to two hundred of the memory mappings of its process, of which Linux grants 65,530.
A process that fits networks of a hundred different shapes, as a search over sizes or columns does, would run out of
them and crash. So once `MOST` programs are held, all are let go before the next fit or prediction; what is needed again
comes from the cache on disk (`axonic.engine`).

On an NVIDIA GPU a loop is compiled into a CUDA graph, loop and all. By itself XLA has the host start every kernel of
every turn, and ask the GPU after each whether there is another one (`docs/scaling.md` has what that costs).
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

import jax

MOST = 128
GRAPHS = {
    "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE",
    "xla_gpu_graph_min_graph_size": 1,
}
"""What goes into a CUDA graph: operations of these kinds, conditions and loops, and however little it is."""
QUICKLY = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""A program that runs a few times only is on processors compiled without optimisation, in a quarter of the time."""

_functions: list[Any] = []
_making = threading.Lock()


def options_for(backend: str, quickly: bool = False) -> dict[str, Any]:
    """How the compiler of "cpu", "gpu", … is asked to compile: of the options above those that it knows."""
    wanted = {"gpu": GRAPHS, "cpu": QUICKLY if quickly else {}}.get(backend, {})
    return {option: value for option, value in wanted.items() if known(option, value)}


@functools.cache
def known(option: str, value: Any) -> bool:
    """Whether the installed XLA has the option. It gives some up from one version to the next: that of JAX 0.11.2 has
    no `xla_cpu_use_fusion_emitters`, and refuses what it does not know."""
    try:
        jax.jit(lambda: 0, compiler_options={option: value}).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return False
    return True


def compiled(function: Callable[..., Any] | None = None, *, quickly: bool = False, **options: Any) -> Any:
    """`jax.jit` with these options, for functions of a module; to be used as a decorator. JAX begins to compute, which
    settles what on, no sooner than the first call. `quickly` is for what runs a few times only."""
    if function is None:
        return functools.partial(compiled, quickly=quickly, **options)

    made: list[Any] = []

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with _making:
            if not made:
                settings = options_for(jax.default_backend(), quickly)
                made.append(jax.jit(function, compiler_options=settings, **options))
                _functions.extend(made)
        return made[0](*args, **kwargs)

    return call


def held() -> int:
    """How many programs are held."""
    return sum(function._cache_size() for function in _functions)


def make_room() -> None:
    """Let all programs go if there are `MOST` of them."""
    if held() >= MOST:
        for function in _functions:
            function.clear_cache()
