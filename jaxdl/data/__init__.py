"""Data sets: `load` gives one by name, whole on the device; `split_validation` parts it.

TFDS is imported only where a set is prepared, or read for the first time.
"""

from jaxdl.data.dataset import Dataset, split_validation
from jaxdl.data.load import load
from jaxdl.data.prepared import prepare
from jaxdl.data.sources import FASHION_MNIST_CLASSES

__all__ = ["FASHION_MNIST_CLASSES", "Dataset", "load", "prepare", "split_validation"]
