"""Draws samples of a trained generator: of seeds, of noise from a file, or between two seeds.

    python -m experiments.explore_latent runs/mnist_gan/TIME               seeds 0 to 15
    python -m experiments.explore_latent RUN --seeds 3 14 15
    python -m experiments.explore_latent RUN --seeds 3 14 --position 0.25  a quarter of the way
    python -m experiments.explore_latent RUN --noise my_noise.npy
    python -m experiments.explore_latent RUN --digits 7 --seeds 1 2 3      of conditional_gan

One image of 28x28 is written for each sample, and one of all side by side; their paths are printed.
Samples that an earlier call has left in the folder are deleted.
`load_generator` and `Explorer.samples` are what a page with sliders would call.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import numpy as np
import tyro
from jaxtyping import Float, Int
from PIL import Image

from experiments import conditional_gan, mnist_gan
from jaxdl import checkpoint, cli, generators, plots
from jaxdl.adversarial import Game
from jaxdl.errors import InputError
from jaxdl.generators import Images
from jaxdl.runs import CONFIG, EXPERIMENT, check_seed
from jaxdl.types import Variables

LATENT = generators.LATENT
COLUMNS = 16


@dataclass(frozen=True)
class Config:
    """What to draw."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of a finished run of mnist_gan or conditional_gan."""
    seeds: tuple[int, ...] | None = None
    """A sample of each; by default 0 to 15."""
    position: float | None = None
    """Between two seeds instead: 0 is the first, 1 the second."""
    noise: Path | None = None
    """NumPy file with the noise of each sample instead, an array (samples, 64)."""
    digits: tuple[int, ...] = ()
    """What to ask for, one for all samples or one for each; only of conditional_gan."""
    out: Path | None = None
    """Folder for the images; by default RUN/explored."""


class Explorer(NamedTuple):
    """A trained generator.

    Attributes:
        game: that it was trained in.
        variables: its own.
        is_conditional: whether it draws the digit that it is asked for.
    """

    game: Game
    variables: Variables
    is_conditional: bool

    def samples(
        self, noise: Float[np.ndarray, "count latent"], digits: Int[np.ndarray, " count"]
    ) -> Images:
        """An image for each row of noise; ``digits`` are what is asked for, or not used."""
        inputs = (noise, digits) if self.is_conditional else noise
        return generators.make_samples(self.game.generator, self.variables, inputs)


def run(config: Config) -> None:
    """Draws the samples and writes them."""
    check(config)
    explorer = load_generator(config.run)
    noise = read_noise(config.noise) if config.noise else noise_of_seeds(config)
    samples = explorer.samples(noise, digits_for(config, explorer, len(noise)))
    folder = config.out or config.run / "explored"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: no folder can be made there") from error
    for left in folder.glob("sample_*.png"):
        left.unlink()
    for place, sample in enumerate(samples):
        path = folder / f"sample_{place:03}.png"
        Image.fromarray(sample[..., 0]).save(path)
        print(path)
    rest = -len(samples) % COLUMNS if len(samples) > COLUMNS else 0
    columns = min(COLUMNS, len(samples))
    filled = np.concatenate([samples, np.zeros((rest, *samples.shape[1:]), np.uint8)])
    tiles = filled.reshape(-1, columns, *samples.shape[1:])
    plots.save(plots.image_tiles(tiles, f"samples of {config.run.name}"), folder / "all.png")
    print(folder / "all.png")


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    if config.noise is not None:
        for name in ("seeds", "position"):
            if getattr(config, name) is not None:
                raise InputError(f"--{name} beside --noise {config.noise}: give one of the two")
    seeds = seeds_of(config)
    for seed in seeds:
        check_seed(seed)
    if not seeds:
        raise InputError("--seeds: give one or more")
    if config.position is not None:
        if len(set(seeds)) != 2 or len(seeds) != 2:
            given = " ".join(map(str, seeds))
            raise InputError(f"--position is between two seeds, not --seeds {given}")
        if not 0 <= config.position <= 1:
            raise InputError(f"--position {config.position}: give 0 to 1")


def seeds_of(config: Config) -> tuple[int, ...]:
    """Those that were given, or those by default."""
    return tuple(range(COLUMNS)) if config.seeds is None else config.seeds


def load_generator(directory: Path) -> Explorer:
    """The generator of a run.

    Raises:
        InputError: ``directory`` holds no finished run of an experiment that trains one.
    """
    try:
        name = json.loads((directory / CONFIG).read_text())[EXPERIMENT]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{directory} holds no run: give the directory of one") from error
    kinds = {"mnist_gan": mnist_gan, "conditional_gan": conditional_gan}
    if name not in kinds:
        raise InputError(f"{directory} holds a run of {name}: give one of {' or '.join(kinds)}")
    game = kinds[name].build_game(cli.load_config(kinds[name].Config, directory))
    is_conditional = name == "conditional_gan"
    noise = np.zeros((1, LATENT), np.float32)
    inputs = (noise, np.zeros(1, np.int32)) if is_conditional else noise
    like = jax.eval_shape(game.generator.init, jax.random.key(0), inputs)
    restored = checkpoint.restore_newest(directory / "model", like, config={})
    if restored is None:
        raise InputError(f"{directory} holds no finished run of {name}: train one first")
    return Explorer(game, restored.state, is_conditional)


def noise_of_seeds(config: Config) -> Float[np.ndarray, "count latent"]:
    """A row for each seed, or the one between two of them."""
    rows = np.concatenate([generators.noise_of(seed, 1) for seed in seeds_of(config)])
    if config.position is None:
        return rows
    return generators.between(rows[:1], rows[1:], np.array([config.position]))[0]


def read_noise(path: Path) -> Float[np.ndarray, "count latent"]:
    """The noise of a file.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            noise = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"--noise {path}: no array as numpy.save writes one") from error
    if noise.dtype.kind not in "fiu":
        raise InputError(f"--noise {path}: give one array of numbers")
    if noise.ndim != 2 or noise.shape[1] != LATENT or not len(noise):
        raise InputError(f"--noise {path}: an array {noise.shape}; give (samples, {LATENT})")
    with np.errstate(over="ignore"):
        noise = noise.astype(np.float32)
    if not np.isfinite(noise).all():
        raise InputError(f"--noise {path}: not all of it is finite in float32")
    return noise


def digits_for(config: Config, explorer: Explorer, count: int) -> Int[np.ndarray, " count"]:
    """What to ask for: by default one digit after the other.

    Raises:
        InputError: digits for a generator that takes none, not 0 to 9, or not one for each sample.
    """
    digits = np.array(config.digits, np.int32)
    if digits.size and not explorer.is_conditional:
        raise InputError("--digits: a generator of mnist_gan cannot be asked for a digit")
    if digits.size and not (digits.min() >= 0 and digits.max() <= 9):
        raise InputError(f"--digits {' '.join(map(str, config.digits))}: give 0 to 9")
    if digits.size not in (0, 1, count):
        raise InputError(f"--digits: {digits.size} for {count} samples; give one, or one for each")
    return np.resize(digits if digits.size else np.arange(10, dtype=np.int32), count)


if __name__ == "__main__":
    cli.main(run, Config)
