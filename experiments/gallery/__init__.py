"""The gallery: of every experiment a picture, what it claims, its numbers and its command.

``python -m experiments gallery`` collects what runs wrote and makes a page that needs nothing from
outside, and an image that shows one picture of each experiment: the first that it drew.
"""

import argparse
import json
import re
import shlex
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jinja2
from PIL import Image

from experiments.gallery.sheet import contact_sheet

PAGE, SHEET = "index.html", "gallery.png"
DOTS_OF_FIGURES, DOTS_OF_PAGES = 150, 96
"""To an inch: as `jaxdl.plots.save` writes, and as CSS counts."""

Block = tuple[Literal["prose", "list", "table"], list[str]]
"""Of a docstring: one paragraph, the items of a list, or one text that stays as it is written."""


class Picture(NamedTuple):
    """A figure of a run.

    Attributes:
        path: the file.
        alt: what is seen in it.
        width, height: in pixels of CSS, at which its text is as large as that of the page.
    """

    path: Path
    alt: str
    width: int
    height: int


class Exhibit(NamedTuple):
    """An experiment and what its run came to.

    Attributes:
        name: of the experiment.
        title: what it is about.
        about: what else it says of itself.
        command: that runs it as it was run.
        claims: objects with ``statement``, ``holds`` and ``numbers``.
        pictures: in the order in which they were drawn.
        made: how long it took, on what, and when; empty where it has not ended.
        failure: why it did not end well; None where it did.
    """

    name: str
    title: str
    about: Sequence[Block]
    command: str
    claims: Sequence[Mapping[str, Any]] = ()
    pictures: Sequence[Picture] = ()
    made: str = ""
    failure: str | None = None

    def is_good(self) -> bool:
        """Whether it ended well and all that it claims holds."""
        return self.failure is None and all(claim["holds"] for claim in self.claims)

    def verdict(self) -> str:
        """In a few words."""
        held = sum(claim["holds"] for claim in self.claims)
        counted = f"{held} of {len(self.claims)} claims hold"
        return self.failure or (counted if self.claims else "no claims in this form")


# --- what runs wrote -----------------------------------------------------------------------------


def collect(docstrings: Mapping[str, str], runs: Path) -> list[Exhibit]:
    """What there is of each experiment.

    Args:
        docstrings: of the experiments, by name.
        runs: a folder with ``NAME``, the run directory of each, and ``NAME.failed``, which says
            what went wrong, where something did.

    Raises:
        OSError: something in it cannot be read.
        ValueError: a ``summary.json`` is none.
    """
    return [read_exhibit(name, docstring, runs) for name, docstring in docstrings.items()]


def read_exhibit(name: str, docstring: str, runs: Path) -> Exhibit:
    """What there is of one."""
    title, _, rest = docstring.partition("\n")
    exhibit = Exhibit(name, title.rstrip("."), blocks(rest), f"python -m experiments.{name}")
    failed, summary_path = runs / f"{name}.failed", runs / name / "summary.json"
    failure = f"failed, {failed.read_text()}" if failed.exists() else None
    if not summary_path.exists():
        return exhibit._replace(failure=failure or "not run")
    try:
        summary = json.loads(summary_path.read_text())
    except ValueError as error:
        raise ValueError(f"{summary_path} is no summary: {error}") from error
    return exhibit._replace(
        command=public_command(name, summary["command"]),
        claims=summary.get("claims", []),
        pictures=read_pictures(runs / name / "figures"),
        made=how_made(summary),
        failure=failure,
    )


def blocks(text: str) -> list[Block]:
    r"""The parts of a docstring, so that its lines may be as long as a screen is wide.

    >>> blocks("Two\nlines.\n\n    - an item,\n      long\n    - one more\n\n    x  1\n    y  2")
    [('prose', ['Two lines.']), ('list', ['an item, long', 'one more']), ('table', ['x  1\ny  2'])]
    """
    return [as_block(part) for part in re.split(r"\n\s*\n", text.strip("\n")) if part]


def as_block(part: str) -> Block:
    """What is between two empty lines: its kind is told by its indentation and dashes."""
    if not part.startswith(" "):
        return "prose", [" ".join(part.split())]
    if part.lstrip().startswith("- "):
        items = re.split(r"^\s*- ", part, flags=re.MULTILINE)[1:]
        return "list", [" ".join(item.split()) for item in items]
    return "table", [textwrap.dedent(part)]


def public_command(name: str, given: str) -> str:
    """The command of a run as others give it: without its place and the path of its Python.

    >>> public_command("xor", "/usr/bin/python3.11 -m experiments.xor --out /tmp/xor --quick")
    'python -m experiments.xor --quick'
    """
    words, module = shlex.split(given), f"experiments.{name}"
    if module not in words:  # called from a program
        return given
    private = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    private.add_argument("--out")
    private.add_argument("--quiet", action="store_true")
    _, flags = private.parse_known_args(words[words.index(module) + 1 :])
    return shlex.join(["python", "-m", module, *flags])


def how_made(summary: Mapping[str, Any]) -> str:
    """How long a run took, on what, and when."""
    cores = summary["cpu_count"]
    where = f"{summary['device']}, {cores} CPU core{'s' * (cores > 1)}"
    changed = " with changes" if summary["git_changes"] else ""
    commit = f"; commit {summary['git_commit'][:10]}{changed}" if summary["git_commit"] else ""
    return f"{summary['seconds_total']:.0f} s on {where}, {summary['finished'][:10]}{commit}"


def read_pictures(folder: Path) -> list[Picture]:
    """The figures of a run, the oldest first."""
    paths = sorted(folder.glob("*.png"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    return [read_picture(path) for path in paths]


def read_picture(path: Path) -> Picture:
    """One of them, with the description that `jaxdl.plots.save` has put into the file."""
    with Image.open(path) as image:
        alt = image.info.get("Description", f"Figure {path.stem}")
        width, height = (round(size / DOTS_OF_FIGURES * DOTS_OF_PAGES) for size in image.size)
    return Picture(path, alt, width, height)


# --- what is made of it --------------------------------------------------------------------------


def write(exhibits: Sequence[Exhibit], out: Path) -> None:
    """Writes the page, its pictures and the image of all, into a folder.

    Raises:
        OSError: it cannot be written.
    """
    for exhibit in exhibits:
        for picture in exhibit.pictures:
            (out / exhibit.name).mkdir(exist_ok=True)
            shutil.copyfile(picture.path, out / exhibit.name / picture.path.name)
    leading = {exhibit.name: exhibit.pictures[0].path for exhibit in exhibits if exhibit.pictures}
    contact_sheet(leading).quantize().save(out / SHEET, optimize=True)
    (out / PAGE).write_text(render(exhibits), encoding="utf-8")


def render(exhibits: Sequence[Exhibit]) -> str:
    """The page; whatever runs wrote is escaped in it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html")
    return template.render(exhibits=exhibits, conclusion=conclusion(exhibits))


def conclusion(exhibits: Sequence[Exhibit]) -> str:
    """How many claims hold, and how many experiments ended well."""
    claims = [claim for exhibit in exhibits for claim in exhibit.claims]
    held, ended = sum(claim["holds"] for claim in claims), sum(e.failure is None for e in exhibits)
    return f"{held} of {len(claims)} claims hold, {ended} of {len(exhibits)} experiments ended well"
