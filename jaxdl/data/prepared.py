"""Data sets prepared by TFDS in a folder, made there when missing, whole or not at all."""

import fcntl
import http.client
import os
import queue
import shutil
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from jaxdl.data.dataset import Splits
from jaxdl.data.originals import read_originals
from jaxdl.data.sources import Folder, IdxSource, Published, as_path, find_published
from jaxdl.data.text import TextSplits
from jaxdl.digest import tree_sha256
from jaxdl.errors import InputError

ARRAYS = "arrays.npz"
"""In a prepared folder, its contents once more as plain arrays: 20 times faster to read."""

PATIENCE = 4.0
"""Seconds that a server may take to answer. TFDS itself would retry for 205."""

DAY = 24 * 60 * 60.0


def prepare(
    name: str,
    data_dir: Folder | None = None,
    *,
    raw_dir: Folder | None = None,
    url: str | None = None,
) -> Path:
    """Prepares a data set as TFDS does, without TensorFlow, unless it is prepared already.

    ``tfds.data_source(name, split=..., data_dir=data_dir)`` reads the result too. It appears at
    once when it is whole; what a killed process leaves is removed by the next one.

    Args:
        name: of the data set.
        data_dir: the folder of prepared sets (``$TFDS_DATA_DIR``, else ``~/tensorflow_datasets``).
        raw_dir: where the original files lie, as `jaxdl.data.load` takes it; without it they are
            downloaded.
        url: of a mirror's folder that holds the original files, to download from there.

    Returns:
        The folder of the prepared set.

    Raises:
        InputError: nothing can be downloaded, a file is not the original, or ``data_dir`` cannot
            be written.
    """
    source = find_published(name)
    data_dir = as_path(data_dir or _default_data_dir())
    folder = data_dir / source.tfds_name / source.version
    if _is_prepared(folder):
        return folder
    # What cannot succeed is refused before anything is written, and before TFDS is imported.
    splits = None if raw_dir is None else read_originals(source, raw_dir)
    url = (url or source.url).rstrip("/") + "/"
    if splits is None:
        _check_reachable(source, data_dir, url)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with _alone_in(data_dir):
            if not _is_prepared(folder):  # by another process, while this one waited
                _build(source, data_dir, folder, splits, url)
    except OSError as error:
        raise InputError(f"cannot prepare {name} in {data_dir}: {error}") from error
    return folder


def read_published(
    source: Published, data_dir: Folder | None, raw_dir: Folder | None
) -> Splits | TextSplits:
    """Reads the original files if ``raw_dir`` alone is given, else the set in ``data_dir``.

    One that is not prepared there yet is prepared first (`prepare`).

    Raises:
        InputError: as `read_originals`, `prepare` and `read_prepared`.
    """
    if raw_dir is not None and data_dir is None:
        return read_originals(source, raw_dir)
    return read_prepared(source, prepare(source.name, data_dir, raw_dir=raw_dir))


def read_prepared(source: Published, folder: Path) -> Splits | TextSplits:
    """Reads a prepared set, in the order of the original files.

    They are read from the plain arrays beside the records if these are whole, else from the
    records, and the arrays are written for the next time where the folder can be written.

    Raises:
        InputError: the records cannot be read, or are not those of the data set.
    """
    splits = _read_arrays(source, folder / ARRAYS)
    if splits is not None and tree_sha256(splits) == source.sha256:
        return splits
    from jaxdl.data import tfds_records  # half a second, and only here

    remedy = f"remove that folder to prepare {source.name} anew, or {source.ways_out}"
    try:
        splits = tfds_records.read_records(folder)
    except Exception as error:  # TFDS and array_record raise anything on damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{folder}: cannot be read ({reason}); {remedy}") from error
    if tree_sha256(splits) != source.sha256:
        raise InputError(f"{folder}: does not hold {source.name} as published; {remedy}")
    with suppress(OSError):  # a folder that others own, a full disk
        _write_arrays(folder / ARRAYS, splits)
    return splits


def _default_data_dir() -> str:
    return os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")


def _is_prepared(folder: Path) -> bool:
    return os.path.isfile(folder / "dataset_info.json")


def _build(
    source: Published, data_dir: Path, folder: Path, splits: Splits | TextSplits | None, url: str
) -> None:
    """Prepares into a hidden folder, which is then renamed."""
    from jaxdl.data import tfds_records  # half a second, and only here

    prefix = f".incomplete-{source.name}-"
    incomplete = data_dir / (prefix + socket.gethostname())
    for leftover in data_dir.glob(prefix + "*"):
        # The lock holds on this host only; the clock speaks for the others that share the folder.
        if leftover == incomplete or time.time() - leftover.stat().st_mtime > DAY:
            shutil.rmtree(leftover)
    try:
        if splits is None:
            splits = tfds_records.download_originals(source, url, incomplete / "downloads")
        built = tfds_records.write_records(source, splits, incomplete)
        _write_arrays(built / ARRAYS, splits)
        folder.parent.mkdir(exist_ok=True)
        try:
            built.rename(folder)
        except OSError:
            if not _is_prepared(folder):  # by another host, meanwhile
                raise
    finally:
        shutil.rmtree(incomplete, ignore_errors=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Waits until no other process of this host is in here; a killed one is out at once."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_arrays(source: Published, path: Path) -> Splits | TextSplits | None:
    kind = Splits if isinstance(source, IdxSource) else TextSplits
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return kind(**arrays)
    except Exception:  # missing or damaged in whatever way: it is only a copy
        return None


def _write_arrays(path: Path, splits: Splits | TextSplits) -> None:
    incomplete = path.with_name(path.name + ".incomplete")
    with _alone_in(path.parent):
        try:
            with incomplete.open("wb") as file:
                np.savez(file, **splits._asdict())
            incomplete.replace(path)
        finally:
            incomplete.unlink(missing_ok=True)


def _check_reachable(source: Published, data_dir: Path, url: str) -> None:
    """Asks for the head of a file, in a thread because looking up a name knows no time limit."""
    answer: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask() -> None:
        request = urllib.request.Request(url + source.archives[0].name, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE):
                answer.put(None)
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer.put(str(error))

    threading.Thread(target=ask, daemon=True).start()
    try:
        problem = answer.get(timeout=PATIENCE)
    except queue.Empty:
        problem = f"no answer within {PATIENCE:g} s"
    if problem is not None:
        raise InputError(
            f"{source.name} is not prepared in {data_dir} and cannot be downloaded from {url} "
            f"({problem}); {source.ways_out}"
        )
