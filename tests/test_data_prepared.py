"""Data sets prepared by TFDS without TensorFlow: from files, from a server, whole or not at all."""

import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from idx_files import random_splits, small_source

from jaxdl.data import load, prepare, prepared, tfds_records
from jaxdl.data.originals import read_originals
from jaxdl.data.prepared import ARRAYS, read_prepared
from jaxdl.data.sources import MNIST, SOURCES, IdxSource
from jaxdl.digest import tree_sha256
from jaxdl.errors import InputError

IMAGES = "train-images-idx3-ubyte.gz"


@pytest.fixture
def raw_dir(tmp_path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


@pytest.fixture
def source(raw_dir, monkeypatch) -> IdxSource:
    """MNIST is now 50 random images, their original files in ``raw_dir``."""
    source = small_source("mnist", raw_dir)
    monkeypatch.setitem(SOURCES, "mnist", source)
    return source


@pytest.fixture
def data_dir(tmp_path) -> Path:
    return tmp_path / "prepared"


def message(call, *arguments, **named):
    """The one line with which ``call`` refuses."""
    with pytest.raises(InputError) as refusal:
        call(*arguments, **named)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def assert_splits_equal(actual, expected):
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


# Preparing from files


def test_prepared_set_is_read_by_stock_tfds(source, raw_dir, data_dir):
    folder = prepare("mnist", data_dir, raw_dir=raw_dir)
    assert folder == data_dir / "mnist" / "3.0.1"
    expected = random_splits(seed=0)
    for split, inputs, targets in (
        ("train", expected.train_inputs, expected.train_targets),
        ("test", expected.test_inputs, expected.test_targets),
    ):
        stock = tfds.data_source("mnist", split=split, data_dir=data_dir)
        assert len(stock) == len(targets)
        read = sorted((example["image"].tobytes(), int(example["label"])) for example in stock)
        assert read == sorted(
            (image.tobytes(), int(label)) for image, label in zip(inputs, targets, strict=True)
        )
    info = tfds.builder("mnist", data_dir=data_dir).info
    assert info.full_name == "mnist/3.0.1"
    assert info.features["image"].shape == (28, 28, 1)
    assert info.features["label"].num_classes == 10
    assert "tensorflow" not in sys.modules


def test_stock_builder_stays_registered(source, raw_dir, data_dir):
    prepare("mnist", data_dir, raw_dir=raw_dir)
    assert type(tfds.builder("mnist", data_dir=data_dir)) is tfds_records.MNIST


@pytest.mark.parametrize("from_records", [False, True])
def test_prepared_and_original_files_give_the_same(source, raw_dir, data_dir, from_records):
    """The order too, though TFDS shuffles."""
    folder = prepare("mnist", data_dir, raw_dir=raw_dir)
    if from_records:
        (folder / ARRAYS).unlink()
    assert_splits_equal(read_prepared(source, folder), random_splits(seed=0))
    prepared_set, originals = load("mnist", data_dir=data_dir), load("mnist", raw_dir=raw_dir)
    np.testing.assert_array_equal(prepared_set.train.inputs, originals.train.inputs)
    assert prepared_set.sha256 == originals.sha256 == tree_sha256(random_splits(seed=0))


def test_two_sets_in_one_folder_stay_apart(source, raw_dir, data_dir, tmp_path, monkeypatch):
    """Their files have the same names: a cache keyed by name would give one for the other."""
    other_dir = tmp_path / "fashion"
    other_dir.mkdir()
    other = small_source("fashion_mnist", other_dir, seed=1)
    monkeypatch.setitem(SOURCES, "fashion_mnist", other)
    with serving(raw_dir) as url, serving(other_dir) as other_url:
        prepare("mnist", data_dir, url=url)
        prepare("fashion_mnist", data_dir, url=other_url)
    assert contents(data_dir) == ["fashion_mnist", "mnist"]
    for name, seed in (("mnist", 0), ("fashion_mnist", 1)):
        records = tfds_records.read_records(data_dir / name / "3.0.1")
        assert_splits_equal(records, random_splits(seed))


def test_a_set_is_prepared_once(source, raw_dir, data_dir, monkeypatch):
    written = []
    write_records = tfds_records.write_records
    monkeypatch.setattr(
        tfds_records,
        "write_records",
        lambda *arguments: written.append(arguments) or write_records(*arguments),
    )
    with ThreadPoolExecutor() as pool:
        folders = list(pool.map(lambda _: prepare("mnist", data_dir, raw_dir=raw_dir), range(3)))
    assert len(written) == 1
    assert len(set(folders)) == 1
    assert contents(data_dir) == ["mnist"]


def test_load_prepares_from_files(source, raw_dir, data_dir):
    assert load("mnist", data_dir=data_dir, raw_dir=raw_dir).train.targets.shape == (30,)
    assert (data_dir / "mnist" / "3.0.1" / ARRAYS).is_file()


def test_folder_of_tfds_is_the_default(source, raw_dir, data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    assert prepare("mnist", raw_dir=raw_dir) == data_dir / "mnist" / "3.0.1"
    assert load("mnist").train.targets.shape == (30,)


def test_nothing_is_printed_but_progress_and_nothing_left(
    source, raw_dir, data_dir, tmp_path, monkeypatch, capsys
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    prepare("mnist", data_dir, raw_dir=raw_dir)
    assert contents(temporary) == []
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Generating" in printed.err


@pytest.mark.parametrize("damage", ["missing", "truncated", "wrong"])
def test_damaged_originals_leave_nothing(source, raw_dir, data_dir, damage):
    file = raw_dir / IMAGES
    content = file.read_bytes()
    file.unlink()
    if damage == "truncated":
        file.write_bytes(content[:-100])
    if damage == "wrong":
        small_source("mnist", raw_dir, seed=1)
    assert str(file) in message(prepare, "mnist", data_dir, raw_dir=raw_dir)
    assert not data_dir.exists()


def test_embedded_set_is_not_prepared(data_dir):
    assert "mnist_5k" in message(prepare, "mnist_5k", data_dir)


def test_folder_that_cannot_be_written_is_refused(source, raw_dir, tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert f"cannot prepare mnist in {file}" in message(prepare, "mnist", file, raw_dir=raw_dir)


# Reading again


@pytest.fixture
def folder(source, raw_dir, data_dir) -> Path:
    return prepare("mnist", data_dir, raw_dir=raw_dir)


def test_second_load_reads_the_arrays_only(source, folder, data_dir, monkeypatch):
    monkeypatch.delattr(tfds_records, "read_records")
    assert_splits_equal(read_prepared(source, folder), random_splits(seed=0))


def arrays_missing(path):
    path.unlink()


def arrays_truncated(path):
    path.write_bytes(path.read_bytes()[:-1000])


def arrays_empty(path):
    path.write_bytes(b"")


def arrays_flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def arrays_of_another_set(path):
    np.savez(path, **random_splits(seed=1)._asdict())


def arrays_of_other_names(path):
    np.savez(path, x=np.zeros(3))


def arrays_of_objects(path):
    np.savez(path, **dict.fromkeys(random_splits(0)._fields, np.array([{}], object)))


@pytest.mark.parametrize(
    "damage",
    [
        arrays_missing,
        arrays_truncated,
        arrays_empty,
        arrays_flipped,
        arrays_of_another_set,
        arrays_of_other_names,
        arrays_of_objects,
    ],
)
def test_damaged_arrays_are_made_anew(source, folder, damage, monkeypatch):
    damage(folder / ARRAYS)
    assert_splits_equal(read_prepared(source, folder), random_splits(seed=0))
    monkeypatch.delattr(tfds_records, "read_records")
    assert_splits_equal(read_prepared(source, folder), random_splits(seed=0))


def test_folder_of_others_is_read_without_writing(source, folder):
    (folder / ARRAYS).unlink()
    (folder / f"{ARRAYS}.incomplete").mkdir()  # so no file can be written there
    assert_splits_equal(read_prepared(source, folder), random_splits(seed=0))
    assert not (folder / ARRAYS).exists()


def records_missing(folder):
    next(folder.glob("*train.array_record*")).unlink()


def records_truncated(folder):
    path = next(folder.glob("*train.array_record*"))
    path.write_bytes(path.read_bytes()[:-5000])


def records_empty(folder):
    next(folder.glob("*train.array_record*")).write_bytes(b"")


def info_garbled(folder):
    (folder / "dataset_info.json").write_text("{")


def features_missing(folder):
    (folder / "features.json").unlink()


def records_of_tensorflow(folder):
    """As TFDS prepares by default: TFRECORD files, which only TensorFlow reads."""
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    for path in folder.glob("*.array_record*"):
        path.rename(path.with_name(path.name.replace("array_record", "tfrecord")))


@pytest.mark.parametrize(
    "damage",
    [
        records_missing,
        records_truncated,
        records_empty,
        info_garbled,
        features_missing,
        records_of_tensorflow,
    ],
)
def test_damaged_records_are_refused(source, folder, data_dir, damage):
    (folder / ARRAYS).unlink()
    damage(folder)
    line = message(load, "mnist", data_dir=data_dir)
    assert line.startswith(f"{folder}: cannot be read")
    for way_out in ("remove that folder", "--raw-dir", "mnist_5k"):
        assert way_out in line


def test_set_of_other_contents_is_refused(source, folder, data_dir, tmp_path, monkeypatch):
    other_dir = tmp_path / "other"
    other_dir.mkdir()
    monkeypatch.setitem(SOURCES, "mnist", small_source("mnist", other_dir, seed=1))
    assert f"{folder}: does not hold mnist" in message(load, "mnist", data_dir=data_dir)


# Preparing by download


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Hasty(Quiet):
    """Announces the whole file and hangs up after half of it."""

    def do_GET(self):
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])


@contextmanager
def serving(folder: Path, handler=Quiet):
    """The address of a server of ``folder``."""
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(handler, directory=os.fspath(folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_files_are_downloaded_and_prepared(source, raw_dir, data_dir, capsys):
    with serving(raw_dir) as url:
        folder = prepare("mnist", data_dir, url=url)
    assert "Dl Size" in capsys.readouterr().err
    assert contents(data_dir) == ["mnist"]
    assert contents(data_dir / "mnist") == ["3.0.1"]
    assert_splits_equal(tfds_records.read_records(folder), random_splits(seed=0))


def test_load_downloads_what_is_not_prepared(source, raw_dir, data_dir, monkeypatch):
    with serving(raw_dir) as url:
        monkeypatch.setitem(SOURCES, "mnist", replace(source, url=url))
        assert load("mnist", data_dir=data_dir).train.targets.shape == (30,)
    assert load("mnist", data_dir=data_dir).train.targets.shape == (30,)  # the server is gone


@pytest.mark.parametrize(
    ("handler", "damage", "problem"),
    [
        (Quiet, lambda file: file.write_bytes(b"other"), "has wrong checksum"),
        (Quiet, lambda file: file.write_bytes(file.read_bytes()[:-9]), "has wrong checksum"),
        (Quiet, lambda file: file.unlink(), "404"),
        (Hasty, lambda file: None, "IncompleteRead"),
    ],
)
def test_failed_download_leaves_nothing(source, raw_dir, data_dir, handler, damage, problem):
    damage(raw_dir / "t10k-labels-idx1-ubyte.gz")
    with serving(raw_dir, handler) as url:
        line = message(prepare, "mnist", data_dir, url=url)
    assert problem in line
    for way_out in ("--raw-dir", "--data-dir", "mnist_5k"):
        assert way_out in line
    if handler is Quiet:
        assert "t10k-labels-idx1-ubyte.gz" in line
    assert contents(data_dir) == []


@contextmanager
def silent_server():
    """Takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def no_server():
    with silent_server() as url:
        pass
    yield url


@contextmanager
def no_such_host():
    yield "http://jaxdl.invalid"


@pytest.mark.parametrize("server", [silent_server, no_server, no_such_host])
def test_no_network_and_nothing_prepared(source, data_dir, monkeypatch, server):
    monkeypatch.setattr(prepared, "PATIENCE", 0.5)
    with server() as url:
        monkeypatch.setitem(SOURCES, "mnist", replace(source, url=url + "/"))
        line = message(load, "mnist", data_dir=data_dir)
    assert line.startswith(f"mnist is not prepared in {data_dir} and cannot be downloaded")
    assert url in line
    for way_out in ("--raw-dir", "--data-dir", "mnist_5k"):
        assert way_out in line
    assert not data_dir.exists()


def test_server_without_the_files_is_refused(source, data_dir, tmp_path):
    (tmp_path / "empty").mkdir()
    with serving(tmp_path / "empty") as url:
        line = message(prepare, "mnist", data_dir, url=url)
    assert "HTTP Error 404" in line or "File not found" in line
    assert not data_dir.exists()


# Killed in the middle

KILLED = """
import os, sys, time
from pathlib import Path
from jaxdl.data import prepare, prepared, tfds_records
from jaxdl.data.sources import SOURCES
from idx_files import small_source

raw_dir, data_dir = Path(sys.argv[1]), Path(sys.argv[2])
SOURCES["mnist"] = small_source("mnist", raw_dir)


def wait_for_the_end(*_, **__):
    os.write(1, b"here")
    time.sleep(60)


{patch}
prepare("mnist", data_dir, raw_dir=raw_dir)
"""

MOMENTS = {
    "records half written": """
generate = tfds_records._WithoutTensorFlow._generate_examples
def stop_halfway(self, inputs, targets):
    yield from generate(self, inputs[:10], targets[:10])
    wait_for_the_end()
tfds_records._WithoutTensorFlow._generate_examples = stop_halfway
""",
    "arrays half written": """
def half_written(file, **arrays):
    file.write(b"PK")
    file.flush()
    wait_for_the_end()
prepared.np.savez = half_written
""",
    "all but renamed": """
Path.rename = wait_for_the_end
""",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_preparation_leaves_nothing_half(source, raw_dir, data_dir, moment):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED.format(patch=MOMENTS[moment]), raw_dir, data_dir],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parent,
    ) as process:
        assert process.stdout is not None
        reached = process.stdout.read(4)
        process.kill()
    assert reached == b"here"
    assert process.returncode == -signal.SIGKILL
    assert not (data_dir / "mnist" / "3.0.1").exists()
    assert contents(data_dir) != []  # it had begun

    folder = prepare("mnist", data_dir, raw_dir=raw_dir)
    assert contents(data_dir) == ["mnist"]
    assert_splits_equal(tfds_records.read_records(folder), random_splits(seed=0))
    assert_splits_equal(read_prepared(source, folder), random_splits(seed=0))


def test_only_leftovers_are_removed(source, raw_dir, data_dir):
    """Another host may be at work in the same folder; a day later it is not."""
    at_work = data_dir / ".incomplete-mnist-another-host"
    long_gone = data_dir / ".incomplete-mnist-yet-another"
    other_set = data_dir / ".incomplete-fashion_mnist-long-gone"
    of_this_host = data_dir / f".incomplete-mnist-{socket.gethostname()}"
    for leftover in (at_work, long_gone, other_set, of_this_host):
        (leftover / "mnist" / "3.0.1").mkdir(parents=True)  # nothing that TFDS should go on with
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(long_gone, (two_days_ago, two_days_ago))
    folder = prepare("mnist", data_dir, raw_dir=raw_dir)
    assert contents(data_dir) == [other_set.name, at_work.name, "mnist"]
    assert_splits_equal(tfds_records.read_records(folder), random_splits(seed=0))


def test_another_host_may_be_faster(source, raw_dir, data_dir, tmp_path, monkeypatch):
    """It knows of no lock here: the set is there when ours is to be named."""
    theirs = prepare("mnist", tmp_path / "theirs", raw_dir=raw_dir)
    write_records = tfds_records.write_records

    def overtaken(*arguments):
        shutil.copytree(theirs, data_dir / "mnist" / "3.0.1")
        return write_records(*arguments)

    monkeypatch.setattr(tfds_records, "write_records", overtaken)
    folder = prepare("mnist", data_dir, raw_dir=raw_dir)
    assert contents(data_dir) == ["mnist"]
    assert_splits_equal(read_prepared(source, folder), random_splits(seed=0))


# At full size


@pytest.mark.slow
def test_whole_mnist_by_download(raw_data, data_dir):
    """The true files by a server, against the checksums that TFDS registers."""
    with serving(raw_data / "mnist") as url:
        folder = prepare("mnist", data_dir, url=url)
    originals = read_originals(MNIST, raw_data)
    assert_splits_equal(read_prepared(MNIST, folder), originals)
    (folder / ARRAYS).unlink()
    assert_splits_equal(read_prepared(MNIST, folder), originals)
    stock = tfds.data_source("mnist", split="test", data_dir=data_dir)
    assert len(stock) == 10000
    assert stock[0]["image"].tobytes() in {image.tobytes() for image in originals.test_inputs}
    assert "tensorflow" not in sys.modules
