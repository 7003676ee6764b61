"""Recurrent networks as Flax Linen layers: one direction, or several layers and both directions."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl.errors import InputError
from jaxdl.nn.cells import Cell, State, Weights, find_cell
from jaxdl.nn.dropout import dropout
from jaxdl.nn.recurrent import Kept, recur, recur_with_offset
from jaxdl.types import Keys, Number

Lengths = Int[Array, " batch"] | None


class Recurrent(nn.Module):
    """A cell over time, in one direction: `jaxdl.nn.recur` with parameters of its own.

    Attributes:
        cell: by name (`jaxdl.nn.find_cell`).
        units: of the hidden state.
        is_normalized: with layer normalization.
        reverse: from the last step to the first.
        kernel_initializer: see `jaxdl.nn.cells.Cell.initializers`.
        recurrent_initializer: see there.
        forget_bias: see there.
    """

    cell: str
    units: int
    is_normalized: bool = False
    reverse: bool = False
    kernel_initializer: str = "glorot_uniform"
    recurrent_initializer: str = "orthogonal"
    forget_bias: float = 1.0

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "time batch inputs"],
        state: State | None = None,
        lengths: Lengths = None,
        kept: Kept = None,
    ) -> tuple[Float[Array, "time batch units"], State]:
        """Gives the outputs of all steps and the last state; see `jaxdl.nn.recur`."""
        weights = self._weights(inputs.shape[-1])
        return recur(
            self._cell(), weights, inputs, state, lengths=lengths, reverse=self.reverse, kept=kept
        )

    @nn.compact
    def tapped(
        self,
        offset: Array | None,
        inputs: Float[Array, "time batch inputs"],
        state: State | None = None,
        lengths: Lengths = None,
        kept: Kept = None,
    ):
        """The same for `jaxdl.nn.taps`: its parameters meet the rest in `RecurrentSums` alone.

        Returns:
            What the layer gives, and of `RecurrentSums` the inputs, something like its outputs,
            and the layer itself.
        """
        cell, weights = self._cell(), self._weights(inputs.shape[-1])
        if offset is None:
            shape = (*inputs.shape[:2], cell.gates * self.units)
            offset = jnp.zeros(shape, jnp.result_type(inputs, *weights.values()))
        outputs, final, met = recur_with_offset(
            cell, weights, inputs, offset, state, lengths=lengths, reverse=self.reverse, kept=kept
        )
        seen = jnp.concatenate(met, axis=-1)
        return (outputs, final), seen, offset, RecurrentSums(self.cell, self.units)

    def can_be_tapped(self) -> bool:
        """Whether `RecurrentSums` are all that the parameters are in."""
        return not self.is_normalized

    def _cell(self) -> Cell:
        return find_cell(self.cell, is_normalized=self.is_normalized)

    def _weights(self, inputs: int) -> Weights:
        draws = self._cell().initializers(
            inputs,
            self.units,
            kernel_initializer=self.kernel_initializer,
            recurrent_initializer=self.recurrent_initializer,
            forget_bias=self.forget_bias,
        )
        return {name: self.param(name, draw) for name, draw in draws.items()}


class RecurrentSums(nn.Module):
    """The sums in which the parameters of a cell meet its inputs and states.

    For an example's gradient a recurrent layer is this dense one: its outputs have the cotangents
    of the sums in each step (`jaxdl.nn.recur`), whatever the steps make of it.

    Attributes:
        cell: by name.
        units: of the hidden state.
    """

    cell: str
    units: int

    @nn.compact
    def __call__(self, seen: Float[Array, "time batch seen"]) -> Float[Array, "time batch columns"]:
        """Of the inputs, the hidden state before the step and a GRU's gate r, side by side."""
        cell = find_cell(self.cell)
        inputs, *met = self.split(seen)
        draws = cell.initializers(inputs.shape[-1], self.units)
        weights = {name: self.param(name, draw) for name, draw in draws.items()}
        return cell.drive(weights, inputs) + cell.sums(weights, *met)

    def products(
        self, seen: Float[Array, "batch time seen"], cotangents: Float[Array, "batch time columns"]
    ) -> list[tuple[Array, Array, bool]]:
        """Of which products ``X^T D`` an example's gradient consists.

        Returns:
            ``X`` and ``D`` of each, and whether the sum of ``D`` over time, the gradient of a bias,
            is a part of it too.
        """
        inputs, before, *resets = self.split(seen)
        if not resets:
            return [(seen, cotangents, True)]
        (reset,) = resets
        gates, new = jnp.split(cotangents, [2 * self.units], axis=-1)
        of_inputs = (inputs, cotangents, True)
        if find_cell(self.cell).has_recurrent_bias:
            return [of_inputs, (before, gates, False), (before, reset * new, True)]
        return [of_inputs, (before, gates, False), (reset * before, new, False)]

    def split(self, seen: Float[Array, "*n seen"]) -> list[Array]:
        """The parts of what `__call__` takes."""
        parts = 1 + find_cell(self.cell).has_reset
        inputs = seen.shape[-1] - parts * self.units
        return jnp.split(seen, [inputs + part * self.units for part in range(parts)], axis=-1)


class RecurrentLayers(nn.Module):
    """Recurrent layers one over the other, in one direction or in both.

    Attributes:
        cell: by name (`jaxdl.nn.find_cell`), of all layers.
        units: of the layers, from the first one on.
        is_bidirectional: a layer's outputs are those of two cells side by side, the second of which
            goes from the end to the start.
        is_normalized: with layer normalization.
        recurrent_initializer: see `jaxdl.nn.cells.Cell.initializers`.
        forget_bias: see there.
        first_draw: the first of the numbers by which its dropouts draw, two for each layer
            (`jaxdl.nn.dropout`).
    """

    cell: str
    units: Sequence[int]
    is_bidirectional: bool = False
    is_normalized: bool = False
    recurrent_initializer: str = "orthogonal"
    forget_bias: float = 1.0
    first_draw: int = 0

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "time batch inputs"],
        keys: Keys,
        states: Sequence[State] | None = None,
        lengths: Lengths = None,
        dropout_rate: Number | None = None,
        recurrent_dropout_rate: Number | None = None,
    ) -> tuple[Float[Array, "time batch outputs"], list[State]]:
        """Gives the last layer's outputs and the last state of each cell, layer by layer.

        Args:
            inputs: time first.
            keys: one for each example while training, else None.
            states: to begin with, as they are returned; zeros by default.
            lengths: see `jaxdl.nn.recur`.
            dropout_rate: between two layers; None for none.
            recurrent_dropout_rate: of the hidden state inside each layer, the same at all steps
                (``kept`` of `jaxdl.nn.recur`); None for none.

        Raises:
            InputError: there are no layers.
        """
        if not self.units:
            raise InputError("recurrent layers: give the units of one or more")
        directions = 1 + self.is_bidirectional
        finals, values = [], inputs
        for layer, units in enumerate(self.units):
            draw = self.first_draw + 2 * layer
            if layer and dropout_rate is not None:
                values = dropout(values, dropout_rate, keys, layer=draw, batch_axis=1)
            outputs = []
            for direction in range(directions):
                kept = None
                if recurrent_dropout_rate is not None and keys is not None:
                    ones = jnp.ones((inputs.shape[1], directions, units), values.dtype)
                    kept = dropout(ones, recurrent_dropout_rate, keys, layer=draw + 1)[:, direction]
                cell = Recurrent(
                    self.cell,
                    units,
                    is_normalized=self.is_normalized,
                    reverse=bool(direction),
                    recurrent_initializer=self.recurrent_initializer,
                    forget_bias=self.forget_bias,
                    name=f"layer_{layer}{'_reversed' * direction}",
                )
                first = None if states is None else states[len(finals)]
                of_direction, final = cell(values, first, lengths, kept)
                outputs.append(of_direction)
                finals.append(final)
            values = jnp.concatenate(outputs, axis=-1) if self.is_bidirectional else outputs[0]
        return values, finals
