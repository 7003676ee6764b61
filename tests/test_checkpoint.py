"""Checkpoints come back to the bit, damaged ones are passed over, foreign ones refused."""

import errno
import json
import os
import random
import resource
import shutil
import subprocess

import jax
import jax.numpy as jnp
import pytest

from jaxdl import checkpoint
from jaxdl.digest import tree_sha256
from jaxdl.errors import InputError

CONFIG = {"epochs": 3, "optimizer": {"name": "adam", "learning_rate": 0.1}}


def state(value=0.0):
    return {
        "params": {"w": jnp.arange(600.0).reshape(20, 30) + value, "b": jnp.zeros(30)},
        "opt_state": (jnp.int32(3), ()),
        "key": jax.random.key(5),
        "stopped": jnp.bool_(False),
        "many_keys": jax.random.split(jax.random.key(1), 3),
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of two checkpoints, 10 and 20; the first one saved is gone."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    for step in (5, 10, 20):
        checkpoint.save(folder, step, state(step), config=CONFIG, notes={"epochs": [step]})
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def test_round_trip(folder):
    restored = checkpoint.restore_newest(folder, state(), config=CONFIG)
    assert tree_sha256(restored.state) == tree_sha256(state(20))
    assert jax.tree.structure(restored.state) == jax.tree.structure(state())
    assert restored.notes == {"epochs": [20]}
    assert restored.damaged == {}
    assert jax.random.bits(restored.state["key"]) == jax.random.bits(jax.random.key(5))
    assert sorted(path.name for path in folder.iterdir()) == ["10", "20"]


def test_nothing_there_is_none(tmp_path):
    assert checkpoint.restore_newest(tmp_path / "none", state(), config=CONFIG) is None
    assert checkpoint.restore_newest(tmp_path, state(), config=CONFIG) is None


def test_a_step_saved_again_is_replaced(folder):
    checkpoint.save(folder, 20, state(21), config=CONFIG, notes={})
    restored = checkpoint.restore_newest(folder, state(), config=CONFIG)
    assert tree_sha256(restored.state) == tree_sha256(state(21))


def files(folder):
    """All files with content: Orbax keeps some bytes twice, and reads only one of the copies."""
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]


def flip_a_byte_of_the_arrays(path):
    for file in files(path / "arrays" / "d"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0x10
        file.write_bytes(content)


def truncate_the_arrays(path):
    for file in files(path / "arrays" / "d"):
        file.write_bytes(file.read_bytes()[:-100])


def empty_the_arrays(path):
    for file in files(path / "arrays"):
        file.write_bytes(b"")


def remove_the_arrays(path):
    for file in files(path / "arrays" / "d"):
        file.unlink()


def remove_the_array_folder(path):
    shutil.rmtree(path / "arrays")


def write_noise_over_everything(path):
    noise = random.Random(0)
    for file in files(path):
        file.write_bytes(noise.randbytes(file.stat().st_size))


def remove_all_files(path):
    shutil.rmtree(path)
    path.mkdir()


def remove_the_manifest(path):
    (path / "arrays" / "manifest.ocdbt").unlink()


def remove_the_hashes(path):
    (path / "SHA256SUMS").unlink()


def truncate_the_hashes(path):
    file = path / "SHA256SUMS"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))


def write_noise_over_the_hashes(path):
    (path / "SHA256SUMS").write_bytes(random.Random(0).randbytes(1000))


def damage_the_metadata(path):
    (path / "arrays" / "_METADATA").write_text("{")


def truncate_the_description(path):
    file = path / "description.json"
    file.write_text(file.read_text()[:40])


def change_a_note(path):
    file = path / "description.json"
    file.write_text(file.read_text().replace("[20]", "[21]"))


def swap_the_arrays_of_another(path):
    shutil.rmtree(path / "arrays")
    shutil.copytree(path.parent / "10" / "arrays", path / "arrays")


def replace_the_folder_by_a_file(path):
    shutil.rmtree(path)
    path.write_text("nothing")


DAMAGES = [
    flip_a_byte_of_the_arrays,
    truncate_the_arrays,
    empty_the_arrays,
    remove_the_arrays,
    remove_the_array_folder,
    write_noise_over_everything,
    remove_all_files,
    remove_the_manifest,
    remove_the_hashes,
    truncate_the_hashes,
    write_noise_over_the_hashes,
    damage_the_metadata,
    truncate_the_description,
    change_a_note,
    swap_the_arrays_of_another,
    replace_the_folder_by_a_file,
]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(folder, damage):
    damage(folder / "20")
    before = contents(folder)
    restored = checkpoint.restore_newest(folder, state(), config=CONFIG)
    assert contents(folder) == before
    assert tree_sha256(restored.state) == tree_sha256(state(10))
    ((path, reason),) = restored.damaged.items()
    assert path == folder / "20"
    assert "\n" not in reason

    assert checkpoint.set_aside(path) == folder / "damaged" / "20"
    checkpoint.save(folder, 20, state(22), config=CONFIG, notes={})
    again = checkpoint.restore_newest(folder, state(), config=CONFIG)
    assert tree_sha256(again.state) == tree_sha256(state(22))
    assert again.damaged == {}


def test_all_damaged_is_refused_and_left_where_it_is(folder):
    for step in ("10", "20"):
        flip_a_byte_of_the_arrays(folder / step)
    before = contents(folder)
    with pytest.raises(InputError, match=r"no checkpoint in .* is whole: 2 damaged") as error:
        checkpoint.restore_newest(folder, state(), config=CONFIG)
    assert contents(folder) == before
    assert "--" not in str(error.value)  # whoever reads has flags of its own
    assert "\n" not in str(error.value)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_a_tool_of_the_system_agrees_on_what_is_whole(folder):
    def agrees():
        command = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
        return subprocess.run(command, cwd=folder / "20", capture_output=True).returncode == 0

    listed = (folder / "20" / "SHA256SUMS").read_text().splitlines()
    assert {line.split("  ")[1] for line in listed} == {
        path.relative_to(folder / "20").as_posix()
        for path in (folder / "20").rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert agrees()
    change_a_note(folder / "20")
    assert not agrees()


# --- what is no damage ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM]
)
@pytest.mark.parametrize("function", ["open", "scandir"])
def test_what_the_system_refuses_is_one_line_and_no_damage(folder, monkeypatch, number, function):
    original = open if function == "open" else os.scandir

    def refuse(path, *arguments):
        if "arrays" in str(path):
            raise OSError(number, os.strerror(number), str(path))
        return original(path, *arguments)

    place = (checkpoint, "open") if function == "open" else (os, "scandir")
    before = contents(folder)
    with monkeypatch.context() as patch:
        patch.setattr(*place, refuse, raising=False)
        with pytest.raises(InputError, match=os.strerror(number)) as error:
            checkpoint.restore_newest(folder, state(), config=CONFIG)
    assert str(error.value).startswith(f"cannot read {folder / '20' / 'arrays'}")
    assert "\n" not in str(error.value)
    assert contents(folder) == before


def test_too_many_open_files_are_no_damage(folder):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        with pytest.raises(InputError, match="Too many open files"):
            checkpoint.restore_newest(folder, state(), config=CONFIG)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert checkpoint.restore_newest(folder, state(), config=CONFIG).damaged == {}


@pytest.mark.parametrize("error", [MemoryError, TypeError("unexpected keyword"), ValueError])
def test_an_error_on_whole_files_goes_through(folder, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(checkpoint.ocp.StandardCheckpointer, "restore", fail)
    with pytest.raises(error if isinstance(error, type) else type(error)) as raised:
        checkpoint.restore_newest(folder, state(), config=CONFIG)
    assert not isinstance(raised.value, InputError)
    assert sorted(path.name for path in folder.iterdir()) == ["10", "20"]


def test_a_folder_that_cannot_be_written_is_one_line(folder):
    (folder / "file").touch()
    with pytest.raises(InputError, match=r"cannot write to .*file.*: Not a directory"):
        checkpoint.save(folder / "file" / "new", 1, state(), config=CONFIG, notes={})
    (folder / "damaged").touch()
    with pytest.raises(InputError, match=r"cannot write to .*damaged.*: \w+"):
        checkpoint.set_aside(folder / "20")


def test_an_unfinished_checkpoint_is_not_seen(folder):
    (folder / ".new").mkdir()
    (folder / ".new" / "half").write_text("")
    restored = checkpoint.restore_newest(folder, state(), config=CONFIG)
    assert tree_sha256(restored.state) == tree_sha256(state(20))
    checkpoint.save(folder, 30, state(30), config=CONFIG, notes={})
    assert sorted(path.name for path in folder.iterdir()) == ["20", "30"]
    assert not (folder / "30" / "half").exists()


def test_another_configuration_is_refused_with_the_difference(folder):
    other = json.loads(json.dumps(CONFIG))
    other["optimizer"]["learning_rate"] = 0.2
    with pytest.raises(InputError, match=r"optimizer.learning_rate was 0.1, is 0.2") as error:
        checkpoint.restore_newest(folder, {"params": jnp.zeros(2)}, config=other)
    assert len(str(error.value).splitlines()) <= 3


OTHER_STATES = {
    "params.b was 'float32[30]', is None": lambda s: s["params"].pop("b"),
    "params.c was None, is 'float32[2]'": lambda s: s["params"].update(c=jnp.zeros(2)),
    "params.b was 'float32[30]', is 'float32[31]'": lambda s: s["params"].update(b=jnp.zeros(31)),
    "params.b was 'float32[30]', is 'int32[30]'": lambda s: s["params"].update(
        b=jnp.zeros(30, jnp.int32)
    ),
    "many_keys was 'uint32[3, 2]', is 'uint32[2, 2]'": lambda s: s.update(
        many_keys=jax.random.split(jax.random.key(1))
    ),
}


@pytest.mark.parametrize("difference", OTHER_STATES)
def test_another_state_is_refused_with_the_difference(folder, difference):
    other = state()
    OTHER_STATES[difference](other)
    with pytest.raises(InputError) as error:
        checkpoint.restore_newest(folder, other, config=CONFIG)
    assert f"is of another state: {difference}\n" in str(error.value)
    assert sorted(path.name for path in folder.iterdir()) == ["10", "20"]
