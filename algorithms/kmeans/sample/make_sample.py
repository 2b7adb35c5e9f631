"""Make the bundled sample from scikit-learn's copy of Iris: python make_sample.py."""

from __future__ import annotations

from pathlib import Path

from sklearn.datasets import load_iris


def main() -> None:
    iris = load_iris()
    names = [name.replace(" (cm)", "").replace(" ", "_") for name in iris.feature_names]
    rows = [",".join(f"{value:.1f}" for value in row) for row in iris.data]
    text = "\n".join([",".join(names), *rows]) + "\n"
    (Path(__file__).parent / "iris.csv").write_text(text)


if __name__ == "__main__":
    main()
