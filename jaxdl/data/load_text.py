"""Texts by name or by path."""

import os
import platform
from pathlib import Path

from jaxdl.data.prepared import read_published
from jaxdl.data.sources import TEXT_SOURCES, Folder, TextSource, as_path
from jaxdl.data.stdlib import read_stdlib
from jaxdl.data.text import Text, TextSplits, make_text, split_as_bytes
from jaxdl.errors import InputError

STDLIB = "stdlib"


def load_text(
    name: str | os.PathLike[str], *, data_dir: Folder | None = None, raw_dir: Folder | None = None
) -> Text:
    """Loads a text: ``stdlib``, ``shakespeare``, or any file by its path.

    ``stdlib`` needs nothing: it is the source of Python's own library (`read_stdlib`), another
    text in another version of Python. ``shakespeare`` is tiny Shakespeare, 1.1 million characters:
    read from the original ``input.txt`` in ``raw_dir``, or from a set prepared by TFDS in
    ``data_dir``; one that is not there yet is prepared first, from ``raw_dir`` if that is given
    too, else by download. A file is read as UTF-8 and kept as it is, line ends too, but for a byte
    order mark at its start.

    The split is 90%, 5% and 5% of the characters in their order; `split_text` makes others.

    Args:
        name: of the text, or a file's path (``./stdlib`` where a file has such a name).
        data_dir: for ``shakespeare``: the folder of prepared sets; TFDS's own if neither folder is
            given (``$TFDS_DATA_DIR``, else ``~/tensorflow_datasets``).
        raw_dir: for ``shakespeare``: the folder of the original file, or one that holds it in a
            subfolder ``tiny_shakespeare``.

    Raises:
        InputError: the file is missing, empty or not UTF-8; the text is not prepared and there is
            no network; a file is damaged.

    >>> len(load_text("stdlib").train) > 1e6
    True
    """
    if isinstance(name, str) and name in TEXT_SOURCES:
        return _load_published(TEXT_SOURCES[name], data_dir, raw_dir)
    if data_dir is not None or raw_dir is not None:
        raise InputError(
            f"{name} is read from no folder: leave out data_dir and raw_dir, or choose shakespeare"
        )
    if name == STDLIB:
        return make_text(
            STDLIB,
            split_as_bytes(read_stdlib()),
            source=f"files of the standard library of Python {platform.python_version()}",
            licence="PSF License Version 2",
        )
    path = as_path(name)
    return make_text(str(name), split_as_bytes(_read_file(path)), str(path), licence="unknown")


def _load_published(source: TextSource, data_dir: Folder | None, raw_dir: Folder | None) -> Text:
    splits = read_published(source, data_dir, raw_dir)
    assert isinstance(splits, TextSplits)
    return make_text(source.name, splits, source.source, source.licence)


def _read_file(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        names = ", ".join([STDLIB, *TEXT_SOURCES])
        raise InputError(
            f"{path}: {error.strerror}; give a text file's path, or a name: {names}"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 ({error.reason} at byte {error.start}); convert it, by "
            "iconv -t utf-8 say"
        ) from None
    if not text:
        raise InputError(f"{path}: empty; give a file with some text")
    return text
