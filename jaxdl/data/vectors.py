"""Documents as vectors of counts or of TF-IDF, and as padded sequences of integers.

The conventions are those of scikit-learn's ``CountVectorizer`` and ``TfidfVectorizer``: what counts
as a word, how it is weighted, what the norm of a vector is. Here the steps are functions:

>>> from jaxdl.data.vocabulary import word_vocabulary
>>> train = [tokenize("The cat sat."), tokenize("The cat ate the rat.")]
>>> vocabulary = word_vocabulary(train)
>>> weights = inverse_document_frequencies(count_vectors(train, vocabulary))
>>> vocabulary.tokens
('ate', 'cat', 'rat', 'sat', 'the')
>>> tf_idf(count_vectors([tokenize("A rat ate a hat.")], vocabulary), weights).round(4)
array([[0.7071, 0.    , 0.7071, 0.    , 0.    ]], dtype=float32)

Vectors are dense arrays on the host: documents times tokens times 4 bytes, 800 MB for 20,000
documents and 10,000 tokens. A cut-off of the vocabulary keeps that small.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int32, Integer

from jaxdl.data.vocabulary import Vocabulary
from jaxdl.errors import InputError

WORD = r"\b\w\w+\b"
"""Two or more letters, digits or underscores."""


class Padded(NamedTuple):
    """Sequences of integers as one array.

    Attributes:
        ids: 0 behind the end of each. 0 is a token too: only ``lengths`` tells which is which.
        lengths: how much of each row is the sequence.
    """

    ids: Int32[np.ndarray, "sequences length"]
    lengths: Int32[np.ndarray, " sequences"]


def tokenize(text: str, pattern: str = WORD, *, lower: bool = True) -> list[str]:
    """The words of ``text``, as scikit-learn finds them.

    Args:
        text: any.
        pattern: a regular expression for a word; with a group in it, the group is the word.
        lower: whether to bring ``text`` to lower case first.

    Raises:
        InputError: ``pattern`` is no regular expression, or has several groups.

    >>> tokenize("I'll be there, by 10 a.m.")
    ['ll', 'be', 'there', 'by', '10']
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"{pattern!r} is no regular expression: {error}") from None
    if compiled.groups > 1:
        raise InputError(
            f"{pattern!r} has {compiled.groups} groups: make all but one (?:...), so that it is "
            "clear which is the word"
        )
    return compiled.findall(text.lower() if lower else text)


def count_vectors(
    documents: Sequence[Iterable[str]], vocabulary: Vocabulary
) -> Int32[np.ndarray, "documents vocabulary"]:
    """How often each token of the vocabulary is in each document.

    Words that are not in the vocabulary are left out, unless it has an unknown token, which then
    counts them.
    """
    counts = np.zeros((len(documents), vocabulary.size), np.int32)
    for row, document in zip(counts, documents, strict=True):
        ids = [place for place in vocabulary.find(document) if place is not None]
        row[:] = np.bincount(np.array(ids, np.int32), minlength=vocabulary.size)
    return counts


def sublinear(
    counts: Integer[np.ndarray, "documents vocabulary"],
) -> Float32[np.ndarray, "documents vocabulary"]:
    """``1 + log(count)``, and 0 for 0 (``sublinear_tf``)."""
    return np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0).astype(np.float32)


def inverse_document_frequencies(
    counts: Integer[np.ndarray, "documents vocabulary"], smoothing: float = 1.0
) -> Float32[np.ndarray, " vocabulary"]:
    """What a token weighs: ``log((n + s) / (d + s)) + 1`` if ``d`` of ``n`` documents have it.

    Args:
        counts: of the documents to train on.
        smoothing: ``s``, so many further documents that have every token; 1 and 0 are
            scikit-learn's ``smooth_idf``.

    Raises:
        InputError: without smoothing, a token is in no document.
    """
    having = np.count_nonzero(counts, axis=0) + smoothing
    if not having.all():
        raise InputError(
            f"token {np.argmin(having)} is in none of the {len(counts)} documents: without "
            "smoothing its weight is infinite; smooth, or build the vocabulary of these documents"
        )
    return (np.log((len(counts) + smoothing) / having) + 1).astype(np.float32)


def tf_idf(
    counts: Integer[np.ndarray, "documents vocabulary"] | Float[np.ndarray, "documents vocabulary"],
    weights: Float[np.ndarray, " vocabulary"],
) -> Float32[np.ndarray, "documents vocabulary"]:
    """Counts times the weights of `inverse_document_frequencies`, each row of Euclidean norm 1.

    A document without a word of the vocabulary stays 0.

    Args:
        counts: of `count_vectors`, or `sublinear` of them.
        weights: from the documents to train on, for all documents.
    """
    vectors = counts.astype(np.float32) * weights
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms == 0, 1, norms)


def pad_sequences(
    sequences: Sequence[Sequence[int] | Integer[np.ndarray, " _"]], length: int | None = None
) -> Padded:
    """Sequences of integers as one array, with zeros behind the shorter ones.

    Args:
        sequences: as `Vocabulary.encode` gives them, of any length, 0 too.
        length: of the rows; of longer sequences the rest is left out. The longest's by default.

    Raises:
        InputError: ``length`` is below 1, or there is no sequence to take it from.

    >>> pad_sequences([np.array([3, 1, 2]), np.array([5])], length=2)
    Padded(ids=array([[3, 1],
           [5, 0]], dtype=int32), lengths=array([2, 1], dtype=int32))
    """
    if length is None:
        length = max((len(sequence) for sequence in sequences), default=0)
    if length < 1:
        raise InputError(f"sequences padded to length {length}: give one of 1 or more")
    ids = np.zeros((len(sequences), length), np.int32)
    lengths = np.array([min(len(sequence), length) for sequence in sequences], np.int32)
    for row, sequence, count in zip(ids, sequences, lengths, strict=True):
        row[:count] = sequence[:count]
    return Padded(ids, lengths)
