"""The fault bench: does the diagnosis name the cause, is it silent where nothing is wrong, and do its remedies work?

    python benchmarks/faults/run.py --part tune|judge [--seeds 3] [--tables ...] [--plants "A; B"] [--out results.jsonl]
    python benchmarks/faults/run.py --report results.jsonl

Every fault of `plants.py` is planted on every table, one network, and the first finding of severity warning or worse is
held against what was planted. Where the remedy is a change of parameters, it is applied and the fit repeated: the
finding must be gone and the loss lower. A fault marked "harmful" counts only where it raises the loss by a tenth or
more (validation rows of the healthy run's split); otherwise it is listed as harmless. Thresholds were set with the
tables of the part "tune"; figures are those of "judge". Results are appended as they come.
"""

import argparse
import copy
import json
import sys
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
warnings.simplefilter("ignore")

from plants import CLASSES, HEALTHY, PLANTS, Case  # noqa: E402
from published import TOOLS  # noqa: E402
from tables import load  # noqa: E402

PARTS = {
    "tune": ("iris", "breast_cancer", "diabetes", "penguins", "sum"),
    "judge": ("wine", "digits", "seattle_weather", "cars", "waves"),
}
ROWS = 900
TRUE_OF_THE_TABLE = ("data.few_rows", "data.imbalance", "data.duplicate_rows", "data.rare_class", "data.missing")


def table(name: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
    """Numbers alone, at most `ROWS` rows."""
    if name in ("sum", "waves"):  # generated: numbers, 500 rows
        made = np.random.default_rng(7)
        x = made.standard_normal((500, 6))
        clean = x[:, 0] + 0.5 * x[:, 1] * x[:, 2] if name == "sum" else np.sin(2 * x[:, 0]) + np.abs(x[:, 1])
        return x, clean + 0.2 * made.standard_normal(500), "regression"
    x, y, task = load(name)
    x = x.select_dtypes("number")
    whole = x.notna().all(axis=1).to_numpy()
    x, y = x[whole].to_numpy(float), y[whole].to_numpy()
    if task == CLASSES:
        y = np.unique(y, return_inverse=True)[1]
    kept = rng.permutation(len(x))[:ROWS]
    return x[kept], y[kept], task


def judged(model) -> float:
    """Validation loss of the weights that were kept; without held-out rows the last training loss."""
    if not model.early_stopping:
        valid = float(model.history_["valid_loss"][-1])
        return float(model.history_["train_loss"][-1]) if np.isnan(valid) else valid
    run = next(stage for stage in model.notebook_ if stage["stage"] == "run")
    return float(run["best_loss"][0])


def alarms(model) -> list[str]:
    return [finding.code for finding in model.findings_ if finding.severity != "info"]


def base_case(name: str, seed: int) -> Case:
    x, y, task = table(name, np.random.default_rng(seed))
    case = Case(x, y, task, {"ensemble": 1, "random_state": seed, "l2": 1 / len(x)})
    case.params.pop("l2")
    return case


def bench(names: list[str], seeds: int, wanted: list[str] | None, out: Path, first: int) -> None:
    done = {(r["table"], r["seed"], r["name"]) for r in read(out)} if out.exists() else set()
    for seed in range(first, first + seeds):
        for name in names:
            base = base_case(name, seed)
            if all((name, seed, p.name) in done for p in PLANTS) and wanted is None:
                continue
            healthy = base.model()
            rate, healthy_loss = healthy.learning_rate_, judged(healthy)
            usual = set(alarms(healthy)) & set(TRUE_OF_THE_TABLE)
            for label, change in HEALTHY.items():
                if (wanted is not None and label not in wanted) or (name, seed, label) in done:
                    continue
                case = copy.deepcopy(base)
                case.rate = rate
                change(case, np.random.default_rng(seed))
                begun = time.perf_counter()
                model = case.model()
                said = [code for code in alarms(model) if code not in TRUE_OF_THE_TABLE]
                others = {tool: rule(model.history_, model.health_) for tool, rule in TOOLS.items()}
                write(out, table=name, seed=seed, kind="healthy", name=label, said=said, others=others, begun=begun)
            for plant in PLANTS:
                if base.task not in plant.tasks or (wanted is not None and plant.name not in wanted):
                    continue
                if (name, seed, plant.name) not in done:
                    one(out, base, plant, name, seed, rate, healthy_loss, usual)


def one(out: Path, base: Case, plant, name: str, seed: int, rate: float, healthy_loss: float, usual: set) -> None:
    case = copy.deepcopy(base)
    case.rate = rate
    plant.plant(case, np.random.default_rng(seed))
    begun = time.perf_counter()
    try:
        model = case.model()
    except ValueError as error:  # what can't work is not trained; the refusal must name it
        said = ["data.infinite"] if "infinit" in str(error) else [str(error)]
        none = dict.fromkeys(TOOLS, False)
        row = {"harmless": False, "said": said, "right": said[0] in plant.right, "others": none}
        row["first_of_others"] = {tool: [] for tool in TOOLS}
        write(out, table=name, seed=seed, kind="fault", name=plant.name, begun=begun, **row)
        return
    loss = judged(model)
    found = [finding._asdict() for finding in model.findings_]
    said = [f["code"] for f in found if f["severity"] != "info" and f["code"] not in usual]
    right = any(f["code"] in plant.right for f in found) if plant.anywhere else bool(said) and said[0] in plant.right
    others = {tool: rule(model.history_, model.health_) for tool, rule in TOOLS.items()}
    row = {
        "harmless": bool(plant.harmful and loss < 1.1 * healthy_loss),
        "loss": loss,
        "healthy_loss": healthy_loss,
        "said": said,
        "right": right,
        "others": {tool: bool(set(codes) & set(plant.right)) for tool, codes in others.items()},
        "first_of_others": {tool: codes[:1] for tool, codes in others.items()},
    }
    if right and plant.mend is not None and not row["harmless"]:
        finding = next(f for f in found if f["code"] in plant.right)
        params = plant.mend(finding)
        if params.pop("warm_start", True) is False:
            case.weights = None
        mended = case.model(**params)
        row["mended_loss"] = judged(mended)
        row["gone"] = finding["code"] not in [f.code for f in mended.findings_ if f.severity != "info"]
        other_target = len(case.y) == len(base.y) and not np.array_equal(case.y, base.y)
        harmful = (other_target or not loss < 1.1 * healthy_loss) and "loss" not in params
        row["lower"] = bool(not loss <= row["mended_loss"]) if harmful else None
    write(out, table=name, seed=seed, kind="fault", name=plant.name, begun=begun, **row)


def write(out: Path, *, begun: float, **row) -> None:
    row["seconds"] = round(time.perf_counter() - begun, 2)
    with out.open("a") as file:
        file.write(json.dumps(row, default=float) + "\n")
    good = row["right"] if row["kind"] == "fault" else not row["said"]
    mark = "" if good else "  <--"
    extra = f" mended {row['gone']}/{row['lower']}" if "gone" in row else " harmless" if row.get("harmless") else ""
    print(
        f"{row['table']:16s} {row['seed']} {row['name']:38s} {row['said']}{extra} {row['seconds']} s{mark}", flush=True
    )


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def report(rows: list[dict]) -> None:
    faults = [row for row in rows if row["kind"] == "fault" and not row["harmless"]]
    healthy = [row for row in rows if row["kind"] == "healthy"]
    spoken = [row for row in faults if row["said"] or row["right"]]
    print(
        f"{len(faults)} faults of {len({r['name'] for r in faults})} kinds on {len({r['table'] for r in faults})} "
        f"tables ({sum(r['kind'] == 'fault' and r['harmless'] for r in rows)} harmless ones apart), "
        f"{len(healthy)} healthy runs\n"
    )
    wrong = [row for row in healthy if row["said"]]
    right = sum(row["right"] for row in faults)
    precision = right / max(1, len(spoken) + len(wrong))
    print("| tool | recall | precision | false alarms |\n|---|---:|---:|---:|")
    print(f"| axonic | {right / len(faults):.1%} | {precision:.1%} | {len(wrong) / max(1, len(healthy)):.1%} |")
    n_healthy = max(1, len(healthy))
    for tool in TOOLS:
        hit = sum(row["others"][tool] for row in faults)
        false = sum(bool(row["others"][tool]) for row in healthy)
        said = sum(bool(row["first_of_others"][tool]) for row in faults)
        print(f"| {tool} | {hit / len(faults):.1%} | {hit / max(1, said + false):.1%} | {false / n_healthy:.1%} |")
    mended = [row for row in faults if "gone" in row]
    lower = [row["lower"] for row in mended if row["lower"] is not None]
    print(
        f"\nremedies: {len(mended)} applied, finding gone in {np.mean([r['gone'] for r in mended]):.1%}, "
        f"loss lower in {np.mean(lower):.1%}\n"
    )
    print("| fault | right | said instead | harmless |\n|---|---:|---|---:|")
    by_name = defaultdict(list)
    for row in rows:
        if row["kind"] == "fault":
            by_name[row["name"]].append(row)
    for name, group in by_name.items():
        counted = [row for row in group if not row["harmless"]]
        instead = Counter((row["said"] or ["nothing"])[0] for row in counted if not row["right"])
        listed = ", ".join(f"{code} {n}" for code, n in instead.most_common())
        print(
            f"| {name} | {sum(r['right'] for r in counted)}/{len(counted)} | {listed} | {len(group) - len(counted)} |"
        )
    print("\n| healthy run | false alarms |\n|---|---|")
    for name in {row["name"]: None for row in healthy}:
        group = [row for row in healthy if row["name"] == name]
        said = Counter(code for row in group for code in row["said"])
        print(f"| {name} | {', '.join(f'{c} {n}' for c, n in said.items()) or '-'} of {len(group)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, default="tune")
    parser.add_argument("--tables")
    parser.add_argument("--plants", help="names of faults, with a semicolon and a blank between them")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--report", type=Path)
    args = parser.parse_args()
    if args.report:
        report(read(args.report))
        return
    names = args.tables.split(",") if args.tables else list(PARTS[args.part])
    out = args.out or Path(f"faults-{args.part}.jsonl")
    bench(names, args.seeds, args.plants.split("; ") if args.plants else None, out, args.first_seed)
    report(read(out))


if __name__ == "__main__":
    main()
