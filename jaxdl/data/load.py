"""Data sets by name."""

from jaxdl.data.dataset import Dataset, Splits, put_on_device
from jaxdl.data.embedded import read_mnist_5k
from jaxdl.data.prepared import read_published
from jaxdl.data.sources import TEXT_SOURCES, Folder, IdxSource, Source, find_source
from jaxdl.errors import InputError


def load(name: str, *, data_dir: Folder | None = None, raw_dir: Folder | None = None) -> Dataset:
    """Loads a data set onto the device: ``mnist_5k``, ``mnist`` or ``fashion_mnist``.

    ``mnist_5k`` needs nothing: 5,000 digits of MNIST's training set come with a package (never
    train on it and test on MNIST's training set). The full sets are read from the original files
    in ``raw_dir``, or from a set prepared by TFDS in ``data_dir``; one that is not there yet is
    prepared first, from ``raw_dir`` if that is given too, else by download. The arrays, their
    order and their checksum are the same by either way.

    Args:
        name: of the data set.
        data_dir: the folder of prepared sets; TFDS's own if neither folder is given
            (``$TFDS_DATA_DIR``, else ``~/tensorflow_datasets``).
        raw_dir: the folder of the four original gzipped IDX files, or one that holds them in a
            subfolder named as the data set.

    Raises:
        InputError: there is no such data set; its files are missing or damaged; it is not
            prepared and there is no network.

    >>> dataset = load("mnist_5k")
    >>> dataset.train.inputs.shape, dataset.train.inputs.dtype, dataset.test.targets.shape
    ((4000, 28, 28, 1), dtype('uint8'), (1000,))
    """
    if name in TEXT_SOURCES:
        raise InputError(f"{name} is a text: load it with load_text")
    source = find_source(name)
    return put_on_device(source, _read(source, data_dir, raw_dir))


def _read(source: Source, data_dir: Folder | None, raw_dir: Folder | None) -> Splits:
    if not isinstance(source, IdxSource):
        if data_dir is not None or raw_dir is not None:
            raise InputError(
                f"{source.name} comes with a package and reads no folder: leave out data_dir and "
                "raw_dir, or choose mnist or fashion_mnist"
            )
        return read_mnist_5k()
    splits = read_published(source, data_dir, raw_dir)
    assert isinstance(splits, Splits)
    return splits
