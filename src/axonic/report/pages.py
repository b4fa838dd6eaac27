"""One HTML file for a fit, a race or a check, from what their folder holds; it opens without a network.

    fit       result.json, report.json, history.csv and, where there is one, health.csv
    race      compare.json
    check     check.json

Words and tables are in the templates, pictures in `axonic.report.plots`, and each section of the page of a fit in a
module of its own beside this one; nothing is computed here that is not for show. Whatever comes from a user (names of
columns, classes and files) is escaped by jinja2.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from axonic.errors import InputError
from axonic.report.command import command
from axonic.report.curves import losses
from axonic.report.layers import healths
from axonic.report.plots import HUES, Series, axis, clipped, percent, plot, short
from axonic.report.predictions import evaluation, importance
from axonic.report.scores import headline, scores
from axonic.report.stages import networks, stage, tree
from axonic.report.through_time import through_time

PAGE = "report.html"
RESULT, COMPARISON, CHECK = "result.json", "compare.json", "check.json"
FILES = (RESULT, "report.json", "run.json", "history.csv", "health.csv", COMPARISON, CHECK)
TEMPLATES = Path(__file__).parent / "templates"
SEVERITY = {"error": 0, "warning": 1, "info": 2}


def fit_page(
    result: Mapping[str, Any],
    kept: Mapping[str, Any],
    history: str,
    health: str | None = None,
    request: Mapping[str, Any] | None = None,
) -> str:
    """The page of a fit.

    Parameters
    ----------
    result, kept : as `result.json` and `report.json` hold them.
    history, health : the text of `history.csv` and `health.csv`.
    request : as `run.json` holds it; None leaves out how to reproduce the run.
    """
    return _page(
        "fit.html",
        title=f"{result['target']}: {result['task']}",
        result=result,
        kept=kept,
        headline=headline(result, weighted=bool(request and request["settings"].get("class_weight"))),
        scores=scores(result),
        findings=_findings(result["findings"]),
        stages=[stage(each, i) for i, each in enumerate(result["stages"])],
        tree=tree(result["stages"]),
        losses=losses(result, history),
        networks=networks(result),
        health=healths(health) if health else [],
        evaluation=evaluation(kept, result),
        through_time=through_time(kept),
        importance=importance(kept),
        columns=[_column(column) for column in kept.get("columns", [])],
        command=command(request) if request else "",
        versions=dict(request.get("versions", {})) if request else {},
    )


def race_page(result: Mapping[str, Any]) -> str:
    """The page of a race; see `axonic.race.race`."""
    rules: Sequence[Mapping[str, Any]] = result["rules"]
    figures = []
    for part, column in (("Validation", "valid"), ("Training", "train")):
        curves = [rule["curve"] for rule in rules]
        highest = 3 * _middle([curve["valid"][0] for curve in curves if curve["valid"] and curve["valid"][0]])
        values = [v for curve in curves for v in curve[column] if v is not None and 0 < v <= highest]
        series = [
            Series(
                rule["name"],
                rule["curve"]["seconds"],
                [math.nan if v is None or v > highest else v for v in rule["curve"][column]],
                hue=i % len(HUES) + 1,
                dashed=i >= len(HUES),
            )
            for i, rule in enumerate(rules)
        ]
        times = [t for rule in rules for t in rule["curve"]["seconds"]]
        text = "One line a rule, the mean of its runs; the first to arrive first in the legend."
        if column == "valid":
            text += " The lowest loss so far; the dashed grey line is the finish."
            if times and result["finish"] is not None:
                series.append(Series("finish", [min(times), max(times)], [result["finish"]] * 2, "rule", 3))
        figures.append(
            plot(
                f"race-{column}",
                f"{part} loss against time",
                text,
                axis("seconds", times, log=True, pad=0.0),
                axis(f"{part.lower()} loss", values, log=True),
                series,
            )
        )
    return _page("race.html", title=f"{result['target']}: race of the rules", result=result, figures=figures)


def _middle(values: Sequence[float]) -> float:
    """The median; 1 of no values."""
    return float(np.median(values)) if len(values) else 1.0


def check_page(result: Mapping[str, Any]) -> str:
    """The page of a check: what was inferred and found, as `axonic check --json` gives it."""
    schema = result["schema"]
    columns = [*schema["columns"], *schema["ignored"]]
    return _page(
        "check.html",
        title=f"{schema['target']}: check",
        result=result,
        schema=schema,
        findings=sorted(_findings(result["findings"]), key=lambda finding: SEVERITY.get(finding["severity"], 3)),
        columns=[_column(column) for column in columns],
    )


def rebuilt(folder: Path) -> str:
    """The page from the files in a folder.

    Raises
    ------
    InputError : none of the kinds of result is there, or a file is no JSON.
    KeyError, TypeError, ValueError, AttributeError, IndexError : a file does not hold what axonic writes.
    """
    texts = {name: _text(folder / name) for name in FILES if (folder / name).is_file()}
    values = {name: _parsed(text, folder / name) for name, text in texts.items() if name.endswith(".json")}
    if RESULT in texts:
        kept = values.get("report.json", {})
        return fit_page(values[RESULT], kept, texts["history.csv"], texts.get("health.csv"), values.get("run.json"))
    if COMPARISON in texts:
        return race_page(values[COMPARISON])
    if CHECK in texts:
        return check_page(values[CHECK])
    how = "name the folder of a finished fit, compare or check (axonic resume finishes a fit)"
    raise InputError("there is no result here", how, str(folder))


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a whole file: {error}", "start the run afresh", str(path)) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read: {error}", "check the file", str(path)) from error


def _page(template: str, **values: Any) -> str:
    import jinja2

    def inline(name: str) -> Markup:
        """A file of our own, as it is."""
        return Markup((TEMPLATES / name).read_text(encoding="utf-8"))

    page = _environment().get_template(template)
    try:
        return page.render(style=inline("style.css"), script=inline("script.js"), **values)
    except jinja2.UndefinedError as error:
        raise ValueError(str(error)) from error


@functools.cache
def _environment() -> Any:
    """The templates, each compiled once."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(short=short, percent=percent, clipped=clipped)
    return environment


def _findings(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """In their order, the cause of what went wrong first, but for what is only worth knowing: of that what concerns the
    training comes first. Equal ones that differ in the column alone are told once."""
    groups: dict[tuple, dict[str, Any]] = {}
    for finding in findings:
        key = (finding["severity"], finding["code"], finding["remedy"])
        group = groups.setdefault(key, {**finding, "places": []})
        group["places"].append((finding["where"], finding["cause"]))
    told = sorted(
        groups.values(), key=lambda f: (f["severity"] == "info", f["severity"] == "info" and f["code"][:5] != "train")
    )
    for i, finding in enumerate(told):
        finding["id"] = f"finding-{i}"
        finding["figures"] = [
            (name, short(v) if isinstance(v, int | float) else clipped(str(v), 200))
            for name, v in finding["evidence"].items()
        ]
    return told


def _column(column: Mapping[str, Any]) -> dict[str, str]:
    """A row of the table of columns."""
    said = []
    if column.get("reason"):
        said.append(f"left out: {column['reason']}")
    if column.get("scale") is not None:
        unit = f" ({column['unit']})" if column.get("unit") else ""
        said.append(f"mean {short(column['center'])}, deviation {short(column['scale'])}{unit}")
    if column.get("levels"):
        more = f" and {column['more']} more" if column["more"] else ""
        said.append(", ".join(clipped(level, 40) for level in column["levels"]) + more)
    if column.get("cycles"):
        said.append(f"cycles of {', '.join(column['cycles'])}")
    if column.get("missing"):
        said.append("has missing values")
    inputs = column.get("inputs")
    return {
        "name": column["name"],
        "kind": column["kind"],
        "inputs": "" if inputs is None else str(inputs),
        "said": "; ".join(said),
    }
