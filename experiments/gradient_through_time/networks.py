"""The networks whose gradients are measured while they learn: what ails them, and each cure."""

import math
from typing import Any, NamedTuple

from jaxdl import plots


class Kind(NamedTuple):
    """What a compiled program is of."""

    cell: str
    is_normalized: bool = False


class Network(NamedTuple):
    """A network of one recurrent layer.

    Attributes:
        kind: its cell.
        gain: what its orthogonal recurrent kernels are multiplied by.
        clip_norm: the longest gradient that an update gets.
        style: how it is drawn.
    """

    kind: Kind
    gain: float
    clip_norm: float
    style: dict[str, Any]


SMALL, LARGE, CLIP_NORM = 0.5, 2.0, 1.0
VANISHING, EXPLODING, CLIPPED = "vanishing", "exploding", "clipped"
ORTHOGONAL, NORMALIZED, NORMALIZED_LARGE = "orthogonal", "normalized", "normalized, large"
LSTM, GRU = "LSTM", "GRU"
_RNN, _NORMALIZED = Kind("rnn"), Kind("rnn", is_normalized=True)

NETWORKS = {
    VANISHING: Network(_RNN, SMALL, CLIP_NORM, {"color": "black", "marker": "v"}),
    EXPLODING: Network(_RNN, LARGE, math.inf, {"color": plots.RED, "marker": "^"}),
    CLIPPED: Network(_RNN, LARGE, CLIP_NORM, {"color": plots.RED, "marker": "o", "ls": "--"}),
    ORTHOGONAL: Network(_RNN, 1.0, CLIP_NORM, {"color": plots.ORANGE, "marker": "s"}),
    NORMALIZED: Network(_NORMALIZED, SMALL, CLIP_NORM, {"color": plots.GREY, "marker": "D"}),
    NORMALIZED_LARGE: Network(
        _NORMALIZED, LARGE, CLIP_NORM, {"color": plots.GREY, "marker": "x", "ls": "--"}
    ),
    LSTM: Network(Kind("lstm"), 1.0, CLIP_NORM, {"color": plots.BLUE, "marker": "P"}),
    GRU: Network(Kind("gru"), 1.0, CLIP_NORM, {"color": plots.GREEN, "marker": "*"}),
}
