"""The gallery: a page that any reader of XML can read, with all that runs wrote, and one image."""

import json
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from experiments import gallery
from experiments.gallery.sheet import CAPTION, GAP, HIGH, LOW, WIDTH, contact_sheet
from jaxdl import plots

HOSTILE = """<script>alert("1")</script> & 'x' </p> {{ 7 * 7 }} {% raw %} ©"""
DOCSTRINGS = {
    "bad": f"Fails {HOSTILE}.\n\nSays {HOSTILE}.\n\n    - {HOSTILE}\n    - two\n\n    a  {HOSTILE}",
    "broken": "Breaks.",
    "good": "Is good.",
    "missing": "Was not run.",
}
MADE = {
    "seconds_total": 12.3,
    "command": "/usr/bin/python3 -m experiments.NAME --out /tmp/x --quiet --quick --text 'a b'",
    "finished": "2026-01-31T18:00:00+0000",
    "device": "cpu",
    "cpu_count": 2,
    "git_commit": "0123456789abcdef",
    "git_changes": True,
}
COLOURS = ["#ff0000", "#00ff00", "#0000ff", "#ffff00", "#ff00ff", "#00ffff"]


def claim(*, holds: bool, text: str = "") -> dict:
    return {"statement": f"statement {text}", "holds": holds, "numbers": f"1.5, expected 2 {text}"}


def write_run(runs: Path, name: str, *claims: dict) -> Path:
    """A run directory, without figures."""
    (runs / name / "figures").mkdir(parents=True)
    command = MADE["command"].replace("NAME", name)
    summary = {"claims": list(claims), **MADE, "command": command}
    (runs / name / "summary.json").write_text(json.dumps(summary))
    return runs / name / "figures"


def draw(xlabel: str) -> Figure:
    figure = Figure(figsize=(6, 3))
    figure.subplots().set(xlabel=xlabel, ylabel="loss")
    return figure


@pytest.fixture
def runs(tmp_path) -> Path:
    """One run of each kind but ``missing``."""
    runs = tmp_path / "runs"
    figures = write_run(runs, "good", claim(holds=True), claim(holds=True))
    plots.save_all({"second": draw("z"), "first": draw(HOSTILE)}, figures)
    os.utime(figures / "second.png", (1000, 1000))
    figures = write_run(runs, "bad", claim(holds=True), claim(holds=False, text=HOSTILE))
    Image.new("RGB", (300, 150)).save(figures / "of <no> #word?.png")  # without a description
    (runs / "broken").mkdir()
    (runs / "broken.failed").write_text(f"exit code 1: {HOSTILE}")
    return runs


@pytest.fixture
def page(runs, tmp_path) -> ElementTree.Element:
    """The root of the page, which is well-formed: the parser takes nothing else."""
    out = tmp_path / "page"
    out.mkdir()
    gallery.write(gallery.collect(DOCSTRINGS, runs), out)
    text = (out / "index.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    return ElementTree.fromstring(text)


def text_of(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def section(page: ElementTree.Element, name: str) -> ElementTree.Element:
    found = page.find(f".//section[@id='{name}']")
    assert found is not None
    return found


def test_a_screen_reader_finds_its_way(page):
    assert page.get("lang") == "en"
    body = page.find("body")
    assert body is not None
    assert [child.tag for child in body] == ["a", "header", "nav", "main", "footer"]
    headings = [of for of in page.iter() if re.fullmatch("h[1-6]", of.tag)]
    assert [heading.tag for heading in headings] == ["h1", "h2", "h2", "h2", "h2"]
    ids = [of.get("id") for of in page.iter() if of.get("id")]
    assert len(ids) == len(set(ids))
    links = [of.get("href", "") for of in page.iter("a")]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    for name in DOCSTRINGS:
        assert f"#{name}" in links
        assert section(page, name).get("aria-labelledby") in ids


def test_nothing_comes_from_outside_and_nothing_runs(page, tmp_path):
    assert not list(page.iter("script"))
    for of in page.iter():
        assert not any(name.startswith("on") for name in of.attrib)
        address = urlsplit(of.get("src") or of.get("href") or "")
        assert (address.scheme, address.netloc, address.query) == ("", "", "")
        assert not address.path or (tmp_path / "page" / unquote(address.path)).is_file()
    style = page.find("head/style")
    assert style is not None
    assert "url(" not in text_of(style)
    assert "@import" not in text_of(style)


def test_pictures_in_the_order_in_which_they_were_drawn(page):
    images = list(section(page, "good").iter("img"))
    assert [image.get("src") for image in images] == ["good/second.png", "good/first.png"]
    assert images[0].get("alt") == "Axes: loss against z."
    assert (images[0].get("width"), images[0].get("height")) == ("576", "288")  # 6 by 3 inches
    (image,) = section(page, "bad").iter("img")
    assert image.get("alt") == "Figure of <no> #word?"
    (summary,) = (of for of in section(page, "good").iter("summary") if "More" in text_of(of))
    assert text_of(summary) == "More pictures of good (1)"


def test_claims_numbers_and_commands(page):
    items = [text_of(item) for item in section(page, "bad").findall("ul/li")]
    assert items == [
        "holds: statement 1.5, expected 2",
        f"does not hold: statement {HOSTILE} 1.5, expected 2 {HOSTILE}",
    ]
    commands = [text_of(of) for of in page.iter("code")]
    assert commands == [
        "python -m experiments.bad --quick --text 'a b'",
        "python -m experiments.broken",
        "python -m experiments.good --quick --text 'a b'",
        "python -m experiments.missing",
        "python -m experiments gallery",
    ]
    made = "12 s on cpu, 2 CPU cores, 2026-01-31; commit 0123456789 with changes"
    assert made in text_of(section(page, "good"))


def test_what_is_not_good_is_said(page):
    header, nav = page.find("body/header"), page.find("body/nav")
    assert header is not None
    assert nav is not None
    assert "3 of 4 claims hold, 2 of 4 experiments ended well." in text_of(header)
    assert [text_of(item) for item in nav.iter("li")] == [
        "bad 1 of 2 claims hold",
        f"broken failed, exit code 1: {HOSTILE}",
        "good 2 of 2 claims hold",
        "missing not run",
    ]
    classes = [of.get("class") for item in nav.iter("li") for of in item.iter("span")]
    assert classes == ["bad", "bad", "quiet", "bad"]


def test_one_that_failed_after_its_summary(runs):
    (runs / "good.failed").write_text("exit code -9: killed")
    exhibits = {shown.name: shown for shown in gallery.collect(DOCSTRINGS, runs)}
    assert exhibits["good"].verdict() == "failed, exit code -9: killed"
    assert not exhibits["good"].is_good()
    assert len(exhibits["good"].claims) == 2


def test_no_claims_are_no_failure(tmp_path):
    write_run(tmp_path, "good")
    (exhibit,) = gallery.collect({"good": "Is good."}, tmp_path)
    assert exhibit.is_good()
    assert exhibit.verdict() == "no claims in this form"


def test_what_it_says_of_itself(page):
    details = section(page, "bad").findall("details")[-1]
    assert [(of.tag, text_of(of)) for of in details][1:] == [
        ("p", f"Says {HOSTILE}."),
        ("ul", f"{HOSTILE} two"),
        ("pre", f"a {HOSTILE}"),
    ]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("python -m experiments.a --out=/x --seeds 3", "python -m experiments.a --seeds 3"),
        ("python -m experiments.a --outer 2 --quiet", "python -m experiments.a --outer 2"),
        ("python notebook.py 'my file'", "python notebook.py 'my file'"),
    ],
)
def test_the_command_without_what_is_private(given, shown):
    assert gallery.public_command("a", given) == shown


def test_a_summary_that_is_none_is_named(runs):
    (runs / "good" / "summary.json").write_text("{")
    with pytest.raises(ValueError, match=r"good/summary\.json is no summary: "):
        gallery.collect(DOCSTRINGS, runs)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_stand_out(page, scheme):
    """By 4.5 to 1 (WCAG 2.2, 1.4.3), text on each of the backgrounds."""
    style = page.find("head/style")
    assert style is not None
    light, dark = re.findall(r":root \{(.*?)\}", style.text or "", flags=re.DOTALL)
    found = re.findall(r"--(\w+): (#\w{6});", light if scheme == "light" else dark)
    assert {name for name, _ in found} == {*("page", "card", "text", "quiet", "line"), *LETTERS}
    colours = {name: luminance(colour) for name, colour in found}
    for ground in ("page", "card"):
        for name in ("text", "quiet", *LETTERS):
            darker, lighter = sorted([colours[name], colours[ground]])
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (name, ground)


LETTERS = ("link", "good", "bad")


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance."""
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_the_image_shows_all_whole_and_side_by_side(tmp_path):
    """Squares and a wide picture, each of one colour: told by their colours."""
    paths = {}
    for place, colour in enumerate(COLOURS):
        paths[f"name_{place}"] = tmp_path / f"{place}.png"
        size = (900, 300) if place == 3 else (400, 400)
        Image.new("RGB", size, colour).save(paths[f"name_{place}"])
    pixels = np.asarray(contact_sheet(paths))
    assert pixels.shape[1] == WIDTH + 2 * GAP
    boxes = []
    for place, colour in enumerate(COLOURS):
        wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        rows, columns = np.nonzero((pixels == wanted).all(axis=-1))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width  # nothing over it
        assert LOW <= height <= HIGH
        assert abs(width / height - (3 if place == 3 else 1)) < 0.02
        assert columns.min() >= GAP
        assert columns.max() < GAP + WIDTH
        boxes.append((rows.min(), columns.min(), columns.max()))
    tops = [top for top, _, _ in boxes]
    assert tops == sorted(tops)
    first = [box for box in boxes if box[0] == tops[0]]
    assert len(first) == 5
    assert abs(first[-1][2] - (GAP + WIDTH)) <= 3  # filled
    assert not (pixels[:, :, 0] == 0)[: tops[0] - CAPTION].any()
    captions = pixels[tops[0] - CAPTION : tops[0]]
    assert (captions < 100).any()


def test_an_empty_image_is_one_too():
    assert contact_sheet({}).width == WIDTH + 2 * GAP
