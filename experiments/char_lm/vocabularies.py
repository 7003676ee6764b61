"""The vocabulary of a run, and its file."""

import json
from pathlib import Path

from jaxdl.data import ByteVocabulary, Text, Vocabulary, character_vocabulary
from jaxdl.errors import InputError

FILE = "vocabulary.json"
"""In the run directory: a list of characters, or null for bytes."""

AnyVocabulary = Vocabulary | ByteVocabulary


def make_vocabulary(tokens: str, text: Text) -> AnyVocabulary:
    """All characters of the whole text, or the 256 bytes.

    Args:
        tokens: ``"characters"`` or ``"bytes"``.
        text: which text.
    """
    if tokens == "bytes":
        return ByteVocabulary()
    return character_vocabulary(text.train + text.validation + text.test)


def write_vocabulary(directory: Path, vocabulary: AnyVocabulary) -> None:
    """Writes the file into a run directory."""
    tokens = list(vocabulary.tokens) if isinstance(vocabulary, Vocabulary) else None
    (directory / FILE).write_text(json.dumps(tokens) + "\n")


def read_vocabulary(directory: Path) -> AnyVocabulary:
    """Reads the file of a run directory.

    Raises:
        InputError: it is not there, or not such a file.
    """
    try:
        tokens = json.loads((directory / FILE).read_text())
    except OSError as error:
        raise InputError(
            f"{directory} holds no run of char_lm: {FILE}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise InputError(f"{directory / FILE} is not JSON: {error}") from error
    if tokens is None:
        return ByteVocabulary()
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise InputError(f"{directory / FILE} is damaged: it holds no list of characters")
    return Vocabulary(tuple(tokens))
