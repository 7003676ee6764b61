"""Networks that read the words: how each is trained, all seeds as one program."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from experiments.text_classification.documents import Split
from experiments.text_classification.readings import AVERAGE, LSTM, AnyArray, Reading
from jaxdl import diagnostics, losses, models, optim, train
from jaxdl.gradients import mean_gradient
from jaxdl.optim import OptimizerConfig
from jaxdl.sweep import SweepFn, cpu_piece
from jaxdl.types import Examples, Model, Number, Static


class Network(NamedTuple):
    """A network, and how it is trained.

    Attributes:
        build: makes it, of the number of words and that of classes.
        rate: of Adam.
    """

    build: Callable[[int, int], Model]
    rate: Number


def build_average(vocabulary: int, classes: int) -> Model:
    """Word vectors averaged; half of the mean dropped out."""
    return models.embedding_average(vocabulary, classes=classes, embedding=64, dropout_rate=0.5)


def build_lstm(vocabulary: int, classes: int) -> Model:
    """LSTMs of 64 units in both directions; half of word vectors and last states dropped out."""
    return models.recurrent_text_classifier(
        vocabulary,
        classes=classes,
        cell="lstm",
        units=[64],
        embedding=64,
        is_bidirectional=True,
        dropout_rate=0.5,
    )


NETWORKS = {AVERAGE: Network(build_average, 0.01), LSTM: Network(build_lstm, 0.01)}


class Plan(NamedTuple):
    """What is static in a run.

    Attributes:
        epochs: its length.
        batch_size: of its steps.
        classes: how many there are.
        is_watched: whether its gradients and steps are.
    """

    epochs: int
    batch_size: int
    classes: int
    is_watched: bool


class Trained(NamedTuple):
    """Networks, one for each seed, as they were when their validation loss was lowest.

    Attributes:
        epoch: when that was, from 1.
        validation_accuracy: then.
        classes: that it takes the test documents for.
        curves: means over each epoch, ``(seeds, epochs)``, and ``validation_...`` at its end.
    """

    epoch: Int[AnyArray, " seeds"]
    validation_accuracy: Float[AnyArray, " seeds"]
    classes: Int[AnyArray, "seeds test"]
    curves: Mapping[str, Float[AnyArray, "seeds epochs"]]

    @property
    def reading(self) -> Reading:
        """What they make of the documents."""
        return Reading(np.asarray(self.validation_accuracy), np.asarray(self.classes))


def train_network(
    sweep_fn: SweepFn,
    name: str,
    plan: Plan,
    examples: Examples,
    vocabulary: int,
    parts: Split,
    *,
    seed: int,
) -> Trained:
    """Trains one of `NETWORKS` with each seed.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        name: of the network.
        plan: of each run.
        examples: sequences of words and their classes.
        vocabulary: how many words there are.
        parts: which of the examples are what.
        seed: of parameters, order and draws.
    """
    build, rate = NETWORKS[name]
    model = build(vocabulary, plan.classes)
    members = {
        "number": np.arange(len(parts.train)),
        "train": parts.train,
        "validation": parts.validation,
    }
    found = sweep_fn(
        Partial(train_one, Static(plan), model, rate, examples, jnp.asarray(parts.test)),
        jax.random.split(jax.random.key(seed), 1),
        members,
        name=name.replace(" ", "_"),
        piece_size=cpu_piece(1),
    )
    return jax.tree.map(lambda of: of[:, 0], found)


def train_one(
    plan: Static[Plan],
    model: Model,
    rate: Number,
    examples: Examples,
    test: Array,
    key: Key[Array, ""],
    member: dict[str, Array],
) -> Trained:
    """One run by Adam."""
    epochs, batch_size, classes, is_watched = plan.value
    part, held_out = (
        Examples(examples.inputs[rows], examples.targets[rows])
        for rows in (member["train"], member["validation"])
    )
    loss_fn = losses.classification_loss(model)
    gradient_fn = mean_gradient(loss_fn)
    optimizer = optim.make_optimizer(OptimizerConfig("adam", rate))
    if is_watched:
        gradient_fn, optimizer = diagnostics.watched(loss_fn, optimizer, classes)
    update = train.make_update(gradient_fn, optimizer)
    key = jax.random.fold_in(key, member["number"])
    state = train.init_state(key, model, optimizer, part.inputs[:1])
    fitted, history = train.fit(
        update,
        state,
        part,
        epochs=epochs,
        batch_size=batch_size,
        loss_fn=loss_fn,
        evaluations={train.VALIDATION: held_out},
    )
    assert fitted.best is not None
    logits, _ = model.apply(*train.final_params(fitted), examples.inputs[test], None)
    best = fitted.best.epoch
    accuracy = history.epochs["validation_accuracy"][best - 1]
    return Trained(best, accuracy, logits.argmax(axis=1), history.epochs)
