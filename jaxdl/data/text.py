"""A text in three parts, and how it is parted."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxdl.digest import tree_sha256
from jaxdl.errors import InputError


class TextSplits(NamedTuple):
    """A text's parts as UTF-8, in the order of the text."""

    train: UInt8[np.ndarray, " train"]
    validation: UInt8[np.ndarray, " validation"]
    test: UInt8[np.ndarray, " test"]


@dataclass(frozen=True)
class Text:
    """A text, parted in its order: ``train + validation + test`` is the whole.

    Attributes:
        name: as `jaxdl.data.load_text` takes it.
        train: the first 90% of the characters, to train on.
        validation: the next 5%.
        test: the last 5%, to test on, once.
        source: who made it, and where it is from.
        licence: under which it is given.
        sha256: `jaxdl.digest.tree_sha256` of the `TextSplits`, the same by whatever way they were
            read.
    """

    name: str
    train: str = field(repr=False)
    validation: str = field(repr=False)
    test: str = field(repr=False)
    source: str
    licence: str
    sha256: str


def make_text(name: str, splits: TextSplits, source: str, licence: str) -> Text:
    """The text called ``name``."""
    train, validation, test = (part.tobytes().decode() for part in splits)
    return Text(name, train, validation, test, source, licence, tree_sha256(splits))


def split_text(text: str, train: float = 0.9) -> tuple[str, str, str]:
    """Parts a text in its order: ``train`` of its characters, and the two halves of the rest.

    So it is the same split as TFDS's of tiny Shakespeare. Parts of a short text may be empty.

    Args:
        text: the whole.
        train: the fraction to train on, between 0 and 1.

    Returns:
        What to train, to validate and to test on.

    Raises:
        InputError: ``train`` is not between 0 and 1.

    >>> split_text("abcdefghij", 0.6)
    ('abcdef', 'gh', 'ij')
    """
    if not 0 < train < 1:
        raise InputError(f"training fraction {train}: give one between 0 and 1, 0.9 say")
    first = int(train * len(text))
    second = first + (len(text) - first) // 2
    return text[:first], text[first:second], text[second:]


def split_as_bytes(text: str) -> TextSplits:
    """The parts of `split_text` as UTF-8."""
    return TextSplits(*(np.frombuffer(part.encode(), np.uint8) for part in split_text(text)))
