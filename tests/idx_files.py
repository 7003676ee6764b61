"""Small data sets as MNIST is published: four gzipped IDX files with checksums of their own."""

import gzip
import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxdl.data.dataset import Splits
from jaxdl.data.sources import SOURCES, Archive, IdxPair, IdxSource
from jaxdl.digest import tree_sha256


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file's content: magic number, sizes, values."""
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def random_splits(seed: int, train: int = 30, test: int = 20) -> Splits:
    rng = np.random.default_rng(seed)

    def images(count):
        return rng.integers(0, 256, (count, 28, 28, 1), np.uint8)

    def labels(count):
        return rng.integers(0, 10, count, np.int32)

    return Splits(images(train), labels(train), images(test), labels(test))


def write_originals(source: IdxSource, splits: Splits, folder: Path) -> None:
    """Writes ``splits`` as the four files of ``source``."""
    for archive, array in zip(source.archives, splits, strict=True):
        values = array[..., 0] if array.ndim == 4 else array
        content = gzip.compress(idx_bytes(values.astype(np.uint8)), mtime=0)
        (folder / archive.name).write_bytes(content)


def small_source(name: str, folder: Path, seed: int = 0) -> IdxSource:
    """The data set ``name`` with random contents, its original files in ``folder``."""
    published = SOURCES[name]
    assert isinstance(published, IdxSource)
    splits = random_splits(seed)
    write_originals(published, splits, folder)

    def pair(files: IdxPair) -> IdxPair:
        return IdxPair(*(archive_of(folder / file.name) for file in files))

    return replace(
        published,
        sha256=tree_sha256(splits),
        train=pair(published.train),
        test=pair(published.test),
    )


def archive_of(path: Path) -> Archive:
    content = path.read_bytes()
    return Archive(path.name, len(content), hashlib.sha256(content).hexdigest())
