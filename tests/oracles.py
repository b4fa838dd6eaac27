"""Independent references: automatic differentiation, central differences, and helpers on trees."""

import contextlib

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np


def to64(tree):
    """Every array of a tree as a float64 JAX array (needs the fixture `float64`)."""
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tree)


def assert_close(actual, expected, rtol=1e-12, atol=1e-12):
    """Trees of the same structure with close leaves; NaN equals nothing."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=rtol, atol=atol, equal_nan=False)


def central_gradient(f, tree, step=1e-5):
    """The gradient of a scalar function of a tree by central differences, entry by entry."""
    leaves, structure = jax.tree.flatten(tree)
    grads = []
    for i, leaf in enumerate(leaves):
        grad = np.zeros(leaf.shape)
        for index in np.ndindex(leaf.shape):
            values = []
            for sign in (1, -1):
                moved = np.array(leaf, np.float64)
                moved[index] += sign * step
                values.append(float(f(jax.tree.unflatten(structure, [*leaves[:i], moved, *leaves[i + 1 :]]))))
            grad[index] = (values[0] - values[1]) / (2 * step)
        grads.append(grad)
    return jax.tree.unflatten(structure, grads)


def dot(a, b):
    """Inner product of two trees."""
    return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def random_like(rng, tree):
    """A tree of standard normal float64 arrays of the same shapes."""
    return jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(np.shape(a))), tree)


@contextlib.contextmanager
def compilations():
    """A list that grows by one for each program compiled inside."""
    compiled = []

    def listen(event, _duration, **kwargs):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(kwargs.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
