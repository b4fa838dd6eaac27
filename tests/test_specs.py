"""Specs as JAX sees them: what differs must never be taken for the same."""

import itertools

import jax
import jax.numpy as jnp
import pytest

from axonic import layers, losses, optimizers
from axonic.layers import ACTIVATIONS
from axonic.specs import spec, static


@spec
class One:
    rate: float = 0.1
    form: str = static(default="a")


@spec
class Other:
    rate: float = 0.1
    form: str = static(default="a")


def test_two_classes_are_never_one_structure():
    """The structures of dataclasses that JAX registers itself compare equal whatever their class."""
    assert jax.tree.structure(One()) != jax.tree.structure(Other())
    assert jax.tree.structure(One()) == jax.tree.structure(One(0.5))
    assert jax.tree.structure(One()) != jax.tree.structure(One(form="b"))


@pytest.mark.parametrize(
    "made",
    [
        [optimizers.get(name) for name in optimizers.names()],
        [losses.squared_error, losses.cross_entropy, losses.log_likelihood, losses.absolute, losses.poisson],
        [layers.rnn(3), layers.lstm(3), layers.gru(3), layers.dense(3)],
        [layers.dense(3, activation) for activation in ACTIVATIONS],
    ],
    ids=["rules", "losses", "layers", "activations"],
)
def test_rules_losses_and_layers_are_told_apart(made):
    structures = [jax.tree.structure(one) for one in made]
    assert all(one != other for one, other in itertools.combinations(structures, 2))


def test_fields_are_leaves_by_name_and_static_ones_are_not():
    assert jax.tree_util.tree_flatten_with_path(One(2.0))[0] == [((jax.tree_util.GetAttrKey("rate"),), 2.0)]
    doubled = jax.tree.map(lambda v: 2 * v, One(2.0, "b"))
    assert doubled == One(4.0, "b")
    assert jax.jit(lambda one: one.rate + 1)(One(jnp.float32(1.0))) == 2
