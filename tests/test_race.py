"""The race of the rules, and the choice of a rule by itself."""

import dataclasses
import json
import re

import numpy as np
import pytest

from axonic import optimizers, recipe
from axonic.cli import main
from axonic.data.batches import Split, split_rows
from axonic.errors import InputError
from axonic.race import Curve, Spectator, finish, mean_curve, parts, race
from axonic.report.pages import race_page
from axonic.settings import Settings, pair
from axonic.storage import plain
from tests.test_recipe import rows

SETTINGS = Settings(hidden_layer_sizes=(4,))
SMALL = ["momentum", "rprop", "conjugate_gradient", "scaled_conjugate_gradient", "lbfgs"]


def prepared(settings=SETTINGS, n=80):
    data = rows(n)
    loss, n_out = pair(settings, "classification", 2)
    split = split_rows(n, 0, valid=0.25, test=0.0, classes=data.y)
    return recipe.Task(data, split, settings, settings.network(n_out), loss)


def test_losses_are_those_of_the_runs_and_the_first_to_arrive_is_first():
    seen, runs, laps = [], {}, {}

    class Watching(Spectator):
        def lap(self, name, seed, lap):
            seen.append((name, seed, lap.best))
            laps.setdefault(name, []).append(lap)
            runs.setdefault(name, []).extend(curve.best for curve in lap.curves)
            assert len(lap.curves) == 4  # a quarter is held out at a time
            for curve in lap.curves:
                assert np.all(np.diff(curve.seconds) >= 0)
                assert len(curve.seconds) == len(curve.train) == len(curve.valid)
            np.testing.assert_allclose(lap.best, np.mean([np.nanmin(curve.valid) for curve in lap.curves]))
            assert lap.epochs == sum(len(curve.valid) for curve in lap.curves)

    result = race(prepared(), names=["sgd", "adam", "lbfgs"], seconds=0.05, seeds=2, spectator=Watching())
    assert [name for name, _, _ in seen] == ["sgd", "adam", "lbfgs"] * 2
    assert [rule["rank"] for rule in result["rules"]] == [1, 2, 3]
    for rule in result["rules"]:
        best = [loss for name, _, loss in seen if name == rule["name"]]
        assert rule["valid"] == best
        np.testing.assert_allclose(rule["mean_valid"], np.mean(best))
    lowest = min(result["rules"], key=lambda rule: rule["mean_valid"])
    np.testing.assert_allclose(result["finish"], 1.1 * lowest["mean_valid"])
    keys = [(np.nan_to_num(rule["arrived"], nan=np.inf), rule["mean_valid"]) for rule in result["rules"]]
    assert keys == sorted(keys)
    for rule in result["rules"]:  # at its arrival the mean of the runs is at the finish, and just before it is not
        curves = [curve for lap in laps[rule["name"]] for curve in lap.curves]
        at = lambda t: np.mean([np.nanmin(c.valid[c.seconds <= t]) for c in curves])  # noqa: B023, E731
        if not np.isnan(rule["arrived"]):
            assert at(rule["arrived"]) <= result["finish"]
            before = [t for c in curves for t in c.seconds if t < rule["arrived"]]
            if min(rule["curve"]["seconds"]) < rule["arrived"]:
                assert at(max(before)) > result["finish"]
    first = np.array(runs[lowest["name"]])
    assert lowest["behind"] == 0
    for rule in result["rules"]:
        gaps = (np.array(runs[rule["name"]]) - first) / first.mean()
        np.testing.assert_allclose([rule["behind"], rule["behind_error"]], [gaps.mean(), gaps.std(ddof=1) / 8**0.5])
        assert rule["even"] == (rule["behind"] <= 2 * rule["behind_error"])
    assert -1 <= result["rank_correlation"] <= 1
    assert result["told_apart"] == (result["rank_correlation"] >= 0.5)
    assert result["parts"] == 4


def test_the_mean_of_runs_holds_the_lowest_losses_until_each_time():
    one = Curve(np.array([1.0, 2.0, 4.0]), np.array([8.0, 6.0, 2.0]), np.array([3.0, 5.0, 1.0]))
    other = Curve(np.array([1.5, 3.0]), np.array([4.0, 0.0]), np.array([np.nan, 2.0]))
    mean = mean_curve([one, other])
    np.testing.assert_array_equal(mean.seconds, [1.5, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(mean.train, [6.0, 5.0, 3.0, 1.0])
    np.testing.assert_array_equal(mean.valid, [np.inf, np.inf, 2.5, 1.5])
    assert mean.reaches(2.5) == 3.0
    assert np.isnan(mean.reaches(1.0))


def test_who_does_not_arrive_follows_by_the_loss():
    curve = lambda *valid: Curve(np.arange(1.0, 4.0), np.zeros(3), np.array(valid))  # noqa: E731
    curves = {"late": curve(9, 9, 1.0), "soon": curve(9, 1.09, 1.09), "far": curve(5, 5, 5.0), "near": curve(3, 3, 3.0)}
    line, order = finish(curves)
    np.testing.assert_allclose(line, 1.1)
    assert order == ["soon", "late", "near", "far"]
    lost = curve(np.nan, np.nan, np.nan)
    assert finish({"lost": lost}) == (np.inf, ["lost"])
    assert np.isnan(mean_curve([lost]).reaches(np.inf))


def test_as_many_parts_are_held_out_as_make_500_rows_or_the_given_one():
    task = prepared(n=1000)
    assert [len(part.valid) for part in parts(task, 0)] == [250, 250]
    assert len(parts(prepared(n=2400), 0)) == 1
    series = task._replace(resplits=False)
    assert parts(series, 0) == parts(series, 1) == [task.split]


def test_a_rule_that_cannot_take_part_is_told_and_left_out():
    settings = dataclasses.replace(SETTINGS, hidden_layer_sizes=(500,))
    result = race(prepared(settings), names=["sgd", "newton"], seconds=0.02, seeds=1)
    assert [rule["name"] for rule in result["rules"]] == ["sgd"]
    assert "2501" in result["refused"]["newton"]  # the weights of the network
    with pytest.raises(InputError, match="none of these rules"):
        race(prepared(settings), names=["newton"], seconds=0.02, seeds=1)


@pytest.mark.parametrize(("laps", "names"), [(0, set()), (2, {"sgd", "momentum"}), (4, {"sgd", "momentum", "adam"})])
def test_ending_a_race_ranks_what_all_have_run(laps, names):
    class Impatient(Spectator):
        done = 0

        def lap(self, name, seed, lap):
            self.done += 1

        def interrupted(self):
            return self.done >= laps

    result = race(prepared(), names=["sgd", "momentum", "adam"], seconds=0.02, seeds=2, spectator=Impatient())
    assert {rule["name"] for rule in result["rules"]} == names
    assert all(len(rule["valid"]) == 1 for rule in result["rules"])


def test_a_run_that_is_ended_counts_only_if_it_is_the_only_one():
    class Impatient(Spectator):
        def __init__(self, patience):
            self.patience = patience

        def interrupted(self):
            self.patience -= 1
            return self.patience < 0

    result = race(prepared(), names=["sgd", "adam"], seconds=30.0, seeds=1, spectator=Impatient(3))
    assert [rule["name"] for rule in result["rules"]] == ["sgd"]


def test_auto_takes_the_rule_with_the_lowest_mean_validation_loss_or_the_default_if_it_is_as_good():
    short = {"epochs": 20, "ensemble": 2, "regularization": None, "monitor": False}
    task = prepared(dataclasses.replace(SETTINGS, optimizer="auto", **short))
    fit = recipe.fit(task)
    stage = next(stage for stage in fit.stages if stage["stage"] == "optimizer")
    means = dict(zip(stage["names"], map(np.mean, stage["valid"]), strict=True))
    assert list(means) == SMALL
    assert stage["decision"] == optimizers.name(fit.optimizer)
    assert means[stage["decision"]] <= 1.01 * min(means.values())
    single = recipe.fit(task._replace(settings=dataclasses.replace(task.settings, optimizer=stage["decision"])))
    np.testing.assert_array_equal(single.members[0][0].w, fit.members[0][0].w)


@pytest.mark.parametrize(
    ("settings", "n_train", "held_out", "expected"),
    [
        ({"optimizer": "sgd"}, 100, True, ["sgd"]),
        ({"optimizer": "auto"}, 100, True, SMALL),
        ({"optimizer": "auto"}, 100_000, True, ["momentum", "adam", "rmsprop"]),
        ({"optimizer": "auto"}, 100, False, ["momentum"]),
        ({"optimizer": "auto", "learning_rate": 0.1}, 100, True, ["momentum"]),
        ({"optimizer": "auto", "dropout": 0.1}, 100, True, ["momentum"]),
        ({"optimizer": "auto", "net": "gru", "activation": "tanh"}, 100, True, ["adam", *SMALL]),
        ({"optimizer": "auto", "net": "gru", "activation": "tanh", "clip_norm": 1.0}, 100, True, ["adam", "momentum"]),
    ],
)
def test_candidates_of_auto(settings, n_train, held_out, expected):
    task, nothing = prepared(), np.empty(0, np.int64)
    split = Split(np.arange(n_train), task.split.valid if held_out else nothing, nothing)
    rules = recipe.candidate_rules(task._replace(split=split, settings=Settings(**settings)))
    assert [optimizers.name(rule) for rule in rules] == expected


def test_the_seed_decides_which_rows_are_held_out(monkeypatch):
    held_out = [[split.valid.tolist() for split in parts(prepared(), seed)] for seed in range(2)]
    assert held_out[0] != held_out[1]
    asked = []
    monkeypatch.setattr("axonic.race.parts", lambda task, seed: asked.append(seed) or parts(task, seed))
    race(prepared(dataclasses.replace(SETTINGS, seed=5)), names=["sgd"], seconds=0.02, seeds=2)
    assert asked == [5, 6]


def test_compare_from_the_command_line(tmp_path, capsys):
    data = rows()
    lines = [
        "a,b,c,kind",
        *(f"{a},{b},{c},{'yes' if y else 'no'}" for (a, b, c), y in zip(data.x, data.y, strict=True)),
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    arguments = ["compare", str(tmp_path / "t.csv"), "--target", "kind", "--optimizers", "sgd,adam", "--hidden", "4"]
    arguments += ["--seconds", "0.02", "--out", str(tmp_path / "race")]
    assert main([*arguments, "--seeds", "2", "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((tmp_path / "race" / "compare.json").read_text())
    assert {rule["name"] for rule in result["rules"]} == {"sgd", "adam"}
    page = (tmp_path / "race" / "report.html").read_text()
    assert page.count('<svg class="plot"') == 2
    assert "adam" in page
    assert main([*arguments, "--seeds", "1"]) == 0
    assert "adam" in capsys.readouterr().out


@pytest.fixture(scope="module")
def raced():
    return race(prepared(), names=["adam", "sgd"], seconds=0.02, seeds=1)


@pytest.mark.parametrize(("told_apart", "largest"), [(True, "adam"), (False, "No rule stands out"), (None, "adam")])
def test_the_page_names_a_winner_only_if_the_order_is_more_than_luck(told_apart, largest, raced):
    rules = sorted(raced["rules"], key=lambda rule: rule["name"])
    result = {**raced, "rules": rules, "told_apart": told_apart}
    page = race_page(plain({**result, "target": "kind", "task": "classification", "n_rows": 80}))
    big = re.search('<p class="big">(.*?)</p>', page)[1]
    assert re.sub("<.*?>", "", big) == largest
    assert "4 parts of the table are held out in turn" in page


@pytest.mark.parametrize("options", [["--optimizers", "adm"], ["--seconds", "0"], ["--seeds", "0"], ["--hidden", "x"]])
def test_bad_options_of_compare(options, tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,kind\n" + "\n".join(f"{i},{'no' if i % 2 else 'yes'}" for i in range(30)))
    code = main(["compare", str(tmp_path / "t.csv"), "--target", "kind", "--quiet", *options])
    out, err = capsys.readouterr()
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize("wrong", [{"seconds": 0.0}, {"seeds": 0}])
def test_a_race_needs_time_and_a_seed(wrong):
    with pytest.raises(InputError, match="must be positive"):
        race(prepared(), names=["momentum"], **wrong)
