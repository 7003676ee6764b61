"""Classifiers of documents, which are sequences of words."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32

from jaxdl.models.recurrent import rates_as_leaves
from jaxdl.nn import dropout, find_cell, flax_model, initializer
from jaxdl.nn.recurrent_layers import RecurrentLayers
from jaxdl.types import Keys, Model, Number

PADDING = -1
"""Stands behind the last word of a document, in each place up to the length of the longest."""


def mark_padding(
    ids: Int[np.ndarray, "documents length"], lengths: Int[np.ndarray, " documents"]
) -> Int32[np.ndarray, "documents length"]:
    """The sequences of `jaxdl.data.pad_sequences`, `PADDING` behind their ends instead of 0.

    >>> mark_padding(np.array([[3, 0], [5, 0]]), np.array([2, 1]))
    array([[ 3,  0],
           [ 5, -1]], dtype=int32)
    """
    return np.where(np.arange(ids.shape[1]) < lengths[:, None], ids, PADDING).astype(np.int32)


def embedding_average(
    vocabulary: int, *, classes: int, embedding: int = 64, dropout_rate: Number | None = None
) -> Model:
    """The mean of a document's word vectors, and logits of it (Joulin et al. 2016, fastText).

    From words ``(batch, length)`` to ``(batch, classes)``. The words are integers from 0, and
    `PADDING` behind the last one; of a document without a word the mean is 0 (arXiv:1607.01759; a
    bias and the dropout are added here, n-grams left out).

    Args:
        vocabulary: how many words there are.
        classes: how many logits.
        embedding: how many numbers stand for a word.
        dropout_rate: of the mean; a leaf of the model, so that changing it recompiles nothing.

    >>> import jax
    >>> model = embedding_average(1000, classes=4, embedding=8)
    >>> params, state = model.init(jax.random.key(0), jnp.zeros((1, 5), jnp.int32))
    >>> model.apply(params, state, jnp.array([[7, 3, PADDING]]), None)[0].shape
    (1, 4)
    """
    rate = None if dropout_rate is None else jnp.float32(dropout_rate)
    return flax_model(EmbeddingAverage(vocabulary, classes, embedding), dropout_rate=rate)


class EmbeddingAverage(nn.Module):
    """The network as a Flax module; see `embedding_average`."""

    vocabulary: int
    classes: int
    embedding: int = 64

    @nn.compact
    def __call__(
        self, words: Int[Array, "batch length"], keys: Keys, dropout_rate: Number | None
    ) -> Float[Array, "batch classes"]:
        """Gives the logits."""
        values = nn.Embed(self.vocabulary, self.embedding, name="embedding")(_ids(words))
        total = jnp.sum(jnp.where(_is_word(words)[..., None], values, 0), axis=1)
        mean = total / jnp.maximum(_lengths(words), 1)[:, None]
        if dropout_rate is not None:
            mean = dropout(mean, dropout_rate, keys, layer=0)
        return nn.Dense(self.classes, kernel_init=initializer("glorot_uniform"), name="dense")(mean)


def recurrent_text_classifier(
    vocabulary: int,
    *,
    classes: int,
    cell: str = "lstm",
    units: Sequence[int] = (64,),
    embedding: int = 64,
    is_bidirectional: bool = False,
    dropout_rate: Number | None = None,
    recurrent_dropout_rate: Number | None = None,
) -> Model:
    """Recurrent layers over a document's word vectors, and logits of the state at its last word.

    From words as `embedding_average` takes them to logits ``(batch, classes)``. Padding is not
    read: a document gives what it gives alone (but dropout draws by the length of all).

    Args:
        vocabulary: how many words there are.
        classes: how many logits.
        cell: by name (`jaxdl.nn.find_cell`).
        units: of the layers.
        embedding: how many numbers stand for a word.
        is_bidirectional: with cells in both directions; the logits see the last state of each.
        dropout_rate: of the word vectors, between layers and before the logits; a leaf of the
            model, so that changing it recompiles nothing, as the next.
        recurrent_dropout_rate: inside the layers (``kept`` of `jaxdl.nn.recur`).

    Raises:
        InputError: no cell has this name.

    >>> import jax
    >>> model = recurrent_text_classifier(1000, classes=4, units=[16], embedding=8)
    >>> params, state = model.init(jax.random.key(0), jnp.zeros((1, 5), jnp.int32))
    >>> model.apply(params, state, jnp.array([[7, 3, PADDING]]), None)[0].shape
    (1, 4)
    """
    find_cell(cell)
    module = RecurrentTextClassifier(
        vocabulary, classes, cell, tuple(units), embedding, is_bidirectional
    )
    return flax_model(module, **rates_as_leaves(dropout_rate, recurrent_dropout_rate))


class RecurrentTextClassifier(nn.Module):
    """The network as a Flax module; see `recurrent_text_classifier`."""

    vocabulary: int
    classes: int
    cell: str = "lstm"
    units: tuple[int, ...] = (64,)
    embedding: int = 64
    is_bidirectional: bool = False

    @nn.compact
    def __call__(
        self,
        words: Int[Array, "batch length"],
        keys: Keys,
        dropout_rate: Number | None,
        recurrent_dropout_rate: Number | None,
    ) -> Float[Array, "batch classes"]:
        """Gives the logits."""
        values = nn.Embed(self.vocabulary, self.embedding, name="embedding")(_ids(words).T)
        if dropout_rate is not None:
            values = dropout(values, dropout_rate, keys, layer=0, batch_axis=1)
        layers = RecurrentLayers(
            self.cell, self.units, self.is_bidirectional, first_draw=2, name="recurrent"
        )
        _, states = layers(
            values,
            keys,
            lengths=_lengths(words),
            dropout_rate=dropout_rate,
            recurrent_dropout_rate=recurrent_dropout_rate,
        )
        of_last = states[-1 - self.is_bidirectional :]
        last = jnp.concatenate([state.hidden for state in of_last], axis=1)
        if dropout_rate is not None:
            last = dropout(last, dropout_rate, keys, layer=1)
        return nn.Dense(self.classes, kernel_init=initializer("glorot_uniform"), name="dense")(last)


def _is_word(words: Int[Array, "batch length"]) -> Array:
    return words != PADDING


def _lengths(words: Int[Array, "batch length"]) -> Int[Array, " batch"]:
    return jnp.sum(_is_word(words), axis=1)


def _ids(words: Int[Array, "batch length"]) -> Int[Array, "batch length"]:
    """Some word in the place of padding, whose vector is then not used."""
    return jnp.where(_is_word(words), words, 0)
