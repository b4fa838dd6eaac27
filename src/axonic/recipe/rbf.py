"""Networks of radial basis functions: centres, widths and a readout in closed form (see `axonic.rbf_closed_form`), kept
as they are, or the start of a training of everything by gradient."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from axonic import layers
from axonic import rbf_closed_form as closed_form
from axonic.data.batches import Split
from axonic.errors import InputError
from axonic.layers.rbf import RBFParams
from axonic.losses import CrossEntropy, LogLikelihood, SquaredError
from axonic.rbf_closed_form import Plan, Solved
from axonic.recipe.clock import Clock
from axonic.recipe.constant import bias, loss_values, targets
from axonic.recipe.fitting import Fit, Fitting
from axonic.recipe.journal import Journal, Notebook, Stage, Watcher, nothing_yet
from axonic.recipe.networks import Task
from axonic.types import Params

SOLVED = (SquaredError, CrossEntropy, LogLikelihood)
"""Losses of classes and labels that the closed form stands for; of numbers the first alone."""
START_RIDGE = 1e-4
"""The least ridge of a start for training, in units of the number of rows: less of it, and the weights of the readout
are so large that only the smallest rates do not diverge."""


def fit_rbf(task: Task, watcher: Watcher, journal: Journal) -> Fit:
    """Place the centres and solve for the readout; with `training="gradient"` train everything from there.

    In closed form one network is the default (`ensemble="auto"`): what leaves rows out needs none held out, so nothing
    is averaged over splits.

    Raises
    ------
    InputError : the loss has no closed form, or as for `axonic.recipe.fit`.
    """
    if task.start is not None:
        network = task.settings.radial_network(len(task.start[0][0].c), task.network.n_out(0))
        return Fitting(task._replace(network=network), watcher, journal).run()
    work, notebook = _RBF(task, watcher), Notebook(watcher, journal)
    return work.in_closed_form(notebook) if task.settings.training == "closed_form" else work.trained(notebook, journal)


class _RBF:
    """One fit under way."""

    def __init__(self, task: Task, watcher: Watcher) -> None:
        self.task, self.watcher, self.clock = task, watcher, Clock()
        self.rows, self.split, self.settings, self.loss = task.rows, task.split, task.settings, task.loss
        self.n_out = task.network.n_out(0)
        y = self.rows.y
        self.classes = y.dtype.kind == "i"
        labels = type(self.loss) is CrossEntropy and not self.classes and bool(np.isin(y, (0, 1)).all())
        self.codes = y if self.classes else y.astype(np.int32) if labels else None
        self.closed = type(self.loss) in (SOLVED if self.codes is not None else (SquaredError,))
        settings = self.settings
        if settings.training == "closed_form" and not self.closed:
            raise InputError(
                f"the closed form minimises the squared error, not {type(self.loss).__name__}",
                "leave the loss out, or use training='gradient'",
                "loss",
            )
        self.plan = Plan(
            _given(settings.n_centers),
            settings.centers,
            settings.radial,
            settings.widths,
            _given(settings.width),
            _given(settings.ridge),
            float(settings.goal),
        )

    def solve(
        self, part: np.ndarray, seed: int, plan: Plan, factor: float | None = None
    ) -> tuple[Solved, list[closed_form.Tried]]:
        """On a part of the rows."""
        y = targets(self.rows, part, max(self.n_out, 2) if self.classes else self.n_out)
        codes = None if self.codes is None else self.codes[part]
        weight = self.rows.weight[part].astype(np.float64)
        return closed_form.solve(self.rows.x[part], y, weight, plan, seed, codes, factor, self.watcher.ended)

    def stage(self, notebook: Notebook, solved: Solved, tried: list[closed_form.Tried]) -> Stage:
        """Centres and widths are decided."""
        return notebook.stage(
            "centers", lambda: centers_stage(solved, tried), lambda stage: stage["decision"] == len(solved.params.c)
        )

    def in_closed_form(self, notebook: Notebook) -> Fit:
        """Networks that need no training: one, or as many as are asked for, each from other centres (and on a split of
        its own, if rows are held out)."""
        settings = self.settings
        count = 1 if settings.ensemble == "auto" else settings.ensemble
        members, splits, constant = [], [], []
        plan = self.plan
        for index in range(count):
            seed, split = self.task.seed_and_split(index)
            solved, tried = self.clock.time("solve", self.solve, split.train, seed, plan)
            if index == 0:
                self.stage(notebook, solved, tried)
                plan = plan._replace(n_centers=len(solved.params.c))
            params = self.params(solved, plan.n_centers)
            if self.is_constant(solved, split.train):
                constant.append(index)
                params = self.constant(params, split.train)
            members.append(params)
            splits.append(split)
            if self.watcher.ended():
                break
        notebook.end()
        network = settings.radial_network(len(members[0][0].c), self.n_out)
        history, health = nothing_yet(network)
        return Fit(
            network=network,
            loss=self.loss,
            members=tuple(members),
            splits=tuple(splits),
            states=(),
            optimizer=None,
            l2=0.0,
            batch_size=settings.batch_size,
            histories=(history,) * len(members),
            healths=(health,) * len(members),
            stages=notebook.stages,
            constant=tuple(constant),
            seconds=self.clock.seconds,
        )

    def trained(self, notebook: Notebook, journal: Journal) -> Fit:
        """Everything by gradient, from the closed form of each network's training rows."""
        solved, tried = self.clock.time("solve", self.solve, self.split.train, self.settings.seed, self.plan)
        self.stage(notebook, solved, tried)
        n_centers, factor = len(solved.params.c), None if np.isnan(solved.factor) else solved.factor
        network = self.settings.radial_network(n_centers, self.n_out)
        plan = self.plan._replace(n_centers=n_centers, goal=0.0)
        held: dict[int, tuple[Params, float]] = {}

        def begin(seed: int, split: Split) -> tuple[Params, float]:
            if seed not in held:
                held[seed] = self.begin(split, seed, plan, factor)
            return held[seed]

        task = self.task._replace(network=network, begin=begin)
        fitted = Fitting(task, self.watcher, journal, notebook).run()
        return fitted._replace(seconds={**self.clock.seconds, **fitted.seconds})

    def begin(self, split: Split, seed: int, plan: Plan, factor: float | None) -> tuple[Params, float]:
        """The weights to start from, and their validation loss, which training has to undercut."""
        ridge = plan.ridge or START_RIDGE * len(split.train)
        solved, _ = self.solve(split.train, seed, plan._replace(ridge=ridge), factor)
        params = self.params(solved, plan.n_centers)
        if not self.closed:
            params = self.constant(params, split.train)
        if not len(split.valid):
            return params, np.inf
        blocks = closed_form.features(plan.radial, params[0], self.rows.x[split.valid])()
        z = np.concatenate([phi @ params[-1].w + params[-1].b for _, phi in blocks]).astype(np.float32)
        y = targets(self.rows, split.valid, self.n_out).astype(np.float32)
        values = loss_values(self.loss, z, y)
        return params, float(np.average(values, weights=self.rows.weight[split.valid]))

    def params(self, solved: Solved, n_centers: int | None = None) -> Params:
        """The weights of the network; centres that are missing (of rows that differ there are fewer) are there twice,
        with a weight of 0."""
        c, log_width = solved.params
        w, b = closed_form.collapse(solved, self.n_out)
        missing = (n_centers or len(c)) - len(c)
        c, w = np.concatenate([c, c[:1].repeat(missing, axis=0)]), np.pad(w, [(0, missing), (0, 0)])
        if len(log_width) > 1:
            log_width = np.concatenate([log_width, log_width[:1].repeat(missing, axis=0)])
        between = ((),) if self.settings.dropout > 0 else ()
        return RBFParams(c, log_width), *between, layers.DenseParams(w, b)

    def constant(self, params: Params, part: np.ndarray) -> Params:
        """The weights with a readout that gives the constant answer; 0 where that is not known."""
        last = params[-1]
        found = bias(self.loss, targets(self.rows, part, self.n_out), self.rows.weight[part].astype(np.float64))
        b = np.zeros_like(last.b) if found is None else found.astype(last.b.dtype)
        return (*params[:-1], last._replace(w=np.zeros_like(last.w), b=b))

    def is_constant(self, solved: Solved, part: np.ndarray) -> bool:
        """Whether a constant answer leaves rows out with no more loss."""
        y = targets(self.rows, part, max(self.n_out, 2) if self.classes else self.n_out)
        weight = self.rows.weight[part].astype(np.float64)
        return closed_form.constant_loss(y, weight, None if self.codes is None else self.codes[part]) <= solved.loss


def centers_stage(solved: Solved, tried: Sequence[closed_form.Tried]) -> Stage:
    """How many centres, and how wide they are."""
    n, factor = len(solved.params.c), solved.factor
    width = float(np.exp(solved.params.log_width.mean()))
    how = "as given" if np.isnan(factor) else f"{factor:g} times as far as the nearest centres are"
    return {
        "n_centers": [each.n_centers for each in tried],
        "factor": [each.factor for each in tried],
        "loss": [each.loss for each in tried],
        "width": width,
        "ridge": solved.readout.ridge,
        "decision": n,
        "reason": f"leave-one-out loss {solved.loss:.4g} at width {width:.3g}, {how}, and ridge "
        f"{solved.readout.ridge:.2g}; {len(tried)} tried",
    }


def _given(value: Any) -> Any:
    return None if value == "auto" else value
