"""The documents as arrays: counts of words, TF-IDF, and sequences of words."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from experiments.text_classification.documents import Documents, Split
from jaxdl.data import (
    Vocabulary,
    count_vectors,
    inverse_document_frequencies,
    pad_sequences,
    tf_idf,
    word_vocabulary,
)
from jaxdl.models import mark_padding


class Features(NamedTuple):
    """What the models are given of each document.

    Attributes:
        vocabulary: the words that are known, the same for all models.
        counts: how often each of them is in the document.
        tf_idf: the same, weighted, of norm 1.
        sequence: the known words in their order, and padding (`jaxdl.models.PADDING`).
    """

    vocabulary: Vocabulary
    counts: Float32[np.ndarray, "documents vocabulary"]
    tf_idf: Float32[np.ndarray, "documents vocabulary"]
    sequence: Int32[np.ndarray, "documents length"]


def make_features(documents: Documents, parts: Split, *, vocabulary: int, length: int) -> Features:
    """Words are known and weighted by the documents that are not tested on.

    Args:
        documents: all of them.
        parts: which are tested on.
        vocabulary: so many words at most, each of them in two documents or more.
        length: of the sequences; what is behind it is not read.
    """
    is_known = np.ones(len(documents.words), bool)
    is_known[parts.test] = False
    known = [words for words, known in zip(documents.words, is_known, strict=True) if known]
    found = word_vocabulary(known, min_documents=2, max_size=vocabulary)
    counts = count_vectors(documents.words, found)
    weights = inverse_document_frequencies(counts[is_known])
    ids = [[of for of in found.find(words) if of is not None] for words in documents.words]
    longest = max(1, max(map(len, ids)))
    sequence = mark_padding(*pad_sequences(ids, min(length, longest)))
    return Features(found, counts.astype(np.float32), tf_idf(counts, weights), sequence)
