"""A recurrent network learns to write, character by character.

Claim: it foretells the next character of a text it has not seen, in bits per character:

    text         network                 validation  test   both
    stdlib       LSTM of 256 units       1.99        1.76   1.88 (a guess among its 96: 6.58)
    shakespeare  two LSTMs of 512 units  1.99        2.18   2.09 (others: 2.15 for the same
                                                            network, 2.12 for a small transformer)

    python -m experiments.char_lm                     Python's standard library, no download
    python -m experiments.char_lm --quick             a little of it, seconds
    python -m experiments.char_lm --recipe shakespeare --raw-dir DIR
    python -m experiments.char_lm --text my.txt       any text file
    python -m experiments.generate_text RUN --prompt "def "

The text is cut into as many streams as a batch has examples, and each batch goes on where the one
before has ended: the state is carried along, the gradient ends at the window's start (truncated
back-propagation through time). Validation and test text are read in sixteen pieces, each from an
empty state. The parameters of the lowest validation loss are kept. Gradients are clipped by norm.

A figure shows which units of the last layer follow quotes, brackets and indentation (after
Karpathy, Johnson and Fei-Fei 2015, "Visualizing and Understanding Recurrent Networks",
arXiv:1506.02078).
"""

import dataclasses
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jax.sharding import Mesh

from experiments.char_lm.figures import draw
from experiments.char_lm.vocabularies import make_vocabulary, write_vocabulary
from jaxdl import checkpoint, cli, data, losses, models, sessions, train
from jaxdl.claims import Claim, conclude
from jaxdl.data import Text
from jaxdl.errors import InputError
from jaxdl.instruments import write_instruments
from jaxdl.optim import ClipConfig, OptimizerConfig, ScheduleConfig
from jaxdl.runs import check_least, check_shares, differs, open_run
from jaxdl.sessions import CHANGE_NOTHING, TrainingOptions
from jaxdl.types import Examples, LossFn, Model, Variables

PARTS = ("train", "validation", "test")
"""Of a text."""

PIECES = 16
"""Into which a text to validate or test on is cut, to be read side by side."""


@dataclass(frozen=True)
class Config(TrainingOptions):
    """What can be set; the defaults are the recipe's."""

    recipe: Literal["stdlib", "shakespeare"] = "stdlib"
    """Which defaults to start from."""
    epochs: int = 3
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(
            "adam",
            4e-3,
            schedule=ScheduleConfig(name="one_cycle"),
            clip=ClipConfig(global_norm=1.0),
        )
    )
    text: str = "stdlib"
    """stdlib (Python's own library), shakespeare, or a text file."""
    data_dir: Path | None = None
    """Folder of data sets prepared by TFDS; shakespeare is downloaded to it if it is not there."""
    raw_dir: Path | None = None
    """Folder that holds shakespeare's original file."""
    tokens: Literal["characters", "bytes"] = "characters"
    """What is foretold, one at a time."""
    characters: int | None = None
    """Use only so many characters from the start of each part of the text; by default all."""
    cell: Literal["rnn", "lstm", "gru", "gru_before"] = "lstm"
    """The recurrent cell."""
    units: tuple[int, ...] = (256,)
    """Of each recurrent layer."""
    embedding: int = 64
    """Numbers that stand for a character."""
    dropout: float | None = None
    """Dropout rate of the embedding, between layers and before the logits."""
    recurrent_dropout: float | None = None
    """Dropout rate of the hidden state, the same at all steps of a window."""
    stateful: bool = True
    """Carry the state from batch to batch; else each window begins anew, and they are shuffled."""
    length: int = 64
    """Characters in a window."""
    devices: int | None = None
    """Split each batch over so many devices; by default accelerators, or cores of a CPU."""


RECIPES = {
    "stdlib": Config(),
    "shakespeare": Config(
        recipe="shakespeare",
        text="shakespeare",
        units=(512, 512),
        batch_size=64,
        epochs=14,
        dropout=0.4,
        optimizer=OptimizerConfig(
            "adam",
            2e-3,
            schedule=ScheduleConfig(name="one_cycle"),
            clip=ClipConfig(global_norm=1.0),
        ),
    ),
}

QUICK = Config(quick=True, units=(128,), characters=100_000, length=32, batch_size=16)

EXPECTED = {
    ("stdlib", "quick"): (3.0, 3.4),
    ("stdlib", "full"): (1.88, 2.0),
    ("shakespeare", "full"): (2.09, 2.12),
}
"""Bits per character by recipe, and the most that its claim allows: of validation and test text
together, which is what others validate on, and of which neither half is as hard as the other."""


def run(config: Config) -> None:
    """Trains, tests, draws, and says what came out."""
    check(config)
    mesh = cli.use_devices_for_batches(config.devices, config.batch_size)
    text = data.load_text(config.text, data_dir=config.data_dir, raw_dir=config.raw_dir)
    text = shortened(text, config.characters)
    vocabulary = make_vocabulary(config.tokens, text)
    parts = {name: vocabulary.encode(getattr(text, name)) for name in PARTS}
    examples = cut(config, parts["train"])
    evaluations = {name: pieces(parts[name], name) for name in PARTS[1:]}
    check_devices(config, mesh)
    with open_run("char_lm", config) as directory:
        write_vocabulary(directory.directory, vocabulary)
        model = build_model(config, vocabulary.size)
        loss_fn = losses.language_loss(model)
        trained = sessions.fit(
            directory,
            config,
            model,
            loss_fn,
            examples,
            evaluations,
            of_data={"text_sha256": text.sha256},
            mesh=mesh,
            in_order=config.stateful,
        )
        params, model_state = train.final_params(trained.state)
        results = evaluate(loss_fn, Variables(params, model_state), evaluations)
        kept = Variables(params, {})
        checkpoint.save(directory.directory / "model", 0, kept, config={}, notes={})
        draw(config.cell, params, vocabulary, text, trained.epochs, directory.figures)
        if config.diagnostics:
            write_instruments(directory, config.cell, trained.epochs)
        report(config, results, trained)
        conclude(
            directory,
            {**results, **sessions.summary(trained, params), "text_sha256": text.sha256},
            bits_claims(config, results["held_out_bits"]),
        )
    if trained.failed_step is not None:
        sys.exit(1)


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    sessions.check(config)
    check_least(config, dict.fromkeys(("length", "embedding", "units", "characters"), 1))
    check_shares(config, ["dropout", "recurrent_dropout"])
    if config.diagnostics and config.stateful:
        raise InputError(
            "--diagnostics: an example whose state is carried on has no gradient of its own; add "
            "--no-stateful"
        )


def check_devices(config: Config, mesh: Mesh) -> None:
    """Checks that the streams can be shared among the devices."""
    if config.stateful and config.batch_size % mesh.size:
        raise InputError(
            f"--batch-size {config.batch_size} over {mesh.size} devices: give a multiple, or "
            "--devices 1"
        )


# --- the text ------------------------------------------------------------------------------------


def shortened(text: Text, characters: int | None) -> Text:
    """The text with the start of each of its parts only."""
    if characters is None:
        return text
    return dataclasses.replace(text, **{name: getattr(text, name)[:characters] for name in PARTS})


def cut(config: Config, tokens: np.ndarray) -> Examples:
    """The training windows: a batch's in a row where the state is carried on."""
    if config.stateful:
        return data.contiguous_streams(tokens, config.batch_size, config.length)
    return data.windows(tokens, config.length)


def pieces(tokens: np.ndarray, name: str) -> Examples:
    """A part of the text as `PIECES` long windows."""
    if len(tokens) <= PIECES:
        raise InputError(f"the text's {name} part has {len(tokens)} tokens: give a longer text")
    windows = data.windows(tokens, (len(tokens) - 1) // PIECES)
    return Examples(windows.inputs[:PIECES], windows.targets[:PIECES])


def build_model(config: Config, vocabulary: int) -> Model:
    """The network; its dropout rates are numbers, so another rate is no other program."""
    return models.language_model(
        vocabulary,
        cell=config.cell,
        units=config.units,
        embedding=config.embedding,
        is_stateful=config.stateful,
        dropout_rate=config.dropout,
        recurrent_dropout_rate=config.recurrent_dropout,
    )


# --- what came out -------------------------------------------------------------------------------


def evaluate(
    loss_fn: LossFn, variables: Variables, evaluations: dict[str, Examples]
) -> dict[str, float]:
    """Bits per character (or byte) and accuracy of each part of the text that was not trained on.

    ``held_out_bits`` are the mean of both parts, which are as long.
    """
    results = {}
    for name, examples in evaluations.items():
        seen = train.evaluate(loss_fn, *variables, examples)
        results[f"{name}_bits"] = float(seen["loss"]) / math.log(2)
        results[f"{name}_loss"] = float(seen["loss"])
        results[f"{name}_accuracy"] = float(seen["accuracy"])
    results["held_out_bits"] = (results["validation_bits"] + results["test_bits"]) / 2
    return results


def report(config: Config, results: dict[str, float], trained: sessions.Trained) -> None:
    """Prints the result in a few lines, a failure first."""
    sessions.report_failure(trained)
    print(
        f"{results['validation_bits']:.3f} bits per {config.tokens.removesuffix('s')} of the "
        f"validation text, {results['test_bits']:.3f} of the test text, parameters of epoch "
        f"{int(trained.best['best_epoch'])}; {trained.seconds_compiling:.0f} s to compile, "
        f"{trained.seconds_running:.0f} s to run"
    )


def bits_claims(config: Config, bits: float) -> list[Claim]:
    """What is claimed of the text held out: nothing where it is not known what to expect."""
    defaults = QUICK if config.quick else RECIPES[config.recipe]
    case = (config.recipe, "quick" if config.quick else "full")
    if case not in EXPECTED or differs(config, defaults, without=("seed", *CHANGE_NOTHING)):
        return []
    expected, most = EXPECTED[case]
    return [
        Claim(
            f"the recipe {config.recipe} foretells a character of {config.text} in {expected} bits",
            bits <= most,
            f"{bits:.3f} bits of validation and test text, expected {expected}, at most {most}",
        )
    ]
