"""Small networks of every kind of layer, for tests of the gradients of examples."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from jaxdl import losses, models
from jaxdl.nn import Conv, DenseOfImages, dropout, flax_model
from jaxdl.types import Batch, Model, Variables

BATCH = 6


class Shared(nn.Module):
    """One dense layer and one embedding used twice, at many positions; norms with scales."""

    @nn.compact
    def __call__(self, tokens, keys):
        embed, dense = nn.Embed(7, 8, name="embed"), nn.Dense(8, name="dense")
        values = dense(embed(tokens)) + embed(tokens[:, ::-1])
        values = nn.LayerNorm(name="norm")(dropout(values, 0.3, keys))
        values = nn.GroupNorm(2, name="group_norm")(jnp.tanh(dense(values)))
        return nn.Dense(3, name="last")(values.mean(axis=1))


class Images(nn.Module):
    """Convolutions with strides, padding and layouts of all kinds, one of them used twice."""

    @nn.compact
    def __call__(self, images, keys):
        maps = Conv(5, (3, 2), strides=(2, 1), padding=((1, 0), (0, 2)), name="odd")(images)
        maps = jnp.tanh(maps).transpose(2, 3, 1, 0)  # WCHN
        twice = Conv(5, 3, layout="WCHN", name="twice")
        maps = jnp.tanh(twice(jnp.tanh(twice(maps))))
        maps = Conv(4, 3, layout="WCHN", padding="valid", name="valid")(maps)
        maps = Conv(40, 3, strides=2, layout="WCHN", name="wide")(
            dropout(maps, 0.2, keys, batch_axis=3)
        )
        return DenseOfImages(3, layout="WCHN", name="dense")(jnp.tanh(maps))


class Foreign(nn.Module):
    """As Flax's own examples have it: a flag, Flax's dropout, convolutions, unknown layers."""

    @nn.compact
    def __call__(self, images, train: bool):
        maps = nn.relu(nn.Conv(4, (3, 3), name="conv")(images))
        maps = nn.Conv(4, (3, 3), strides=2, use_bias=False, padding="VALID", name="strided")(maps)
        maps = nn.relu(nn.Conv(8, (3, 3), feature_group_count=2, name="groups")(maps))
        maps = nn.relu(nn.ConvTranspose(3, (2, 2), name="transpose")(maps))
        flat = nn.Dropout(0.4, deterministic=not train)(maps.reshape(len(maps), -1))
        return nn.DenseGeneral(3, name="general")(flat)


class Unusual(nn.Module):
    """Layers of constants; tokens from the end."""

    @nn.compact
    def __call__(self, tokens, train: bool):
        places = nn.Embed(9, 8, name="places")(jnp.arange(9))
        values = nn.Embed(7, 8, name="embed")(jnp.where(tokens > 4, tokens - 7, tokens))
        values = nn.Dense(8, name="dense")(values + places[None])
        values = values + nn.Dense(8, name="of_ones")(jnp.ones((1, 1, 3)))
        values = nn.Dropout(0.3, deterministic=not train)(values.mean(axis=1))
        return nn.Dense(3, name="last")(values)


class Sizes(nn.Module):
    """Convolutions of images of two sizes, and of an image and its mirror image as a batch."""

    @nn.compact
    def __call__(self, images, train: bool):
        ours = Conv(4, 3, strides=2, padding="same", name="ours")
        flax = nn.Conv(4, (3, 3), strides=2, name="flax")
        both = nn.Conv(2, (3, 3), name="both")
        mirrored = both(jnp.concatenate([images, images[:, :, ::-1]]))
        maps = mirrored[: len(images)] - 2 * mirrored[len(images) :]
        smaller = maps[:, :-1, :-1]
        pooled = [
            jnp.tanh(conv(of)).mean(axis=(1, 2)) for conv in (ours, flax) for of in (smaller, maps)
        ]
        return nn.Dense(3, name="last")(jnp.concatenate(pooled, axis=1))


class Wrapped(nn.Module):
    """Layers whose calls cannot be seen: wrapped, and within transformations."""

    @nn.compact
    def __call__(self, inputs, train: bool):
        values = inputs.reshape(len(inputs), -1)[:, :20]
        values = jnp.tanh(nn.WeightNorm(nn.Dense(6, name="normed"))(values))
        mapped, rematerialized = nn.Dense(6, name="mapped"), nn.Dense(6, name="rematerialized")
        if self.is_initializing():  # parameters are made outside
            mapped(values), rematerialized(values)
        values = jnp.tanh(jax.vmap(mapped)(values))
        values = jnp.tanh(jax.checkpoint(lambda values: rematerialized(values))(values))
        return nn.Dense(3, name="last")(values)


class Centred(nn.Module):
    """Layers whose cotangents sum to 0 over positions where all inputs may be nearly alike."""

    @nn.compact
    def __call__(self, images, keys):
        rows, tokens = images.reshape(len(images), 8, 36), jnp.zeros((len(images), 5), int)
        values = {
            "conv": Conv(40, 3, padding="valid", name="conv")(images[:, :6, :6]),
            "dense": nn.Dense(40, name="dense")(rows),
            "embed": nn.Embed(2, 8, name="embed")(tokens),
        }
        pooled = [self.pool(of.reshape(len(of), -1, of.shape[-1])) for of in values.values()]
        return nn.Dense(3, name="last")(jnp.concatenate(pooled, axis=1))

    def pool(self, values):
        """The mean over positions of what is not alike at all of them."""
        centred = values - values.mean(axis=1, keepdims=True)
        slope = jnp.arange(values.shape[1])[None, :, None] / values.shape[1]
        return jnp.tanh(centred + slope).mean(axis=1)


class Twice(nn.Dense):
    """Of Flax's kind, but not Flax's own."""

    @nn.compact
    def __call__(self, inputs):
        return 2 * super().__call__(inputs)


class Noisy(nn.Module):
    """Draws where it is given a key, and would not draw alone."""

    @nn.compact
    def __call__(self, inputs):
        scale = self.param("scale", nn.initializers.ones, inputs.shape[-1:])
        if self.has_rng("dropout"):
            scale = scale * (1 + jax.random.normal(self.make_rng("dropout"), scale.shape))
        return inputs * jnp.expand_dims(scale, [*range(inputs.ndim - 1)])


class Conditioned(nn.Module):
    """Holds what is being traced."""

    condition: jax.Array

    @nn.compact
    def __call__(self, inputs):
        return inputs * self.param("scale", nn.initializers.ones, (1, 1)) + self.condition


class Quantized(nn.Module):
    """Gives whole numbers."""

    @nn.compact
    def __call__(self, inputs):
        codes = self.param("codes", nn.initializers.normal(), (4, inputs.shape[-1]))
        return jnp.argmax(inputs @ codes.T, axis=-1)


def sine_product(*arguments, **options):
    return jnp.sin(jax.lax.dot_general(*arguments, **options))


class Derived(nn.Module):
    """Layers that are not as Flax has them."""

    @nn.compact
    def __call__(self, images, train: bool):
        values = images.reshape(len(images), -1)[:, :20]
        values = jnp.tanh(nn.Dense(6, dot_general=sine_product, name="hooked")(values))
        values = jnp.tanh(Twice(6, name="twice")(values))
        codes = Quantized(name="quantized")(values)
        values = Conditioned(values.mean(axis=1, keepdims=True), name="conditioned")(values)
        values = Noisy(name="noisy")(values) * (1 + codes[:, None])
        return nn.Dense(3, name="last")(values)


class PartlyUnknown(nn.Module):
    """A parameter that belongs to no layer, a tied embedding, and a scan."""

    @nn.compact
    def __call__(self, tokens, keys):
        embed = nn.Embed(3, 8, name="tied")
        values = nn.Dense(8, name="dense")(embed(tokens % 3))
        values = nn.RNN(nn.SimpleCell(8), name="rnn")(values)
        values = values * self.param("scale", nn.initializers.ones, (8,))[None, None]
        return embed.attend(dropout(values.mean(axis=1), 0.3, keys))


def _plain_init(key, inputs):
    features = inputs.reshape(len(inputs), -1).shape[1]
    return Variables({"w": jax.random.normal(key, (features, 3)) / 30, "b": jnp.zeros(3)}, {})


def _plain_apply(params, model_state, inputs, keys):
    flat = dropout(inputs.reshape(len(inputs), -1), 0.3, keys)
    return jnp.tanh(flat @ params["w"] + params["b"][None]), model_state


PLAIN = Model(Partial(_plain_init), Partial(_plain_apply))

COVERED = {
    "mlp": (lambda: models.mlp([16, 8], classes=3, dropout_rate=0.3), "images"),
    "lenet": (lambda: models.lenet(classes=3), "images"),
    "shared": (lambda: flax_model(Shared()), "tokens"),
    "images": (lambda: flax_model(Images()), "images"),
    "foreign": (lambda: flax_model(Foreign()), "images"),
    "unusual": (lambda: flax_model(Unusual()), "tokens"),
    "sizes": (lambda: flax_model(Sizes()), "images"),
}
UNCOVERED = {
    "partly_unknown": (lambda: flax_model(PartlyUnknown()), "tokens"),
    "wrapped": (lambda: flax_model(Wrapped()), "images"),
    "derived": (lambda: flax_model(Derived()), "images"),
    "plain": (lambda: PLAIN, "images"),
}
NETS = COVERED | UNCOVERED


def inputs_for(kind: str, count: int = BATCH):
    if kind == "tokens":
        return jax.random.randint(jax.random.key(3), (count, 9), 0, 7)
    return jax.random.uniform(jax.random.key(3), (count, 12, 12, 2))


def problem(name: str, dtype=jnp.float32, *, train: bool = True):
    """A loss, its parameters, a batch with a padded and a heavy example, and keys."""
    make, kind = NETS[name]
    model, inputs = make(), inputs_for(kind)
    params, _ = model.init(jax.random.key(0), inputs[:1])
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
    if kind == "images":
        inputs = inputs.astype(dtype)
    weights = jnp.array([1, 1, 0, 1, 2, 1], dtype)
    batch = Batch(inputs, jnp.arange(BATCH) % 3, weights)
    keys = jax.random.split(jax.random.key(1), BATCH) if train else None
    return losses.classification_loss(model), params, batch, keys
