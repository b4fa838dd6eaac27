"""Networks of radial basis functions in closed form: where the centres stand, how wide they are, and the readout.

    network     z_k = sum_j phi_j(x) w_jk + b_k           phi_j as in `axonic.layers.rbf`
    readout     w, b = argmin sum_i v_i |y_i - z_i|^2 + ridge |w|^2        v: weights of the rows

With A = sqrt(v) (phi - its weighted mean) = U S V^T the readout is w = V S / (S^2 + ridge) U^T sqrt(v) (y - mean), and
b follows from the means: the bias is not penalised. Left out one at a time, row i would have been predicted as

    y_i - (y_i - z_i) / (1 - h_i)        h_i = v_i / sum v + sum_k U_ik^2 S_k^2 / (S_k^2 + ridge)

(Allen 1974; Golub, Heath and Wahba 1979), so the ridge with the least leave-one-out error costs one decomposition. It
is that of R in A = Q R, which is had block by block, so that phi is never held for more than `BLOCK` numbers.

Centres: k-means, random rows, or grown one at a time (`grow`). Widths: a factor times how far the nearest centres are
(Moody and Darken 1989); the factor and, if it is asked for, the number of centres are those with the least
leave-one-out loss, as Benoudjit and Verleysen (2003) choose the factor with validation rows.

Classes: the readout is that of indicators, one column a class, and its leave-one-out predictions f are turned into
probabilities by softmax(t f + b) with the t and b of the highest likelihood, smoothed as Platt (1999) does. That is
linear in f, so t and b go into the readout. Labels that do not exclude each other are two classes each, 1 - f and f.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from axonic.layers.rbf import RBFParams, distances, radial_value

RIDGES = tuple(10.0**power for power in range(-10, 2))
"""Candidates of the ridge, in units of the largest S^2."""
COUNTS = (8, 16, 32, 64, 128, 256)
"""Candidates of the number of centres."""
WORTH = 0.99
"""More centres are taken only if they lower the leave-one-out loss below this share of it."""
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
NEAREST = 2
"""Centres that tell how wide one is to be."""
BLOCK = 1 << 23
CLUSTER_ROWS = 20_000
"""Rows at most that k-means looks at, and by which number and width are chosen."""
PRIOR = 0.5
"""Rows of unknown class that are added to each class, so that no probability is 0 or 1."""
SHRINK = 5.0
"""Rows that the mean over all clusters counts as in the widths of one cluster's dimensions."""


class Readout(NamedTuple):
    """w: (n_centers, n_out); b: (n_out,); ridge: as taken; loo: (n, n_out) predictions of the rows, each left out;
    errors: mean leave-one-out squared error of each candidate."""

    w: np.ndarray
    b: np.ndarray
    ridge: float
    loo: np.ndarray
    errors: np.ndarray


class Solved(NamedTuple):
    """A network in closed form.

    Attributes
    ----------
    params : of the radial layer, float32.
    readout : for numbers or indicators.
    factor : of the width; NaN if the width was given.
    loss : mean leave-one-out loss: half the squared error, or the log-loss.
    temperature, offset : t and b of the probabilities, of labels one of each for each; 1 and 0 for numbers.
    """

    params: RBFParams
    readout: Readout
    factor: float
    loss: float
    temperature: float | np.ndarray
    offset: np.ndarray


class Table(NamedTuple):
    """x: (n, n_in) float32; y: (n, n_out) numbers or indicators; weight: (n,); codes: classes, (n,), or labels,
    (n, n_out) of 0 and 1; None for numbers."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    codes: np.ndarray | None


class Tried(NamedTuple):
    """A number of centres, a factor of the width, and the leave-one-out loss."""

    n_centers: int
    factor: float
    loss: float


class Plan(NamedTuple):
    """What is to be solved for.

    Attributes
    ----------
    n_centers : a number, or None to choose it among `COUNTS`.
    centers, radial, widths : as the estimators' parameters.
    width : a number, or None to choose a factor.
    ridge : a number, or None to choose it.
    goal : mean squared error at which growing ends.
    """

    n_centers: int | None
    centers: str
    radial: str
    widths: str
    width: float | None
    ridge: float | None
    goal: float


def solve(
    x: Float[np.ndarray, "n n_in"],
    y: Float[np.ndarray, "n n_out"],
    weight: Float[np.ndarray, " n"],
    plan: Plan,
    seed: int,
    codes: Int[np.ndarray, "n ..."] | None = None,
    factor: float | None = None,
    ended: Callable[[], bool] = lambda: False,
) -> tuple[Solved, list[Tried]]:
    """The network with the least leave-one-out loss, and what was tried.

    Parameters
    ----------
    x, y, weight : encoded rows; y holds numbers, or indicators of the classes.
    plan : what.
    seed : of k-means and random rows.
    codes : classes (n,), or labels (n, n_out) of 0 and 1; None for numbers.
    factor : of the width, if it has been chosen before.
    ended : whether to look no further.
    """
    x, weight = np.asarray(x, np.float32), np.asarray(weight, np.float64)
    most = max(1, len(np.unique(x, axis=0)) if len(x) <= CLUSTER_ROWS else CLUSTER_ROWS)
    counts = [plan.n_centers] if plan.n_centers else [n for n in COUNTS if n <= len(x) // 2] or [COUNTS[0]]
    counts = sorted({min(n, most) for n in counts})
    if plan.centers == "grow":
        counts = counts[-1:]  # fewer are the first of more
    full = Table(x, y, weight, codes)
    search = full
    if len(x) > CLUSTER_ROWS:
        rows = np.sort(np.random.default_rng(seed).permutation(len(x))[:CLUSTER_ROWS])
        search = Table(x[rows], y[rows], weight[rows], None if codes is None else codes[rows])
    best: Solved | None = None
    tried: list[Tried] = []
    for n in counts:
        solved = _factored(search, plan, n, seed, factor, tried, ended)
        if best is not None and solved.loss > WORTH * best.loss:
            break
        best = solved
        if ended():
            break
    assert best is not None
    if search is not full:
        best = _at(full, plan, best.params)._replace(factor=best.factor)
    return best, tried


def _factored(
    rows: Table,
    plan: Plan,
    n: int,
    seed: int,
    factor: float | None,
    tried: list[Tried],
    ended: Callable[[], bool],
) -> Solved:
    """At the factor of the width with the least loss, which is looked for uphill and downhill from 1."""
    c, base = place(rows.x, rows.weight, plan, n, seed)

    def at(factor: float) -> Solved:
        log_width = base + np.log(factor)
        chosen = c
        if plan.centers == "grow":
            limit = plan.n_centers or n
            at_rows = grow(*rows[:3], float(log_width[0, 0]), plan, limit, auto=plan.n_centers is None)
            chosen = rows.x[at_rows]
        params = RBFParams(chosen, log_width.astype(np.float32))
        solved = _at(rows, plan, params)._replace(factor=factor)
        tried.append(Tried(len(chosen), factor, solved.loss))
        return solved

    if plan.width is not None:
        return at(1.0)._replace(factor=math.nan)
    if factor is not None:
        return at(factor)
    start = FACTORS.index(1.0)
    best = at(1.0)
    for direction in (1, -1):
        step = start
        while 0 <= (step := step + direction) < len(FACTORS) and not ended():
            solved = at(FACTORS[step])
            if solved.loss >= best.loss:
                break
            best = solved
        if best.factor != 1.0:
            break
    return best


def _at(rows: Table, plan: Plan, params: RBFParams) -> Solved:
    """The readout of these centres and widths, with its loss."""
    x, y, weight, codes = rows
    found = readout(features(plan.radial, params, x), y, weight, plan.ridge)
    if codes is None:
        loss = 0.5 * float(np.average(np.sum((y - found.loo) ** 2, axis=1), weights=weight))
        return Solved(params, found, math.nan, loss, 1.0, np.zeros(y.shape[1]))
    each = calibrate if codes.ndim == 1 else calibrate_labels
    temperature, offset, loss = each(found.loo, codes, weight)
    return Solved(params, found, math.nan, loss, temperature, offset)


Phi = Callable[[], Iterator[tuple[slice, np.ndarray]]]
"""Blocks of rows of the features, again and again."""


def features(radial: str, params: RBFParams, x: np.ndarray) -> Phi:
    """The features of rows, computed in float32 as the network does, so that its rounding is among what is fitted."""
    step = max(1, BLOCK // len(params.c))

    def block(start: int) -> tuple[slice, np.ndarray]:
        rows = slice(start, min(start + step, len(x)))
        u = distances(params.c, params.log_width, x[rows], np)
        return rows, radial_value(radial, u, np).astype(np.float64)

    if len(x) <= step:
        only = [block(0)]
        return lambda: iter(only)
    return lambda: map(block, range(0, len(x), step))


def whole(phi: np.ndarray) -> Phi:
    """An array of features as one block."""
    return lambda: iter([(slice(0, len(phi)), phi)])


def readout(phi: Phi, y: np.ndarray, weight: np.ndarray, ridge: float | None = None) -> Readout:
    """The readout by ridge regression; see the module.

    Parameters
    ----------
    phi : blocks of (n, n_centers) features.
    y : (n, n_out) numbers or indicators.
    weight : (n,) weights, positive.
    ridge : None takes the one of `RIDGES` (times the largest S^2) with the least leave-one-out error.
    """
    y, root = np.asarray(y, np.float64), np.sqrt(weight)[:, None]
    total = weight.sum()
    mean = sum((weight[rows] @ block for rows, block in phi()), np.zeros(())) / total
    y_mean = weight @ y / total
    centred = root * (y - y_mean)
    triangle, projected = np.zeros((0, len(mean))), np.zeros((len(mean), y.shape[1]))
    for rows, block in phi():
        a = root[rows] * (block - mean)
        triangle = np.linalg.qr(np.concatenate([triangle, a]), mode="r")
        projected += a.T @ centred[rows]
    _, s, vt = np.linalg.svd(triangle)
    kept = s > np.finfo(float).eps * max(len(y), len(mean)) * max(s.max(initial=0.0), np.finfo(float).tiny)
    s, v = s[kept], vt[: len(s)][kept].T
    scaled = v / s  # U = A V / S
    along = scaled.T @ projected  # U^T sqrt(v) (y - mean)
    ridges = np.array([ridge] if ridge is not None else RIDGES) * (
        1.0 if ridge is not None else (s**2).max(initial=0.0)
    )
    shares = s**2 / (s**2 + ridges[:, None])  # (ridges, rank)
    errors = np.zeros(len(ridges))
    loo = np.zeros((len(ridges), *y.shape)) if len(ridges) == 1 else np.zeros((0, *y.shape))
    for final in (False, True):
        for rows, block in phi():
            u = (root[rows] * (block - mean)) @ scaled
            leverage = weight[rows] / total + (u**2 @ shares.T).T  # (ridges, rows)
            for i, share in enumerate(shares):
                residual = (centred[rows] - u @ (share[:, None] * along)) / root[rows]
                left_out = residual / np.maximum(1.0 - leverage[i], 1e-12)[:, None]
                if final:
                    loo[i, rows] = y[rows] - left_out
                else:
                    errors[i] += float(weight[rows] @ np.sum(left_out**2, axis=1))
        if not final:
            best = int(np.argmin(errors))
            shares, ridges, loo = shares[best : best + 1], ridges[best : best + 1], np.zeros((1, *y.shape))
    w = v @ ((s / (s**2 + ridges[0]))[:, None] * along)
    return Readout(w, y_mean - mean @ w, float(ridges[0]), loo[0], errors / total)


def calibrate(scores: np.ndarray, codes: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray, float]:
    """(t, b, log-loss) of the probabilities softmax(t f + b) that are likeliest, by Newton's method.

    The targets are smoothed as if each class had `PRIOR` rows more (Platt 1999, who adds one), which keeps t finite
    where the classes are told apart without an error. t is not negative: scores that are worth nothing give the
    frequencies of the classes.
    """
    n, k = scores.shape
    counts = np.bincount(codes, weights=weight, minlength=k)
    target = np.full((n, k), (PRIOR / k) / (counts[codes] + PRIOR)[:, None])
    target[np.arange(n), codes] += (counts / (counts + PRIOR))[codes]
    share = weight / weight.sum()
    frequencies = np.log(np.maximum(share @ target, 1e-12))

    def value(theta: np.ndarray) -> tuple[float, np.ndarray]:
        z = theta[0] * scores + theta[1:]
        z = z - z.max(axis=1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return -float(share @ np.sum(target * log_p, axis=1)), log_p

    theta = np.concatenate([[1.0], frequencies])
    loss, log_p = value(theta)
    for _ in range(50):
        p = np.exp(log_p)
        delta = share[:, None] * (p - target)
        grad = np.concatenate([[np.sum(delta * scores)], delta.sum(axis=0)])
        pf = p * scores
        mean = pf.sum(axis=1)
        hessian = np.zeros((k + 1, k + 1))
        hessian[0, 0] = share @ ((pf * scores).sum(axis=1) - mean**2)
        hessian[0, 1:] = hessian[1:, 0] = share @ (pf - p * mean[:, None])
        hessian[1:, 1:] = np.diag(share @ p) - (share[:, None] * p).T @ p
        step = np.linalg.solve(hessian + 1e-10 * np.eye(k + 1), grad)  # b is known up to a constant only
        length = 1.0
        while length > 1e-6:
            trial = theta - length * step
            new, new_log_p = value(trial)
            if new < loss:
                break
            length /= 2
        else:
            break
        done = loss - new < 1e-10
        theta, loss, log_p = trial, new, new_log_p
        if done:
            break
    if theta[0] <= 0:
        theta = np.concatenate([[0.0], frequencies])
        loss, log_p = value(theta)
    return float(theta[0]), theta[1:], -float(share @ log_p[np.arange(n), codes])


def calibrate_labels(scores: np.ndarray, codes: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(t, b, log-loss) of the probabilities sigmoid(t f + b) of each label, (n_out,); the log-loss is their sum."""
    found = [calibrate(np.stack([1 - f, f], axis=1), own, weight) for f, own in zip(scores.T, codes.T, strict=True)]
    t, b, losses = zip(*found, strict=True)
    return 2 * np.array(t), np.array([two[1] - two[0] for two in b]) - np.array(t), float(np.sum(losses))


def place(x: np.ndarray, weight: np.ndarray, plan: Plan, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres, (n, n_in) float32, and the logarithm of their widths at factor 1 (or of the width that is given).

    The width is the root of the mean squared distance to the `NEAREST` nearest centres; shared widths are the mean of
    those of the centres. That of a dimension is in proportion to the deviation of the rows of its cluster there.
    """
    c, labels = k_means(x, weight, n, seed) if plan.centers == "kmeans" else (random_rows(x, n, seed), None)
    width = _nearest(c) if plan.width is None else np.full(len(c), plan.width)
    if plan.widths == "shared":
        return c, np.log([[width.mean()]])
    if plan.widths == "per_center":
        return c, np.log(width)[:, None]
    if labels is None:
        labels = _closest(x, c)
    return c, np.log(width)[:, None] + _log_shapes(x, weight, c, labels)


def k_means(x: np.ndarray, weight: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Centres by k-means, and the cluster of each row (None if not all of them were looked at). In one thread: the sums
    of several come in any order, and the centres would differ by their rounding."""
    from sklearn.cluster import KMeans

    rows = np.sort(np.random.default_rng(seed).permutation(len(x))[:CLUSTER_ROWS])
    with _libraries().limit(limits=1):
        found = KMeans(n, init="k-means++", n_init=1, random_state=seed % 2**32, copy_x=True).fit(  # pyright: ignore[reportArgumentType]
            x[rows], sample_weight=weight[rows]
        )
    labels = found.labels_ if len(rows) == len(x) else None
    return np.asarray(found.cluster_centers_, np.float32), labels


@functools.cache
def _libraries() -> Any:
    """What computes in threads, once scikit-learn is there. Looking for it takes 5 ms, a fifth of a small fit."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def random_rows(x: np.ndarray, n: int, seed: int) -> np.ndarray:
    """n rows that differ."""
    order = np.random.default_rng(seed).permutation(len(x))
    _, first = np.unique(x[order[: max(CLUSTER_ROWS, n)]], axis=0, return_index=True)
    return x[order[np.sort(first)[:n]]]


def _nearest(c: np.ndarray) -> np.ndarray:
    """Of each centre the root mean squared distance to the nearest others; 1 where there are none."""
    if len(c) < 2:
        return np.ones(len(c))
    c = c.astype(np.float64)
    squares = np.maximum((c**2).sum(axis=1)[:, None] - 2 * c @ c.T + (c**2).sum(axis=1), 0.0)
    np.fill_diagonal(squares, np.inf)
    near = np.sort(squares, axis=1)[:, : min(NEAREST, len(c) - 1)]
    width = np.sqrt(near.mean(axis=1))
    return np.where(width > 0, width, max(width.mean(), 1e-3))


def _closest(x: np.ndarray, c: np.ndarray) -> np.ndarray:
    step = max(1, BLOCK // len(c))
    blocks = (distances(c, np.zeros((1, 1), np.float32), x[i : i + step], np) for i in range(0, len(x), step))
    return np.concatenate([block.argmin(axis=1) for block in blocks])


def _log_shapes(x: np.ndarray, weight: np.ndarray, c: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The logarithm of how much wider each dimension of each cluster is than the cluster on the whole; their geometric
    mean is 1 for each centre."""
    squares = (x - c[labels]).astype(np.float64) ** 2 * weight[:, None]
    sums, counts = np.zeros(c.shape), np.bincount(labels, weights=weight, minlength=len(c))[:, None]
    np.add.at(sums, labels, squares)
    overall = squares.sum(axis=0) / weight.sum()
    overall = np.maximum(overall, 1e-3 * max(overall.max(), 1e-12))
    logs = 0.5 * np.log((sums + SHRINK * overall) / (counts + SHRINK))
    return logs - logs.mean(axis=1, keepdims=True)


def grow(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    log_width: float,
    plan: Plan,
    limit: int,
    *,
    auto: bool = False,
) -> np.ndarray:
    """The rows that become centres, one at a time: the one with the greatest squared error of the least-squares readout
    (with bias, without ridge) so far, until the mean squared error is at most `plan.goal` or there are `limit` of them.

    This is the procedure that MATLAB describes for newrb. The readout is not solved again each time: a new feature is
    made orthogonal to those before (twice, for the rounding), and the residuals lose their part along it, which is the
    same. A row whose feature lies in the span of those before is passed over.

    Parameters
    ----------
    x, y, weight : encoded rows, their targets (n, n_out) and their weights.
    log_width : of every unit.
    plan, limit : as above.
    auto : keep only as many as had the least leave-one-out error, known on the way from leverages and residuals, with
        those after a minimum that has lasted for half as long again not looked at.
    """
    root = np.sqrt(weight)
    params = np.full((1, 1), log_width, np.float32)
    basis = np.zeros((len(x), limit + 1))
    basis[:, 0] = root / math.sqrt(weight.sum())
    target = root[:, None] * np.asarray(y, np.float64)
    residual = target - basis[:, :1] @ (basis[:, :1].T @ target)
    leverage = basis[:, 0] ** 2
    free = np.ones(len(x), bool)
    picked: list[int] = []
    best, best_count = math.inf, 1
    while len(picked) < limit:
        errors = np.where(free, np.sum((residual / root[:, None]) ** 2, axis=1), -1.0)
        row = int(np.argmax(errors))
        if errors[row] < 0:
            break
        free[row] = False
        feature = radial_value(plan.radial, distances(x[row : row + 1], params, x, np), np)[:, 0].astype(np.float64)
        column = root * feature
        size = np.linalg.norm(column)
        known = basis[:, : len(picked) + 1]
        for _ in range(2):
            column = column - known @ (known.T @ column)
        length = np.linalg.norm(column)
        if not length > 1e-6 * size:
            continue
        column /= length
        picked.append(row)
        basis[:, len(picked)] = column
        residual -= np.outer(column, column @ target)
        leverage += column**2
        left_out = np.sum(residual**2, axis=1) / np.maximum(1.0 - leverage, 1e-12) ** 2
        if (error := float(left_out.sum())) < best:
            best, best_count = error, len(picked)
        if float(np.sum(residual**2)) / (weight.sum() * y.shape[1]) <= plan.goal:
            break
        if auto and len(picked) > 2 * best_count + 30:
            break
    if not picked:
        picked = [0]
    return np.array(picked[:best_count] if auto else picked)


def collapse(solved: Solved, n_out: int) -> tuple[np.ndarray, np.ndarray]:
    """(w, b) of the dense layer behind the radial one, float32: numbers as they are; the pre-activations of a softmax,
    or for a single output those of a sigmoid."""
    w = solved.temperature * solved.readout.w
    b = solved.temperature * solved.readout.b + solved.offset
    if w.shape[1] == 2 and n_out == 1:
        w, b = w[:, 1:] - w[:, :1], b[1:] - b[:1]
    return w.astype(np.float32), b.astype(np.float32)


def indicators(codes: np.ndarray, n_classes: int) -> np.ndarray:
    """(n, n_classes), 1 at the class of each row."""
    return (codes[:, None] == np.arange(n_classes)).astype(np.float64)


def constant_loss(y: np.ndarray, weight: np.ndarray, codes: np.ndarray | None) -> float:
    """The leave-one-out loss of the constant answer, on the scale of `Solved.loss`."""
    total = weight.sum()
    if codes is None:
        left_out = (y - weight @ y / total) / (1 - weight / total)[:, None]
        return 0.5 * float(np.average(np.sum(left_out**2, axis=1), weights=weight))
    if codes.ndim == 2:
        return sum(constant_loss(indicators(own, 2), weight, own) for own in codes.T)
    counts = np.bincount(codes, weights=weight, minlength=y.shape[1])
    others = np.maximum(counts[codes] - weight, 1e-7 * total) / np.maximum(total - weight, 1e-7 * total)
    return -float(np.average(np.log(others), weights=weight))
