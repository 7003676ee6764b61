"""A photo is read as the digit it is of: the experiment `predict` on files in many forms."""

import re
from pathlib import Path

import numpy as np
import pytest
from digit_files import write_forms

from experiments import mnist_cnn, predict
from jaxdl import cli, data
from jaxdl.data.photo import read_digit
from jaxdl.errors import InputError

PENS = {"thin_pen.png", "thick_pen.jpg"}
"""Forms that change the strokes themselves: a 3 of a thick pen can close to an 8."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of the default recipe on the 5,000 digits."""
    out = tmp_path_factory.mktemp("predict") / "run"
    arguments = ["--quiet", "--out", str(out)]
    cli.main(mnist_cnn.run, mnist_cnn.Config, arguments, recipes=mnist_cnn.RECIPES)
    return out


@pytest.mark.slow
def test_every_form_of_a_digit_is_read_as_the_original(trained, tmp_path):
    """The first test digit of each class that the network reads, in every form."""
    test = data.load("mnist_5k").test
    images, truths = np.asarray(test.inputs), np.asarray(test.targets)
    network, _ = predict.load_network(trained)
    wrong = []
    for truth in range(10):
        members = np.flatnonzero(truths == truth)
        place = next(i for i in members if network(images[i]).argmax() == truth)
        paths = write_forms(images[place, ..., 0], tmp_path)
        wrong += [(truth, p.name) for p in paths if network(read_digit(p)).argmax() != truth]
    assert {name for _, name in wrong} <= PENS
    assert len(wrong) <= 2


@pytest.mark.slow
def test_the_command_prints_a_line_and_saves_a_picture_for_each_file(trained, tmp_path, capsys):
    digit = np.asarray(data.load("mnist_5k").test.inputs[0, ..., 0])
    paths = write_forms(digit, tmp_path)[:4]
    cli.main(predict.run, predict.Config, [str(trained), *map(str, paths)])
    lines = capsys.readouterr().out.splitlines()
    for path, line in zip(paths, lines, strict=True):
        read = re.fullmatch(rf"{re.escape(str(path))}: \d \([\d.]+%\), see (\S+)", line)
        assert read, line
        assert Path(read[1]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_what_cannot_be_read_is_one_line(trained, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("not an image")
    for image in (text, tmp_path / "missing.png"):
        with pytest.raises(InputError, match=image.name):
            predict.run(predict.Config(trained, (image,)))


def test_a_folder_that_is_no_run(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(predict.run, predict.Config, [str(tmp_path), "digit.png"])
    assert "config.json" in capsys.readouterr().err
