"""Data sets: `load` gives one by name, whole on the device; `split_validation` parts it.

Texts: `load_text` gives one by name or path. To predict the next character, a vocabulary makes it
integers, `contiguous_streams`, `windows` or `random_windows` cut them. To classify documents,
`tokenize` and `word_vocabulary`, then `count_vectors` and `tf_idf`, or `pad_sequences`.

TFDS is imported only where a set is prepared, or read for the first time.
"""

from jaxdl.data.dataset import (
    Dataset,
    halve_pixels,
    repeat_first,
    split_validation,
    standardize_pixels,
)
from jaxdl.data.load import load
from jaxdl.data.load_text import load_text
from jaxdl.data.prepared import prepare
from jaxdl.data.rings import two_rings
from jaxdl.data.sequences import image_sequences
from jaxdl.data.sources import FASHION_MNIST_CLASSES
from jaxdl.data.streams import contiguous_streams, random_windows, windows
from jaxdl.data.students import EXAM_COLUMNS, EXAMS, PASS_LAW, PASSES, standardize_columns
from jaxdl.data.text import Text, split_text
from jaxdl.data.vectors import (
    Padded,
    count_vectors,
    inverse_document_frequencies,
    pad_sequences,
    sublinear,
    tf_idf,
    tokenize,
)
from jaxdl.data.vocabulary import (
    ByteVocabulary,
    Vocabulary,
    character_vocabulary,
    word_vocabulary,
)

__all__ = [
    "EXAMS",
    "EXAM_COLUMNS",
    "FASHION_MNIST_CLASSES",
    "PASSES",
    "PASS_LAW",
    "ByteVocabulary",
    "Dataset",
    "Padded",
    "Text",
    "Vocabulary",
    "character_vocabulary",
    "contiguous_streams",
    "count_vectors",
    "halve_pixels",
    "image_sequences",
    "inverse_document_frequencies",
    "load",
    "load_text",
    "pad_sequences",
    "prepare",
    "random_windows",
    "repeat_first",
    "split_text",
    "split_validation",
    "standardize_columns",
    "standardize_pixels",
    "sublinear",
    "tf_idf",
    "tokenize",
    "two_rings",
    "windows",
    "word_vocabulary",
]
