"""Models, one file per family."""

from jaxdl.models.lenet import lenet, lenet_feature_maps
from jaxdl.models.mlp import mlp
from jaxdl.models.recurrent import language_model, sequence_classifier
from jaxdl.models.small_cnn import small_cnn

__all__ = [
    "language_model",
    "lenet",
    "lenet_feature_maps",
    "mlp",
    "sequence_classifier",
    "small_cnn",
]
