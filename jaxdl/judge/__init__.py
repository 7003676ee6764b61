"""How good samples are, as a network trained on real examples sees them.

`judge_in` trains a judge, or loads one. `make_reference` prepares what samples are held against,
`score` gives all scores of a set of samples by name, `bounds` those of real images and of noise,
`table` writes them side by side::

    judge = judge_in(Path("judges"), dataset)
    reference = make_reference(judge, dataset)
    scores = score(judge, samples, reference)
    print(table(judge, {"samples": scores, **bounds(judge, reference, len(samples))}))

Each score is a function of its own too, of any features: `frechet_distance`, `kernel_distance`,
`precision_recall`, `density_coverage`, `copying`, `label_balance`. The network is seen on the
device, in float32; all that follows is NumPy's, in float64.
"""

from jaxdl.judge.frechet import Moments, frechet_distance, moments
from jaxdl.judge.kernel import kernel_distance, squared_mmd
from jaxdl.judge.labels import LabelBalance, fit_to_counts, label_balance
from jaxdl.judge.neighbours import (
    Copying,
    Nearness,
    TrainingDistances,
    copying,
    density_coverage,
    held_out_distances,
    nearest_distances,
    precision_recall,
    training_distances,
)
from jaxdl.judge.network import (
    Judge,
    Recipe,
    check_images,
    classification_accuracy_score,
    features,
    judge_in,
    load_judge,
    observe,
    read,
    save_judge,
    train_judge,
)
from jaxdl.judge.scores import (
    Reference,
    Scores,
    bounds,
    draw_real,
    make_reference,
    score,
    shuffle_pixels,
    table,
)

__all__ = [
    "Copying",
    "Judge",
    "LabelBalance",
    "Moments",
    "Nearness",
    "Recipe",
    "Reference",
    "Scores",
    "TrainingDistances",
    "bounds",
    "check_images",
    "classification_accuracy_score",
    "copying",
    "density_coverage",
    "draw_real",
    "features",
    "fit_to_counts",
    "frechet_distance",
    "held_out_distances",
    "judge_in",
    "kernel_distance",
    "label_balance",
    "load_judge",
    "make_reference",
    "moments",
    "nearest_distances",
    "observe",
    "precision_recall",
    "read",
    "save_judge",
    "score",
    "shuffle_pixels",
    "squared_mmd",
    "table",
    "train_judge",
    "training_distances",
]
