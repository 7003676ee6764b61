"""The original files of a data set in a folder, checked before they are used."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxdl.data.dataset import Splits
from jaxdl.data.idx import parse_idx
from jaxdl.data.sources import SOURCES, Archive, Folder, IdxSource
from jaxdl.errors import InputError


def read_originals(source: IdxSource, raw_dir: Folder) -> Splits:
    """Reads the four original files in ``raw_dir``, or in its subfolder named as the data set.

    Raises:
        InputError: a file is missing, truncated, of another format, not the original by its
            checksum, or the numbers of images and labels differ.
    """
    folder = Path(raw_dir).expanduser()
    if (folder / source.name).is_dir():
        folder = folder / source.name
    return read_files(source, {archive.name: folder / archive.name for archive in source.archives})


def read_files(source: IdxSource, paths: Mapping[str, Path]) -> Splits:
    """Reads the original files, ``paths`` saying where each lies.

    Raises:
        InputError: as `read_originals`.
    """

    def refusal(archive: Archive, problem: str) -> InputError:
        return InputError(
            f"{paths[archive.name]}: {problem}; the original is {source.url}{archive.name}; "
            f"{source.ways_out}"
        )

    def read(archive: Archive) -> tuple[UInt8[np.ndarray, "..."], str]:
        dimensions = 3 if archive in (source.train.images, source.test.images) else 1
        try:
            content = paths[archive.name].read_bytes()
            return parse_idx(content, dimensions), hashlib.sha256(content).hexdigest()
        except OSError as error:
            raise refusal(archive, str(error.strerror)) from None
        except ValueError as error:
            raise refusal(archive, str(error)) from None

    with ThreadPoolExecutor() as pool:  # inflating and hashing let go of the interpreter's lock
        files = dict(zip(source.archives, pool.map(read, source.archives), strict=True))

    for images, labels in (source.train, source.test):
        image_count, label_count = len(files[images][0]), len(files[labels][0])
        if image_count != label_count:
            problem = f"holds {image_count} images, but {labels.name} {label_count} labels"
            raise refusal(images, problem)
    for archive, (_, sha256) in files.items():
        if sha256 != archive.sha256:
            raise refusal(
                archive,
                f"wrong checksum, {_whose(sha256)} (sha256 {sha256[:8]}..., "
                f"{source.name}'s is {archive.sha256[:8]}...)",
            )
    return Splits(
        train_inputs=files[source.train.images][0][..., None],
        train_targets=files[source.train.labels][0].astype(np.int32),
        test_inputs=files[source.test.images][0][..., None],
        test_targets=files[source.test.labels][0].astype(np.int32),
    )


def _whose(sha256: str) -> str:
    """All of these sets use the same four names for their files, so one is taken for another."""
    for other in SOURCES.values():
        if isinstance(other, IdxSource) and sha256 in {file.sha256 for file in other.archives}:
            return f"this file is {other.name}'s"
    return "not the original file"
