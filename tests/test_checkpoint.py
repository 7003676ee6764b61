"""Checkpoints come back to the bit, damaged ones are passed over, foreign ones refused."""

import gc
import json
import random
import shutil

import jax
import jax.numpy as jnp
import pytest

from jaxdl import checkpoint
from jaxdl.digest import tree_sha256
from jaxdl.errors import InputError

# A read that fails leaves Orbax's own event loop with callbacks that come too late.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

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


@pytest.fixture(autouse=True)
def _collect():
    yield
    gc.collect()


@pytest.fixture
def folder(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def test_round_trip(folder):
    restored = checkpoint.restore_newest(folder, state(), config=CONFIG)
    assert tree_sha256(restored.state) == tree_sha256(state(20))
    assert jax.tree.structure(restored.state) == jax.tree.structure(state())
    assert restored.notes == {"epochs": [20]}
    assert restored.passed_over == ()
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


def damage_the_metadata(path):
    (path / "arrays" / "_METADATA").write_text("{")


def truncate_the_description(path):
    file = path / "description" / "metadata"
    file.write_text(file.read_text()[:40])


def change_a_note(path):
    file = path / "description" / "metadata"
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
    damage_the_metadata,
    truncate_the_description,
    change_a_note,
    swap_the_arrays_of_another,
    replace_the_folder_by_a_file,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(folder, damage):
    damage(folder / "20")
    restored = checkpoint.restore_newest(folder, state(), config=CONFIG)
    assert tree_sha256(restored.state) == tree_sha256(state(10))
    (line,) = restored.passed_over
    assert str(folder / "20") in line
    assert "\n" not in line
    checkpoint.save(folder, 20, state(22), config=CONFIG, notes={})
    again = checkpoint.restore_newest(folder, state(), config=CONFIG)
    assert tree_sha256(again.state) == tree_sha256(state(22))


def test_all_damaged_is_refused(folder):
    for step in ("10", "20"):
        flip_a_byte_of_the_arrays(folder / step)
    with pytest.raises(InputError, match=r"no checkpoint .* can be read: 2 damaged"):
        checkpoint.restore_newest(folder, state(), config=CONFIG)


def test_an_unfinished_checkpoint_is_not_seen(folder):
    (folder / "30.orbax-checkpoint-tmp").mkdir()
    (folder / "30.orbax-checkpoint-tmp" / "half").write_text("")
    restored = checkpoint.restore_newest(folder, state(), config=CONFIG)
    assert tree_sha256(restored.state) == tree_sha256(state(20))


def test_another_configuration_is_refused_with_the_difference(folder):
    other = json.loads(json.dumps(CONFIG))
    other["optimizer"]["learning_rate"] = 0.2
    with pytest.raises(InputError, match=r"optimizer.learning_rate was 0.1, is 0.2") as error:
        checkpoint.restore_newest(folder, {"params": jnp.zeros(2)}, config=other)
    assert len(str(error.value).splitlines()) <= 3
