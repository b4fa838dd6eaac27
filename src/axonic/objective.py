"""What a learning rule may ask of a network, a loss and a batch of rows.

    L(params) = 1/n sum_i weight_i loss(z_i, y_i)  +  l2/2 sum w^2  +  l1 sum |w|

with n the number of rows of weight other than 0 (padding has weight 0; weights average 1 over the training rows, so
that the size of a step depends neither on the batch size nor on the scale of the weights). The penalties act on
weights w, never on biases. This is the only place where 1/n, L1, L2 and reductions over rows are written.

With `clip_norm` c the gradient is shortened to that length, g min(1, c / |g|) (Pascanu, Mikolov and Bengio 2013,
algorithm 1): one batch on which the error explodes on its way through time then moves the weights no further than
others. Products with the Hessian are those of the total itself.

Several devices may share the rows (`devices`): each sums over its own, and what they have summed is added up as one
vector, so that a gradient takes one message whatever the network. With dropout, whose masks belong to the whole batch,
the compiler places the sums.

A batch may come in blocks, arrays with one more leading axis (block, row, ...): the sums are then accumulated block by
block, skipping the empty blocks at the end, so that one program serves any number of rows.

`from_function` and `from_residuals` make an objective of a function of the user's own; there JAX derives.

Derivatives: the gradient is the hand-derived backward of loss and layers. The product of the Hessian with v is the
forward derivative of that gradient along v (Pearlmutter 1994). The Gauss-Newton product J^T H_loss J v (Schraudolph
2002) is the forward derivative of the network, the forward derivative of delta, and our backward.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from axonic.errors import InputError
from axonic.layers.base import Chain, Key, Trace, fold
from axonic.losses import Loss
from axonic.specs import spec, static
from axonic.types import Batch, Params, Value

COLUMNS = 64
ENTRIES = 1 << 21


@spec
class Objective:
    """A network and a loss, closed over a batch.

    Parameters
    ----------
    network : its last layer gives z, the pre-activation of the output.
    loss : brings the output activation with it.
    batch : rows with weights; see the module for blocks.
    l2, l1 : penalties on w, not negative.
    key : raw key for dropout, (2,) uint32; None evaluates the network as it predicts.
    clip_norm : the largest norm of a gradient; None is no limit.
    devices : the devices that share the rows of the batch, along one axis; None where one has them all.
    count : the rows that count, where this is known; None counts them.
    """

    network: Chain
    loss: Loss
    batch: Batch
    l2: Any = 0.0
    l1: Any = 0.0
    key: Key | None = None
    clip_norm: Any = None
    devices: Mesh | None = static(default=None)
    count: Any = None

    def value(self, params: Params) -> Value:
        """The value alone."""

        def rows(own: "Objective", params: Params) -> Array:
            z, _ = own.network.forward(params, own.batch.x, own.key)
            return jnp.sum(_weighted(own.batch.weight, own.loss.value(z, own.batch.y)))

        return Value(self._sum(rows, params) / self._count(), self._penalty(params))

    def value_and_grad(self, params: Params) -> tuple[Value, Params]:
        """(value, gradient of its total, clipped)."""
        value, grads = self._value_and_grad(params)
        return value, grads if self.clip_norm is None else clipped(grads, self.clip_norm)

    def _value_and_grad(self, params: Params) -> tuple[Value, Params]:
        def rows(own: "Objective", params: Params, count: Array) -> tuple[Array, Params]:
            batch = own.batch
            z, cache = own.network.forward(params, batch.x, own.key)
            loss = jnp.sum(_weighted(batch.weight, own.loss.value(z, batch.y)))
            delta = _weighted(batch.weight / count, own.loss.delta(z, batch.y))
            grads, _ = own.network.backward(params, cache, delta)
            return loss, grads

        loss, grads = self._sum(rows, params, count := self._count())
        return Value(loss / count, self._penalty(params)), self._add_decay(params, grads)

    def trace(self, params: Params) -> tuple[Trace | None, ...]:
        """(z, a, delta) of every layer for the batch (which must be one block); None for those that show
        none: dropout, radial basis functions, and layers of sequences, each step of which has a z of its own."""
        z, cache = self.network.forward(params, self.batch.x, self.key)
        delta = _weighted(self.batch.weight / self._count(), self.loss.delta(z, self.batch.y))
        return self.network.traces(params, cache, delta)

    def hvp(self, params: Params, v: Params) -> Params:
        """Product of the Hessian of the total with v, a tree like params."""
        return jax.jvp(lambda p: self._value_and_grad(p)[1], (params,), (v,))[1]

    def gnvp(self, params: Params, v: Params) -> Params:
        """Product of the generalised Gauss-Newton matrix (plus l2) with v, a tree like params."""

        def rows(own: "Objective", params: Params, v: Params, count: Array) -> Params:
            forward = lambda p: own.network.forward(p, own.batch.x, own.key)  # noqa: E731
            (z, cache), (jz, _) = jax.jvp(forward, (params,), (v,))
            _, hjz = jax.jvp(lambda z: own.loss.delta(z, own.batch.y), (z,), (jz,))
            grads, _ = own.network.backward(params, cache, _weighted(own.batch.weight / count, hjz))
            return grads

        product = self._sum(rows, params, v, self._count())
        return jax.tree.map(lambda g, u, w: g + self.l2 * u if w else g, product, v, self.network.decayed(params))

    def hessian(self, params: Params) -> Float[Array, "n n"]:
        """The Hessian of the total, by its products with the unit vectors."""
        return _matrix(lambda v: self.hvp(params, v), params)

    def value_grad_and_gauss_newton(self, params: Params) -> tuple[Value, Params, Float[Array, "n n"]]:
        """(value, gradient of its total, generalised Gauss-Newton matrix J^T H_loss J plus l2), all from one J.

        J = dz/dw is written out, one column for each output of each row of the batch: our backward of a unit delta.
        The gradient is J^T delta. Both are summed over blocks of rows of at most `ENTRIES` numbers. With dropout, whose
        masks belong to the whole batch, the matrix comes from its products with the unit vectors.
        """
        if self._draws:
            return *self.value_and_grad(params), _matrix(lambda v: self.gnvp(params, v), params)
        flat, unravel = ravel_pytree(params)
        n, blocked, count = len(flat), self._blocked(), self._count()
        first = jax.tree.map(lambda a: a[0, :1] if blocked else a[:1], self.batch.x)
        n_out = jax.eval_shape(lambda x: self.network.forward(params, x)[0], first).shape[-1]

        def rows(own: "Objective", params: Params, count: Array) -> tuple[Array, Array, Array]:
            unit = jnp.eye(n_out, dtype=flat.dtype)

            def row(x: Any) -> tuple[Array, Array]:
                z, cache = own.network.forward(params, jax.tree.map(lambda a: a[None], x))
                backward = lambda delta: ravel_pytree(own.network.backward(params, cache, delta[None])[0])[0]  # noqa: E731
                return z[0], jax.vmap(backward, out_axes=1)(unit)

            def block(batch: Batch) -> tuple[Array, Array, Array]:
                z, jacobian = jax.vmap(row, out_axes=(0, 2))(batch.x)
                jacobian = jnp.where(batch.weight == 0, 0.0, jacobian)
                loss = jnp.sum(_weighted(batch.weight, own.loss.value(z, batch.y)))
                delta, curvature = jax.linearize(lambda z: own.loss.delta(z, batch.y), z)
                h = jax.vmap(lambda u: curvature(jnp.broadcast_to(u, z.shape)), out_axes=2)(unit)
                delta, h = (_weighted(batch.weight / count, rows) for rows in (delta, h))
                hj = jnp.einsum("rij,njr->nir", h, jacobian)
                jacobian = jacobian.reshape(n, -1)
                return loss, jacobian @ delta.T.reshape(-1), jacobian @ hj.reshape(n, -1).T

            batch = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), own.batch) if blocked else own.batch
            size = min(len(batch.weight), max(1, ENTRIES // (n_out * n)))
            n_rows = jnp.max(jnp.where(batch.weight > 0, jnp.arange(1, len(batch.weight) + 1), 0))
            pad = lambda a: jnp.pad(a, [(0, -len(a) % size), *[(0, 0)] * (a.ndim - 1)])  # noqa: E731
            blocks = jax.tree.map(lambda a: pad(a).reshape(-1, size, *a.shape[1:]), batch)
            add = lambda i, total: jax.tree.map(jnp.add, total, block(jax.tree.map(lambda a: a[i], blocks)))  # noqa: E731
            none = tuple(jnp.zeros(shape, flat.dtype) for shape in ((), (n,), (n, n)))
            return jax.lax.fori_loop(0, (n_rows + size - 1) // size, add, none)

        loss, g, matrix = self._over_devices(rows, params, count)
        value = Value(loss / count, self._penalty(params))
        decay = jax.tree.map(lambda p, d: jnp.full(p.shape, d * self.l2), params, self.network.decayed(params))
        matrix += jnp.diag(ravel_pytree(decay)[0].astype(flat.dtype))
        return value, self._add_decay(params, unravel(g)), matrix

    @property
    def _draws(self) -> bool:
        """Whether masks are drawn for the rows of the batch."""
        return self.key is not None and self.network.draws

    def _blocked(self) -> bool:
        return self.batch.weight.ndim == 2

    def _count(self) -> Array:
        """Number of rows that count; 1 for a batch of padding alone, so that nothing is divided by 0."""
        count = jnp.sum(self.batch.weight > 0) if self.count is None else self.count
        return jnp.maximum(count, 1).astype(self.batch.weight.dtype)

    def _sum(self, rows: Callable[..., Any], *args: Any) -> Any:
        """The sum of `rows(objective of one block, *args)` over the blocks of the batch, of all devices."""

        def blocks(own: "Objective", *args: Any) -> Any:
            if not own._blocked():
                return rows(own, *args)
            n_blocks = jnp.sum(jnp.any(own.batch.weight > 0, axis=1))

            def block(i: Any) -> Any:
                batch = jax.tree.map(lambda a: a[i], own.batch)
                return rows(dataclasses.replace(own, batch=batch, key=fold(own.key, i)), *args)

            return jax.lax.fori_loop(1, n_blocks, lambda i, total: jax.tree.map(jnp.add, total, block(i)), block(0))

        if self._draws:
            return blocks(self, *args)
        return self._over_devices(blocks, *args)

    def _over_devices(self, rows: Callable[..., Any], *args: Any) -> Any:
        """The sum of `rows(objective of the rows of one device, *args)` over the devices."""
        if self.devices is None:
            return rows(self, *args)
        (axis,) = self.devices.axis_names
        whole, along = PartitionSpec(), PartitionSpec(None, axis) if self._blocked() else PartitionSpec(axis)
        shared = dataclasses.replace(jax.tree.map(lambda _: whole, self), batch=along)

        def summed(own: "Objective", *args: Any) -> Any:
            vector, unravel = ravel_pytree(rows(own, *args))
            return unravel(jax.lax.psum(vector, axis))

        specs = (shared, *(whole for _ in args))
        return jax.shard_map(summed, mesh=self.devices, in_specs=specs, out_specs=whole, check_vma=False)(self, *args)

    def _penalty(self, params: Params) -> Array:
        w = [
            p for p, d in zip(jax.tree.leaves(params), jax.tree.leaves(self.network.decayed(params)), strict=True) if d
        ]
        zero = jnp.zeros((), self.batch.weight.dtype)
        squares = sum((jnp.sum(p * p) for p in w), zero)
        sizes = sum((jnp.sum(jnp.abs(p)) for p in w), zero)
        return 0.5 * self.l2 * squares + self.l1 * sizes

    def _add_decay(self, params: Params, grads: Params) -> Params:
        def decay(g: Array, p: Array, decayed: bool) -> Array:
            return g + (self.l2 * p + self.l1 * jnp.sign(p)).astype(g.dtype) if decayed else g

        return jax.tree.map(decay, grads, params, self.network.decayed(params))


@spec
class Function:
    """See `from_function`."""

    f: Callable[[Params], Any] = static()

    def total(self, params: Params) -> Array:
        """The number that is minimised."""
        return self.f(params)

    def value(self, params: Params) -> Value:
        value = self.total(params)
        return Value(value, jnp.zeros_like(value))

    def value_and_grad(self, params: Params) -> tuple[Value, Params]:
        value, grads = jax.value_and_grad(self.total)(params)
        return Value(value, jnp.zeros_like(value)), grads

    def hvp(self, params: Params, v: Params) -> Params:
        return jax.jvp(jax.grad(self.total), (params,), (v,))[1]

    def hessian(self, params: Params) -> Float[Array, "n n"]:
        return _matrix(lambda v: self.hvp(params, v), params)

    def value_grad_and_gauss_newton(self, params: Params) -> tuple[Value, Params, Float[Array, "n n"]]:
        raise InputError(
            "a function of one value has no Gauss-Newton matrix", "give a function that returns the vector of residuals"
        )


@spec
class Residuals(Function):
    """See `from_residuals`; `f` returns the residuals."""

    def total(self, params: Params) -> Array:
        return 0.5 * jnp.sum(self.f(params) ** 2)

    def value_grad_and_gauss_newton(self, params: Params) -> tuple[Value, Params, Float[Array, "n n"]]:
        w, unravel = ravel_pytree(params)
        r, tangent = jax.linearize(lambda w: self.f(unravel(w)), w)
        jacobian = jax.vmap(tangent)(jnp.eye(len(w), dtype=w.dtype))
        value = 0.5 * jnp.sum(r**2)
        return Value(value, jnp.zeros_like(value)), unravel(jacobian @ r), jacobian @ jacobian.T


def from_function(f: Callable[[Params], Any]) -> Function:
    """The objective f(params), a scalar written in jax.numpy, of an array or a tree of arrays.

    >>> import jax.numpy as jnp
    >>> from axonic import objective
    >>> value, grads = objective.from_function(lambda x: jnp.sum(x**2)).value_and_grad(jnp.array([1.0, 2.0]))
    >>> grads.tolist()
    [2.0, 4.0]
    """
    return Function(f)


def from_residuals(residuals: Callable[[Params], Any]) -> Residuals:
    """The objective 1/2 sum r^2 of a function that returns the vector of residuals r, shape (m,)."""
    return Residuals(residuals)


def clipped(grads: Params, norm: Any) -> Params:
    """A gradient shortened to `norm` if it is longer."""
    leaves = jax.tree.leaves(grads)
    top = functools.reduce(jnp.maximum, [jnp.max(jnp.abs(g)) for g in leaves])
    top = jnp.maximum(top, jnp.finfo(top.dtype).tiny)  # what is squared is at most 1
    relative = jnp.maximum(jnp.sqrt(sum(jnp.sum(jnp.square(g / top)) for g in leaves)), 1.0)
    longer = top * relative > norm
    return jax.tree.map(lambda g: jnp.where(longer, g / top * (norm / relative).astype(g.dtype), g), grads)


def _matrix(product: Callable[[Params], Params], like: Params) -> Float[Array, "n n"]:
    """The matrix of a linear map between trees like `like`, `COLUMNS` products at a time."""
    w, unravel = ravel_pytree(like)
    column = lambda i: ravel_pytree(product(unravel(jnp.zeros_like(w).at[i].set(1.0))))[0]  # noqa: E731
    return jax.lax.map(column, jnp.arange(len(w)), batch_size=COLUMNS).T


def _weighted(weight: Array, rows: Array) -> Array:
    """Each row times its weight; rows of weight 0 give exactly 0, whatever they hold."""
    weight = weight.reshape(weight.shape + (1,) * (rows.ndim - weight.ndim))
    return jnp.where(weight == 0, 0.0, weight * rows)
