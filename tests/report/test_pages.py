"""Pages in a browser that has no network: headless Chromium, from a file:// address.

Without Chromium or playwright these tests are skipped, and say so; `.ci/run` installs both.
"""

import json
import re
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from axonic import cli
from axonic.cli import main
from axonic.errors import InputError
from axonic.report.command import command
from axonic.report.pages import fit_page
from axonic.report.predictions import _forecasts
from axonic.report.stages import tree
from axonic.runs import fit, write_report
from axonic.storage import plain

SCRIPT = "<script>alert(1)</script>"
EVIL = [SCRIPT, "=cmd()", "x" * 500, "שלום עולם", "🦊 emoji", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}"]
LABELS = ["<b>bold</b>", "=HYPERLINK()", "אבג"]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


EVIL_SERIES = "</style><b>שלום</b> {{ 7 * 7 }}"


def awkward(n=240):
    rng = np.random.default_rng(0)
    columns = {name: rng.standard_normal(n) for name in EVIL}
    columns["level"] = rng.choice(["<i>lev</i>", "=1+1", "🎉", "k" * 500], n)
    place = np.clip((columns[SCRIPT] * 1.2 + 1.5).astype(int), 0, 2)
    return pl.DataFrame({**columns, f"</title>{SCRIPT}": np.array(LABELS)[place]}), f"</title>{SCRIPT}"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The folders of a fit of classes and one of numbers, a check and a race, with names that are awkward."""
    path = tmp_path_factory.mktemp("pages")
    frame, target = awkward()
    table = path / "<img src=x> 'quoted' 表.csv"
    frame.write_csv(table)
    fast = ["--hidden", "4", "--epochs", "40", "--learning-rate", "0.1", "--batch-size", "32", "--quiet"]
    alone = ["--ensemble", "1", "--regularization", "none"]
    runs = [
        ["fit", str(table), "--target", target, "--ensemble", "2", "--out", str(path / "classes"), *fast],
        ["fit", str(table), "--target", "=cmd()", *alone, "--out", str(path / "numbers"), *fast],
        ["check", str(table), "--target", target, "--hidden", "4", "--out", str(path / "check"), "--json"],
        ["compare", str(table), "--target", target, "--optimizers", "sgd,adam", "--hidden", "4", "--seconds", "0.2",
         "--seeds", "2", "--out", str(path / "race"), "--quiet"],
    ]  # fmt: skip
    rng = np.random.default_rng(1)
    steps = pl.DataFrame(
        {SCRIPT: np.arange(150), EVIL_SERIES: np.sin(np.arange(150) / 3) + 0.1 * rng.standard_normal(150)}
    )
    steps.write_csv(path / "series.csv")
    brief = ["--hidden", "3", "--epochs", "3", "--learning-rate", "0.01", *alone, "--quiet"]
    long = pl.DataFrame({
        "who": np.repeat(np.arange(60), 5), "day": np.tile(np.arange(5), 60), SCRIPT: rng.standard_normal(300),
    }).with_columns(pl.Series(EVIL_SERIES, np.repeat(rng.choice(LABELS, 60), 5)))  # fmt: skip
    long.write_csv(path / "long.csv")
    runs += [
        ["fit", str(path / "series.csv"), "--target", EVIL_SERIES, "--net", "gru", "--order-by", SCRIPT,
         "--window", "10", "--out", str(path / "series"), *brief],
        ["fit", str(path / "long.csv"), "--target", EVIL_SERIES, "--net", "rnn", "--sequence-id", "who", "--order-by",
         "day", "--out", str(path / "sequences"), *brief],
    ]  # fmt: skip
    for arguments in runs:
        assert main(arguments) == 0
    return path


PAGES = {"classes": 3, "numbers": 3, "check": 0, "race": 2, "series": 4, "sequences": 3}
"""Pages, and how many pictures they have at least."""


class Outline(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts, self.ids, self.links = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        named = dict(attrs)
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if "href" in named else []
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("name", PAGES)
def test_what_a_user_named_is_text(name, folder):
    page = (folder / name / "report.html").read_text()
    outline = Outline()
    outline.feed(page)
    assert outline.tags.count("script") == 1
    assert "img" not in outline.tags
    texts = "".join(outline.texts)
    few = {"race": [f"</title>{SCRIPT}"], "series": [EVIL_SERIES], "sequences": [SCRIPT, EVIL_SERIES]}
    shown = few.get(name, [SCRIPT, "שלום עולם", "🦊 emoji", "{{ 7 * 7 }}", "x" * 500])
    for text in shown:
        assert text in texts
    assert len(outline.ids) == len(set(outline.ids))
    assert {link for link in outline.links if not link.startswith("#")} == {"data:,"}
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    assert len(page) < 2_000_000


def test_a_page_says_what_the_result_does(folder):
    result = json.loads((folder / "classes" / "result.json").read_text())
    page = (folder / "classes" / "report.html").read_text()
    assert f"{100 * result['test']['accuracy']:.1f} %" in page
    assert set(result["baselines"]) == {"constant", "linear"}
    for stage in result["stages"]:
        assert stage["reason"][1:20] in page.replace("&#39;", "'")
    assert "--ensemble 2" in page
    assert "axonic fit" in page


def test_a_page_says_that_classes_were_weighted(folder):
    """What the network has to beat was fitted with the same weights."""
    files = {name: (folder / "classes" / name).read_text() for name in ("result.json", "report.json", "run.json")}
    result, kept, request = (json.loads(text) for text in files.values())
    history = (folder / "classes" / "history.csv").read_text()
    for class_weight in (None, "balanced"):
        request["settings"]["class_weight"] = class_weight
        page = fit_page(result, kept, history, None, request)
        assert ("fitted with weighted classes" in page) is (class_weight is not None)


def test_a_page_says_which_network_answers_alone(folder):
    files = {name: (folder / "classes" / name).read_text() for name in ("result.json", "report.json")}
    result, kept = (json.loads(text) for text in files.values())
    history = (folder / "classes" / "history.csv").read_text()
    said = "Validation rows of network 1, answered by it alone"
    assert said not in fit_page(result, kept, history)
    assert said in fit_page(result, {**kept, "part": "valid", "network": 1}, history)


def test_branches_grow_from_the_networks_that_have_them():
    """A constant answer has none: the first branches are those of network 2."""
    run = {"stage": "run", "learning_rate": 0.1, "epochs": [5, 6, 7], "best_loss": [0.7, 0.5, 0.6], "constant": [0]}
    first, second = (
        {
            "stage": "branch",
            "learning_rate": rate,
            "from_epoch": [3, 4],
            "epochs": [8, 9],
            "before": [0.5, 0.6],
            "after": after,
            "decision": decision,
        }
        for rate, after, decision in ((0.01, [0.5, 0.4], [2]), (0.001, [0.5, 0.4], []))
    )
    trees = tree([run, first, second])
    assert [len(one["below"]) for one in trees] == [0, 2, 1]
    assert [node["text"] for node in trees[1]["below"]] == [
        "from epoch 3, 8 epochs at 0.01: 0.5 → 0.5",
        "from epoch 3, 8 epochs at 0.001: 0.5 → 0.5",
    ]
    (kept,) = trees[2]["below"]
    assert kept["kept"]
    assert kept["text"] == "from epoch 4, 9 epochs at 0.01: 0.6 → 0.4"
    assert len(kept["below"]) == 1


def test_the_command_gives_the_same_settings(monkeypatch, tmp_path):
    """What the page says, given to the command line, asks for the same run."""
    asked = []
    monkeypatch.chdir(tmp_path)
    for name in ("t.csv", "it's.csv"):
        (tmp_path / name).write_text("x,y\n1,2\n")
    monkeypatch.setattr(fit, "_run", lambda request, *args, **kwargs: asked.append(request) or {"seed": 0})
    monkeypatch.setattr(cli, "print_result", lambda *args: None)
    given = """
        t.csv --target '<b>'
        t.csv --target y --stream --test-size 0.1
        "it's.csv" --target 'a b' --net rbf --n-centers 8 --radial multiquadric --ridge 0.1
        t.csv --target y --hidden 8,4 --activation tanh,relu --loss quantile:0.9 --l2 0.01 --input-noise 0.1
        t.csv --target y --epochs 5 --batch-size 16 --test-size 0.1 --seed 3 --max-norm 2 --ensemble 2 --no-monitor
        t.csv --target y --hidden none --regularization none --class-weight balanced --task regression
        t.csv --target y --optimizer adam --learning-rate 0.01 --dropout 0.1 --label-smoothing 0.05
        t.csv --target y --net rnn --activation relu --clip-norm none --sequence-id id --order-by t
        t.csv --target y --net lstm --optimizer momentum --clip-norm 2 --window 3
    """.strip().splitlines()
    for arguments in map(shlex.split, given):
        assert main(["fit", *arguments, "--quiet"]) == 0
        first = asked.pop()
        words = shlex.split(command(json.loads(json.dumps(plain(first.to_json(0))))))
        assert words[:2] == ["axonic", "fit"]
        assert main([*words[1:], "--quiet"]) == 0
        assert asked.pop() == first


def test_rebuilt_from_the_journal_alone(folder, tmp_path, capsys):
    for name in PAGES:
        shutil.copytree(folder / name, tmp_path / name)
        (tmp_path / name / "report.html").unlink()
        (tmp_path / name / "model.safetensors").unlink(missing_ok=True)
        assert main(["report", str(tmp_path / name)]) == 0
        assert (tmp_path / name / "report.html").read_bytes() == (folder / name / "report.html").read_bytes()
    (tmp_path / "classes" / "health.csv").unlink()
    (tmp_path / "classes" / "report.json").unlink()
    assert main(["report", str(tmp_path / "classes")]) == 0
    assert 'id="health"' not in (tmp_path / "classes" / "report.html").read_text()
    capsys.readouterr()


def test_what_is_no_result_is_told_in_one_line(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        write_report(tmp_path / "nothing")
    with pytest.raises(InputError, match="there is no result here"):
        write_report(tmp_path)
    (tmp_path / "result.json").write_text("[1]")
    (tmp_path / "history.csv").write_text("")
    with pytest.raises(InputError, match="does not hold what axonic writes"):
        write_report(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(InputError, match="not a whole file"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_thousand_epochs_are_no_large_page(folder):
    result = json.loads((folder / "classes" / "result.json").read_text())
    kept = json.loads((folder / "classes" / "report.json").read_text())
    rng = np.random.default_rng(0)
    lines = ["network,epoch,train_loss,valid_loss,test_loss,learning_rate"]
    health = ["network,epoch,layer,delta_rms,dead"]
    for network in range(1, 6):
        for epoch in range(1, 1001):
            a, b, c = rng.random(3) + 1 / epoch
            lines.append(f"{network},{epoch},{a},{b},{c},0.1")
            health += [f"{network},{epoch},{layer},{a},{b}" for layer in (1, 2, 3)]
    page = fit_page(result, kept, "\n".join(lines), "\n".join(health), None)
    assert len(page) < 1_000_000
    assert page.count('<svg class="heat"') == 5 * 2  # of every network


# --- in a browser ---


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("NO BROWSER: chromium is not installed, so that no page was opened")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, folder):
    """Opens a page and gives it back; at the end there must be nothing in the console and no request but the first."""
    said, asked, contexts = [], [], []

    def open_page(name, width=1280, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(Path(folder / name / "report.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert len(asked) == len(contexts)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("name", PAGES)
def test_every_picture_is_drawn_and_nothing_overflows(name, width, scheme, opened):
    page = opened(name, width, scheme)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    page.wait_for_timeout(50)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    drawn = page.evaluate(
        """[...document.querySelectorAll('svg.plot, svg.heat')].map(svg => ({
            width: svg.getBoundingClientRect().width,
            paths: [...svg.querySelectorAll('.inner path[data-series], .inner path[class^=s]')]
                .map(path => path.getAttribute('d') ? path.getBBox().width + path.getBBox().height : 0),
            ticks: svg.querySelectorAll('.grid text').length,
            size: parseFloat(getComputedStyle(svg.querySelector('.grid text')).fontSize)
                * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width,
            described: svg.querySelector('desc').textContent.length,
        }))"""
    )
    assert len(drawn) >= PAGES[name]
    for one in drawn:
        assert one["width"] > 200
        assert one["paths"]
        assert max(one["paths"]) > 0
        assert one["ticks"] >= 3
        assert one["size"] >= 10.5
        assert one["described"] > 20
    background, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert contrast(background, ink) > 7


def contrast(one, other):
    """The contrast of two colours (WCAG 2.1)."""

    def light(colour):
        values = [int(v) / 255 for v in re.findall(r"\d+", colour)[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([light(one), light(other)])
    return (high + 0.05) / (low + 0.05)


def test_hover_legend_zoom_and_keyboard(opened):
    page = opened("classes")
    figure = page.locator("#loss-1")
    plot, readout = figure.locator("svg.plot"), figure.locator("output")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    said = readout.inner_text()
    assert re.match(r"epoch \d+ · training [\d.]+ · validation [\d.]+ · test [\d.]+$", said)
    figure.get_by_role("button", name="training").click()
    assert figure.locator("path[data-series='0']").is_hidden()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "training" not in readout.inner_text()

    def view():
        return figure.locator("svg.inner").get_attribute("viewBox")

    whole = view()
    page.mouse.move(box["x"] + 200, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 160)
    page.mouse.up()
    assert view() != whole
    figure.get_by_role("button", name="all").click()
    assert view() == whole
    plot.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert readout.inner_text().startswith("epoch 3 ·")
    page.keyboard.press("+")
    assert view() != whole
    page.keyboard.press("Escape")
    assert view() == whole


def test_values_read_off_are_those_of_the_history(opened, folder):
    history = pl.read_csv(folder / "classes" / "history.csv").filter(pl.col("network") == 1)
    page = opened("classes")
    page.locator("#loss-1 svg.plot").focus()
    page.keyboard.press("ArrowRight")
    said = dict(part.rsplit(" ", 1) for part in page.locator("#loss-1 output").inner_text().split(" · "))
    for name, column in (("training", "train_loss"), ("validation", "valid_loss"), ("test", "test_loss")):
        assert float(said[name]) == pytest.approx(history[column][0], rel=0.01)


def test_everything_can_be_reached_by_keyboard(opened):
    page = opened("numbers")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.tagName + ' ' + (document.activeElement.className.baseVal || '')")
        )
    assert reached[0] == "A "
    assert any(place.startswith("svg plot") for place in reached)
    assert any(place.startswith("BUTTON") for place in reached)


def test_printed(opened):
    page = opened("classes")
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.locator("#loss-1 svg.plot").is_visible()
    assert page.locator("main").is_visible()


def test_forecasts_of_huge_values_are_shown():
    series = {"past": {"step": [0], "value": [1e200]}, "true": {"step": [1, 2], "value": [4e200, 3e200]}}
    shown = _forecasts({**series, "forecast": [1e200, 7e200]}, {"window": 1, "target": "v"})
    assert "root mean square error 3.54e200" in shown
