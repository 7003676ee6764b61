"""The same regression by another hand: scikit-learn's, where it is installed."""

import importlib.util

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from experiments.text_classification.documents import Split
from experiments.text_classification.linear import Regression
from experiments.text_classification.readings import Reading

MISSING = "scikit-learn is not installed, its baseline is left out: pip install -e '.[test]' has it"


def is_installed() -> bool:
    """Whether there is a scikit-learn."""
    return importlib.util.find_spec("sklearn") is not None


def regress(
    regression: Regression,
    vectors: Float[np.ndarray, "documents vocabulary"],
    targets: Int[np.ndarray, " documents"],
    parts: Split,
) -> Reading:
    """Fits one for each seed, with the strength that ``regression`` has chosen."""
    from sklearn.linear_model import LogisticRegression

    sparse = csr_matrix(vectors.astype(np.float64))
    # Of two classes it has the difference of their weights alone, which counts half.
    factor = 2 if targets.max() == 1 else 1
    accuracies, classes = [], []
    for seed, strength in enumerate(regression.strength):
        model = LogisticRegression(C=factor * float(strength), tol=1e-6, max_iter=10_000)
        model.fit(sparse[parts.train[seed]], targets[parts.train[seed]])
        held_out = parts.validation[seed]
        accuracies.append(model.score(sparse[held_out], targets[held_out]))
        classes.append(model.predict(sparse[parts.test]))
    return Reading(np.array(accuracies), np.stack(classes).astype(np.int32))
