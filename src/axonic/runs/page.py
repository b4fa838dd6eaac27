"""The page of a folder that a fit, a comparison or a check has left."""

import os
from pathlib import Path

from axonic.errors import InputError
from axonic.report.pages import FILES, PAGE, rebuilt
from axonic.storage import write


def write_report(run: str | os.PathLike[str]) -> Path:
    """Write report.html from what the folder of a fit, compare or check holds; returns its path.

    Raises
    ------
    InputError : there is no result in the folder, or it is damaged.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise InputError("no such folder", "name the folder of a finished fit, compare or check", str(run))
    try:
        return write_page(folder)
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        what = f"a file of the run does not hold what axonic writes: {type(error).__name__}: {error}"
        raise InputError(what, "start the run afresh", str(folder)) from error


def write_page(folder: Path) -> Path:
    """The page of a folder whose files are as they were written."""
    write(folder / PAGE, rebuilt(folder).encode("utf-8", "replace"))
    return folder / PAGE


def refuse_others(folder: Path, result: str) -> None:
    """Refuse a folder for a check or a comparison in which it would replace files, or a page, of something else.

    Parameters
    ----------
    folder : where the result is to be written, and its page.
    result : the name of its file, "check.json" or "compare.json".

    Raises
    ------
    InputError : the folder is a file, or holds a page or another result and no earlier one of this kind.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError("the output folder is a file", "name a folder", str(folder))
    found = [name for name in (PAGE, *FILES) if (folder / name).exists()]
    if found and result not in found:
        what = f"the folder holds {found[0]} and no earlier {result}: their page would be lost"
        raise InputError(what, "name another folder", str(folder))
