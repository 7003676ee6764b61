"""The documents and their classes: functions of the standard library, or a folder of texts."""

import ast
import re
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jaxdl.data import load_text, tokenize
from jaxdl.data.dataset import draw_stratified
from jaxdl.data.stdlib import FILES
from jaxdl.digest import tree_sha256
from jaxdl.errors import InputError

LEAST_WORDS = 10
"""Of a document: one of fewer, such as an abstract method, tells nothing."""
LEAST_DOCUMENTS = 5
"""Of a class: then there are some to train, to choose and to test on."""
TEST, VALIDATION = 0.25, 0.25
"""Shares of each class that are tested on, and of the others that choose."""
TEST_SEED = 0
"""Draws the test documents: they are the same whatever the seed of a run."""


class Documents(NamedTuple):
    """Documents and their classes.

    Attributes:
        words: of each document.
        targets: the class of each, a place in ``classes``.
        classes: their names, in alphabetical order.
        sha256: of words and targets.
    """

    words: list[list[str]]
    targets: Int[np.ndarray, " documents"]
    classes: tuple[str, ...]
    sha256: str


class Split(NamedTuple):
    """Which documents are what, by their places.

    Attributes:
        train: to train on, a row for each seed.
        validation: to choose by, a row for each seed.
        test: to test on, the same for all.
    """

    train: Int[np.ndarray, "seeds train"]
    validation: Int[np.ndarray, "seeds validation"]
    test: Int[np.ndarray, " test"]


# --- the standard library ------------------------------------------------------------------------


def read_modules(count: int) -> dict[str, list[str]]:
    """The functions of the ``count`` modules of `jaxdl.data.stdlib.FILES` that have most of them.

    Raises:
        InputError: there are fewer modules, or this Python lacks the source of its library.
    """
    files = FILES.split()
    if count > len(files):
        raise InputError(f"--modules {count}: give {len(files)} at most")
    folder = Path(sysconfig.get_path("stdlib"))
    found = {module_name(file): functions(read(folder / f"{file}.py")) for file in files}
    most = sorted(found, key=lambda name: (-len(found[name]), name))
    return {name: found[name] for name in most[:count]}


def module_name(file: str) -> str:
    """What a module is imported as.

    >>> module_name("collections/__init__"), module_name("http/client")
    ('collections', 'http.client')
    """
    return file.removesuffix("/__init__").replace("/", ".")


def functions(source: str) -> list[str]:
    """The source of each function and method, with what is defined within it, in order."""
    lines = source.split("\n")  # as `ast` counts them, which form feeds do not part

    def outermost(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield "\n".join(lines[child.lineno - 1 : child.end_lineno])
            else:
                yield from outermost(child)

    return list(outermost(ast.parse(source)))


# --- a folder ------------------------------------------------------------------------------------


def read_folder(folder: Path) -> dict[str, list[str]]:
    """The documents of each class in ``folder``.

    Where it has sub-folders, each is a class and each file in it a document; files beside them are
    left out. Else each file is a class, named without its ending, and each paragraph of it a
    document: what lies between empty lines. Names that begin with a dot are left out.

    Raises:
        InputError: the folder is missing, has nothing in it or two files for a class; a file is
            empty or not UTF-8.
    """
    entries = visible(folder)
    folders = [entry for entry in entries if entry.is_dir()]
    if folders:
        files = {of.name: [file for file in visible(of) if file.is_file()] for of in folders}
        return {name: [read(file) for file in of] for name, of in files.items()}
    names = [entry.stem for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{folder} holds two files for the class {name}: rename one")
    return {entry.stem: paragraphs(read(entry)) for entry in entries}


def visible(folder: Path) -> list[Path]:
    """What is in a folder, in order."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror}; give a folder that holds one for each class"
        ) from None


def read(file: Path) -> str:
    """A whole file of text."""
    text = load_text(file)
    return text.train + text.validation + text.test


def paragraphs(text: str) -> list[str]:
    """What lies between empty lines."""
    return [part for part in re.split(r"\n\s*\n", text) if part.strip()]


# --- documents -----------------------------------------------------------------------------------


def make_documents(texts: Mapping[str, Sequence[str]], *, with_names: bool = False) -> Documents:
    """The words of all texts, by class.

    The words that name a class (`naming_words`) are taken out of all documents. Documents of fewer
    than `LEAST_WORDS` words are left out, and so is one that says the same as another before it.

    Args:
        texts: of each class.
        with_names: leave the words that name a class in.

    Raises:
        InputError: there are fewer than two classes, or too few documents of one.
    """
    classes = tuple(sorted(texts))
    if len(classes) < 2:
        raise InputError(
            f"{len(classes)} class{'es' * (not classes)} of documents: give two or more, "
            "a folder each, or a file each"
        )
    names = set() if with_names else set().union(*map(naming_words, classes))
    kept: dict[tuple[str, ...], int] = {}
    for target, name in enumerate(classes):
        for text in texts[name]:
            words = tuple(word for word in tokenize(text) if word not in names)
            if len(words) >= LEAST_WORDS:
                kept.setdefault(words, target)
    words, targets = [list(document) for document in kept], np.array([*kept.values()], np.int32)
    counts = np.bincount(targets, minlength=len(classes))
    if counts.min() < LEAST_DOCUMENTS:
        raise InputError(
            f"class {classes[counts.argmin()]} has {counts.min()} documents of {LEAST_WORDS} words "
            f"or more, each counted once: give {LEAST_DOCUMENTS} or more of each class"
        )
    lines = "\n".join(" ".join(document) for document in words)
    digest = tree_sha256((np.frombuffer(lines.encode(), np.uint8), targets))
    return Documents(words, targets, classes, digest)


def naming_words(name: str) -> set[str]:
    """The words of a class's name, those within words with underscores too.

    >>> sorted(naming_words("re._parser"))
    ['_parser', 'parser', 're']
    """
    return {*tokenize(name), *tokenize(name.replace("_", " "))}


def split(targets: Int[np.ndarray, " documents"], seed: int, seeds: int) -> Split:
    """Parts the documents, of each class the same shares."""
    is_test = draw_stratified(targets, TEST, TEST_SEED)
    (others,) = np.nonzero(~is_test)
    draws = [draw_stratified(targets[others], VALIDATION, seed + of) for of in range(seeds)]
    return Split(
        train=np.stack([others[~draw] for draw in draws]),
        validation=np.stack([others[draw] for draw in draws]),
        test=np.flatnonzero(is_test),
    )
