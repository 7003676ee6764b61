"""Recurrent networks: classifiers of sequences, and models of language."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Integer

from jaxdl.errors import InputError
from jaxdl.nn import dropout, find_cell, flax_model, initializer
from jaxdl.nn.cells import State
from jaxdl.nn.recurrent_layers import RecurrentLayers
from jaxdl.parallel import device_count, device_index, gather_over_devices
from jaxdl.pixels import scale_pixels
from jaxdl.types import MEMORY, Keys, Model, Number, Params, Static


def sequence_classifier(
    cell: str,
    units: Sequence[int],
    *,
    classes: int,
    is_bidirectional: bool = False,
    is_normalized: bool = False,
    dropout_rate: Number | None = None,
    recurrent_dropout_rate: Number | None = None,
) -> Model:
    """Recurrent layers over a sequence, and logits of their last states.

    From sequences ``(batch, time, ...)`` to ``(batch, classes)``; what lies behind the time is
    flattened, so that an image is the sequence of its rows, from the top. uint8 is taken for pixels
    and scaled.

    Args:
        cell: by name (`jaxdl.nn.find_cell`).
        units: of the layers.
        classes: how many logits.
        is_bidirectional: with cells in both directions; the logits see the last state of each.
        is_normalized: with layer normalization.
        dropout_rate: between layers and before the logits; a leaf of the model, as the next.
        recurrent_dropout_rate: inside the layers (``kept`` of `jaxdl.nn.recur`).

    Raises:
        InputError: no cell has this name.

    >>> model = sequence_classifier("lstm", [128], classes=10)
    >>> params, _ = model.init(jax.random.key(0), jnp.zeros((1, 28, 28)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    81674
    """
    find_cell(cell)
    module = SequenceClassifier(cell, tuple(units), classes, is_bidirectional, is_normalized)
    return flax_model(module, **rates_as_leaves(dropout_rate, recurrent_dropout_rate))


class SequenceClassifier(nn.Module):
    """The network as a Flax module; see `sequence_classifier`."""

    cell: str
    units: tuple[int, ...]
    classes: int
    is_bidirectional: bool = False
    is_normalized: bool = False

    @nn.compact
    def __call__(
        self,
        inputs: Array,
        keys: Keys,
        dropout_rate: Number | None,
        recurrent_dropout_rate: Number | None,
    ) -> Float[Array, "batch classes"]:
        """Gives the logits."""
        _, states = self._read(inputs, keys, dropout_rate, recurrent_dropout_rate)
        of_last = states[-1 - self.is_bidirectional :]
        last = jnp.concatenate([state.hidden for state in of_last], axis=1)
        if dropout_rate is not None:
            last = dropout(last, dropout_rate, keys, layer=2 * len(self.units))
        return self._classify(last)

    @nn.compact
    def at_each_step(self, inputs: Array) -> Float[Array, "batch time classes"]:
        """Gives the logits that would be the last ones if the sequence ended at each step."""
        outputs, _ = self._read(inputs, None, None, None)
        return self._classify(outputs).swapaxes(0, 1)

    def _read(self, inputs: Array, keys: Keys, dropout_rate, recurrent_dropout_rate):
        steps = (
            scale_pixels(inputs)
            .reshape(*inputs.shape[:2], math.prod(inputs.shape[2:]))
            .swapaxes(0, 1)
        )
        layers = RecurrentLayers(
            self.cell, self.units, self.is_bidirectional, self.is_normalized, name="recurrent"
        )
        return layers(
            steps, keys, dropout_rate=dropout_rate, recurrent_dropout_rate=recurrent_dropout_rate
        )

    def _classify(self, hidden: Array) -> Array:
        kernel_init = initializer("glorot_uniform")
        return nn.Dense(self.classes, kernel_init=kernel_init, name="dense")(hidden)


def logits_at_each_step(
    cell: str, params: Params, inputs: Array, *, is_normalized: bool = False
) -> Float[Array, "batch time classes"]:
    """What a `sequence_classifier` of one direction would say if the sequence ended at each step.

    Args:
        cell: of the network.
        params: of the network.
        inputs: as the network takes them.
        is_normalized: whether it has layer normalization.
    """
    classes = params["dense"]["bias"].size
    module = SequenceClassifier(cell, _units(params), classes, is_normalized=is_normalized)
    logits: Any = module.apply({"params": params}, inputs, method=module.at_each_step)
    return logits


def language_model(
    vocabulary: int,
    *,
    cell: str = "lstm",
    units: Sequence[int] = (512, 512),
    embedding: int = 64,
    is_stateful: bool = False,
    dropout_rate: Number | None = None,
    recurrent_dropout_rate: Number | None = None,
) -> Model:
    """Recurrent layers that foretell each next token, from ``(batch, time)`` integers to logits.

    The logits are ``(batch, time, vocabulary)``, those at a place from the tokens up to it.

    A *stateful* model goes on, while it trains, from where the batch before left off: the sequence
    in a place of the batch continues the one in the same place before it, and the gradient ends
    where the batch begins (truncated back-propagation through time, Williams and Peng 1990). Its
    model state is the states of all layers, for the whole batch, so initialize it with a batch of
    the full size, and train ``in_order`` (`jaxdl.train.fit`). A sequence whose first token is given
    as its complement ``~token``, below 0, begins anew (`jaxdl.data.contiguous_streams` marks them).
    An evaluation begins anew everywhere.

    Args:
        vocabulary: how many tokens.
        cell: by name (`jaxdl.nn.find_cell`).
        units: of the layers.
        embedding: how many numbers stand for a token.
        is_stateful: see above.
        dropout_rate: of the embedding, between layers and before the logits; a leaf of the model,
            as the next.
        recurrent_dropout_rate: inside the layers (``kept`` of `jaxdl.nn.recur`).

    Raises:
        InputError: no cell has this name.

    >>> model = language_model(65, units=[32])
    >>> params, state = model.init(jax.random.key(0), jnp.zeros((1, 8), jnp.int32))
    >>> model.apply(params, state, jnp.zeros((2, 8), jnp.int32), None)[0].shape
    (2, 8, 65)
    """
    find_cell(cell)
    module = LanguageModel(vocabulary, cell, tuple(units), embedding, is_stateful)
    return flax_model(module, **rates_as_leaves(dropout_rate, recurrent_dropout_rate))


class LanguageModel(nn.Module):
    """The network as a Flax module; see `language_model`."""

    vocabulary: int
    cell: str = "lstm"
    units: tuple[int, ...] = (512, 512)
    embedding: int = 64
    is_stateful: bool = False

    @nn.compact
    def __call__(
        self,
        tokens: Integer[Array, "batch time"],
        keys: Keys,
        dropout_rate: Number | None,
        recurrent_dropout_rate: Number | None,
    ) -> Float[Array, "batch time vocabulary"]:
        """Gives the logits."""
        rates = (dropout_rate, recurrent_dropout_rate)
        if not self.is_stateful or (keys is None and not self.is_initializing()):
            return self.read(tokens, None, keys, *rates)[0]
        kept = self.variable(MEMORY, "states", self.begin, tokens.shape[0])
        if keys is None:
            return self.read(tokens, None, keys, *rates)[0]
        size, batch = len(kept.value[0].hidden), device_count() * len(tokens)
        if size != batch:
            raise InputError(
                f"a stateful model that was initialized with a batch of {size} is given one of "
                f"{batch}: initialize it with a batch of the full size"
            )
        is_new = tokens[:, :1] < 0
        first = jax.tree.map(
            lambda of: jnp.where(is_new, 0, _own_part(of, len(tokens))), kept.value
        )
        logits, last = self.read(tokens, first, keys, *rates)
        kept.value = jax.tree.map(lambda of: gather_over_devices(lax.stop_gradient(of)), last)
        return logits

    @nn.compact
    def read(
        self,
        tokens: Integer[Array, "batch time"],
        states: Sequence[State] | None = None,
        keys: Keys = None,
        dropout_rate: Number | None = None,
        recurrent_dropout_rate: Number | None = None,
    ) -> tuple[Float[Array, "batch time vocabulary"], list[State]]:
        """Gives the logits and the last states, to read on from; ``states`` are where to begin."""
        values, last = self._hidden(tokens, states, keys, dropout_rate, recurrent_dropout_rate)
        if dropout_rate is not None:
            values = dropout(values, dropout_rate, keys, layer=1, batch_axis=1)
        kernel_init = initializer("glorot_uniform")
        logits = nn.Dense(self.vocabulary, kernel_init=kernel_init, name="dense")(values)
        return logits.swapaxes(0, 1), last

    @nn.compact
    def hidden(self, tokens: Integer[Array, "batch time"]) -> Float[Array, "batch time units"]:
        """Gives the hidden state of the last layer after each token."""
        return self._hidden(tokens, None, None, None, None)[0].swapaxes(0, 1)

    def _hidden(self, tokens, states, keys: Keys, dropout_rate, recurrent_dropout_rate):
        known = jnp.where(tokens < 0, ~tokens, tokens)  # a mark of where a sequence begins
        values = nn.Embed(self.vocabulary, self.embedding, name="embedding")(known.T)
        layers = RecurrentLayers(self.cell, self.units, first_draw=2, name="recurrent")
        if dropout_rate is not None:
            values = dropout(values, dropout_rate, keys, layer=0, batch_axis=1)
        return layers(
            values,
            keys,
            states,
            dropout_rate=dropout_rate,
            recurrent_dropout_rate=recurrent_dropout_rate,
        )

    def begin(self, batch: int) -> list[State]:
        """The states before the first token."""
        cell = find_cell(self.cell)
        return [cell.zero_state(batch, units) for units in self.units]


def reader(cell: str, params: Params) -> Partial:
    """A function that reads on with a trained `language_model`, for `jaxdl.sampling`.

    Args:
        cell: of the model.
        params: of the model.

    Returns:
        ``(tokens (batch, time), states or None) -> (logits (batch, time, vocabulary), states)``.
    """
    return Partial(_read, Static(_module_of(cell, params)), params)


def hidden_units(
    cell: str, params: Params, tokens: Integer[Array, "batch time"]
) -> Float[Array, "batch time units"]:
    """The hidden state of the last layer of a `language_model` after each token."""
    module = _module_of(cell, params)
    hidden: Any = module.apply({"params": params}, tokens, method=module.hidden)
    return hidden


def _read(module: Static[LanguageModel], params: Params, tokens: Array, states):
    return module.value.apply({"params": params}, tokens, states, method=module.value.read)


def _module_of(cell: str, params: Params) -> LanguageModel:
    """The network that has such parameters."""
    vocabulary, embedding = params["embedding"]["embedding"].shape
    return LanguageModel(vocabulary, cell, _units(params), embedding)


def _units(params: Params) -> tuple[int, ...]:
    """Of the recurrent layers that have such parameters."""
    layers = params["recurrent"]
    return tuple(layers[f"layer_{n}"]["recurrent_kernel"].shape[0] for n in range(len(layers)))


def _own_part(states: Float[Array, "batch units"], share: int) -> Float[Array, "share units"]:
    """The states of this device's part of the batch."""
    if device_count() == 1:
        return states
    return lax.dynamic_slice_in_dim(states, device_index() * share, share)


def rates_as_leaves(dropout_rate: Number | None, recurrent_dropout_rate: Number | None) -> dict:
    """The arguments of a recurrent model's module, arrays where they are numbers."""
    rates = {"dropout_rate": dropout_rate, "recurrent_dropout_rate": recurrent_dropout_rate}
    return {name: None if of is None else jnp.float32(of) for name, of in rates.items()}
