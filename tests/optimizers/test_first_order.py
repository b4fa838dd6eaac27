"""What is particular to single first-order rules."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from axonic.objective import from_function
from axonic.optimizers import SWATS, VSGD, AdaptiveGain, AMSGrad, PhysicalMomentum, Rprop
from tests.optimizers.test_rules import Problem, adaptive_gain, swats
from tests.problems import network_objective, rosenbrock


def states(rule, function, start, n):
    """(weights, states) before and after each of n steps."""
    objective, params = from_function(function), jnp.asarray(start)
    step = jax.jit(lambda p, s: rule.step(objective, p, s)[:2])
    points, kept = [params], [rule.init(params)]
    for _ in range(n):
        params, state = step(points[-1], kept[-1])
        points.append(params)
        kept.append(state)
    return np.array(points), kept


class TestSWATS:
    scales = np.array([3.0, 1.0, 0.3])

    def bowl(self, x):
        return 0.5 * jnp.sum(self.scales * x**2)

    @pytest.mark.usefixtures("float64")
    @pytest.mark.parametrize("relative", [True, False])
    def test_the_trajectory_through_the_switch_equals_the_reference(self, relative):
        rule = SWATS(0.02, tolerance=1e-2 if relative else 1e-4, relative=relative)
        points, kept = states(rule, self.bowl, [2.0, -1.0, 3.0], 200)
        hyper = {"alpha": 0.02, "b1": 0.9, "b2": 0.999, "eps": 1e-9, "tolerance": rule.tolerance, "relative": relative}
        w, state, expected, rates = np.array([2.0, -1.0, 3.0]), {}, [], []
        for _ in range(200):
            w, state = swats(w, Problem(self.bowl, lambda w: self.scales * w, None, None), state, **hyper)
            expected.append(w)
            rates.append(state.get("rate", 0.0))
        np.testing.assert_allclose(points[1:], expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose([s.rate for s in kept[1:]], rates, rtol=1e-9)
        switch = np.flatnonzero(rates)[0]
        assert 0 < switch < 150
        assert np.unique(rates[switch:]).size == 1

    def test_one_rate_serves_all_layers(self):
        objective, params = network_objective()
        rule = SWATS(0.01, tolerance=1e-1)
        step = jax.jit(lambda p, s: rule.step(objective, p, s)[:2])
        state = rule.init(params)
        while state.rate == 0:
            params, state = step(params, state)
            assert state.k < 200
        before, (after, new) = params, step(params, state)
        assert new.rate.shape == ()
        grads = objective.value_and_grad(before)[1]  # the velocity starts at 0, so the first step is (1 - beta1) rate g
        for old, w, g in zip(*(jax.tree.leaves(t) for t in (before, after, grads)), strict=True):
            np.testing.assert_allclose(w - old, -0.1 * state.rate * g, rtol=1e-3, atol=1e-6)

    @pytest.mark.usefixtures("float64")
    def test_a_rate_that_is_not_positive_is_refused(self):
        """Uphill all the way: momentum from the start is against the gradient, so that every gamma is negative."""
        rule = SWATS(1e-6, beta1=0.999, beta2=0.5, tolerance=1e9, relative=False)
        w = jnp.array([1.0])
        state = rule.init(w)._replace(m=jnp.array([-100.0]), v=jnp.array([1.0]), k=jnp.array(5, jnp.int32))
        for _ in range(5):
            w, state, _ = rule.step(from_function(lambda x: jnp.sum(x)), w, state)
            assert state.lam < 0
            assert state.rate == 0


class TestRprop:
    """One weight on |x|-like slopes: from 0.25 with step 0.4 the first step jumps over the minimum at 0."""

    def path(self, variant, function=lambda x: jnp.sum(x**2), start=0.25):
        points, _ = states(Rprop(initial_step=0.4, variant=variant), function, [start], 3)
        return points[1:, 0]

    @pytest.mark.usefixtures("float64")
    def test_variants_differ_after_a_change_of_sign_as_the_paper_says(self):
        # the loss falls from .0625 to .0225 over the jump to -.15
        np.testing.assert_allclose(self.path("rprop-"), [-0.15, 0.05, -0.05])
        np.testing.assert_allclose(self.path("rprop+"), [-0.15, 0.25, 0.05])
        np.testing.assert_allclose(self.path("irprop-"), [-0.15, -0.15, 0.05])
        np.testing.assert_allclose(self.path("irprop+"), [-0.15, -0.15, 0.05])

    @pytest.mark.usefixtures("float64")
    def test_only_a_rise_of_the_loss_makes_irprop_plus_go_back(self):
        # from .1 the loss rises from .01 to .09 over the jump to -.3
        np.testing.assert_allclose(self.path("irprop+", start=0.1), [-0.3, 0.1, -0.1])
        np.testing.assert_allclose(self.path("rprop+", start=0.1), [-0.3, 0.1, -0.1])
        np.testing.assert_allclose(self.path("irprop-", start=0.1), [-0.3, -0.3, -0.1])

    def test_gradients_too_small_to_be_multiplied_still_have_signs(self):
        _, kept = states(Rprop(), lambda x: 1e-30 * jnp.sum(x), np.ones(1, np.float32), 3)
        np.testing.assert_allclose(kept[-1].sizes, 0.1 * 1.2**2, rtol=1e-6)

    def test_sizes_stay_within_their_bounds(self):
        _, kept = states(Rprop(max_step=0.5), lambda x: -jnp.sum(x), np.zeros(1, np.float32), 30)
        assert kept[-1].sizes == np.float32(0.5)
        rule = Rprop(initial_step=1.0, min_step=0.3, variant="rprop-")
        _, kept = states(rule, lambda x: jnp.sum(jnp.abs(x)), np.full(1, 0.01, np.float32), 30)
        assert kept[-1].sizes == np.float32(0.3)


class TestAdaptiveGain:
    def test_gains_grow_by_sums_fall_by_factors_and_are_clipped(self):
        rule = AdaptiveGain(0.01, max_gain=1.12)
        _, kept = states(rule, lambda x: jnp.sum(x), np.zeros(1, np.float32), 4)
        np.testing.assert_allclose([s.gains[0] for s in kept[1:]], [1, 1.05, 1.1, 1.12], rtol=1e-6)
        rule = AdaptiveGain(1.0, min_gain=0.9)
        _, kept = states(rule, lambda x: jnp.sum(jnp.abs(x)), np.full(1, 0.5, np.float32), 4)
        np.testing.assert_allclose([s.gains[0] for s in kept[1:]], [1, 0.95, 0.9025, 0.9], rtol=1e-6)

    @pytest.mark.usefixtures("float64")
    def test_momentum_compares_with_the_velocity_and_not_with_the_last_gradient(self):
        """A gradient that keeps its new sign against an old velocity: the gains part from those of the gradients."""
        hyper = {"eta": 0.05, "up": 0.05, "down": 0.95, "low": 0.1, "high": 10.0, "alpha": 0.9}
        problem = Problem(None, lambda w: 2 * w, None, None)
        w, state, by_gradient, last = np.array([1.0]), {}, 1.0, 0.0
        for _ in range(30):
            g = 2 * w[0]
            by_gradient = by_gradient + 0.05 if g * last > 0 else by_gradient * 0.95 if g * last < 0 else by_gradient
            last = g
            w, state = adaptive_gain(w, problem, state, **hyper)
        _, kept = states(AdaptiveGain(0.05, momentum=0.9), lambda x: jnp.sum(x**2), [1.0], 30)
        np.testing.assert_allclose(kept[-1].gains, state["gains"], rtol=1e-12)
        assert abs(by_gradient - state["gains"][0]) > 0.1


class TestAMSGrad:
    @pytest.mark.usefixtures("float64")
    def test_the_notes_second_moment_is_never_below_the_papers(self):
        rng = np.random.default_rng(0)
        v = highest = noted = np.zeros(50)

        def step(g, v, vhat, form):
            rule = AMSGrad(form=form, beta2=0.9)
            state = rule.init(jnp.zeros(50))._replace(v=v, vhat=vhat)
            return rule.step(from_function(lambda x: jnp.sum(g * x)), jnp.zeros(50), state)[1]

        step_of = {form: jax.jit(functools.partial(step, form=form)) for form in ("paper", "notes")}
        for _ in range(200):
            g = rng.standard_normal(50)
            paper, notes = step_of["paper"](g, v, highest), step_of["notes"](g, noted, None)
            v, highest, noted = paper.v, paper.vhat, notes.v
            assert np.all(noted >= highest - 1e-15)
            assert np.all(highest >= v)
        assert np.mean(noted) > 1.3 * np.mean(highest)


class TestPhysicalMomentum:
    @pytest.mark.usefixtures("float64")
    def test_as_written_the_way_does_not_depend_on_the_sign_of_the_gradient_or_on_momentum(self):
        rule = PhysicalMomentum(0.01, form="notes")
        up, _ = states(rule, lambda x: jnp.sum(x), [0.0], 5)
        down, _ = states(rule, lambda x: -jnp.sum(x), [0.0], 5)
        other, _ = states(rule.replace(momentum=0.1), lambda x: jnp.sum(x), [0.0], 5)
        np.testing.assert_array_equal(up, down)
        np.testing.assert_array_equal(up, other)
        np.testing.assert_allclose(up[:, 0], -0.02 * np.array([0, 1, 3, 6, 10, 15]))

    @pytest.mark.parametrize("form", ["notes", "repaired"])
    def test_weights_without_gradient_are_finite(self, form):
        points, _ = states(PhysicalMomentum(0.01, form=form), lambda x: x[0] * 1e-45, np.zeros(2, np.float32), 2)
        assert np.isfinite(points).all()


class TestVSGD:
    curvature, noise, n = 2.0, 3.0, 4000

    def noisy(self, rule, start, steps, seed=0):
        """Runs `n` weights on curvature/2 (w - noise xi)^2, each with its own noise; (weights, states)."""
        shifts = np.random.default_rng(seed).standard_normal((steps, self.n)).astype(np.float32) * self.noise
        w = jnp.full(self.n, start, jnp.float32)

        def body(carry, xi):
            w, state = carry
            objective = from_function(lambda w: 0.5 * self.curvature * jnp.sum((w - xi) ** 2))
            w, state, _ = rule.step(objective, w, state)
            return (w, state), w

        (w, state), path = jax.lax.scan(body, (w, jax.tree.map(jnp.asarray, rule.init(w))), shifts)
        return np.asarray(path), state

    @pytest.mark.parametrize("form", ["l", "fd"])
    def test_rates_approach_the_oracles(self, form):
        """Gradients of known mean and variance in a bowl of known curvature, whose best rate is
        1/h mean^2 / (mean^2 + variance) (Schaul, Zhang and LeCun 2013, section 4); the bowl moves with the weights."""
        rule, start = VSGD(form=form), jnp.zeros(self.n)

        def mean_rate(noise, mean):
            def body(carry, xi):
                w0, state = carry
                objective = from_function(lambda w: 0.5 * self.curvature * jnp.sum((w - w0 + mean + xi) ** 2))
                return rule.step(objective, w0, state)[:2], None

            carry = (start, jax.tree.map(jnp.asarray, rule.init(start)))
            (_, state), _ = jax.lax.scan(body, carry, noise)
            return jnp.mean(state.g_bar**2 / state.v_bar / state.h_bar)

        compiled = jax.jit(mean_rate)
        noise = np.random.default_rng(0).standard_normal((600, self.n)).astype(np.float32)
        for mean in (3.0, 1.0, 0.3, 0.1):
            oracle = mean**2 / (mean**2 + 1) / self.curvature
            assert 0.6 * oracle < compiled(noise, mean) < 1.1 * oracle

    @pytest.mark.parametrize("form", ["l", "fd"])
    def test_the_loss_on_a_noisy_bowl_falls_like_that_of_a_mean_of_all_samples(self, form):
        path, _ = self.noisy(VSGD(form=form), 10.0, 300)
        assert np.mean(path[0] ** 2) == 100
        assert np.mean(path[-1] ** 2) < 3 * self.noise**2 / 300  # the mean of 300 samples has a third of that

    def test_rates_fall_like_one_over_the_steps_and_memory_grows_where_noise_rules(self):
        _, state = self.noisy(VSGD(), 0.0, 300)
        share = state.g_bar**2 / state.v_bar
        np.testing.assert_allclose(state.h_bar, self.curvature, rtol=0.1)
        assert np.median(share) < 0.02
        assert np.median(state.tau) > 50

    def test_without_noise_it_takes_newtons_steps(self):
        points, kept = states(VSGD(slow_start=1.0), lambda x: jnp.sum(x**2), np.ones(2, np.float32), 11)
        np.testing.assert_array_equal(points[:11], 1)
        np.testing.assert_allclose(points[-1], 0, atol=1e-6)
        np.testing.assert_allclose(kept[-1].tau, 1, atol=1e-5)

    def test_a_rare_feature_does_not_explode(self):
        """A weight whose first gradient comes after the start."""
        rule = VSGD()
        w, state = jnp.ones(2), rule.init(jnp.ones(2))
        for i in range(30):
            seen = jnp.array([1.0, float(i == 20)])
            w, state, _ = rule.step(from_function(lambda x, seen=seen: jnp.sum(seen * x**2)), w, state)
        assert np.abs(w[1]) <= 1
        assert np.isfinite(w).all()

    @pytest.mark.parametrize("form", ["l", "fd"])
    def test_another_seed_changes_the_signs_of_form_l_alone(self, form):
        ends = [
            states(VSGD(seed=s, form=form), rosenbrock, np.array([-1.2, 1.0], np.float32), 12)[0] for s in (0, 0, 5)
        ]
        np.testing.assert_array_equal(ends[0], ends[1])
        assert np.array_equal(ends[0], ends[2]) == (form == "fd")
