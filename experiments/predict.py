"""Reads the digit in any image: a scan, a photo, a drawing.

    python -m experiments.predict runs/mnist_cnn/TIME my_digit.jpg ...

Each image is brought to MNIST's form (`jaxdl.data.photo`). Printed are the digit and its
probability; beside each image's answer the picture that the network saw is saved in the folder of
the run, with all probabilities.
"""

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
    """Predicts each image in turn."""
    predict, classes = load_network(config.run)
    if not config.images:
        raise InputError("no image given: name one or more image files behind the run")
    digits = [read_digit(path) for path in config.images]
    folder = config.run / "predictions"
    folder.mkdir(exist_ok=True)
    for path, digit in zip(config.images, digits, strict=True):
        probabilities = predict(digit)
        best = int(np.argmax(probabilities))
        picture = folder / f"{path.name}.png"
        plots.save(plots.probability_bars(digit, probabilities, classes), picture)
        print(f"{path}: {classes[best]} ({probabilities[best]:.1%}), see {picture}")


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
