"""A judge of small images: what it sees against the layers by hand, saving, scores and bounds."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import judge, models
from jaxdl.classifiers import predict
from jaxdl.data import Dataset
from jaxdl.errors import InputError
from jaxdl.judge import Recipe
from jaxdl.models import lenet_feature_maps
from jaxdl.types import Examples, Variables

SIDE, CLASSES = 8, ("top", "left", "corner")
RECIPE = Recipe(epochs=3, batch_size=16, seed=1)


def draw_examples(count, seed):
    """A bright bar or corner, of a strength that varies, on noise: no two images are alike."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, len(CLASSES), count)
    images = rng.uniform(0, 0.3, (count, SIDE, SIDE, 1))
    shapes = np.zeros((3, SIDE, SIDE, 1))
    shapes[0, :3] = shapes[1, :, :3] = shapes[2, 4:, 4:] = 1
    images += rng.uniform(0.3, 0.7, (count, 1, 1, 1)) * shapes[targets]
    return Examples(jnp.asarray(np.rint(255 * images), jnp.uint8), jnp.asarray(targets, jnp.int32))


DATASET = Dataset(
    name="bars",
    train=draw_examples(192, seed=0),
    test=draw_examples(96, seed=1),
    classes=CLASSES,
    source="drawn here",
    licence="none",
    sha256="0" * 64,
)
FRESH = draw_examples(64, seed=2)


@pytest.fixture(scope="module")
def trained():
    return judge.train_judge(DATASET, RECIPE)


@pytest.fixture(scope="module")
def reference(trained):
    return judge.make_reference(trained, DATASET)


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)
    assert one._replace(params=None) == other._replace(params=None)


# --- what it sees --------------------------------------------------------------------------------


def test_a_judge_knows_its_accuracy_and_where_it_is_from(trained):
    probabilities = judge.read(trained, DATASET.test.inputs)
    right = probabilities.argmax(axis=1) == np.asarray(DATASET.test.targets)
    assert trained.accuracy == pytest.approx(right.mean(), abs=1e-6)
    assert trained.accuracy > 0.9
    assert trained.dataset == "bars"
    assert trained.classes == CLASSES
    assert trained.image_shape == (SIDE, SIDE, 1)
    assert trained.recipe == RECIPE


def test_features_are_the_last_hidden_layer(trained):
    """The layers behind the last convolution by hand, in float64."""
    images = FRESH.inputs[:5]
    found = judge.features(trained, images)
    maps = np.asarray(jax.jit(lenet_feature_maps)(trained.params, images)["conv3"], np.float64)
    dense = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), trained.params["dense1"])
    hidden = np.maximum(maps.reshape(5, -1) @ dense["kernel"] + dense["bias"], 0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, hidden, rtol=1e-4, atol=1e-5)
    assert (found == 0).any()
    assert (found > 0).any()


def test_what_it_reads_is_what_the_network_says(trained):
    model = models.lenet(len(CLASSES))
    examples = Examples(FRESH.inputs[:60], FRESH.targets[:60])
    expected = predict(model, Variables(trained.params, {}), examples)
    np.testing.assert_allclose(
        judge.read(trained, FRESH.inputs)[:60], expected, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("count", [1, 10, 20, 23])
def test_batches_change_nothing(trained, count, monkeypatch):
    whole = judge.observe(trained, FRESH.inputs)
    monkeypatch.setattr("jaxdl.judge.network.BATCH", 10)
    parts = judge.observe(trained, FRESH.inputs[:count])
    for one, other in zip(parts, whole, strict=True):
        assert len(one) == count
        np.testing.assert_allclose(one, other[:count], rtol=1e-5, atol=1e-6)


def test_bytes_and_floats_are_the_same_images(trained):
    pixels = np.asarray(FRESH.inputs)
    floats = judge.features(trained, pixels.astype(np.float32) / 255)
    np.testing.assert_allclose(judge.features(trained, pixels), floats, rtol=1e-5, atol=1e-6)


IMAGES = np.asarray(FRESH.inputs)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:0], r"images \(0, 8, 8, 1\); give one or more of \(8, 8, 1\)"),
        (IMAGES[:, :, :4], r"\(64, 8, 4, 1\)"),
        (IMAGES.astype(np.int32), "int32: give uint8, or floats"),
        (IMAGES.astype(np.float32), "pixels from 0 to 254: scale and clip"),
        (2 * (IMAGES / 254) - 1, "pixels from -1 to 1: scale and clip"),
        (np.where(IMAGES > 200, np.nan, 0.5), "nan"),
    ],
)
def test_bad_images(trained, images, message):
    for see in (judge.features, judge.read):
        with pytest.raises(InputError, match=message):
            see(trained, images)
    samples = Examples(images, jnp.zeros(len(images), jnp.int32))
    with pytest.raises(InputError, match=message):
        judge.classification_accuracy_score(samples, DATASET.test, 3, RECIPE)


# --- training and keeping ------------------------------------------------------------------------


def test_the_recipe_is_the_seed_recipe():
    assert Recipe() == Recipe(epochs=12, batch_size=128)


def test_the_seed_is_that_of_the_network(trained):
    assert_same(judge.train_judge(DATASET, RECIPE), trained)
    other = judge.train_judge(DATASET, dataclasses.replace(RECIPE, seed=2))
    assert not np.array_equal(other.params["dense2"]["kernel"], trained.params["dense2"]["kernel"])


def test_a_saved_judge_is_the_same(trained, tmp_path):
    assert judge.load_judge(tmp_path / "judge", DATASET, RECIPE) is None
    judge.save_judge(tmp_path / "judge", trained)
    assert_same(judge.load_judge(tmp_path / "judge", DATASET, RECIPE), trained)


def with_part_of_the_examples(dataset):
    """Its sha256 is still that of the whole."""
    part = Examples(dataset.train.inputs[:100], dataset.train.targets[:100])
    return dataclasses.replace(dataset, train=part)


@pytest.mark.parametrize(
    ("dataset", "recipe", "named"),
    [
        (DATASET, dataclasses.replace(RECIPE, epochs=4), "recipe.epochs was 3, is 4"),
        (DATASET, dataclasses.replace(RECIPE, seed=0), "recipe.seed was 1, is 0"),
        (with_part_of_the_examples(DATASET), RECIPE, "data_sha256 was"),
    ],
)
def test_a_judge_of_something_else_is_refused(trained, tmp_path, dataset, recipe, named):
    judge.save_judge(tmp_path, trained)
    with pytest.raises(InputError, match=named):
        judge.load_judge(tmp_path, dataset, recipe)


def test_a_judge_is_trained_once_for_each_data_and_recipe(tmp_path, monkeypatch):
    asked = []

    def train(dataset, recipe, *, mesh=None):
        asked.append((len(dataset.train.targets), recipe))
        # Another number of each, to tell them apart.
        params = models.lenet(3).init(jax.random.key(len(asked)), dataset.train.inputs[:1]).params
        sha256 = judge.network._sha256(dataset)
        return judge.Judge(
            params, len(asked) / 10, "bars", CLASSES, (SIDE, SIDE, 1), sha256, recipe
        )

    monkeypatch.setattr("jaxdl.judge.network.train_judge", train)
    other = dataclasses.replace(RECIPE, seed=7)
    wanted = [(DATASET, RECIPE), (DATASET, other), (with_part_of_the_examples(DATASET), RECIPE)]
    first = [judge.judge_in(tmp_path, *each) for each in wanted]
    assert asked == [(192, RECIPE), (192, other), (100, RECIPE)]
    again = [judge.judge_in(tmp_path, *each) for each in wanted]
    assert len(asked) == 3
    for one, two in zip(first, again, strict=True):
        assert_same(one, two)
    assert [one.accuracy for one in again] == [0.1, 0.2, 0.3]


def test_a_network_trained_on_samples_alone():
    """As many real examples teach it; the same with other labels teach what they say."""
    real = judge.classification_accuracy_score(DATASET.train, DATASET.test, 3, RECIPE)
    shifted = DATASET.train._replace(targets=(DATASET.train.targets + 1) % 3)
    wrong = judge.classification_accuracy_score(shifted, DATASET.test, 3, RECIPE)
    assert real > 0.9
    assert wrong < 0.1


# --- scores --------------------------------------------------------------------------------------


def test_scores_are_those_of_the_functions(trained, reference):
    scores = judge.score(trained, FRESH.inputs, reference, seed=3)
    of_samples = judge.features(trained, FRESH.inputs)
    of_test = judge.features(trained, DATASET.test.inputs)
    assert scores["images"] == 64
    assert scores["judge_accuracy"] == trained.accuracy
    expected = judge.frechet_distance(judge.moments(of_samples), judge.moments(of_test))
    assert scores["frechet_distance"] == pytest.approx(expected, rel=1e-9)
    kernel = scores["kernel_distance"], scores["kernel_distance_interval"]
    assert kernel == pytest.approx(judge.kernel_distance(of_samples, of_test, seed=3))
    pair = scores["precision"], scores["recall"]
    assert pair == judge.precision_recall(of_samples, of_test)
    pair = scores["density"], scores["coverage"]
    assert pair == judge.density_coverage(of_samples, of_test)
    labels, of_test = (
        judge.read(trained, images).argmax(axis=1) for images in (FRESH.inputs, DATASET.test.inputs)
    )
    shares = np.bincount(labels, minlength=3) / 64
    assert [scores[f"label_share_{label}"] for label in range(3)] == pytest.approx(shares)
    assert scores["label_entropy"] == pytest.approx(-np.sum(shares * np.log(shares)))
    assert scores["label_evenness"] == pytest.approx(scores["label_entropy"] / math.log(3))
    counts = [np.bincount(each, minlength=3) for each in (labels, of_test)]
    pair = scores["label_chi_square"], scores["label_p_value"]
    assert pair == pytest.approx(judge.fit_to_counts(*counts))
    samples, train = (
        np.asarray(images, np.float64).reshape(len(images), -1) / 255
        for images in (FRESH.inputs, DATASET.train.inputs)
    )
    test = np.asarray(DATASET.test.inputs, np.float64).reshape(96, -1) / 255
    found = judge.copying(
        judge.training_distances(samples, train, test), judge.held_out_distances(test, train)
    )
    assert scores["train_distance"] == pytest.approx(found.distance.median, rel=1e-5)
    assert scores["train_distance_of_test"] == pytest.approx(found.distance.held_out_median)
    for name, nearness in (("nearer", found.distance), ("copied", found.ratio)):
        ends = scores[f"{name}_low"], scores[f"{name}_high"]
        assert ends == pytest.approx(nearness.interval)
        assert scores[f"{name}_share"] == nearness.share
        # Integer pixels have distances that are equal but for rounding, by either way another.
        assert scores[f"{name}_p_value"] == pytest.approx(nearness.p_value, rel=0.02)
    assert all(type(value) is float for value in scores.values())


def test_bounds_enclose_and_copies_are_seen(trained, reference):
    scores = judge.score(trained, FRESH.inputs, reference)
    bounds = judge.bounds(trained, reference, 64)
    real, noise = bounds["real train"], bounds["noise"]
    assert list(real) == list(noise) == list(scores)
    assert real["images"] == noise["images"] == 64
    for name in ("frechet_distance", "kernel_distance"):
        assert max(scores[name], real[name]) < 0.1 * noise[name]
    for name in ("precision", "coverage"):
        assert min(scores[name], real[name]) > 0.5 > noise[name]
    assert real["copied_share"] == real["nearer_share"] == 1
    assert real["train_distance"] < 1e-6
    for one in (scores, noise):
        assert one["copied_low"] <= 0.01
        assert one["train_distance"] > 0.5


def test_images_with_tiny_noise_are_copies(trained, reference):
    noise = np.random.default_rng(0).normal(0, 0.01, (64, SIDE, SIDE, 1))
    images = np.clip(np.asarray(DATASET.train.inputs[:64]) / 255 + noise, 0, 1)
    scores = judge.score(trained, images, reference)
    assert scores["copied_share"] == 1
    assert scores["copied_p_value"] < 1e-9


def test_the_images_of_the_bounds(reference):
    train = {image.tobytes() for image in np.asarray(DATASET.train.inputs)}
    drawn = judge.draw_real(reference, 50, seed=1)
    assert drawn.shape == (50, SIDE, SIDE, 1)
    assert len({image.tobytes() for image in drawn} & train) == 50
    assert not np.array_equal(drawn, judge.draw_real(reference, 50, seed=2))
    noise = judge.shuffle_pixels(drawn, seed=1)
    np.testing.assert_array_equal(
        np.sort(noise.reshape(50, -1), axis=1), np.sort(drawn.reshape(50, -1), axis=1)
    )
    orders = {
        tuple(row) for row in judge.shuffle_pixels(np.tile(drawn[:1], (50, 1, 1, 1)))[..., 0, 0]
    }
    assert len(orders) > 40  # an order of its own for each
    with pytest.raises(InputError, match="193 images: there are 192 real ones"):
        judge.draw_real(reference, 193)


def test_a_reference_of_other_images_is_refused(trained):
    other = dataclasses.replace(
        DATASET, train=DATASET.train._replace(inputs=DATASET.train.inputs[:, :4])
    )
    with pytest.raises(InputError, match=r"\(192, 4, 8, 1\)"):
        judge.make_reference(trained, other)


def test_table(trained, reference):
    scores = judge.score(trained, FRESH.inputs, reference)
    columns = {
        "samples": {**scores, "classification_accuracy": 0.875},
        **judge.bounds(trained, reference, 64),
    }
    first, headings, *rows = judge.table(trained, columns).splitlines()
    assert f"{trained.accuracy:.2%} of bars's test images" in first
    assert headings.split("  ")[-1].strip() == "noise"
    assert len({len(row) for row in [headings, *rows]}) == 1
    assert len(rows) <= 13
    (frechet,) = [row for row in rows if row.startswith("Frechet distance")]
    assert frechet.split()[2:] == [
        f"{column['frechet_distance']:.2f}" for column in columns.values()
    ]
    (accuracy,) = [row for row in rows if row.startswith("accuracy of a network")]
    assert accuracy.split()[-1] == "87.50%"  # and no bounds, which were not asked for
    without = judge.table(trained, {"samples": scores})
    assert "accuracy of a network" not in without
    assert len(without.splitlines()) == len(rows) + 1
