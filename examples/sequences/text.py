"""Text letter by letter: a GRU learns the Zen of Python and continues it: `python examples/sequences/text.py`.

The text is cut into pieces of 40 letters, and the target of each letter is the one that follows.
"""

import codecs
import contextlib
import io

import numpy as np

from axonic import RecurrentClassifier

LENGTH = 40


def zen():
    """The text that Python ships."""
    with contextlib.redirect_stdout(io.StringIO()):
        import this
    return codecs.decode(this.s, "rot13").lower()


def one_hot(text, letters):
    """(letters of the text, letters of the alphabet)."""
    return (np.array(list(text))[:, None] == np.array(letters)).astype(float)


def main(epochs=60):
    """Returns the loss per letter of always answering with the frequencies of the letters, and of the network."""
    text = zen()
    letters = sorted(set(text))
    starts = range(0, len(text) - LENGTH - 1, 7)
    X = np.stack([one_hot(text[i : i + LENGTH], letters) for i in starts])
    y = np.stack([list(text[i + 1 : i + LENGTH + 1]) for i in starts])
    model = RecurrentClassifier(
        "gru", (48,), head="every", learning_rate=0.01, epochs=epochs, ensemble=1, standardize=False, monitor=False
    )
    model.fit(X, y)
    shares = np.array([text.count(letter) for letter in letters]) / len(text)
    constant = float(-(shares * np.log(shares)).sum())
    print(f"loss per letter: {constant:.2f} by frequency, {model.history_['train_loss'][-1]:.2f} by the network")

    written = "beautiful is "
    for _ in range(60):
        p = model.predict_proba(one_hot(written[-LENGTH:], letters)[None])[0, -1]
        written += model.classes_[p.argmax()]
    print(written)
    return constant, float(model.history_["train_loss"][-1])


if __name__ == "__main__":
    main()
