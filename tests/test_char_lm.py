import dataclasses
import json
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import char_lm, generate_text
from experiments.char_lm.structure import followers, structure
from jaxdl import cli
from jaxdl.data import ByteVocabulary

SMALL = "--characters 4000 --units 8 --embedding 4 --length 8 --batch-size 4 --epochs 2 --quiet"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("char_lm") / "run"
    start(char_lm, SMALL, out)
    return out


def test_a_run_writes_its_results(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert 1 < summary["validation_bits"] < 6.6
    assert summary["validation_loss"] == pytest.approx(summary["validation_bits"] * np.log(2))
    assert summary["epochs"] == 2
    assert summary["claims"] == []
    pictures = {path.name for path in (finished / "figures").glob("*.png")}
    assert pictures == {"learning_curves.png", "units.png"}


def generated(finished, capsys, *flags) -> str:
    cli.main(generate_text.run, generate_text.Config, [str(finished), *flags])
    printed = capsys.readouterr()
    return printed.out


def test_the_trained_network_writes(finished, capsys):
    flags = ("--prompt", "def ", "--length", "40", "--top-k", "5", "--top-p", "0.9")
    text = generated(finished, capsys, *flags)
    assert text.startswith("def ")
    assert len(text) == len("def ") + 40 + len("\n")
    assert generated(finished, capsys, *flags) == text
    assert generated(finished, capsys, *flags, "--seed", "1") != text


def test_more_of_the_likeliest_than_there_are_is_all(finished, capsys):
    flags = ("--length", "5", "--top-k")
    assert generated(finished, capsys, *flags, "3000000000") == generated(
        finished, capsys, *flags, "1000"
    )


def test_a_character_may_go_on_in_the_next_chunk():
    """Of bytes; what is no UTF-8 is marked, at the end too."""
    ids = np.frombuffer("日本é".encode() + b"\xc3", np.uint8)
    chunks = [ids[:2], ids[2:4], ids[4:7], ids[7:]]
    parts = list(generate_text.decoded(ByteVocabulary(), chunks))
    assert parts == ["", "日", "本", "é", "�"]


def test_speed_is_that_behind_the_first_chunk(finished, capsys):
    cli.main(generate_text.run, generate_text.Config, [str(finished), "--length", "20"])
    assert capsys.readouterr().err == ""
    cli.main(generate_text.run, generate_text.Config, [str(finished), "--length", "65"])
    assert "tokens a second" in capsys.readouterr().err


def test_at_temperature_0_the_seed_says_nothing(finished, capsys):
    flags = ("--temperature", "0", "--length", "20", "--seed")
    assert generated(finished, capsys, *flags, "0") == generated(finished, capsys, *flags, "1")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--prompt", "привет"], "'п' at place 0 is not among"),
        (["--prompt", ""], "--prompt"),
        (["--temperature", "-1"], "--temperature -1"),
        (["--top-p", "0"], "--top-p 0"),
        (["--top-k", "0"], "--top-k 0"),
        (["--length", "0"], "--length 0"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_line(flags, told, finished, capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main(generate_text.run, generate_text.Config, [str(finished), *flags])
    printed = capsys.readouterr()
    assert leaving.value.code == 2
    assert printed.out == ""
    assert told in printed.err
    assert len(printed.err.splitlines()) == 1


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main(generate_text.run, generate_text.Config, [str(tmp_path)])
    assert leaving.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--text nowhere.txt", "nowhere.txt"),
        ("--length 0", "--length 0"),
        ("--units 0", "--units 0"),
        ("--dropout 1", "--dropout 1"),
        ("--characters 10", "too few"),
        ("--batch-size 9 --devices 2", "--batch-size 9"),
        ("--diagnostics", "--no-stateful"),
    ],
)
def test_bad_input(flags, told, tmp_path, capsys):
    assert_refused(char_lm, flags, tmp_path / "run", capsys, told)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "empty"), (b"\xff\xfe\x00ab", "UTF-8"), (b"to be", "")],
)
def test_a_text_that_is_none_is_refused(content, told, tmp_path, capsys):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    assert_refused(char_lm, f"--text {path}", tmp_path / "run", capsys, told)


def test_bytes_and_windows_of_their_own(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich. " * 60)
    flags = f"--text {path} --tokens bytes --no-stateful --diagnostics"
    start(char_lm, f"{SMALL} {flags}", tmp_path / "run")
    rows = (tmp_path / "run" / "metrics.csv").read_text()
    assert "example_norm_median" in rows
    assert json.loads((tmp_path / "run" / "vocabulary.json").read_text()) is None


def command(out, *flags) -> list[str]:
    steps = "--checkpoint-steps 20 --resume --devices 2"
    return [
        *(sys.executable, "-m", "experiments.char_lm", *SMALL.split(), *steps.split()),
        *("--epochs", "6", "--out", str(out), *flags),
    ]


def sha256(out) -> str:
    return json.loads((out / "summary.json").read_text())["params_sha256"]


@pytest.mark.slow
def test_killed_with_a_state_under_way_it_ends_in_the_same_parameters(tmp_path):
    began = time.monotonic()
    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    seconds = time.monotonic() - began
    moments = random.Random(0)
    for _ in range(4):
        process = subprocess.Popen(command(tmp_path / "killed"), stdout=-3, stderr=-3)
        try:
            process.wait(moments.uniform(0.4 * seconds, seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    subprocess.run(command(tmp_path / "killed"), check=True, capture_output=True)
    assert sha256(tmp_path / "killed") == sha256(tmp_path / "whole")
    rows = [(tmp_path / name / "metrics.csv").read_text() for name in ("killed", "whole")]
    assert rows[0] == rows[1]


# What units follow

TEXT = 'def f(a):\n    return ("x(", a)\n'


def test_structure_by_hand():
    seen = structure(TEXT)
    digits = {name: "".join(str(int(of)) for of in values) for name, values in seen.items()}
    assert digits["quotes"] == "0" * 23 + "111" + "0" * 5
    # A bracket inside of quotes counts like any other.
    assert digits["brackets"] == "00000110" + "0" * 13 + "111" + "22222" + "11"
    assert seen["indentation"].tolist() == [0] * 10 + [4] * 21
    assert seen["place in line"].tolist() == [*range(10), *range(21)]


def test_a_follower_is_found_with_its_sign():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(len(TEXT), 5))
    hidden[:, 3] = 0.5 - 0.2 * structure(TEXT)["indentation"]
    assert followers(hidden, TEXT)["indentation"] == (3, pytest.approx(-1))
    assert "quotes" not in followers(hidden[:8], TEXT[:8])


@pytest.mark.parametrize(("bits", "holds"), [(1.9, True), (2.2, False)])
def test_the_claim_can_fail(bits, holds):
    recipe = char_lm.RECIPES["shakespeare"]
    (claim,) = char_lm.bits_claims(recipe, bits)
    assert claim.holds is holds
    assert char_lm.bits_claims(dataclasses.replace(recipe, units=(8,)), bits) == []
