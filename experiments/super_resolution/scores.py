"""How near enlarged images are to the originals, pixel by pixel and to a judge's eye."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from jaxdl import judge
from jaxdl.statistics import write_interval

Images = UInt8[np.ndarray, "count height width 1"]


@dataclass(frozen=True)
class Scores:
    """Of one set of enlarged images; means over images.

    Attributes:
        psnr: peak signal to noise ratio in dB, of each image by itself, as scikit-image has it.
        ssim: structural similarity (Wang et al. 2004), windows of 7x7, as scikit-image has it.
        read: share of the images that the judge reads rightly.
        frechet_distance: of the judge's features of them to those of the originals.
    """

    psnr: float
    ssim: float
    read: float
    frechet_distance: float


@dataclass(frozen=True)
class Originals:
    """What enlarged images are held against.

    Attributes:
        images: the originals.
        labels: what they show.
        moments: of the judge's features of them.
        read: share of the originals that the judge reads rightly.
    """

    images: Images
    labels: Int[np.ndarray, " count"]
    moments: judge.Moments
    read: float


def make_originals(
    reader: judge.Judge, images: Images, labels: Int[np.ndarray, " count"]
) -> Originals:
    """What to hold enlargements against; once for any number of them."""
    features, read = judge.observe(reader, images)
    return Originals(
        images, labels, judge.moments(features), float(np.mean(read.argmax(axis=1) == labels))
    )


def score(reader: judge.Judge, originals: Originals, images: Images) -> Scores:
    """The scores of enlargements, in the originals' order."""
    features, read = judge.observe(reader, images)
    pairs = list(zip(originals.images[..., 0], images[..., 0], strict=True))
    return Scores(
        psnr=float(np.mean([peak_signal_noise_ratio(*pair, data_range=255) for pair in pairs])),
        ssim=float(np.mean([structural_similarity(*pair, data_range=255) for pair in pairs])),
        read=float(np.mean(read.argmax(axis=1) == originals.labels)),
        frechet_distance=judge.frechet_distance(judge.moments(features), originals.moments),
    )


def of_seeds(scores: list[Scores], name: str) -> Float[np.ndarray, " seeds"]:
    """One score of each seed."""
    return np.array([getattr(of, name) for of in scores])


def table(methods: dict[str, list[Scores]]) -> str:
    """A line for each method: means over seeds and, of several, half their 95% intervals."""
    lines = [f"{'':26}{'PSNR (dB)':>16}{'SSIM':>18}{'read rightly':>18}{'Frechet distance':>20}"]
    forms = {"psnr": (".2f", 16), "ssim": (".4f", 18), "read": (".2%", 18)}
    forms["frechet_distance"] = (".2f", 20)
    for method, scores in methods.items():
        cells = [method.ljust(26)]
        for name, (form, width) in forms.items():
            cells.append(write_interval(of_seeds(scores, name), form).rjust(width))
        lines.append("".join(cells))
    return "\n".join(lines)
