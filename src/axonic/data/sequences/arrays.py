"""Sequences from arrays.

- *In memory*: (n, time, features), or a list of arrays (time, features) of different lengths.
- *.npz*: x (n, time, features), padded at the end if there are `lengths` (n,), or x (steps, features) with all
  sequences one after the other and their `lengths`; y, or another name for the target, (n,), (n, horizon), or one value
  a step.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from axonic.data.ragged import Ragged
from axonic.data.sequences.layout import Data
from axonic.errors import InputError

NPZ = ".npz"


# --- in memory ---


def as_sequences(x: Any) -> Ragged:
    """Sequences of numbers, float64.

    Parameters
    ----------
    x : (n, time, features), or a list of (time, features) or (time,) arrays.

    Raises
    ------
    InputError : no such array; a sequence is empty or has another number of features; a value is NaN or infinite.
    """
    if (isinstance(x, np.ndarray) and x.dtype != object) or not isinstance(x, Sequence | np.ndarray):
        return _of_array(np.asarray(x))
    each = [_one(item, place) for place, item in enumerate(x)]
    if not each:
        raise InputError("there are no sequences", "give at least one", "X")
    widths = [one.shape[1] for one in each]
    for place, (one, width) in enumerate(zip(each, widths, strict=True)):
        if width != widths[0]:
            what = f"sequence {place} has {width} features where the first has {widths[0]}"
            raise InputError(what, "give every sequence the same features at every step", "X")
        if len(one) == 0:
            raise InputError(f"sequence {place} is empty", "leave it out, or give it at least one step", "X")
    return _finite(Ragged.of(np.concatenate(each), [len(one) for one in each]))


def _of_array(x: np.ndarray) -> Ragged:
    if x.dtype.kind not in "fiub":
        raise InputError(f"the sequences hold values of type {x.dtype}", "give numbers", "X")
    if x.ndim != 3:
        hint = "; for one feature a step, X[:, :, None]" if x.ndim == 2 else ""
        how = f"give (n, time, features), or a list of arrays (time, features){hint}"
        raise InputError(f"Expected 3D array, got {x.ndim}D array instead: sequences have steps and features", how, "X")
    if 0 in x.shape:
        what = "there are no sequences" if len(x) == 0 else f"the sequences have shape {x.shape[1:]}"
        raise InputError(what, "give at least one sequence of at least one step and feature", "X")
    return _finite(Ragged.of(x.reshape(-1, x.shape[2]).astype(np.float64), np.full(len(x), x.shape[1])))


def _one(item: Any, place: int) -> np.ndarray:
    try:
        one = np.asarray(item, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"sequence {place} is no array of numbers", "give (time, features)", "X") from None
    if one.ndim == 1:
        one = one[:, None]
    if one.ndim != 2 or one.shape[1] == 0:
        raise InputError(f"sequence {place} has shape {one.shape}", "give (time, features)", "X")
    return one


def _finite(x: Ragged) -> Ragged:
    finite = np.isfinite(x.values).all(axis=1)
    if not finite.all():
        step = int(finite.argmin())
        place = int(np.searchsorted(x.offsets, step, "right")) - 1
        kind = "NaN" if np.isnan(x.values[step]).any() else "infinite"
        raise InputError(
            f"sequence {place} holds a value that is {kind}, at step {step - int(x.offsets[place])}",
            "fill it in; if the end of a sequence is padding, cut it off or give lengths",
            "X",
        )
    return x


# --- .npz ---


def read_npz(path: Path, target: str | None, by_step: bool | None = None) -> Data:
    """Read sequences from a .npz file; see the module.

    Parameters
    ----------
    path : the file. Nothing in it is unpickled.
    target : name of the array that holds the targets; None if there is no need of one.
    by_step : whether there is a target for each step, as in training; None sees it from the file.

    Raises
    ------
    InputError : it can't be read, or does not hold such arrays.
    """
    where = str(path)
    arrays = _arrays(path)
    if "x" not in arrays:
        raise InputError(f"no array is named 'x'; there are {', '.join(arrays) or 'none'}", "name it x", where)
    x, lengths = arrays["x"], arrays.get("lengths")
    if x.dtype.kind not in "fiub":
        raise InputError(f"x holds values of type {x.dtype}", "give numbers", where)
    if lengths is not None:
        lengths = _lengths(lengths, x, where)
    if x.ndim == 2 and lengths is None:
        how = "give (n, time, features), or (steps, features) with lengths"
        raise InputError("x has two dimensions and there are no lengths", how, where)
    if x.ndim not in (2, 3) or 0 in x.shape:
        raise InputError(f"x has shape {x.shape}", "give (n, time, features), or (steps, features) with lengths", where)
    if lengths is None:
        lengths = np.full(len(x), x.shape[1])
    there = np.arange(x.shape[1]) < lengths[:, None] if x.ndim == 3 else None
    values = x if there is None else x[there]
    sequences = _finite(Ragged.of(values.astype(np.float64), lengths))
    names = [f"x{i}" for i in range(sequences.shape[1])]
    steps = pl.DataFrame(sequences.values, schema=names)
    found = None
    if target is not None and target in arrays:
        found, by_step = _npz_target(arrays[target], sequences, there, target, where, by_step)
    elif target is not None:
        how = f"name one of {', '.join(arrays)} with --target"
        raise InputError(f"no array is named {target!r}", how, where)
    ids = pl.Series("sequence", np.arange(len(sequences)))
    return Data(steps, sequences.offsets, ids, found, bool(by_step), np.arange(len(steps)), 0)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise InputError("this is a single array", "save it with numpy.savez(path, x=..., y=...)", str(path))
        with found as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise InputError("no such file", "check the path", str(path)) from None
    except InputError:
        raise
    except ValueError as error:
        if "Object arrays" in str(error) or "pickle" in str(error):
            how = "store the steps of all sequences in one x (steps, features), and lengths (n,)"
            raise InputError("an array of Python objects would have to be unpickled", how, str(path)) from None
        raise InputError(f"not a whole .npz file: {error}", "write it again", str(path)) from error
    except Exception as error:
        raise InputError(f"not a whole .npz file: {error}", "write it again", str(path)) from error


def _lengths(lengths: np.ndarray, x: np.ndarray, where: str) -> np.ndarray:
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        raise InputError("lengths is no list of whole numbers", "give one for each sequence", where)
    if len(lengths) and lengths.min() < 1:
        place = int(lengths.argmin())
        raise InputError(f"sequence {place} is empty: its length is {lengths[place]}", "leave it out", where)
    if x.ndim == 3 and (len(lengths) != len(x) or lengths.max(initial=0) > x.shape[1]):
        how = f"give {len(x)} of them, at most {x.shape[1]} each"
        raise InputError(f"the {len(lengths)} lengths do not fit x of shape {x.shape}", how, where)
    if x.ndim == 2 and lengths.sum() != len(x):
        how = "the lengths of all sequences add up to the steps of x"
        raise InputError(f"the lengths add up to {lengths.sum()} and x has {len(x)} steps", how, where)
    return lengths.astype(np.int64)


def _npz_target(
    y: np.ndarray, x: Ragged, there: np.ndarray | None, name: str, where: str, by_step: bool | None
) -> tuple[np.ndarray, bool]:
    """The target of a .npz file, and whether it is one for each step: if that is not known, it is if there are as many
    as steps, padding counted or not, and not as many as sequences."""
    if y.dtype.kind == "O":
        raise InputError(f"{name} holds Python objects", "give numbers or text", where)
    of_steps = y.ndim > 0 and (len(y) == len(x.values) if there is None else y.shape[:2] == there.shape)
    of_sequences = y.ndim in (1, 2) and len(y) == len(x)
    each = {False: f"one for each of the {len(x)} sequences", True: "one for each step"}
    how = "give " + (each[by_step] if by_step is not None else ", or ".join(each.values()))
    if by_step is None:
        by_step = of_steps and not (there is None and of_sequences)
    if not (of_steps if by_step else of_sequences):
        raise InputError(f"{name} has shape {y.shape}", how, where)
    found = y[there] if by_step and there is not None else y
    found = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    if by_step and found.ndim > 1:
        raise InputError(f"{name} has shape {y.shape}: several values for each step", "give one for each step", where)
    return found, by_step
