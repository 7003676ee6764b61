"""TFDS's records, written and read without TensorFlow.

TFDS's own builders of these sets need TensorFlow to extract the files, to read them and to make
PNGs. The builders here are those, same name, version and features, with these three steps done by
our readers of the original files and by Pillow, so that what they write is what everybody's TFDS
reads.

Importing this module imports TFDS, which takes half a second.
"""

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import requests
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import registered
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.download.util import DownloadError
from tensorflow_datasets.core.hashing import Hasher
from tensorflow_datasets.core.utils import Size
from tensorflow_datasets.datasets.tiny_shakespeare import tiny_shakespeare_dataset_builder
from tensorflow_datasets.image_classification.mnist import MNIST, FashionMNIST

from jaxdl.data.dataset import Splits
from jaxdl.data.originals import read_files
from jaxdl.data.sources import Published
from jaxdl.data.text import TextSplits
from jaxdl.errors import InputError


class _WithoutBucket:
    """To be named before a builder of TFDS."""

    splits: Any
    """The arrays to write, as the builder's generators take them."""

    def _info(self):
        info = super()._info()  # pyright: ignore[reportAttributeAccessIssue]
        # TFDS asks no bucket any more; all this does is leave an empty folder in /tmp.
        info.initialize_from_bucket = lambda: None
        return info


class _WithoutTensorFlow(_WithoutBucket):
    """The steps that need TensorFlow, without it: to be named before a builder of images."""

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(self.splits.train_inputs, self.splits.train_targets),
            "test": self._generate_examples(self.splits.test_inputs, self.splits.test_targets),
        }

    def _generate_examples(self, inputs, targets):
        for index, (image, label) in enumerate(zip(inputs[..., 0], targets, strict=True)):
            yield index, {"image": Image.fromarray(image), "label": int(label)}


with registered.skip_registration():  # `tfds.builder("mnist")` goes on to be TFDS's own

    class _Mnist(_WithoutTensorFlow, MNIST):  # pyright: ignore[reportIncompatibleMethodOverride]
        name = "mnist"

    class _FashionMnist(_WithoutTensorFlow, FashionMNIST):  # pyright: ignore[reportIncompatibleMethodOverride]
        name = "fashion_mnist"

    class _TinyShakespeare(_WithoutBucket, tiny_shakespeare_dataset_builder.Builder):
        name = "tiny_shakespeare"
        # TFDS looks for its description beside the class, that is here, unless told where.
        pkg_dir_path = tiny_shakespeare_dataset_builder.Builder._get_pkg_dir_path()

        def _split_generators(self, dl_manager):  # pyright: ignore[reportIncompatibleMethodOverride]
            """A split is one record, whose key is the split's name."""
            return {
                split: [(split, {"text": characters.tobytes()})]
                for split, characters in self.splits._asdict().items()
            }


BUILDERS = {builder.name: builder for builder in (_Mnist, _FashionMnist, _TinyShakespeare)}


def write_records(source: Published, splits: Splits | TextSplits, data_dir: Path) -> Path:
    """Prepares ``splits`` in ``data_dir`` and returns the prepared folder."""
    builder = BUILDERS[source.tfds_name](data_dir=data_dir)
    builder.splits = splits
    with contextlib.redirect_stdout(io.StringIO()):  # progress is on stderr
        builder.download_and_prepare(
            download_dir=data_dir / "downloads", file_format="array_record"
        )
    return Path(builder.data_dir)


def download_originals(source: Published, url: str, download_dir: Path) -> Splits | TextSplits:
    """Downloads the original files from the folder ``url`` by TFDS, and reads them.

    Args:
        source: the data set; its checksums hold for any ``url``.
        url: with a slash at its end.
        download_dir: of this data set alone: TFDS takes files of one name for one file.

    Raises:
        InputError: the download fails, or a file is not the original.
    """
    manager = tfds.download.DownloadManager(
        download_dir=download_dir,
        url_infos={
            url + file.name: UrlInfo(Size(file.size), file.sha256, file.name)
            for file in source.archives
        },
        force_checksums_validation=True,
        dataset_name=source.name,
    )
    try:
        # One after the other: beside one that fails, TFDS would go on with the rest in threads.
        paths = {file.name: manager.download(url + file.name) for file in source.archives}
    except (DownloadError, NonMatchingChecksumError, requests.RequestException) as error:
        reason = str(error).splitlines()[0].removesuffix(":")
        raise InputError(f"cannot download {source.name}: {reason}; {source.ways_out}") from error
    return read_files(source, {name: Path(path) for name, path in paths.items()})


def read_records(folder: Path) -> Splits | TextSplits:
    """Reads a set prepared in ``folder``, by us or by TFDS, in the order of the original files.

    Raises:
        Exception: of whatever kind TFDS, array_record or Pillow raise on damaged files.
    """
    builder = tfds.builder_from_directory(folder)
    if builder.name == _TinyShakespeare.name:
        return TextSplits(*(_read_text(builder, split) for split in TextSplits._fields))
    train_inputs, train_targets = _read_split(builder, "train")
    test_inputs, test_targets = _read_split(builder, "test")
    return Splits(train_inputs, train_targets, test_inputs, test_targets)


def _read_text(builder, split: str) -> np.ndarray:
    (record,) = builder.as_data_source(split)
    return np.frombuffer(record["text"], np.uint8)


def _read_split(builder, split: str) -> tuple[np.ndarray, np.ndarray]:
    records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    examples = records.__getitems__(range(len(records)))  # one by one takes four times as long
    inputs = np.stack([np.asarray(Image.open(io.BytesIO(one["image"]))) for one in examples])
    targets = np.array([one["label"] for one in examples], np.int32)
    place = _places(split, len(records))
    return inputs[place, :, :, None], targets[place]


def _places(split: str, count: int) -> np.ndarray:
    """Where each example of the original file is: TFDS sorts by the hash of its index."""
    hasher = Hasher(split)
    order = sorted(range(count), key=hasher.hash_key)
    return np.argsort(order)
