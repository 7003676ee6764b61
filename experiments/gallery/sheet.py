"""One image of many pictures, in rows, each picture under its name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH = 1680
"""That rows fill: twice the width of a README, for sharp screens."""
LOW, HIGH = 190, 270
"""That the pictures of a row may have as their height."""
GAP, CAPTION, TEXT = 36, 38, 26
"""Space between pictures and around all; that a name takes; the size of its letters."""


def contact_sheet(paths: Mapping[str, Path]) -> Image.Image:
    """All pictures, as many to a row as fit, and so high that they fill it.

    Args:
        paths: of the pictures, by the names to be written over them.
    """
    font = ImageFont.load_default(TEXT)
    images = {name: Image.open(path).convert("RGB") for name, path in paths.items()}
    widths = {
        name: max(image.width * LOW / image.height, font.getlength(name))
        for name, image in images.items()
    }
    placed, bottom = [], GAP
    for row in in_rows(widths):
        scale = min(HIGH / LOW, space_for(row) / sum(widths[name] for name in row))
        left, height = float(GAP), round(scale * LOW)
        for name in row:
            placed.append((name, round(left), bottom, height))
            left += scale * widths[name] + GAP
        bottom += CAPTION + height + GAP
    sheet = Image.new("RGB", (WIDTH + 2 * GAP, bottom), "white")
    draw = ImageDraw.Draw(sheet)
    for name, left, top, height in placed:
        image = images[name]
        size = round(image.width * height / image.height), height
        draw.text((left, top), name, "black", font)
        sheet.paste(image.resize(size, Image.Resampling.LANCZOS), (left, top + CAPTION))
    return sheet


def in_rows(widths: Mapping[str, float]) -> list[list[str]]:
    """The names in rows, each as long as it can be.

    >>> in_rows({"a": 500, "b": 900, "c": 1700, "d": 10})
    [['a', 'b'], ['c'], ['d']]
    """
    rows: list[list[str]] = []
    for name in widths:
        longer = [*rows[-1], name] if rows else []
        if longer and sum(widths[other] for other in longer) <= space_for(longer):
            rows[-1].append(name)
        else:
            rows.append([name])
    return rows


def space_for(row: Sequence[str]) -> int:
    """That the gaps between the pictures of a row leave."""
    return WIDTH - GAP * (len(row) - 1)
