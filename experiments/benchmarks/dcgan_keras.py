"""Keras' side of the benchmark `dcgan`: run by it, where Keras and TensorFlow are installed.

Arguments: steps in a block, a file of images. A step is a function that TensorFlow compiles, as in
Keras' own examples.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from worker import cores, serve

BATCH = 128
LATENT = 64
FEATURES = 64


def players() -> tuple[keras.Model, keras.Model]:
    """Generator and discriminator."""
    how = {"strides": 2, "padding": "same", "kernel_initializer": normal()}
    generator = keras.Sequential([
        keras.Input((LATENT,)),
        layers.Dense(49 * 2 * FEATURES, kernel_initializer=normal()),
        layers.Reshape((7, 7, 2 * FEATURES)),
        layers.BatchNormalization(momentum=0.9, epsilon=1e-5), layers.ReLU(),
        layers.Conv2DTranspose(FEATURES, 4, **how),
        layers.BatchNormalization(momentum=0.9, epsilon=1e-5), layers.ReLU(),
        layers.Conv2DTranspose(1, 4, activation="sigmoid", **how),
    ])  # fmt: skip
    discriminator = keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(FEATURES, 4, **how), layers.LeakyReLU(negative_slope=0.2),
        layers.Conv2D(2 * FEATURES, 4, **how), layers.LeakyReLU(negative_slope=0.2),
        layers.Flatten(), layers.Dense(4 * FEATURES, kernel_initializer=normal()),
        layers.LeakyReLU(negative_slope=0.2), layers.Dense(1, kernel_initializer=normal()),
    ])  # fmt: skip
    return generator, discriminator


def normal() -> keras.initializers.Initializer:
    """As in DCGAN."""
    return keras.initializers.RandomNormal(stddev=0.02)


def main(steps: int, path: str) -> None:
    """Trains."""
    keras.utils.set_random_seed(0)
    tf.config.threading.set_intra_op_parallelism_threads(cores())
    tf.config.threading.set_inter_op_parallelism_threads(cores())
    images = np.load(path)[..., None]
    generator, discriminator = players()
    optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)]
    for optimizer, player in zip(optimizers, (generator, discriminator), strict=True):
        optimizer.build(player.trainable_variables)

    @tf.function
    def step(batch: tf.Tensor) -> tf.Tensor:
        real = 2 * (tf.cast(batch, tf.float32) / 255) - 1
        generated = 2 * generator(tf.random.normal((BATCH, LATENT)), training=True) - 1
        with tf.GradientTape() as tape:
            caught = tf.nn.softplus(-discriminator(real)) + tf.nn.softplus(discriminator(generated))
            loss = tf.reduce_mean(caught)
        weights = discriminator.trainable_variables
        optimizers[1].apply(tape.gradient(loss, weights), weights)
        with tf.GradientTape() as tape:
            samples = 2 * generator(tf.random.normal((BATCH, LATENT)), training=True) - 1
            of_generator = tf.reduce_mean(tf.nn.softplus(-discriminator(samples)))
        weights = generator.trainable_variables
        optimizers[0].apply(tape.gradient(of_generator, weights), weights)
        return loss

    random = np.random.default_rng(0)

    def epoch() -> float:
        order = random.permutation(len(images)).reshape(-1, BATCH)
        return float(np.mean([step(tf.constant(images[rows])).numpy() for rows in order]))

    trained = [*generator.trainable_variables, *discriminator.trainable_variables]
    version = f"{keras.__version__}, TensorFlow {tf.__version__}"
    parameters = sum(int(np.prod(of.shape)) for of in trained)
    serve(steps, epoch, parameters=parameters, version=version)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
