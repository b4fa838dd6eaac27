"""Which digit was written, images read line by line: `python examples/sequences/classification.py`."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from axonic import RecurrentClassifier


def main(epochs=25):
    """Returns the accuracy on the images held out."""
    digits = load_digits()
    parts = train_test_split(digits.images, digits.target, random_state=0, stratify=digits.target)
    X, X_test, y, y_test = parts
    model = RecurrentClassifier("lstm", (32,), learning_rate=0.01, epochs=epochs, ensemble=1).fit(X, y)
    accuracy = model.score(X_test, y_test)
    print(f"accuracy {accuracy:.3f} on {len(y_test)} images; the first as {model.predict(X_test[:1])[0]}")
    for finding in model.findings_:
        print(f"{finding.severity}: {finding.code}: {finding.cause}")
    return accuracy


if __name__ == "__main__":
    main()
