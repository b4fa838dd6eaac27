"""Naive NumPy references of the second-order rules, from the papers; the line search is SciPy's own dcsrch."""

import numpy as np
from scipy.optimize._dcsrch import DCSRCH

from axonic.optimizers import LBFGS, ConjugateGradient, LevenbergMarquardt, Newton, ScaledConjugateGradient


def wolfe(w, f, p, first, c1, c2, xtol):
    """The step length, 0 if there is none."""
    if not f(w) @ p < 0:
        return 0.0
    search = DCSRCH(lambda t: float(f.value(w + t * p)), lambda t: f(w + t * p) @ p, c1, c2, xtol, 0.0, 1e10)
    t, *_ = search(first, phi0=float(f.value(w)), derphi0=f(w) @ p, maxiter=40)
    return t or 0.0


def lbfgs(w, f, s, memory, c1, c2):
    """Nocedal and Wright, algorithms 7.4 and 7.5."""
    g, pairs = f(w), list(s.get("pairs", []))
    q, alphas = g.copy(), []
    for step, change in reversed(pairs):
        alphas.append(step @ q / (step @ change))
        q -= alphas[-1] * change
    r = q * (pairs[-1][0] @ pairs[-1][1] / (pairs[-1][1] @ pairs[-1][1]) if pairs else 1.0)
    for (step, change), alpha in zip(pairs, reversed(alphas), strict=True):
        r += (alpha - change @ r / (step @ change)) * step
    t = wolfe(w, f, -r, 1.0 if pairs else 1 / max(1.0, np.linalg.norm(g)), c1, c2, 0.1)
    new = w - t * r
    if t == 0:
        return w, {"pairs": []}
    if (new - w) @ (f(new) - g) > np.finfo(float).eps * abs((new - w) @ g):
        pairs = [*pairs, (-t * r, f(new) - g)][-memory:]
    return new, {"pairs": pairs}


BETAS = {
    "polak_ribiere": lambda g, new, p: max(0, new @ (new - g) / (g @ g)),
    "fletcher_reeves": lambda g, new, p: new @ new / (g @ g),
    "hestenes_stiefel": lambda g, new, p: max(0, new @ (new - g) / (p @ (new - g))),
    "dai_yuan": lambda g, new, p: new @ new / (p @ (new - g)),
}


def conjugate_gradient(w, f, s, c1, c2, restart, formula):
    g = f(w)
    p, before = s.get("p", -g), s.get("before", f.value(w) + np.linalg.norm(g) / 2)
    if not np.any(g):
        return w, s
    guess = 2.02 * (f.value(w) - before) / (g @ p)
    t = wolfe(w, f, p, min(1.0, guess) if guess > 0 else 1.0, c1, c2, np.finfo(float).eps)
    if t == 0:
        return w, {"p": -g, "before": before}
    new = f(w + t * p)
    direction = -new + BETAS[formula](g, new, p) * p
    if abs(new @ g) >= restart * (new @ new) or direction @ new > -0.01 * (new @ new):
        direction = -new
    return w + t * p, {"p": direction, "before": f.value(w)}


def scaled_conjugate_gradient(w, f, s, lambda_):
    """Moller 1993, the nine steps; s_k = H p_k."""
    if not s:
        s = {"lam": lambda_, "bar": 0.0, "p": -f(w), "r": -f(w), "k": 1, "success": True}
    lam, bar, p, r, k = (s[name] for name in ("lam", "bar", "p", "r", "k"))
    if not np.any(r):
        return w, s
    pp = p @ p
    delta = p @ f.hessian(w) @ p if s["success"] else s["delta"]
    delta += (lam - bar) * pp
    if delta <= 0:
        bar = 2 * (lam - delta / pp)
        delta = -delta + lam * pp
        lam = bar
    mu = p @ r
    alpha = mu / delta
    comparison = 2 * delta * (f.value(w) - f.value(w + alpha * p)) / mu**2
    if comparison >= 0:
        w = w + alpha * p
        new, bar, success = -f(w), 0.0, True
        p_new = new if k % len(w) == 0 else new + (new @ new - new @ r) / mu * p
        r, p = new, (p_new if p_new @ new > 0 else new)
        reduced = lam / 4 if comparison >= 0.75 else lam
    else:
        bar, success, reduced = lam, False, lam
    lam = reduced + delta * (1 - comparison) / pp if comparison < 0.25 else reduced
    return w, {"lam": lam, "bar": bar, "p": p, "r": r, "k": k + 1, "success": success, "delta": delta}


def newton(w, f, s, form, rcond=1e-10):
    g, h = f(w), f.hessian(w)
    if form == "saddle_free":
        candidates = [newton_direction(h, g, rcond)]
    else:
        candidates = [-np.linalg.pinv(h, rcond=rcond) @ g, newton_direction(h, g, rcond)]
    for v in candidates:
        if not v @ g < 0:
            continue
        for t in 0.5 ** np.arange(20):
            if f.value(w + t * v) < f.value(w):
                return w + t * v, s
    return w, s


def newton_direction(h, g, rcond):
    """-|H|^+ g, with |H| = U S U^T from the singular values S."""
    u, sizes, _ = np.linalg.svd(h)
    return -u @ np.diag([1 / size if size > rcond * sizes[0] else 0.0 for size in sizes]) @ u.T @ g


def levenberg_marquardt(w, f, s, mu, increase, decrease):
    g, jj = f(w), f.gauss_newton(w)
    mu = s.get("mu", mu)
    while mu <= 1e10:
        new = w - np.linalg.solve(jj + mu * np.eye(len(w)), g)
        if f.value(new) < f.value(w):
            return new, {"mu": max(mu * decrease, 1e-20)}
        mu *= increase
    return w, {"mu": mu}


def trust_region(w, f, s, mu, radius):
    """More 1978: lmder's updates and lmpar's Newton step, by eigenvalues; D is at least 1 and mu n eps."""
    g, jj = f(w), f.gauss_newton(w)
    scale = np.maximum(s.get("scale", 1.0), np.sqrt(np.diag(jj)))
    values, q = np.linalg.eigh(jj / np.outer(scale, scale))
    b, size = q.T @ (g / scale), np.linalg.norm(scale * w)
    mu, delta, least = s.get("mu", mu), s.get("delta", radius * (size or 1)), len(w) * np.finfo(float).eps
    first = not s
    while delta > np.finfo(float).eps * size:
        low, high, following = 0.0, np.linalg.norm(b) / delta, mu
        for _ in range(10):
            mu = max(min(max(following, low), high), least)
            e = -b / (values + mu)
            length = np.linalg.norm(e)
            whole = mu <= least and length < 1.1 * delta
            if whole or abs(length - delta) <= 0.1 * delta:
                break
            low, high = (mu, high) if length > delta else (low, mu)
            following = mu + (length / delta - 1) * length**2 / np.sum(e**2 / (values + mu))
        rate = length**2 / np.sum(e**2 / (values + mu)) if length > 0 else 0.0
        delta = min(delta, length) if first else delta
        first, new = False, w + q @ e / scale
        fall = f.value(w) - f.value(new)
        foreseen = 0.5 * np.sum(values * e**2) + mu * length**2
        rho = fall / foreseen if foreseen > 0 else 0.0
        if rho >= 0.75 or (whole and rho > 0.25):
            delta = 2 * length
        elif not rho > 0.25:
            share = 0.5 if fall >= 0 else min(max(0.5 * (b @ e) / (b @ e + fall), 0.1), 0.5)
            delta = share * min(delta, 10 * length)
        mu = max(mu + (length / delta - 1) * rate, 0.0) if length > 0 else mu
        if rho >= 1e-4:
            w = new
            break
    return w, {"mu": mu, "delta": delta, "scale": scale}


C1 = ("c1", (1e-4, 1e-3, 1e-2))
CG = {"c1": 1e-4, "c2": 0.4, "restart": 0.2}
LM = {"mu": 1e-3, "increase": 10.0, "decrease": 0.1}

# name -> (rule, reference, its hyperparameters, knob), as the `Case` of test_rules.py
CASES = {
    "newton": (Newton(1e-2), newton, {"form": "saddle_free", "rcond": 1e-2}, ("rcond", (1e-10, 1e-8, 1e-4))),
    "newton-pseudo": (
        Newton(form="pseudo_inverse"),
        newton,
        {"form": "pseudo_inverse"},
        ("rcond", (1e-10, 1e-8, 1e-4)),
    ),
    "levenberg_marquardt": (
        LevenbergMarquardt(),
        trust_region,
        {"mu": 1e-3, "radius": 100.0},
        ("radius", (0.1, 1.0, 100.0)),
    ),
    "levenberg_marquardt-short": (
        LevenbergMarquardt(radius=0.1),
        trust_region,
        {"mu": 1e-3, "radius": 0.1},
        ("radius", (0.1, 1.0, 100.0)),
    ),
    "levenberg_marquardt-factors": (
        LevenbergMarquardt(damping="factors"),
        levenberg_marquardt,
        LM,
        ("mu", (1e-3, 1e-2, 1.0)),
    ),
    "levenberg_marquardt-slow": (
        LevenbergMarquardt(1.0, 5.0, 0.5, damping="factors"),
        levenberg_marquardt,
        {"mu": 1.0, "increase": 5.0, "decrease": 0.5},
        ("mu", (1e-3, 1e-2, 1.0)),
    ),
    "conjugate_gradient": (ConjugateGradient(), conjugate_gradient, CG | {"formula": "polak_ribiere"}, C1),
    "conjugate_gradient-unrestarted": (
        ConjugateGradient(restart=np.inf),
        conjugate_gradient,
        CG | {"formula": "polak_ribiere", "restart": np.inf},
        C1,
    ),
    "conjugate_gradient-fr": (
        ConjugateGradient(formula="fletcher_reeves"),
        conjugate_gradient,
        CG | {"formula": "fletcher_reeves"},
        C1,
    ),
    "conjugate_gradient-hs": (
        ConjugateGradient(formula="hestenes_stiefel"),
        conjugate_gradient,
        CG | {"formula": "hestenes_stiefel"},
        C1,
    ),
    "conjugate_gradient-dy": (
        ConjugateGradient(formula="dai_yuan"),
        conjugate_gradient,
        CG | {"formula": "dai_yuan"},
        C1,
    ),
    "scaled_conjugate_gradient": (
        ScaledConjugateGradient(),
        scaled_conjugate_gradient,
        {"lambda_": 1e-6},
        ("lambda_", (1e-6, 1e-4, 1e-2)),
    ),
    "lbfgs": (LBFGS(), lbfgs, {"memory": 10, "c1": 1e-4, "c2": 0.9}, C1),
    "lbfgs-short": (LBFGS(memory=2), lbfgs, {"memory": 2, "c1": 1e-4, "c2": 0.9}, C1),
}
