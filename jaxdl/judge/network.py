"""The judge: the seed CNN trained on real images, whose features and labels all scores are of.

Its scores compare samples of one data set with each other, and say nothing beside those of another
network: the accuracy, which is in all that it says, tells what it can see.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Num

from jaxdl import checkpoint, losses, train
from jaxdl.data import Dataset
from jaxdl.digest import tree_sha256
from jaxdl.errors import InputError
from jaxdl.gradients import mean_gradient
from jaxdl.models import lenet
from jaxdl.optim import OptimizerConfig, make_optimizer
from jaxdl.types import Examples, Params

Images = (
    Num[np.ndarray, "images height width channels"] | Num[Array, "images height width channels"]
)
"""Pixels as uint8, or as floats from 0 to 1."""

BATCH = 1000
"""Images on the device at a time."""


@dataclass(frozen=True)
class Recipe:
    """How a judge is trained: the seed recipe, `jaxdl.models.lenet` with Adadelta."""

    epochs: int = 12
    batch_size: int = 128
    seed: int = 0


SEED_RECIPE = Recipe()


class Judge(NamedTuple):
    """A trained network and where it is from.

    Attributes:
        params: of `jaxdl.models.lenet`.
        accuracy: on the test examples.
        dataset: the name of the data set.
        classes: the name of each class.
        image_shape: height, width and channels.
        data_sha256: of the examples that it was trained and tested on, by their contents.
        recipe: how it was trained.
    """

    params: Params
    accuracy: float
    dataset: str
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    data_sha256: str
    recipe: Recipe


# --- what it sees --------------------------------------------------------------------------------


def features(judge: Judge, images: Images) -> Float[np.ndarray, "images features"]:
    """The last hidden layer, after its ReLU and without dropout, in float32.

    Raises:
        InputError: see `check_images`, as for `read`.
    """
    return observe(judge, images)[0]


def read(judge: Judge, images: Images) -> Float[np.ndarray, "images classes"]:
    """The probability of each class."""
    return observe(judge, images)[1]


def observe(
    judge: Judge, images: Images
) -> tuple[Float[np.ndarray, "images features"], Float[np.ndarray, "images classes"]]:
    """`features` and `read` in one pass over the images."""
    check_images(images, judge.image_shape)
    count = len(images)
    size = min(BATCH, count)
    parts = []
    for start in range(0, count, size):
        # Repeats the last image where the batch is not full: another size would compile anew.
        rows = np.minimum(np.arange(start, start + size), count - 1)
        parts.append(jax.device_get(_observe(judge.params, jnp.asarray(images[rows]))))
    hidden, probabilities = (np.concatenate(seen)[:count] for seen in zip(*parts, strict=True))
    return hidden, probabilities


def check_images(images: Images, shape: tuple[int, ...]) -> None:
    """Checks that images are what a judge was trained on.

    Raises:
        InputError: there are none, they are of another shape, or no pixels from 0 to 1 and no
            uint8.
    """
    if not len(images) or images.shape[1:] != shape:
        raise InputError(f"images {images.shape}; give one or more of {shape}")
    if images.dtype == np.uint8:
        return
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise InputError(f"images of {images.dtype}: give uint8, or floats from 0 to 1")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):  # nor NaN
        raise InputError(f"pixels from {low:g} to {high:g}: scale and clip floats to 0 to 1")


@jax.jit
def _observe(params: Params, images: Array) -> tuple[Array, Array]:
    last = params["dense2"]
    width = last["kernel"].shape[0]
    # With the identity for its last layer, the network gives what that layer is given.
    identity = {"kernel": jnp.eye(width), "bias": jnp.zeros(width)}
    # In full float32 on any device, so that they all tell the same scores.
    with jax.default_matmul_precision("highest"):
        hidden, _ = lenet(width).apply({**params, "dense2": identity}, {}, images, None)
        logits = hidden @ last["kernel"] + last["bias"][None]
    return hidden, jax.nn.softmax(logits)


# --- how it is trained ---------------------------------------------------------------------------


def train_judge(
    dataset: Dataset, recipe: Recipe = SEED_RECIPE, *, mesh: Mesh | None = None
) -> Judge:
    """Trains a judge on the training examples and tests it on the test examples.

    Args:
        dataset: of real images.
        recipe: how.
        mesh: devices over which to split each batch.

    Raises:
        InputError: the batch size is above the number of examples.
    """
    params = _fit(dataset.train, len(dataset.classes), recipe, mesh)
    accuracy = _accuracy(params, dataset.test)
    return _as_judge(params, accuracy, dataset, recipe)


def save_judge(folder: Path, judge: Judge) -> None:
    """Saves a judge as a checkpoint (`jaxdl.checkpoint`) in ``folder``, in place of any there.

    Raises:
        InputError: the folder cannot be written.
    """
    notes = {"accuracy": judge.accuracy}
    checkpoint.save(folder, 0, judge.params, config=_identity(judge), notes=notes)


def load_judge(folder: Path, dataset: Dataset, recipe: Recipe = SEED_RECIPE) -> Judge | None:
    """The judge in ``folder``, or None where there is none at all.

    Args:
        folder: as given to `save_judge`.
        dataset: that it must have been trained on, of the same contents.
        recipe: by which it must have been trained.

    Raises:
        InputError: it is of other data or another recipe, damaged, or cannot be read.
    """
    model = lenet(len(dataset.classes))
    params = jax.eval_shape(model.init, jax.random.key(0), dataset.train.inputs[:1]).params
    judge = _as_judge(params, float("nan"), dataset, recipe)
    restored = checkpoint.restore_newest(folder, params, config=_identity(judge))
    if restored is None:
        return None
    return judge._replace(params=restored.state, accuracy=restored.notes["accuracy"])


def judge_in(
    folder: Path, dataset: Dataset, recipe: Recipe = SEED_RECIPE, *, mesh: Mesh | None = None
) -> Judge:
    """The judge of this data and recipe below ``folder``; trained and saved if it is not there.

    Each combination has a folder of its own: ``NAME-SHA256-EPOCHS-BATCH_SIZE-SEED``.

    Raises:
        InputError: as `train_judge`, `load_judge` and `save_judge`.
    """
    marks = (dataset.name, _sha256(dataset)[:8], *asdict(recipe).values())
    own = folder / "-".join(map(str, marks))
    judge = load_judge(own, dataset, recipe)
    if judge is None:
        judge = train_judge(dataset, recipe, mesh=mesh)
        save_judge(own, judge)
    return judge


def classification_accuracy_score(
    samples: Examples,
    test: Examples,
    classes: int,
    recipe: Recipe = SEED_RECIPE,
    *,
    mesh: Mesh | None = None,
) -> float:
    """The accuracy on real test examples of a network trained on samples alone.

    Ravuri and Vinyals 2019 (arXiv:1905.10887): it falls with whatever the samples lack. Its bounds
    are the same score of as many real training examples, and one over the number of classes.

    Args:
        samples: images that were generated, each with the class that was asked for.
        test: real examples.
        classes: how many.
        recipe: how the network is trained: the judge's own.
        mesh: devices over which to split each batch.

    Raises:
        InputError: images that are not of the shape of real ones or no pixels; a batch size above
            the number of samples.
    """
    check_images(samples.inputs, test.inputs.shape[1:])
    return _accuracy(_fit(samples, classes, recipe, mesh), test)


def _fit(examples: Examples, classes: int, recipe: Recipe, mesh: Mesh | None) -> Params:
    model, optimizer = lenet(classes), make_optimizer(OptimizerConfig())
    update = train.make_update(mean_gradient(losses.classification_loss(model)), optimizer)
    examples = Examples(*map(jnp.asarray, examples))
    state = train.init_state(jax.random.key(recipe.seed), model, optimizer, examples.inputs[:1])
    fitted, _ = train.fit(
        update, state, examples, epochs=recipe.epochs, batch_size=recipe.batch_size, mesh=mesh
    )
    return train.final_params(fitted)[0]


def _accuracy(params: Params, examples: Examples) -> float:
    loss_fn = losses.classification_loss(lenet(params["dense2"]["bias"].size))
    return float(train.evaluate(loss_fn, params, {}, examples)["accuracy"])


def _as_judge(params: Params, accuracy: float, dataset: Dataset, recipe: Recipe) -> Judge:
    shape = dataset.train.inputs.shape[1:]
    sha256 = _sha256(dataset)
    return Judge(params, accuracy, dataset.name, dataset.classes, shape, sha256, recipe)


def _sha256(dataset: Dataset) -> str:
    """Of the contents: a part of a data set still has the ``sha256`` of the whole."""
    return tree_sha256({"train": dataset.train, "test": dataset.test})


def _identity(judge: Judge) -> dict:
    """What a saved judge is held to."""
    return {"data_sha256": judge.data_sha256, "recipe": asdict(judge.recipe)}
