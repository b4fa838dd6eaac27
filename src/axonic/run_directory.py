"""A run directory, the journal of a fit:

    run.json            what was asked for: the table, the settings, a fingerprint of the encoded rows
    notebook.jsonl      the stages, a line each as they are decided
    checkpoints/        the whole state of networks under way; gone when the run is finished
    history.csv         losses of every epoch of every network
    health.csv          what was seen inside the networks: see `axonic.health`; layers are counted from 1
    through_time.svg    of a recurrent network how an error fades or grows on its way back through time
    model.safetensors   all that predictions need
    report.json         what the page shows of the predictions; see `axonic.report.evidence`
    result.json         scores and decisions; while it is there, the files before it are whole and belong to it
    report.html         the page, made from the others

Every file is written whole and renamed (`axonic.storage.write`), so the directory can be resumed whenever the run was
killed. `claimed` gives a command a directory that no other one writes to meanwhile.
"""

import contextlib
import csv
import io
import itertools
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from axonic import distributed, recipe
from axonic.data.batches import Cursor
from axonic.errors import InputError
from axonic.health import COLUMNS
from axonic.recipe import Kept, Stage
from axonic.storage import MODEL, RUN, pack, plain, tree_names, unpack, unwritable, write, write_json
from axonic.training import State, lane

NOTEBOOK, CHECKPOINTS = "notebook.jsonl", "checkpoints"
THROUGH_TIME = "through_time.svg"
HISTORY, HEALTH, RESULT = "history.csv", "health.csv", "result.json"
EVIDENCE, PAGE = "report.json", "report.html"
OF_A_RUN = (RESULT, PAGE, EVIDENCE, NOTEBOOK, HISTORY, HEALTH, THROUGH_TIME, MODEL)
"""Files of a run beside what was asked for and checkpoints."""
RUNNING_SECONDS = 15.0
"""How often the state of a network under way is written."""
FINISHED_SECONDS = 2.0
"""How long networks that are finished may wait to be written."""


@contextlib.contextmanager
def claimed(path: Path, *, numbered: bool = False) -> Iterator[Path]:
    """The folder for a run, which no other run can have meanwhile (`held`): made if it isn't there, and taken away
    again if it is left empty.

    Parameters
    ----------
    path : the folder.
    numbered : whether it is to be PATH-N instead, with the first N that nobody has.

    Raises
    ------
    InputError : it can't be made, or another run has it.
    """
    own, made = path, []
    for number in itertools.count(1):
        own = path.with_name(f"{path.name}-{number}") if numbered else path
        made = [folder for folder in (own, *own.parents) if not folder.exists()]
        try:
            own.mkdir(parents=True)
        except FileExistsError:
            if numbered:
                continue
        except OSError as error:
            raise unwritable(own, error) from error
        break

    def clear() -> None:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()

    distributed.at_end(clear)
    try:
        with held(own):
            yield own
    finally:
        clear()


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep other runs out of a folder until the block ends, or the process, however it does. Where there is no folder,
    or the system knows no such lock, nothing is kept out.

    Raises
    ------
    InputError : another run has it.
    """
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            how = "wait until it has ended, or name another folder"
            raise InputError("another run is at work in this folder", how, str(path)) from error
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(descriptor)


class RunDirectory:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._created = not path.exists()
        self._empty = self._created or (path.is_dir() and not any(path.iterdir()))

    def begin(self, run: Mapping[str, Any]) -> None:
        """Make the folder, or take an earlier run's files out of it, and write down what is asked for.

        Raises
        ------
        InputError : the path is no folder, can't be written to, or holds files that would be replaced and are no run's.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError("the output folder is a file", "name a folder", str(self.path))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
            self._refuse_others()
            self.clear()
            write_json(self.path / RUN, run)
        except OSError as error:
            self.discard()
            raise unwritable(self.path, error) from error
        except InputError:
            self.discard()
            raise

    def clear(self) -> None:
        """Take the files of an earlier run away."""
        for name in (PAGE, RESULT):  # the first: the page is of a result, which says that the others are there
            (self.path / name).unlink(missing_ok=True)
        self.clear_checkpoints()  # before the notebook, which they need
        for name in (*OF_A_RUN, RUN):  # and this the last, as it says that they are a run's
            (self.path / name).unlink(missing_ok=True)

    def _refuse_others(self) -> None:
        """Raise `InputError` if a file that a run would replace is no run's."""
        found = [name for name in OF_A_RUN if (self.path / name).exists()]
        if found and not (self.path / RUN).exists():
            raise InputError(
                f"the folder holds {found[0]}, which a run would replace, and no earlier run",
                "name another folder",
                str(self.path),
            )

    def discard(self) -> None:
        """Take away what `begin` made, unless something of a run is there."""
        if self._empty and not (self.path / NOTEBOOK).exists() and not self._checkpoints():
            with contextlib.suppress(OSError):
                (self.path / RUN).unlink(missing_ok=True)
            for folder in (self.path / CHECKPOINTS, *([self.path] if self._created else [])):
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def run(self) -> dict[str, Any]:
        """What `begin` was given.

        Raises
        ------
        InputError : there is no run here, or its file is damaged.
        """
        return _object(self.path / RUN, "name the folder of a run that axonic fit has begun")

    def result(self) -> dict[str, Any] | None:
        """The result, None if the run has not come so far."""
        return _object(self.path / RESULT, "") if (self.path / RESULT).exists() else None

    def finish(
        self,
        histories: Sequence[Mapping[str, np.ndarray]],
        healths: Sequence[np.ndarray],
        model: bytes,
        result: Mapping[str, Any],
        through_time: bytes | None = None,
    ) -> None:
        """Write what the run leaves; the result last."""
        (self.path / RESULT).unlink(missing_ok=True)
        write(self.path / HISTORY, _history_table(histories).encode())
        write(self.path / HEALTH, _health_table(healths).encode())
        if through_time is not None:
            write(self.path / THROUGH_TIME, through_time)
        write(self.path / MODEL, model)
        write_json(self.path / RESULT, result)

    def history(self, network: int = 1) -> dict[str, list[float | None]]:
        """The losses of a network by column, a value an epoch, None where there is none.

        Raises
        ------
        InputError : the file is damaged.
        """
        path = self.path / HISTORY
        try:
            table = csv.DictReader(io.StringIO(_text(path)))
            rows = [row for row in table if row["network"] == str(network)]
            names = (name for name in table.fieldnames or () if name != "network")
            return {name: [float(row[name]) if row[name] else None for row in rows] for name in names}
        except (KeyError, ValueError, TypeError, csv.Error) as error:
            raise InputError(f"not a whole history: {error}", "start the run afresh", str(path)) from error

    def keep_evidence(self, evidence: Mapping[str, Any]) -> None:
        """Write what the page shows of the predictions; before `finish`."""
        for name in (PAGE, RESULT):
            (self.path / name).unlink(missing_ok=True)
        write_json(self.path / EVIDENCE, evidence)

    def save_notebook(self, stages: Sequence[Stage]) -> None:
        """One JSON object a line for each decision."""
        lines = (json.dumps(plain(stage), ensure_ascii=False) + "\n" for stage in stages)
        write(self.path / NOTEBOOK, "".join(lines).encode())

    def notebook(self) -> list[Stage]:
        """The stages that were decided with all the evidence in.

        Raises
        ------
        InputError : the file is damaged.
        """
        path = self.path / NOTEBOOK
        if not path.exists():
            return []
        stages, text = [], _text(path)
        for line in text.removesuffix("\n").split("\n") if text else ():
            try:
                stage = json.loads(line)
                if not isinstance(stage, dict) or not {"stage", "decision", "reason"} <= set(stage):
                    raise ValueError("a line is no stage")
            except (ValueError, RecursionError) as error:
                raise InputError(f"not a whole notebook: {error}", "start the run afresh", str(path)) from error
            if stage.get("interrupted"):
                break
            stages.append(stage)
        return stages

    def clear_checkpoints(self) -> None:
        """Take all checkpoints away, and what runs that were killed have left under a temporary name."""
        written = [self.path / name for name in (*OF_A_RUN, RUN)]
        for path in (*written, self.path / CHECKPOINTS / "*.safetensors"):
            for left in path.parent.glob(f".{path.name}.????????"):
                left.unlink()
        for checkpoint in self._checkpoints():
            checkpoint.unlink()
        with contextlib.suppress(OSError):
            (self.path / CHECKPOINTS).rmdir()

    def save_checkpoint(self, job: str, kept: Kept) -> None:
        """The whole state of the training of one network, in place of the one before."""
        tree = {"state": kept.state, "history": kept.history, "health": kept.health}
        write(self._checkpoint(job), pack(tree, {"job": job, "cursor": list(kept.cursor)}))

    def load_checkpoint(self, job: str, like: Kept) -> Kept | None:
        """The last checkpoint of a network, with the arrays' structure taken from `like`, or None if there is none.

        Raises
        ------
        InputError : the file is damaged, or not of this run.
        """
        path = self._checkpoint(job)
        if not path.exists():
            return None
        arrays, info = unpack(path, "checkpoint", "start the run afresh")
        tree = {"state": like.state, "history": like.history, "health": like.health}
        names = tree_names(tree)
        expected = dict(zip(names, jax.tree.leaves(tree), strict=True))
        try:
            epoch, batch = info["cursor"]
            if set(arrays) != set(names) or info["job"] != job:
                raise ValueError("its arrays are those of another network")
            for name, leaf in expected.items():
                grows = name in ("history", "health")
                shape = (len(arrays[name]), *leaf.shape[1:]) if grows else np.shape(leaf)
                if arrays[name].shape != shape or arrays[name].dtype != np.asarray(leaf).dtype:
                    raise ValueError(f"{name} has another shape or type")
            restored = jax.tree.unflatten(jax.tree.structure(tree), [arrays[name] for name in names])
            kept = Kept(restored["state"], Cursor(epoch, batch), restored["history"], restored["health"])
            if not all(type(place) is int and 0 <= place < 1 << 31 for place in kept.cursor):
                raise ValueError(f"its place is {info['cursor']!r}")
            if len(kept.history) != kept.state.epoch:
                raise ValueError("its history has another number of epochs")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a checkpoint of this run: {error}", "start the run afresh", str(path)) from error
        return kept

    def _checkpoints(self) -> list[Path]:
        return list((self.path / CHECKPOINTS).glob("*.safetensors"))

    def _checkpoint(self, job: str) -> Path:
        return self.path / CHECKPOINTS / f"{re.sub(r'[^A-Za-z0-9_.+-]', '_', job)}.safetensors"


class RunJournal(recipe.Journal):
    """Keeps a fit in a run directory. What is lost when the run is killed is the work of some seconds."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self.stages = directory.notebook()
        self._begun = self._flushed = time.monotonic()
        self._saved: dict[str, float] = {}
        self._waiting: dict[str, Kept] = {}

    def decided(self, stages: Sequence[Stage]) -> None:
        self.directory.save_notebook(stages)

    def resume(self, job: str, like: Kept) -> Kept | None:
        return self.directory.load_checkpoint(job, like)

    def keep(
        self,
        job: str,
        state: State,
        cursor: Cursor,
        history: Sequence[np.ndarray],
        health: Sequence[np.ndarray],
        *,
        last: bool,
    ) -> None:
        now = time.monotonic()
        if last or now - self._saved.get(job, self._begun) > RUNNING_SECONDS:
            self._waiting[job] = Kept(lane(state, 0), cursor, np.concatenate(history), np.concatenate(health))
            self._saved[job] = now
        if self._waiting and now - self._flushed > FINISHED_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        for job in list(self._waiting):
            self.directory.save_checkpoint(job, self._waiting.pop(job))
        self._flushed = time.monotonic()


def _history_table(histories: Sequence[Mapping[str, np.ndarray]]) -> str:
    """One row an epoch of each network, networks counted from 1; values that do not exist are empty."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["network", *histories[0]])
    for number, history in enumerate(histories, 1):
        for row in zip(*history.values(), strict=True):
            table.writerow([number, *("" if isinstance(v, float | np.floating) and np.isnan(v) else v for v in row)])
    return text.getvalue()


def _health_table(healths: Sequence[np.ndarray]) -> str:
    """One row a layer of each look at each network; what a layer does not have is empty."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["network", "epoch", "layer", *COLUMNS[1:]])
    for network, looks in enumerate(healths, 1):
        for layers in looks:
            for layer, row in enumerate(layers, 1):
                values = ("" if np.isnan(v) else f"{v:.6g}" for v in row[1:])
                table.writerow([network, int(row[0]), layer, *values])
    return text.getvalue()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read: {error}", "check the file", str(path)) from error


def _object(path: Path, how: str) -> dict[str, Any]:
    if not path.exists():
        raise InputError(f"no {path.name} in this folder", how, str(path.parent))
    try:
        value = json.loads(_text(path))
        if not isinstance(value, dict):
            raise ValueError("no JSON object")
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a whole file: {error}", "start the run afresh", str(path)) from error
    return value
