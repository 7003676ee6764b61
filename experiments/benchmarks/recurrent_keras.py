"""Keras' side of the benchmark `recurrent`: run by it, where Keras and TensorFlow are installed.

Arguments: those of `recurrent_worker`; the way is ``loop``, or ``unrolled``, which has no loop over
time in its graph.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from keras import layers
from recurrent_worker import CLIP_NORM, EMBEDDING, RATE, VOCABULARY, Work
from worker import cores, serve

LAYERS = {"lstm": layers.LSTM, "gru": layers.GRU}


def network(way: str, work: Work, shape: tuple[int, ...]) -> keras.Model:
    """The classifier, or the language model."""
    parts = [keras.Input(shape)]
    if work.is_text:
        parts.append(layers.Embedding(VOCABULARY, EMBEDDING))
    for layer in range(work.layers):
        gives_all = work.is_text or layer < work.layers - 1
        how = {"return_sequences": gives_all, "unroll": way == "unrolled"}
        parts.append(LAYERS[work.cell](work.units, **how))
    parts.append(layers.Dense(work.outputs))
    return keras.Sequential(parts)


def main(way: str, work: Work) -> None:
    """Trains; all steps of a block are one call of TensorFlow, which is faster than one each."""
    keras.utils.set_random_seed(0)
    tf.config.threading.set_intra_op_parallelism_threads(cores())
    tf.config.threading.set_inter_op_parallelism_threads(cores())
    inputs, targets = work.load()
    model = network(way, work, inputs.shape[1:])
    bound = CLIP_NORM if work.is_text else None
    model.compile(
        optimizer=keras.optimizers.Adam(RATE, global_clipnorm=bound),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=work.steps,
    )

    def epoch() -> float:
        seen = model.fit(inputs, targets, batch_size=work.batch, verbose=0)
        return float(seen.history["loss"][0])

    version = f"{keras.__version__}, TensorFlow {tf.__version__}"
    serve(work.steps, epoch, parameters=model.count_params(), version=version)


if __name__ == "__main__":
    main(sys.argv[1], Work.read(sys.argv[2:]))
