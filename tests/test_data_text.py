"""Texts by name and by path: the standard library, tiny Shakespeare by every way, any file."""

import bisect
import hashlib
import heapq
import inspect
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from test_data_prepared import contents, no_server, serving

from jaxdl.data import load, load_text, prepare, prepared, split_text, stdlib, tfds_records
from jaxdl.data.prepared import ARRAYS
from jaxdl.data.sources import TEXT_SOURCES, TINY_SHAKESPEARE, Archive, TextSource
from jaxdl.digest import tree_sha256
from jaxdl.errors import InputError

PLAY = "".join(f"Citizen {n}: né à Rome, {n * n} times.\n" for n in range(30))


def message(call, *arguments, **named):
    """The one line with which ``call`` refuses."""
    with pytest.raises(InputError) as refusal:
        call(*arguments, **named)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def whole(text):
    return text.train + text.validation + text.test


def content_sha256(text):
    parts = {"train": text.train, "validation": text.validation, "test": text.test}
    return tree_sha256({name: np.array([*part.encode()], np.uint8) for name, part in parts.items()})


# The split


@pytest.mark.parametrize("length", [0, 1, 2, 9, 10, 11, 19, 20, 101, 1115394])
def test_split_is_that_of_tfds(length):
    """As its builder of tiny Shakespeare does it, number by number."""
    text = "abcdefg" * (length // 7) + "x" * (length % 7)
    i = int(len(text) * 0.9)
    train, rest = text[:i], text[i:]
    i = int(len(rest) * 0.5)
    assert split_text(text) == (train, rest[:i], rest[i:])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_fractions_that_are_none_are_refused(fraction):
    assert str(fraction) in message(split_text, "abc", fraction)


# The standard library


@pytest.fixture(scope="module")
def library():
    return load_text("stdlib")


def test_stdlib_has_its_form(library):
    assert library.name == "stdlib"
    assert 1.4e6 < len(whole(library)) < 2.2e6
    assert (library.train, library.validation, library.test) == split_text(whole(library))
    assert library.sha256 == content_sha256(library)
    assert ".".join(map(str, sys.version_info[:3])) in library.source
    assert len(repr(library)) < 500


def test_stdlib_is_the_source_with_its_comments(library):
    """With comments; what is not ASCII is replaced, and nothing else."""
    assert inspect.getsource(bisect) in whole(library)
    assert inspect.getsource(heapq).encode("ascii", "replace").decode() in whole(library)
    names = stdlib.FILES.split()
    size = sum(len((Path(bisect.__file__).parent / f"{n}.py").read_text("utf-8")) for n in names)
    assert len(whole(library)) == size
    assert len(set(names)) == len(names)


def test_stdlib_is_ascii_that_the_training_part_knows(library):
    assert set(whole(library)) == set(library.train)
    assert whole(library).isascii()


def test_stdlib_is_in_no_alphabetical_order(library):
    """Its order is that of NumPy's PCG64(0) numbers."""
    drawn = np.random.PCG64(0).random_raw(54)
    names = stdlib.FILES.split()
    first, last = names[np.argmin(drawn)], names[np.argmax(drawn)]
    folder = Path(bisect.__file__).parent
    assert library.train.startswith((folder / f"{first}.py").read_text()[:1000])
    assert library.test.endswith((folder / f"{last}.py").read_text()[-1000:])


def test_python_without_its_source_is_refused(monkeypatch):
    monkeypatch.setattr(stdlib, "FILES", "bisect no_such_module")
    line = message(load_text, "stdlib")
    assert "no_such_module.py: No such file" in line
    assert "shakespeare" in line


# Any file


def test_file_is_kept_as_it_is(tmp_path):
    path = tmp_path / "play.txt"
    content = ("\ufeff" + PLAY.replace("\n", "\r\n")).encode()
    path.write_bytes(content)
    for given in (path, str(path)):
        text = load_text(given)
        assert ("\ufeff" + whole(text)).encode() == content
        assert text.name == text.source == str(path)
        assert text.sha256 == content_sha256(text)


def test_names_go_before_files_and_paths_to_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("stdlib").write_text(PLAY)
    assert whole(load_text("stdlib")) != PLAY
    assert whole(load_text("./stdlib")) == whole(load_text(Path("stdlib"))) == PLAY


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        ("né".encode("latin-1"), "not UTF-8 (unexpected end of data at byte 1)"),
        (b"abc\xff", "not UTF-8 (invalid start byte at byte 3)"),
        ("né".encode("utf-16"), "not UTF-8"),
    ],
)
def test_files_that_are_no_text_are_refused(tmp_path, content, problem):
    path = tmp_path / "file"
    path.write_bytes(content)
    line = message(load_text, path)
    assert line.startswith(f"{path}: {problem}")


@pytest.mark.parametrize("given", ["shakespere", "no/such.txt", "."])
def test_what_is_no_file_is_refused(given):
    line = message(load_text, given)
    assert line.startswith(f"{given}: ")
    assert "stdlib, shakespeare" in line


@pytest.mark.parametrize("name", ["stdlib", "play.txt"])
@pytest.mark.parametrize("folder", ["data_dir", "raw_dir"])
def test_folders_are_for_shakespeare_only(tmp_path, name, folder):
    line = message(load_text, name, **{folder: tmp_path})
    assert name in line
    assert "shakespeare" in line


def test_texts_and_images_are_told_apart(tmp_path):
    assert "load_text" in message(load, "shakespeare")
    assert "shakespeare" in message(prepare, "shakespear", tmp_path)


# Shakespeare, by a small play of its name


@pytest.fixture
def raw_dir(tmp_path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "input.txt").write_text(PLAY, "utf-8")
    return folder


@pytest.fixture
def source(raw_dir, monkeypatch) -> TextSource:
    """Tiny Shakespeare is now `PLAY`, its original file in ``raw_dir``."""
    content = PLAY.encode()
    small = replace(
        TINY_SHAKESPEARE,
        sha256=load_text(raw_dir / "input.txt").sha256,
        archive=Archive("input.txt", len(content), hashlib.sha256(content).hexdigest()),
    )
    monkeypatch.setitem(TEXT_SOURCES, "shakespeare", small)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return small


@pytest.fixture
def data_dir(tmp_path) -> Path:
    return tmp_path / "prepared"


def test_original_file_is_read(source, raw_dir, tmp_path):
    text = load_text("shakespeare", raw_dir=str(raw_dir))
    assert (text.train, text.validation, text.test) == split_text(PLAY)
    assert text.name == "shakespeare"
    assert text.sha256 == source.sha256 == content_sha256(text)
    raw_dir.rename(tmp_path / "tiny_shakespeare")
    assert load_text("shakespeare", raw_dir=tmp_path) == text


@pytest.mark.parametrize("from_records", [False, True])
def test_prepared_text_is_the_original(source, raw_dir, data_dir, from_records):
    folder = prepare("shakespeare", data_dir, raw_dir=raw_dir)
    assert folder == data_dir / "tiny_shakespeare" / "1.0.0"
    assert contents(data_dir) == ["tiny_shakespeare"]
    if from_records:
        (folder / ARRAYS).unlink()
    prepared_text = load_text("shakespeare", data_dir=data_dir)
    assert prepared_text == load_text("shakespeare", raw_dir=raw_dir)


def test_prepared_text_is_read_by_stock_tfds(source, raw_dir, data_dir):
    folder = prepare("shakespeare", data_dir, raw_dir=raw_dir)
    for split, part in zip(("train", "validation", "test"), split_text(PLAY), strict=True):
        (record,) = tfds.data_source("tiny_shakespeare", split=split, data_dir=data_dir)
        assert record["text"].decode() == part
    info = tfds.builder_from_directory(folder).info
    assert info.full_name == "tiny_shakespeare/1.0.0"
    assert "40,000 lines of Shakespeare" in info.description
    stock = tfds.builder("tiny_shakespeare", data_dir=data_dir)
    assert not isinstance(stock, tfds_records._TinyShakespeare)
    assert "tensorflow" not in sys.modules


def test_text_is_downloaded_and_prepared(source, raw_dir, data_dir, monkeypatch):
    with serving(raw_dir) as url:
        monkeypatch.setitem(TEXT_SOURCES, "shakespeare", replace(source, url=url + "/"))
        text = load_text("shakespeare", data_dir=data_dir)
    assert text == load_text("shakespeare", data_dir=data_dir)  # the server is gone
    assert text == load_text("shakespeare", raw_dir=raw_dir)


def test_failed_download_leaves_nothing(source, raw_dir, data_dir):
    (raw_dir / "input.txt").write_text("To be or not")
    with serving(raw_dir) as url:
        line = message(prepare, "shakespeare", data_dir, url=url)
    assert "has wrong checksum" in line
    assert "stdlib" in line
    assert contents(data_dir) == []


def test_no_network_and_nothing_prepared(source, data_dir, monkeypatch):
    monkeypatch.setattr(prepared, "PATIENCE", 0.5)
    with no_server() as url:
        monkeypatch.setitem(TEXT_SOURCES, "shakespeare", replace(source, url=url + "/"))
        line = message(load_text, "shakespeare", data_dir=data_dir)
    assert line.startswith(f"shakespeare is not prepared in {data_dir} and cannot be downloaded")
    for way_out in (url, "--raw-dir", "--data-dir", "stdlib"):
        assert way_out in line
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda file: file.unlink(), "No such file"),
        (lambda file: file.write_bytes(b""), "wrong checksum, not the original file"),
        (lambda file: file.write_bytes(b"\xff" + file.read_bytes()), "wrong checksum"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "wrong checksum"),
    ],
)
def test_damaged_original_is_refused(source, raw_dir, damage, problem):
    damage(raw_dir / "input.txt")
    line = message(load_text, "shakespeare", raw_dir=raw_dir)
    assert line.startswith(f"{raw_dir / 'input.txt'}: {problem}")
    for way_out in (source.url, "--raw-dir", "--data-dir", "stdlib"):
        assert way_out in line


def test_damaged_records_are_refused(source, raw_dir, data_dir):
    folder = prepare("shakespeare", data_dir, raw_dir=raw_dir)
    (folder / ARRAYS).unlink()
    next(folder.glob("*validation.array_record*")).write_bytes(b"")
    line = message(load_text, "shakespeare", data_dir=data_dir)
    assert line.startswith(f"{folder}: cannot be read")
    assert "stdlib" in line


def test_records_of_another_text_are_refused(source, raw_dir, data_dir, monkeypatch):
    folder = prepare("shakespeare", data_dir, raw_dir=raw_dir)
    monkeypatch.setitem(TEXT_SOURCES, "shakespeare", TINY_SHAKESPEARE)
    assert f"{folder}: does not hold shakespeare" in message(
        load_text, "shakespeare", data_dir=data_dir
    )


# Shakespeare himself


def test_source_is_that_of_tfds():
    builder = tfds_records.tiny_shakespeare_dataset_builder.Builder
    registered = {
        (url, info.size, info.checksum) for url, info in (builder.url_infos or {}).items()
    }
    file = TINY_SHAKESPEARE.archive
    assert registered == {(TINY_SHAKESPEARE.url + file.name, file.size, file.sha256)}
    assert str(builder.VERSION) == TINY_SHAKESPEARE.version


def test_tiny_shakespeare_by_both_ways(raw_data, data_dir):
    text = load_text("shakespeare", raw_dir=raw_data)
    assert whole(text) == (raw_data / "tiny_shakespeare" / "input.txt").read_text("ascii")
    assert [len(part) for part in (text.train, text.validation, text.test)] == [
        1_003_854,
        55_770,
        55_770,
    ]
    assert text.train.startswith("First Citizen:\nBefore we proceed any further")
    assert len(set(text.train)) == len(set(whole(text))) == 65
    assert text.sha256 == TINY_SHAKESPEARE.sha256
    assert load_text("shakespeare", data_dir=data_dir, raw_dir=raw_data) == text
