"""A photo is read as the digit it is of: the experiment `predict` on files in many forms."""

import re

import numpy as np
import pytest
from digit_files import FORMS, write_forms

from experiments import mnist_cnn, predict
from jaxdl import cli, data
from jaxdl.errors import InputError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of six epochs on the 5,000 digits."""
    out = tmp_path_factory.mktemp("predict") / "run"
    arguments = ["--epochs", "6", "--quiet", "--out", str(out)]
    cli.main(mnist_cnn.run, mnist_cnn.Config, arguments, recipes=mnist_cnn.RECIPES)
    return out


@pytest.mark.slow
def test_every_form_of_a_digit_is_read_as_the_original(trained, tmp_path, capsys):
    """The first test digit of each class that the network reads; 18 files of each."""
    test = data.load("mnist_5k").test
    images, truths = np.asarray(test.inputs), np.asarray(test.targets)
    network, _ = predict.load_network(trained)
    wrong = []
    for truth in range(10):
        members = np.flatnonzero(truths == truth)
        place = next(i for i in members if network(images[i]).argmax() == truth)
        folder = tmp_path / str(truth)
        folder.mkdir()
        paths = write_forms(images[place, ..., 0], folder)
        cli.main(predict.run, predict.Config, [str(trained), *map(str, paths)])
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == len(FORMS)
        for path, line in zip(paths, lines, strict=True):
            read = re.fullmatch(rf"{re.escape(str(path))}: (\d) \([\d.]+%\), see (\S+)", line)
            assert read, line
            if int(read[1]) != truth:
                wrong.append(line)
    assert not wrong
    assert len(list((trained / "predictions").glob("*.png"))) == len(FORMS)


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
