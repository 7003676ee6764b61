"""Models, one file per family."""

from jaxdl.models.lenet import lenet, lenet_feature_maps
from jaxdl.models.mlp import mlp
from jaxdl.models.small_cnn import small_cnn

__all__ = ["lenet", "lenet_feature_maps", "mlp", "small_cnn"]
