"""The error a user can mend."""


class InputError(ValueError):
    """Something the user gave cannot work, and the user can mend it.

    The message is one line, ``WHAT (WHERE): HOW TO MEND IT``; the command line prints it after ``error:`` and
    exits with code 2, Python callers see a ``ValueError``.

    Parameters
    ----------
    what : what is wrong.
    how : what to do about it.
    where : file, row, column or option it concerns; may be empty.
    """

    def __init__(self, what: str, how: str, where: str = "") -> None:
        self.what, self.how, self.where = (" ".join(str(part).split()) for part in (what, how, where))
        place = f" ({self.where})" if self.where else ""
        super().__init__(f"{self.what}{place}: {self.how}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.what, self.how, self.where)
