"""Makes one MNIST digit into image files such as people have: photos, scans, drawings, icons."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 420
"""Side in pixels of the enlarged digit, 15 times MNIST's."""


def enlarged(digit: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The digit's ink from 0 to 1 with smooth edges on a square of ``side`` pixels."""
    picture = Image.fromarray(digit.reshape(28, 28).astype(np.float32) / 255)
    return np.clip(np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)), 0, 1)


def coloured(ink: np.ndarray, paper: tuple, pen: tuple) -> np.ndarray:
    """``ink`` drawn with colour ``pen`` on colour ``paper`` (0 to 255), float ``(h, w, 3)``."""
    return np.asarray(paper) + ink[..., None] * (np.asarray(pen, float) - np.asarray(paper))


def as_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def noise(shape: tuple[int, ...], deviation: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, deviation, shape)


def original(digit, path):
    Image.fromarray(digit.reshape(28, 28)).save(path)


def scaled(digit, path):
    Image.fromarray(as_bytes(255 * enlarged(digit))).save(path)


def tiny(digit, path):
    Image.fromarray(as_bytes(255 * enlarged(digit))).resize((14, 14)).save(path)


def inverted(digit, path):
    Image.fromarray(255 - digit.reshape(28, 28)).save(path)


def pen_colours(digit, path):
    """A red pen on light blue: nearly one brightness, two colours."""
    picture = coloured(enlarged(digit), (110, 150, 200), (215, 105, 90))
    Image.fromarray(as_bytes(picture)).save(path)


def on_grey(digit, path):
    Image.fromarray(as_bytes(128 - 80 * enlarged(digit))).save(path)


def turned_by_exif(digit, path):
    """Stored lying on its side; EXIF's orientation 6 says to turn it by 90 degrees clockwise."""
    upright = Image.fromarray(as_bytes(255 - 230 * enlarged(digit)))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=90)


def transparent_dark(digit, path):
    ink = as_bytes(255 * enlarged(digit))
    Image.merge("LA", (Image.new("L", ink.shape, 0), Image.fromarray(ink))).save(path)


def transparent_light(digit, path):
    ink = Image.fromarray(as_bytes(255 * enlarged(digit)))
    white = Image.new("L", ink.size, 255)
    Image.merge("RGBA", (white, white, white, ink)).save(path)


def sixteen_bit(digit, path):
    """Of 65,535 levels it uses 4,000, as a 12-bit camera does."""
    Image.fromarray((4000 - 3500 * enlarged(digit)).astype(np.uint16)).save(path)


def noisy_jpeg(digit, path):
    picture = coloured(enlarged(digit), (190, 185, 170), (40, 45, 90))
    Image.fromarray(as_bytes(picture + noise(picture.shape, 15))).save(path, quality=30)


def palette(digit, path):
    picture = Image.fromarray(as_bytes(coloured(enlarged(digit, 140), (250, 240, 200), (0, 90, 0))))
    picture.quantize(8).save(path)


def far_off_centre(digit, path):
    canvas = np.zeros((1500, 2000))
    canvas[150 : 150 + SIDE, 1480 : 1480 + SIDE] = enlarged(digit)
    Image.fromarray(as_bytes(240 - 200 * canvas)).save(path, quality=85)


def uneven_light(digit, path):
    """A photo of dark ink on paper lit from one corner: the far paper is as dark as near ink."""
    ink = np.pad(enlarged(digit), ((60, 140), (200, 80)))
    down, across = np.mgrid[: ink.shape[0], : ink.shape[1]]
    light = 1.0 - 0.75 * (0.4 * down / ink.shape[0] + 0.6 * across / ink.shape[1])
    picture = coloured(0.75 * ink, (235, 230, 220), (0, 0, 0)) * light[..., None]
    Image.fromarray(as_bytes(picture + noise(picture.shape, 4))).save(path, quality=80)


def under_shadow(digit, path):
    """The sharp shadow of a hand runs across the digit and halves the light."""
    ink = np.pad(enlarged(digit), ((60, 120), (150, 150)))
    down, across = np.mgrid[: ink.shape[0], : ink.shape[1]]
    light = ndimage.gaussian_filter(np.where(across + 0.3 * down > 430, 0.5, 1.0), 3)
    picture = coloured(0.8 * ink, (235, 230, 220), (0, 0, 0)) * light[..., None]
    Image.fromarray(as_bytes(picture + noise(picture.shape, 4))).save(path, quality=80)


def on_table(digit, path):
    """A white sheet on a brown table: the sheet's own edge is the strongest in the picture."""
    sheet = coloured(np.pad(enlarged(digit), 60), (240, 240, 235), (50, 50, 60))
    picture = np.full((sheet.shape[0] + 120, sheet.shape[1] + 240, 3), (110.0, 80.0, 50.0))
    picture[50:-70, 130:-110] = sheet
    Image.fromarray(as_bytes(picture + noise(picture.shape, 6))).save(path, quality=80)


def blurred(digit, path):
    """The camera moved: 14 pixels of blur across, where a stroke is some 40 wide."""
    ink = ndimage.gaussian_filter(enlarged(digit), (3, 14))
    Image.fromarray(as_bytes(230 - 170 * ink + noise(ink.shape, 6))).save(path, quality=80)


def one_bit(digit, path):
    Image.fromarray(enlarged(digit, 200) < 0.5).save(path)


def cmyk(digit, path):
    picture = coloured(enlarged(digit), (255, 255, 255), (20, 20, 120))
    Image.fromarray(as_bytes(picture)).convert("CMYK").save(path, quality=90)


def framed(digit, path):
    """The border of a screenshot: a line at the picture's very edge."""
    ink = np.pad(np.pad(enlarged(digit), 30), 6, constant_values=1.0)
    Image.fromarray(as_bytes(250 - 220 * ink)).save(path)


def in_a_box(digit, path):
    """The box of a form, a little aslant, with paper around it."""
    box = np.pad(np.pad(np.pad(enlarged(digit), 40), 5, constant_values=1.0), 50)
    ink = np.clip(ndimage.rotate(box, 2, order=1), 0, 1)
    picture = coloured(ink, (235, 230, 220), (40, 40, 70))
    Image.fromarray(as_bytes(picture + noise(picture.shape, 6))).save(path, quality=80)


def thinned(shape: np.ndarray) -> np.ndarray:
    """The skeleton of a shape, one pixel wide (Zhang and Suen 1984)."""
    shape = np.pad(shape, 1)
    changed = True
    while changed:
        changed = False
        for turn in range(2):
            north, east, south, west = (
                np.roll(shape, step, axis) for axis, step in ((0, 1), (1, -1), (0, -1), (1, 1))
            )
            around = [north, np.roll(north, -1, 1), east, np.roll(south, -1, 1)]
            around += [south, np.roll(south, 1, 1), west, np.roll(north, 1, 1)]
            count = np.sum(around, axis=0)
            runs = np.sum([~a & b for a, b in zip(around, around[1:] + around[:1], strict=True)], 0)
            if turn == 0:
                inside = ~(north & east & south) & ~(east & south & west)
            else:
                inside = ~(north & east & west) & ~(north & south & west)
            gone = shape & (count >= 2) & (count <= 6) & (runs == 1) & inside
            shape = shape & ~gone
            changed |= bool(gone.any())
    return shape[1:-1, 1:-1]


def thin_pen(digit, path):
    """The strokes' middle lines alone, 4 pixels wide where MNIST's 28 pixels are 900."""
    line = Image.fromarray(thinned(enlarged(digit, 150) > 0.5)).convert("L").resize((900, 900))
    line = ndimage.gaussian_filter(np.asarray(line) > 127, 1.2, output=float)
    Image.fromarray(as_bytes(250 - 210 * line)).save(path)


def thick_pen(digit, path):
    ink = ndimage.maximum_filter(enlarged(digit), 16)
    Image.fromarray(as_bytes(245 - 220 * ink)).save(path, quality=85)


FORMS: dict[str, Callable[[np.ndarray, Path], None]] = {
    "original.png": original,
    "scaled.webp": scaled,
    "tiny.bmp": tiny,
    "inverted.gif": inverted,
    "pen_colours.png": pen_colours,
    "on_grey.png": on_grey,
    "turned_by_exif.jpg": turned_by_exif,
    "transparent_dark.png": transparent_dark,
    "transparent_light.png": transparent_light,
    "sixteen_bit.png": sixteen_bit,
    "noisy_jpeg.jpg": noisy_jpeg,
    "palette.gif": palette,
    "far_off_centre.jpg": far_off_centre,
    "uneven_light.jpg": uneven_light,
    "under_shadow.jpg": under_shadow,
    "on_table.jpg": on_table,
    "blurred.jpg": blurred,
    "one_bit.png": one_bit,
    "cmyk.jpg": cmyk,
    "framed.png": framed,
    "in_a_box.jpg": in_a_box,
    "thin_pen.png": thin_pen,
    "thick_pen.jpg": thick_pen,
}
"""Each form's file name, and the function ``(digit, path)`` that writes it; digit: uint8 28x28."""


def write_forms(digit: np.ndarray, folder: Path) -> list[Path]:
    """Writes ``digit`` (uint8, 28x28) in every form into ``folder``; the files."""
    paths = [folder / name for name in FORMS]
    for path in paths:
        FORMS[path.name](digit, path)
    return paths
