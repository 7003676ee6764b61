"""The original files of a data set in a folder, checked before they are used."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxdl.data.dataset import Splits
from jaxdl.data.idx import parse_idx
from jaxdl.data.sources import (
    SOURCES,
    Archive,
    Folder,
    IdxSource,
    Published,
    TextSource,
    as_path,
)
from jaxdl.data.text import TextSplits, split_as_bytes
from jaxdl.errors import InputError


def read_originals(source: Published, raw_dir: Folder) -> Splits | TextSplits:
    """Reads the original files in ``raw_dir``, or in its subfolder named as TFDS names the set.

    Raises:
        InputError: a file is missing, truncated, of another format, not the original by its
            checksum, or the numbers of images and labels differ.
    """
    folder = as_path(raw_dir)
    if (folder / source.tfds_name).is_dir():
        folder = folder / source.tfds_name
    return read_files(source, {archive.name: folder / archive.name for archive in source.archives})


def read_files(source: Published, paths: Mapping[str, Path]) -> Splits | TextSplits:
    """Reads the original files, ``paths`` saying where each lies.

    Raises:
        InputError: as `read_originals`.
    """
    if isinstance(source, TextSource):
        return _read_text(source, paths[source.archive.name])
    return _read_idx(source, paths)


def _read_text(source: TextSource, path: Path) -> TextSplits:
    content, sha256 = _read(source, source.archive, path)
    _check_original(source, source.archive, path, sha256)
    return split_as_bytes(content.decode())


def _read_idx(source: IdxSource, paths: Mapping[str, Path]) -> Splits:
    def read(archive: Archive) -> tuple[UInt8[np.ndarray, "..."], str]:
        dimensions = 3 if archive in (source.train.images, source.test.images) else 1
        content, sha256 = _read(source, archive, paths[archive.name])
        try:
            return parse_idx(content, dimensions), sha256
        except ValueError as error:
            raise _refusal(source, archive, paths[archive.name], str(error)) from None

    with ThreadPoolExecutor() as pool:  # inflating and hashing let go of the interpreter's lock
        files = dict(zip(source.archives, pool.map(read, source.archives), strict=True))

    for images, labels in (source.train, source.test):
        image_count, label_count = len(files[images][0]), len(files[labels][0])
        if image_count != label_count:
            problem = f"holds {image_count} images, but {labels.name} {label_count} labels"
            raise _refusal(source, images, paths[images.name], problem)
    for archive, (_, sha256) in files.items():
        _check_original(source, archive, paths[archive.name], sha256)
    return Splits(
        train_inputs=files[source.train.images][0][..., None],
        train_targets=files[source.train.labels][0].astype(np.int32),
        test_inputs=files[source.test.images][0][..., None],
        test_targets=files[source.test.labels][0].astype(np.int32),
    )


def _read(source: Published, archive: Archive, path: Path) -> tuple[bytes, str]:
    """A file's content and its SHA-256."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _refusal(source, archive, path, str(error.strerror)) from None
    return content, hashlib.sha256(content).hexdigest()


def _check_original(source: Published, archive: Archive, path: Path, sha256: str) -> None:
    if sha256 != archive.sha256:
        problem = (
            f"wrong checksum, {_whose(sha256)} (sha256 {sha256[:8]}..., "
            f"{source.name}'s is {archive.sha256[:8]}...)"
        )
        raise _refusal(source, archive, path, problem)


def _refusal(source: Published, archive: Archive, path: Path, problem: str) -> InputError:
    return InputError(
        f"{path}: {problem}; the original is {source.url}{archive.name}; {source.ways_out}"
    )


def _whose(sha256: str) -> str:
    """All of these sets use the same four names for their files, so one is taken for another."""
    for other in SOURCES.values():
        if isinstance(other, IdxSource) and sha256 in {file.sha256 for file in other.archives}:
            return f"this file is {other.name}'s"
    return "not the original file"
