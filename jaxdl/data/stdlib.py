"""The source of Python's standard library as a text: code and English, with no download."""

import sysconfig
from pathlib import Path

from jaxdl.data.dataset import shuffled
from jaxdl.errors import InputError

FILES = """
    _collections_abc ast asyncio/tasks bdb bisect calendar cmd codecs collections/__init__
    configparser contextlib copy csv dataclasses dis email/message fractions ftplib functools glob
    gzip heapq html/parser http/client http/server json/decoder json/encoder os platform plistlib
    posixpath pprint queue random re/_compiler re/_parser sched selectors shlex shutil smtplib
    socket statistics tempfile textwrap threading timeit tokenize tomllib/_parser traceback types
    unittest/case urllib/parse weakref
"""
"""What every Python from 3.11 to 3.14 has, a file each, without its ``.py``: 3 to 65 KB."""


def read_stdlib() -> str:
    """Reads the library of the Python that runs: `FILES` one after the other, 1.7 MB.

    Each file is as it is, with its comments, but for the few characters that are not ASCII: ``?``
    stands for each. The files are in a fixed order, shuffled, so that parts cut from the text (the
    last 10%, say) are of no one topic. Another version of Python has another text: results are
    comparable where its checksum is the same.

    Raises:
        InputError: this Python comes without the source of its library, or lacks a part of it.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    paths = [folder / f"{name}.py" for name in FILES.split()]
    return "".join(_read(paths[place]) for place in shuffled(len(paths), seed=0))


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode().encode("ascii", "replace").decode()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; this Python lacks a part of its library's source: install "
            "it whole, or give another text: shakespeare, or a file's path"
        ) from None
