"""Which integer stands for which character, byte or word."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from jaxtyping import Integer, UInt8

from jaxdl.errors import InputError


@dataclass(frozen=True)
class Vocabulary:
    """Tokens, characters or words; the integer of each is its place.

    Attributes:
        tokens: each of them once.
        unknown: the one of ``tokens`` that stands for all that are not among them; None where
            nothing does.

    >>> vocabulary = Vocabulary(("a", "b", "c"))
    >>> vocabulary.encode("cab")
    array([2, 0, 1], dtype=uint8)
    >>> vocabulary.decode([2, 0, 1])
    'cab'
    """

    tokens: tuple[str, ...]
    unknown: str | None = None

    def __post_init__(self):
        if not self.tokens:
            raise InputError("a vocabulary of no token: give more text, or cut off less")
        if len(self._places) < len(self.tokens):
            token, _ = Counter(self.tokens).most_common(1)[0]
            raise InputError(f"token {token!r} is more than once in the vocabulary")
        if self.unknown is not None and self.unknown not in self._places:
            raise InputError(f"the unknown token {self.unknown!r} is not among the tokens: add it")

    @property
    def size(self) -> int:
        """The number of tokens."""
        return len(self.tokens)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {token: place for place, token in enumerate(self.tokens)}

    def find(self, tokens: Iterable[str]) -> list[int | None]:
        """The integer of each token, None where nothing stands for it."""
        places = self._places
        unknown = None if self.unknown is None else places[self.unknown]
        return [places.get(token, unknown) for token in tokens]

    def encode(self, tokens: Sequence[str]) -> Integer[np.ndarray, " tokens"]:
        """The integer of each token: uint8 if that holds them all, else int32.

        Args:
            tokens: words, or a string for its characters.

        Raises:
            InputError: a token is not in the vocabulary, and nothing stands for it.
        """
        ids = self.find(tokens)
        if None in ids:
            place = ids.index(None)
            raise InputError(
                f"{tokens[place]!r} at place {place} is not among the {self.size} tokens of the "
                "vocabulary: leave it out, or build the vocabulary with an unknown token"
            )
        return np.array(ids, np.uint8 if self.size <= 256 else np.int32)

    def decode(self, ids: npt.ArrayLike, separator: str = "") -> str:
        """The tokens of ``ids`` with ``separator`` between them (``" "`` for words).

        Raises:
            InputError: an integer is no token's.
        """
        ids = np.asarray(ids)
        _check_ids(ids, self.size)
        return separator.join(self.tokens[place] for place in ids.tolist())


@dataclass(frozen=True)
class ByteVocabulary:
    """The 256 bytes: every text in UTF-8, no character unknown.

    >>> ByteVocabulary().encode("né")
    array([110, 195, 169], dtype=uint8)
    """

    @property
    def size(self) -> int:
        """256."""
        return 256

    def encode(self, text: str) -> UInt8[np.ndarray, " bytes"]:
        """The text's bytes.

        Raises:
            InputError: it holds half of a surrogate pair, as by a terminal that is not UTF-8.
        """
        try:
            return np.frombuffer(text.encode(), np.uint8)
        except UnicodeEncodeError as error:
            raise InputError(
                f"{text[error.start]!r} at place {error.start} is no character of UTF-8: leave it "
                "out, or give the text as UTF-8"
            ) from None

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text of the bytes; where they are not UTF-8, as sampled ones need not be, ``�``.

        Raises:
            InputError: an integer is no byte.
        """
        ids = np.asarray(ids)
        _check_ids(ids, self.size)
        return ids.astype(np.uint8).tobytes().decode(errors="replace")


def character_vocabulary(
    text: str, *, min_count: int = 1, max_size: int | None = None, unknown: str | None = None
) -> Vocabulary:
    """The characters of ``text`` in the order of their code points.

    Args:
        text: to train on, or the whole.
        min_count: how often a character must be there.
        max_size: so many of the most frequent (of equals, the first by code point) at most.
        unknown: a token for all other characters, put last unless it is one of them.

    Raises:
        InputError: no character is left.

    >>> character_vocabulary("abracadabra", min_count=2, unknown="_").tokens
    ('a', 'b', 'r', '_')
    """
    counts = Counter(text)
    kept = {token: count for token, count in counts.items() if count >= min_count}
    return _most_frequent(kept, max_size, unknown)


def word_vocabulary(
    documents: Iterable[Iterable[str]],
    *,
    min_documents: int = 1,
    max_size: int | None = None,
    unknown: str | None = None,
) -> Vocabulary:
    """The words of ``documents`` in alphabetical order, as scikit-learn's ``CountVectorizer``.

    Args:
        documents: the words of each (`jaxdl.data.vectors.tokenize`).
        min_documents: in how many of them a word must be (``min_df``).
        max_size: so many of the most frequent (of equals, the first by alphabet) at most
            (``max_features``).
        unknown: a token for all other words, put last unless it is one of them.

    Raises:
        InputError: no word is left.

    >>> word_vocabulary([["the", "cat"], ["the", "hat"]], min_documents=2).tokens
    ('the',)
    """
    counts, spread = Counter(), Counter()
    for document in documents:
        words = Counter(document)
        counts.update(words)
        spread.update(words.keys())
    kept = {word: count for word, count in counts.items() if spread[word] >= min_documents}
    return _most_frequent(kept, max_size, unknown)


def _most_frequent(
    counts: Mapping[str, int], max_size: int | None, unknown: str | None
) -> Vocabulary:
    if max_size is not None and max_size < 1:
        raise InputError(f"max_size {max_size}: give 1 or more, or None for all tokens")
    if not counts:
        raise InputError("no token is left for the vocabulary: give more text, or cut off less")
    by_frequency = sorted(counts, key=lambda token: (-counts[token], token))
    tokens = sorted(by_frequency[:max_size])
    if unknown is not None and unknown not in tokens:
        tokens.append(unknown)
    return Vocabulary(tuple(tokens), unknown)


def _check_ids(ids: np.ndarray, size: int) -> None:
    wrong = ids[(ids < 0) | (ids >= size)]
    if wrong.size:
        raise InputError(f"{wrong[0]} is no token: those of the vocabulary are 0 to {size - 1}")
