"""The experiment's documents, models and claims, and its quick form."""

import json
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start
from sklearn.linear_model import LogisticRegression

from experiments import text_classification as experiment
from experiments.text_classification import baseline, figures, linear, readings
from experiments.text_classification.documents import (
    Split,
    functions,
    make_documents,
    module_name,
    naming_words,
    paragraphs,
    read_folder,
    read_modules,
    split,
)
from experiments.text_classification.features import make_features
from experiments.text_classification.readings import Reading
from jaxdl import losses, models
from jaxdl.data import pad_sequences
from jaxdl.errors import InputError
from jaxdl.gradients import FallbackWarning, per_example_gradients, per_example_norms
from jaxdl.models import PADDING, mark_padding
from jaxdl.types import Batch

# --- documents -----------------------------------------------------------------------------------

SOURCE = '''"""A module."""
import os

def first(a,
          b):
    """With a string: def not_a_function(): pass."""
    def inner():
        return a
    return inner

class Thing:
    size = 3

    @property
    def second(self):
        return 1\f

    class Within:
        async def third(self): return 2

if os.name == "nt":
    def fourth(): return lambda: 0
'''


def test_functions_are_the_outermost_ones():
    found = functions(SOURCE)
    heads = [text.strip().splitlines()[0].partition("(")[0] for text in found]
    assert heads == ["def first", "def second", "async def third", "def fourth"]
    assert found[0].endswith("    return inner")
    assert "inner():" in found[0]
    assert found[1].endswith("return 1\f")
    assert functions("x = 1\n") == []


def test_modules_are_those_with_most_functions():
    found = read_modules(3)
    assert len(found) == 3
    counts = [len(of) for of in found.values()]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] > 50
    assert module_name("http/client") == "http.client"
    with pytest.raises(InputError, match="--modules 1000: give "):
        read_modules(1000)


def words_of(prefix: str, count: int) -> list[str]:
    """Texts of twelve words each, no two alike."""
    return [
        f"{prefix} says " + " ".join(f"{prefix}{i}{j}" for j in range(10)) for i in range(count)
    ]


def test_words_that_name_a_class_are_taken_out():
    texts = {"re._parser": words_of("parser", 6), "os": words_of("os", 6)}
    assert naming_words("re._parser") == {"re", "parser", "_parser"}
    documents = make_documents(texts)
    assert documents.classes == ("os", "re._parser")
    assert documents.words[6][:3] == ["says", "parser00", "parser01"]
    kept = make_documents(texts, with_names=True)
    assert kept.words[6][0] == "parser"
    assert kept.sha256 != documents.sha256


def test_short_documents_and_those_said_before_are_left_out():
    texts = {
        "a1": words_of("one", 6),
        "b1": [*words_of("two", 5), "too short", *words_of("one", 3)],
    }
    documents = make_documents(texts)
    assert np.bincount(documents.targets).tolist() == [6, 5]


def test_split_is_stratified_and_tests_on_the_same():
    targets = np.repeat([0, 1, 2], [40, 20, 8]).astype(np.int32)
    parts, others = split(targets, 0, 2), split(targets, 7, 3)
    assert np.array_equal(parts.test, others.test)
    assert np.bincount(targets[parts.test]).tolist() == [10, 5, 2]
    assert not np.array_equal(parts.train[0], parts.train[1])
    for train, validation in zip(parts.train, parts.validation, strict=True):
        assert sorted([*train, *validation, *parts.test]) == list(range(68))
        assert set(targets[train]) == set(targets[validation]) == {0, 1, 2}


def test_the_vocabulary_knows_no_word_of_the_tests_alone():
    texts = {name: [f"{text} {name}_common" for text in words_of(name, 8)] for name in ("aa", "bb")}
    documents = make_documents(texts, with_names=True)
    parts = split(documents.targets, 0, 2)
    documents.words[parts.test[0]].extend(["secret", "secret"])
    documents.words[parts.test[1]].append("secret")
    features = make_features(documents, parts, vocabulary=100, length=3)
    assert features.vocabulary.tokens == ("aa", "aa_common", "bb", "bb_common", "says")
    assert features.sequence.shape == (16, 3)
    assert features.counts[parts.test[0]].sum() == 3
    np.testing.assert_allclose(np.linalg.norm(features.tf_idf, axis=1), 1, rtol=1e-6)


# --- folders -------------------------------------------------------------------------------------


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_folder_of_folders(tmp_path):
    write(tmp_path, {"sea/b.txt": "waves", "sea/a": "sand\n\nshells", "hill/1.txt": "trees"})
    write(tmp_path, {"README": "not a class", ".git/x": "hidden", "sea/.x": "hidden"})
    assert read_folder(tmp_path) == {"hill": ["trees"], "sea": ["sand\n\nshells", "waves"]}


def test_a_folder_of_files(tmp_path):
    write(tmp_path, {"sea.txt": "waves\nand sand\n \n\n\nshells\n", "hill.txt": "trees"})
    assert read_folder(tmp_path) == {"hill": ["trees"], "sea": ["waves\nand sand", "shells\n"]}
    assert paragraphs("a\n\n") == ["a"]


BAD_FOLDERS = {
    "empty": ({}, ["0 classes", "two or more"]),
    "one class": ({"sea.txt": "\n\n".join(words_of("sea", 9))}, ["1 class ", "two or more"]),
    "an empty file": ({"sea.txt": "", "hill.txt": "x"}, ["sea.txt", "empty"]),
    "two files for a class": (
        {"sea.txt": "waves", "sea.md": "sand", "hill.txt": "trees"},
        ["two files", "class sea"],
    ),
    "few documents": (
        {"sea.txt": "\n\n".join(words_of("sea", 9)), "hill.txt": "\n\n".join(words_of("hi", 4))},
        ["class hill", "4 documents", "give 5"],
    ),
    "a folder without files": (
        {"sea/a.txt": "waves", "hill/.x": ""},
        ["class hill", "0 documents"],
    ),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_bad_folders(name, tmp_path, capsys):
    files, told = BAD_FOLDERS[name]
    (tmp_path / "given").mkdir()
    folder = write(tmp_path / "given", files)
    assert_refused(experiment, f"--folder {folder}", tmp_path / "run", capsys, *told)


def test_a_file_that_is_not_utf8(tmp_path, capsys):
    folder = write(tmp_path / "given", {"sea.txt": "waves"})
    (folder / "hill.txt").write_bytes(b"caf\xe9 au lait")
    told = ("hill.txt", "not UTF-8", "iconv")
    assert_refused(experiment, f"--folder {folder}", tmp_path / "run", capsys, *told)


BAD = [
    ("--folder nowhere/at/all", "nowhere/at/all", "No such file"),
    ("--modules 1", "--modules 1", "2 or more"),
    ("--modules 999", "--modules 999", "at most"),
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--seed -1", "--seed -1", "give 0"),
    ("--length 0", "--length 0", "1 or more"),
    ("--modules 2 --batch-size 100000", "100000", "choose 1 to"),
    ("--epoch 3", "--epoch", "--epochs"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- models --------------------------------------------------------------------------------------

MODELS = {
    "average": lambda: models.embedding_average(9, classes=3, embedding=5, dropout_rate=0.3),
    "lstm": lambda: models.recurrent_text_classifier(
        9,
        classes=3,
        units=[4],
        embedding=5,
        is_bidirectional=True,
        dropout_rate=0.3,
        recurrent_dropout_rate=0.2,
    ),
}


def some_words():
    """Documents of 6, 1, 0 and 3 words."""
    sequences = [[0, 3, 8, 1, 0, 2], [0], [], [5, 5, 7]]
    return jnp.asarray(mark_padding(*pad_sequences([np.array(of, int) for of in sequences])))


def test_padding_is_marked():
    assert some_words()[1:].tolist() == [
        [0, *[PADDING] * 5],
        [PADDING] * 6,
        [5, 5, 7, *[PADDING] * 3],
    ]


@pytest.mark.parametrize("name", MODELS)
def test_longer_padding_changes_nothing(name):
    model, words = MODELS[name](), some_words()
    params, state = model.init(jax.random.key(0), words[:1])
    longer = jnp.pad(words, ((0, 0), (0, 5)), constant_values=PADDING)
    apply = jax.jit(model.apply)
    found, of_longer = (apply(params, state, of, None)[0] for of in (words, longer))
    assert np.abs(found).max() > 1e-3
    np.testing.assert_allclose(of_longer, found, atol=1e-6)


def test_the_average_is_numpys():
    model, words = models.embedding_average(9, classes=3, embedding=5), some_words()
    params, state = model.init(jax.random.key(0), words[:1])
    vectors = np.asarray(params["embedding"]["embedding"])
    dense = jax.tree.map(np.asarray, params["dense"])
    logits, _ = model.apply(params, state, words, None)
    for of, seen in zip(words.tolist(), np.asarray(logits), strict=True):
        known = [word for word in of if word != PADDING]
        mean = vectors[known].mean(axis=0) if known else np.zeros(5)
        np.testing.assert_allclose(seen, mean @ dense["kernel"] + dense["bias"], atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_norms_of_examples_are_those_by_vmap(name):
    model, words = MODELS[name](), some_words()
    params, _ = model.init(jax.random.key(0), words[:1])
    batch = Batch(words, jnp.array([0, 2, 1, 1]), jnp.ones(4))
    keys = jax.random.split(jax.random.key(1), 4)
    loss_fn = losses.classification_loss(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FallbackWarning)
        norms = jax.jit(per_example_norms)(loss_fn, params, {}, batch, keys)
    singles = jax.jit(per_example_gradients)(loss_fn, params, {}, batch, keys)
    squares = sum((np.asarray(of) ** 2).reshape(4, -1).sum(1) for of in jax.tree.leaves(singles))
    np.testing.assert_allclose(norms, np.sqrt(squares), rtol=1e-5)


# --- softmax regression --------------------------------------------------------------------------


def clusters(classes: int, monkeypatch) -> tuple[np.ndarray, np.ndarray, Split]:
    """Points that overlap, and two draws of them; one strength of the penalty."""
    monkeypatch.setattr(linear, "STRENGTHS", (3.0,))
    rng = np.random.default_rng(0)
    targets = np.arange(90, dtype=np.int32) % classes
    vectors = rng.normal(size=(90, 6)) + 1.5 * np.eye(classes, 6)[targets]
    draws = np.stack([rng.permutation(90) for _ in range(2)])
    return vectors.astype(np.float32), targets, Split(draws[:, :50], draws[:, 50:70], np.arange(20))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_regression_is_that_of_scikit_learn(classes, monkeypatch):
    vectors, targets, parts = clusters(classes, monkeypatch)
    found = linear.regress(vectors, targets, parts)
    assert found.strength.tolist() == [3, 3]
    assert found.gradient_norm.max() <= linear.TOLERANCE
    expected = baseline.regress(found, vectors, targets, parts)
    np.testing.assert_array_equal(found.classes, expected.classes)
    np.testing.assert_allclose(found.validation_accuracy, expected.validation_accuracy, rtol=1e-6)
    for seed, rows in enumerate(parts.train):
        theirs = LogisticRegression(C=6.0 if classes == 2 else 3.0, tol=1e-8)
        weights = theirs.fit(vectors[rows].astype(float), targets[rows]).coef_.T
        if classes == 2:
            weights = np.concatenate([-weights, weights], axis=1) / 2
        np.testing.assert_allclose(found.weights[seed], weights, atol=1e-3)


# --- claims --------------------------------------------------------------------------------------

TRUTHS = np.arange(200, dtype=np.int32) % 4


def reading(accuracy: float, seeds: int = 3) -> Reading:
    """One that is right on the first so many test documents."""
    classes = np.where(np.arange(200) < accuracy * 200, TRUTHS, (TRUTHS + 1) % 4)
    return Reading(np.full(seeds, accuracy), np.tile(classes, (seeds, 1)))


def holding(config=None, **accuracies: float) -> list[bool]:
    """Which claims hold of models of some accuracies; the others' are as claimed."""
    usual = {"counts": 0.7, "tf_idf": 0.8, "theirs": 0.8, "average": 0.8, "lstm": 0.6}
    names = (
        readings.COUNTS,
        readings.TF_IDF,
        readings.SCIKIT_LEARN,
        readings.AVERAGE,
        readings.LSTM,
    )
    given = dict(zip(names, {**usual, **accuracies}.values(), strict=True))
    made = {name: reading(of) for name, of in given.items()}
    config = config or experiment.Config()
    return [claim.holds for claim in experiment.make_claims(config, made, TRUTHS)]


def test_claims_fail_on_wrong_numbers():
    """Same as scikit-learn, better than a guess, TF-IDF, average, LSTM."""
    assert holding() == [True] * 5
    assert holding(theirs=0.805) == [True] * 5
    assert holding(theirs=0.82) == [False, True, True, True, True]
    assert holding(lstm=0.25) == [True, False, True, True, True]
    assert holding(counts=0.8) == [True, True, False, True, True]
    assert holding(average=0.7) == [True, True, True, False, True]
    assert holding(lstm=0.79) == [True, True, True, True, False]


def test_of_other_documents_less_is_claimed():
    assert holding(experiment.QUICK) == [True, True]
    assert holding(experiment.Config(folder=Path("mine"))) == [True, True]
    assert holding(experiment.Config(seeds=3, seed=7)) == [True] * 5


def test_the_best_is_chosen_by_validation_alone():
    worse = Reading(np.array([0.9, 0.9, 0.9]), reading(0.5).classes)
    assert readings.best({"a": reading(0.8), "b": worse}) == "b"


def test_the_difference_is_over_documents():
    mean, half_width = readings.difference(reading(0.8), reading(0.7), TRUTHS)
    assert mean == pytest.approx(0.1)
    each = np.repeat([1.0, 0.0], [20, 180])
    assert half_width == pytest.approx(1.972 * each.std(ddof=1) / np.sqrt(200), rel=1e-3)
    assert readings.guess(TRUTHS) == 0.25


# --- the figures, and the whole ------------------------------------------------------------------


def test_figures():
    """Of two classes and of five: fewer and more than fit in a row."""
    for count in (2, 5):
        names = [f"class_{number}" for number in range(count)]
        truths = (np.arange(60) % count).astype(np.int32)
        made = {name: Reading(np.full(2, 0.7), np.tile(truths, (2, 1))) for name in ("a", "b")}
        assert figures.draw_accuracies(made, truths).axes[0].get_xlabel() == "test accuracy"
        drawn = figures.draw_confusion("a", made["a"], truths, names)
        assert drawn.get_suptitle() == "a, 100.0% right:\n60 test documents, each read with 2 seeds"
        weights = np.random.default_rng(0).normal(size=(30, count))
        words = figures.draw_words(weights, [f"{'x' * 30}{word}" for word in range(30)], names)
        shown = [axes for axes in words.axes if axes.axison]
        assert [axes.get_title() for axes in shown] == names
        assert all(len(axes.patches) == figures.SHOWN for axes in shown)
    assert figures.shortened("x" * 21) == "x" * 19 + "…"


def test_without_scikit_learn_the_baseline_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(baseline, "is_installed", lambda: False)
    nothing: Any = None
    assert experiment.read_baseline(nothing, nothing, nothing, nothing) == {}
    assert capsys.readouterr().out == f"{baseline.MISSING}\n"


@pytest.mark.slow
def test_a_folder(tmp_path):
    """All of it on documents that are easy to tell apart, with instruments."""
    rng = np.random.default_rng(0)
    texts = {
        f"{name}.txt": "\n\n".join(
            " ".join(f"{name}word{word}" for word in rng.integers(20, size=12)) for _ in range(16)
        )
        for name in ("sea", "hill")
    }
    folder, out = write(tmp_path / "given", texts), tmp_path / "run"
    flags = f"--folder {folder} --epochs 2 --seeds 2 --batch-size 8 --quiet --diagnostics"
    start(experiment, flags, out)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["documents"] == {"hill": 16, "sea": 16}
    assert [claim["holds"] for claim in summary["claims"]] == [True, True]
    drawn = {path.name for path in (out / "figures").iterdir()}
    watched = {"instruments_LSTM.png", "instruments_embedding_average.png"}
    assert drawn == {"accuracies.png", "confusion.png", "words.png"} | watched


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True, True]
    assert len(summary["documents"]) == 6
    assert set(summary["models"]) == {
        *("counts", "TF-IDF", "TF-IDF, scikit-learn"),
        *("embedding average", "LSTM"),
    }
