"""Any image file of one digit, brought to MNIST's form by the way MNIST itself was made.

MNIST's digits are bright on black, scaled to fit a box of 20 by 20 pixels with their proportions
kept and their edges smoothed, and placed in 28 by 28 pixels by their centre of mass (LeCun,
Bottou, Bengio and Haffner 1998, section III.A). A photo has more to it: paper of any colour, light
that falls off, shadows, noise, dirt, pens of any width. So *ink* here is whatever stands out from
its surroundings; black on white, chalk on a board, red on blue and white on transparent are one
case.
"""

import math
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from jaxdl.errors import InputError

SIDE, BOX, CENTRE = 28, 20, 14
"""MNIST's side, the side of the box its digits fill, the pixel their centre of mass lies in."""

FINE = 8
"""Strokes are widened on a grid this many times finer than MNIST's."""

THINNEST = 1.4
"""Thinner strokes, in MNIST's pixels, are widened to this; 19 in 20 of MNIST's are wider."""

LARGEST = 1024
"""Images are reduced to at most this side, which also averages a camera's noise away."""

WIDEST = 0.4
"""Of the image's side: what stands out over a greater width is background, not a stroke."""

FAINTEST = 0.2
"""Of full ink: what is fainter is shading, noise or a trace of compression."""

SPECK = 0.08
"""Of the largest piece's ink: smaller pieces are dirt, larger ones strokes of the same digit."""

FULL_BOX = 0.85
"""Of its box: a frame with all within it fills more, unless much aslant; an ellipse fills 0.79."""

ALIKE = 0.6
"""Of the highest piece's height: others above it are digits too, not parts of a broken one."""


class _Strokes(NamedTuple):
    """A digit found in an image, and how good a find it is."""

    ink: Float[np.ndarray, "height width"]
    """How far each pixel is covered by ink, from 0 to 1."""

    box: tuple[slice, slice]
    """The rows and columns that the digit fills."""

    are_several: bool
    """Whether they look like several digits."""

    is_sheet: bool
    """Whether it looks like a sheet of paper rather than like strokes."""

    unrest: float
    """How much of the image's edges is left once these strokes are taken away."""


def read_digit(path: str | Path) -> UInt8[np.ndarray, "28 28 1"]:
    """Reads any image file of one digit as MNIST would have it: bright ink on black, 28x28.

    Strokes may be darker or lighter than what they are on, or differ by colour or opacity only.
    An image turned by its EXIF tag is turned, one of many frames is read for its first. What is
    small beside the digit is left out, and so are a frame around it and what touches the image's
    edge if the digit does not. An image from MNIST comes back as it is, up to its faintest pixels.

    Args:
        path: An image file that Pillow can read: PNG, JPEG, GIF, BMP, WebP, TIFF and others.

    Raises:
        InputError: the file is missing, no image, damaged or of more than 89 million pixels, or
            nothing in it stands out.

    Warns:
        UserWarning: there seem to be several digits, which are read as one.
    """
    ink = _project(_read_pixels(Path(path)))
    found = [strokes for strokes in (_find_strokes(ink), _find_strokes(-ink)) if strokes]
    if not found:
        raise InputError(f"{path}: nothing stands out from the background; is the image blank?")
    best = min(found, key=lambda strokes: (strokes.is_sheet, strokes.unrest))
    if best.are_several:
        warnings.warn(f"{path}: looks like several digits, read as one", stacklevel=2)
    return _place(best)


def _read_pixels(path: Path) -> Float[np.ndarray, "height width channels"]:
    """Reads ``path`` upright: red, green and blue times opacity, and opacity, from 0 to 1."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                image = _with_opacity(ImageOps.exif_transpose(file))
                reduced = image.reduce(math.ceil(max(image.size) / LARGEST))
                pixels = np.asarray(reduced, np.float64)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (UnidentifiedImageError, IsADirectoryError):
        raise InputError(f"{path}: not an image that Pillow can read; try PNG or JPEG") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise InputError(f"{path}: more than {limit} pixels; reduce it first") from None
    except Exception as error:  # on damaged files decoders raise whatever they trip over
        raise InputError(f"{path}: cannot be read ({error})") from None
    return pixels / 255 if pixels.ndim == 3 else pixels[..., None]


def _with_opacity(image: Image.Image) -> Image.Image:
    """The image in premultiplied 8-bit colours, or stretched to [0, 1] where it has more bits."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.nan_to_num(np.asarray(image, np.float32))
        return Image.fromarray((values - values.min()) / max(float(np.ptp(values)), 1e-9))
    return image.convert("RGBA").convert("RGBa")


def _project(
    pixels: Float[np.ndarray, "height width channels"],
) -> Float[np.ndarray, "height width"]:
    """Each pixel along the one direction of colour in which neighbourhoods differ most."""
    side = max(pixels.shape[:2])
    step = math.ceil(side / 256)
    coarse = pixels[::step, ::step]
    local = coarse - ndimage.gaussian_filter(coarse, 0.15 * side / step, axes=(0, 1))
    _, directions = np.linalg.eigh(np.einsum("hwc,hwd->cd", local, local))
    return pixels @ directions[:, -1]


def _find_strokes(values: Float[np.ndarray, "height width"]) -> _Strokes | None:
    """The strokes in ``values`` that are higher than their surroundings; None if there are none.

    The background is the morphological opening of the image: it follows any shade that is wider
    than a stroke, sharp shadows too.
    """
    side = max(values.shape)
    smooth = ndimage.gaussian_filter(values, side / 512)
    background = ndimage.grey_opening(smooth, max(11, round(WIDEST * side)))
    light = _light(background, smooth - background)
    base, noise, level = _levels((smooth - background) / light)
    if level < max(6 * noise, 0.02):
        return None
    coverage = ((smooth - background) / light - base) / level
    faintest = max(FAINTEST, 4 * noise / level)
    inked = coverage > faintest
    frames = _frames(inked)
    kept = _main_pieces(coverage, inked & ~frames)
    box = ndimage.find_objects(kept.astype(np.uint8))[0]
    length = max(extent.stop - extent.start for extent in box)
    if length < 5:
        return None

    full = np.percentile(coverage[kept & (coverage > 0.5 * coverage[kept].max())], 90)
    strokes = kept & (coverage > 0.5 * full)
    is_sheet = bool(strokes[box].mean() > 0.75 and _stroke_width(strokes) > length / 4)
    rest = smooth - np.where(kept | frames, coverage - faintest, 0) * level * light
    unrest = sum(float(np.sum(np.diff(rest, axis=axis) ** 2)) for axis in (0, 1))
    ink = ((values - background) / light - base) / (level * full)
    fringe = ndimage.binary_dilation(kept, np.ones((3, 3)))
    return _Strokes(np.clip(ink, 0, 1) * fringe, box, _are_several(kept), is_sheet, unrest)


def _light(
    background: Float[np.ndarray, "height width"], raised: Float[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width"] | float:
    """The light that falls on each pixel, where ink is darker than paper; 1 otherwise.

    Dark ink takes a share of the light, so its contrast is to be measured in the light of its
    place. Values of dark ink on paper are negative brightnesses: above paper's, at most 0.
    """
    brightness = float(np.max(-background))
    _, _, level = _levels(raised)
    if brightness > 0.1 and level < brightness + 0.1:
        return np.maximum(-background, 0.1 * brightness)
    return 1.0


def _levels(raised: Float[np.ndarray, "height width"]) -> tuple[float, float, float]:
    """The background's mean and standard deviation, and how far ink typically is above the mean.

    The background's are read from the lower quartile alone, as of a normal distribution, because
    ink, dirt and leftover shades are all above. Ink's is a mean in which pixels count by the
    square of what they have above three deviations.
    """
    lowest, low = np.percentile(raised, (5, 25))
    noise = (low - lowest) / (1.645 - 0.674)
    base = low + 0.674 * noise
    above = np.maximum(raised - base - 3 * noise, 0)
    if not above.any():
        return base, noise, 0.0
    return base, noise, 3 * noise + np.sum(above**3) / np.sum(above**2)


def _pieces(inked: Bool[np.ndarray, "height width"]) -> Int32[np.ndarray, "height width"]:
    """The connected pieces of ``inked``, numbered from 1; 0 elsewhere."""
    pieces = np.zeros(inked.shape, np.int32)
    ndimage.label(inked, np.ones((3, 3)), output=pieces)
    return pieces


def _frames(inked: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """The connected pieces of ``inked`` that are rectangles around others: a box, a border.

    What a frame encloses has at least a thirtieth of its area.
    """
    pieces = _pieces(inked)
    frames = np.zeros_like(inked)
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        if min(extent.stop - extent.start for extent in box) < 5:
            continue
        piece = pieces[box] == number
        filled = np.asarray(ndimage.binary_fill_holes(piece))
        enclosed = inked[box] & filled & ~piece
        if filled.mean() > FULL_BOX and enclosed.sum() > piece.sum() / 30:
            frames[box] |= piece
    return frames


def _main_pieces(
    coverage: Float[np.ndarray, "height width"], inked: Bool[np.ndarray, "height width"]
) -> Bool[np.ndarray, "height width"]:
    """The connected pieces of ``inked`` that make up the digit.

    Pieces at the image's edge (a table beside the paper, a finger) are left out if others have at
    least a thirtieth of the ink; then specks are.
    """
    pieces = _pieces(inked)
    sizes = np.asarray(ndimage.sum_labels(coverage * inked, pieces, np.arange(pieces.max() + 1)))
    inner = sizes.copy()
    for edge in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        inner[edge] = 0
    if inner.max() > sizes.max() / 30:
        sizes = inner
    return (sizes > SPECK * sizes.max())[pieces]


def _are_several(kept: Bool[np.ndarray, "height width"]) -> bool:
    """Whether two pieces are about equally high, as the parts of a broken digit seldom are."""
    boxes = ndimage.find_objects(_pieces(kept))
    heights = sorted(rows.stop - rows.start for rows, _ in boxes)
    return len(heights) > 1 and heights[-2] > ALIKE * heights[-1]


def _stroke_width(strokes: Bool[np.ndarray, "height width"]) -> float:
    """The mean width in pixels: a bar's points lie a quarter of it from its edges on average."""
    depth = np.asarray(ndimage.distance_transform_edt(strokes))
    return 4 * (float(depth[strokes].mean()) - 0.5)


def _place(strokes: _Strokes) -> UInt8[np.ndarray, "28 28 1"]:
    """Scales the digit to its box of 20x20 and places it in 28x28 by its centre of mass."""
    scale = max(extent.stop - extent.start for extent in strokes.box) / BOX
    margin = math.ceil(scale * SIDE)
    masses = ndimage.center_of_mass(strokes.ink)
    top, left = (
        margin + extent.start - scale * _offset(extent, float(mass), scale)
        for extent, mass in zip(strokes.box, masses, strict=True)
    )
    padded = Image.fromarray(np.pad(strokes.ink, margin).astype(np.float32))
    window = (left, top, left + scale * SIDE, top + scale * SIDE)
    # Averages over areas keep a digit of 20 pixels as it is; tiny ones need smooth values between.
    resampling = Image.Resampling.BOX if scale >= 1 else Image.Resampling.BICUBIC
    fine = padded.resize((SIDE * FINE, SIDE * FINE), resampling, window)
    coverage = _widened(np.clip(np.asarray(fine, np.float64), 0, 1))
    coverage = coverage.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3))
    full = np.percentile(coverage[coverage > 0.5 * coverage.max()], 90)
    return np.rint(255 * np.minimum(coverage / full, 1)).astype(np.uint8)[..., None]


def _offset(extent: slice, mass: float, scale: float) -> int:
    """Before which of MNIST's pixels ``extent`` starts if its ``mass`` is to lie in the centre."""
    offset = round(CENTRE + 0.5 - (mass + 0.5 - extent.start) / scale)
    length = math.ceil((extent.stop - extent.start) / scale)
    return min(max(offset, 0), SIDE - length)


def _widened(fine: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Strokes thinner than MNIST's would fade when they are reduced: brings them to `THINNEST`."""
    strokes = fine > 0.5 * fine.max()
    missing = FINE * THINNEST - _stroke_width(strokes)
    if missing <= 0:
        return fine
    distance = np.asarray(ndimage.distance_transform_edt(~strokes))
    return np.maximum(fine, np.clip(missing / 2 + 1 - distance, 0, 1))
