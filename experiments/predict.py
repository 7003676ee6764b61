"""Reads the digit in any image: a scan, a photo, a drawing.

    python -m experiments.predict runs/mnist_cnn/TIME my_digit.jpg ...

Each image is brought to MNIST's form (`jaxdl.data.photo`). Printed are the digit and its
probability; beside each image's answer the picture that the network saw is saved in the folder of
the run, with all probabilities. What is wrong with an image is said on stderr, a line each; if any
was not read, the exit code is 2.
"""

import itertools
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments import mnist_cnn
from jaxdl import checkpoint, cli, plots
from jaxdl.data.photo import read_digit
from jaxdl.data.sources import find_source
from jaxdl.errors import InputError


@dataclass(frozen=True)
class Config:
    """What to read, and with which network."""

    run: tyro.conf.Positional[Path]
    """Directory of a finished run of mnist_cnn."""
    images: tyro.conf.Positional[tuple[Path, ...]]
    """Image files."""


def run(config: Config) -> None:
    """Predicts each image in turn; exits with code 2 at the end if any cannot be read."""
    predict, classes = load_network(config.run)
    if not config.images:
        raise InputError("no image given: name one or more image files behind the run")
    folder = config.run / "predictions"
    unread = 0
    for path in config.images:
        try:
            digit = read_with_doubts(path)
        except InputError as error:
            print("error:", error, file=sys.stderr)
            unread += 1
            continue
        probabilities = predict(digit)
        best = int(np.argmax(probabilities))
        picture = new_picture(folder, path.stem)
        plots.save(plots.probability_bars(digit, probabilities, classes), picture)
        print(f"{path}: {classes[best]} ({probabilities[best]:.1%}), see {picture}")
    if unread:
        sys.exit(2)


def read_with_doubts(path: Path) -> np.ndarray:
    """`read_digit`, its warnings a line each on stderr."""
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always", UserWarning)
        digit = read_digit(path)
    for doubt in doubts:
        print("warning:", doubt.message, file=sys.stderr)
    return digit


def new_picture(folder: Path, name: str) -> Path:
    """``NAME.png`` in ``folder``, or the first of ``NAME-2.png``, ... that is not there yet."""
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    paths = (folder / f"{free}.png" for free in itertools.chain([name], numbered))
    return next(path for path in paths if not path.exists())


def load_network(directory: Path):
    """A function from a digit to its probabilities, and the names of the classes.

    Raises:
        InputError: ``directory`` holds no finished run.
    """
    settings = cli.load_config(mnist_cnn.Config, directory)
    classes = find_source(settings.dataset).classes
    model = mnist_cnn.build_model(settings)
    like = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    restored = checkpoint.restore_newest(directory / "model", like, config={})
    if restored is None:
        raise InputError(f"{directory} holds no finished run of mnist_cnn: train one first")
    params, model_state = restored.state

    @jax.jit
    def predict(digit):
        logits, _ = model.apply(params, model_state, digit[None], None)
        return jax.nn.softmax(logits[0])

    return lambda digit: np.asarray(predict(digit)), classes


if __name__ == "__main__":
    cli.main(run, Config)
