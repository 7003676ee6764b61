"""Networks of as many parameters as are asked for: perceptrons, and trees of small ones."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from jaxdl import models, nn
from jaxdl.errors import InputError
from jaxdl.types import Keys, Model, ModelState, Static, Variables

TOLERANCE = 0.02
"""How far off the number of parameters may be, as a share of it."""


@dataclass(frozen=True)
class Perceptron:
    """Of ``depth`` hidden layers of ``width`` rectified units."""

    depth: int
    width: int
    inputs: int
    outputs: int

    def parameters(self) -> int:
        """Weights and biases.

        >>> Perceptron(depth=2, width=30, inputs=784, outputs=10).parameters()
        24790
        """
        sizes = [self.inputs, *self.depth * [self.width], self.outputs]
        return sum((of + 1) * to for of, to in itertools.pairwise(sizes))

    def model(self) -> Model:
        """With He's start."""
        if not self.depth:
            return models.mlp((), classes=self.outputs)
        return models.deep_mlp(self.depth, self.width, classes=self.outputs)


@dataclass(frozen=True)
class Tree:
    """At each node of a binary tree a layer of its own, of the outputs of the two below it."""

    levels: int
    width: int

    def parameters(self) -> int:
        """Weights and biases; the root has one output.

        >>> Tree(levels=2, width=3).parameters()  # 2 (2 + 1) 3, (6 + 1) 3, 3 + 1
        43
        """
        nodes, below = 2 ** (self.levels - 1), self.width
        at_leaves = nodes * (2 + 1) * self.width
        return at_leaves + (nodes - 1) * (2 * below + 1) * self.width + self.width + 1

    def model(self) -> Model:
        """With He's start."""
        return Model(Partial(_init_tree, Static(self)), Partial(_apply_tree))


def perceptron(depth: int, parameters: int, *, inputs: int, outputs: int) -> Perceptron:
    """The one whose width comes nearest to so many parameters; without a hidden layer, the only.

    Raises:
        InputError: none comes within `TOLERANCE`.
    """
    if not depth:
        return Perceptron(0, 0, inputs, outputs)
    return _nearest(lambda width: Perceptron(depth, width, inputs, outputs), parameters)


def tree(levels: int, parameters: int) -> Tree:
    """The same of trees."""
    return _nearest(lambda width: Tree(levels, width), parameters)


def _nearest(of_width: Callable[[int], Any], parameters: int) -> Any:
    width = 1
    while of_width(width + 1).parameters() < parameters:
        width += 1
    found = min(
        (of_width(width), of_width(width + 1)), key=lambda of: abs(of.parameters() - parameters)
    )
    if abs(found.parameters() / parameters - 1) > TOLERANCE:
        raise InputError(
            f"{parameters} parameters: the nearest of {found} are {found.parameters()}, which is "
            f"more than {TOLERANCE:.0%} off; give another number, a larger one say"
        )
    return found


# --- trees ---------------------------------------------------------------------------------------


def _init_tree(plan: Static[Tree], key: Key[Array, ""], inputs: Array) -> Variables:
    levels, width = plan.value.levels, plan.value.width
    he_normal = nn.initializer("he_normal")

    def dense(key: Key[Array, ""], inputs: int, outputs: int) -> dict[str, Array]:
        return {"kernel": he_normal(key, (inputs, outputs), float), "bias": jnp.zeros(outputs)}

    of_root, *of_levels = jax.random.split(key, levels + 1)
    params = {"root": dense(of_root, width, 1)}
    for level, of_level in enumerate(of_levels):
        below = width if level else 1
        of_nodes = jax.random.split(of_level, 2 ** (levels - 1 - level))
        nodes = [dense(of_node, 2 * below, width) for of_node in of_nodes]
        params[f"level_{level}"] = jax.tree.map(lambda *of: jnp.stack(of), *nodes)
    return Variables(params, {})


def _apply_tree(
    params: dict[str, Any],
    model_state: ModelState,
    inputs: Float[Array, "batch leaves"],
    keys: Keys,
) -> tuple[Float[Array, "batch 1"], ModelState]:
    values = inputs[:, :, None]
    for level in range(len(params) - 1):
        nodes = params[f"level_{level}"]
        pairs = values.reshape(len(inputs), len(nodes["bias"]), -1)
        values = jnp.einsum("bni,nio->bno", pairs, nodes["kernel"]) + nodes["bias"][None]
        values = jax.nn.relu(values)
    return values[:, 0] @ params["root"]["kernel"] + params["root"]["bias"][None], model_state
