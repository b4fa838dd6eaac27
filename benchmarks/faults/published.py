"""Rules that others have published, as plain predicates over the same curves and the same health record.

Amazon SageMaker Debugger's built-in rules, TheDeepChecker (Ben Braiek and Khomh 2023) and AutoTrainer (Zhang et al.
2021), with their thresholds as `formulas.md` gives them. Each returns the findings it would make in axonic's codes.
"""

from typing import Any

import numpy as np


def _hidden(health: dict[str, np.ndarray], name: str) -> np.ndarray:
    return health[name][:, :-1]


def sagemaker(history: dict[str, Any], health: dict[str, np.ndarray]) -> list[str]:
    found = []
    train, valid = history["train_loss"], history["valid_loss"]
    if not np.isfinite(train).all():
        found.append("train.nonfinite")
    if len(health["dead"]) and np.nanmax(_hidden(health, "dead")[-1], initial=0) > 0.5:
        found.append("train.dead_units")
    if len(health["gradient_rms"]) and (health["gradient_rms"][-1] < 1e-7).any():
        found.append("train.vanishing")
    ratio = np.median(health["update_ratio"], axis=1) if len(health["update_ratio"]) else np.zeros(0)
    if (ratio > 10).any():
        found.append("train.rate_too_high")
    if len(ratio) and (ratio[1:] < 1e-8).any():
        found.append("train.rate_too_low")
    if np.isfinite(valid[-1]) and (valid[-1] - train[-1]) > 0.1 * train[-1]:
        found.append("train.overfit")
    saturated = _hidden(health, "saturated")
    if len(saturated) and np.nanmax(saturated[-1], initial=0) > 0.5:
        found.append("train.saturated")
    if len(train) > 10 and train[-1] > 0.99 * train[-10]:
        found.append("train.plateau")
    return found


def deep_checker(history: dict[str, Any], health: dict[str, np.ndarray]) -> list[str]:
    found = []
    train, valid = history["train_loss"], history["valid_loss"]
    if not np.isfinite(train).all():
        found.append("train.diverged")
    if len(health["a_rms"]):
        a = _hidden(health, "a_rms")[0]
        if (a < 0.5).any() or (a > 2).any():
            found.append("net.bad_scale")
        update = np.log10(np.maximum(health["update_ratio"][1:], 1e-30))
        if len(update) and np.median(update) > -1:
            found.append("train.rate_too_high")
        if len(update) and np.median(update) < -4:
            found.append("train.rate_too_low")
        gradient = health["gradient_rms"][-1]
        ratios = gradient[1:] / np.maximum(gradient[:-1], 1e-30)
        if (ratios >= 2).any():
            found.append("train.vanishing")
        if (ratios <= 0.5).any():
            found.append("train.exploding")
        if np.nanmax(_hidden(health, "saturated")[-1], initial=0) > 0.5:
            found.append("train.saturated")
        if np.nanmax(_hidden(health, "dead")[-1], initial=0) > 0.5:
            found.append("train.dead_units")
    if len(train) > 1 and train[-1] > 0.95 * train[0]:
        found.append("train.underfit")
    if np.isfinite(valid[-1]) and valid[-1] > 1.1 * np.nanmin(valid):
        found.append("train.overfit")
    return found


def auto_trainer(history: dict[str, Any], health: dict[str, np.ndarray]) -> list[str]:
    found = []
    train = history["train_loss"]
    if not np.isfinite(train).all():
        found.append("train.exploding")
    if len(health["gradient_rms"]):
        gradient = health["gradient_rms"][-1]
        ratio = gradient[0] / max(gradient[-1], 1e-30)
        if ratio < 1e-3:
            found.append("train.vanishing")
        if ratio > 70:
            found.append("train.exploding")
        if np.nanmax(_hidden(health, "dead")[-1], initial=0) > 0.7:
            found.append("train.dead_units")
    swings = np.abs(np.diff(train)) >= 0.03
    turns = np.sign(np.diff(train))[1:] != np.sign(np.diff(train))[:-1]
    if len(turns) and np.mean(turns & swings[1:]) >= 0.2:
        found.append("train.rate_too_high")
    if len(train) > 3 and np.isfinite(train).all() and train[0] - train[min(len(train) - 1, 10)] < 0.01 * train[0]:
        found.append("train.rate_too_low")
    return found


TOOLS = {"SageMaker": sagemaker, "TheDeepChecker": deep_checker, "AutoTrainer": auto_trainer}
