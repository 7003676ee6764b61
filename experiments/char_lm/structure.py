"""The structure of a text that a unit may follow, character by character."""

import re

import numpy as np
from jaxtyping import Float

OPENING, CLOSING = "([{", ")]}"


def structure(text: str) -> dict[str, Float[np.ndarray, " characters"]]:
    """What may be followed, a number for each character.

    - ``quotes``: 1 inside of quotation marks, " or ', that close on the same line.
    - ``brackets``: how many brackets are open.
    - ``indentation``: how many blanks the line begins with.
    - ``place in line``: how many characters of the line came before.

    >>> structure('f("a")')["quotes"]
    array([0., 0., 0., 1., 1., 0.])
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)  # splitlines would part at form feeds too
    indents = [len(line) - len(line.lstrip(" ")) for line in lines]
    lengths = [len(line) for line in lines]
    return {
        "quotes": np.concatenate([_inside_quotes(line) for line in lines]),
        "brackets": _open_brackets(text),
        "indentation": np.repeat(np.array(indents, float), lengths),
        "place in line": np.concatenate([np.arange(length, dtype=float) for length in lengths]),
    }


def _inside_quotes(line: str) -> Float[np.ndarray, " characters"]:
    """1 from behind a mark up to the one that closes it, and 0 where none does."""
    inside = np.zeros(len(line))
    place = 0
    while place < len(line):
        end = line.find(line[place], place + 1) if line[place] in "\"'" else -1
        if end > 0:
            inside[place + 1 : end + 1] = 1
            place = end
        place += 1
    return inside


def _open_brackets(text: str) -> Float[np.ndarray, " characters"]:
    depths, depth = np.zeros(len(text)), 0
    for place, character in enumerate(text):
        depth = max(depth + (character in OPENING) - (character in CLOSING), 0)
        depths[place] = depth
    return depths


def followers(
    hidden: Float[np.ndarray, "characters units"], text: str
) -> dict[str, tuple[int, float]]:
    """The unit that follows each structure best, and its correlation with it, -1 to 1.

    A structure that the text does not have is left out.
    """
    found = {}
    for name, values in structure(text).items():
        if values.std() == 0:
            continue
        unit_deviations = hidden - hidden.mean(axis=0)
        scale = np.sqrt(np.square(unit_deviations).sum(axis=0)) + 1e-12
        deviations = values - values.mean()
        correlations = deviations @ unit_deviations / scale / np.sqrt(deviations @ deviations)
        unit = int(np.abs(correlations).argmax())
        found[name] = (unit, float(correlations[unit]))
    return found
