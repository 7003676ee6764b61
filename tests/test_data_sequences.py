import numpy as np
import pytest

from jaxdl.data import image_sequences
from jaxdl.errors import InputError
from jaxdl.types import Examples

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), dtype=np.uint8)
EXAMPLES = Examples(IMAGES, np.arange(3))


def test_rows_are_read_from_the_top():
    rows = image_sequences(EXAMPLES, "rows").inputs
    assert rows.shape == (3, 28, 28)
    assert rows.dtype == np.uint8
    np.testing.assert_array_equal(rows[1, 5], IMAGES[1, 5, :, 0])


def test_pixels_are_read_row_by_row():
    pixels = image_sequences(EXAMPLES, "pixels").inputs
    assert pixels.shape == (3, 784, 1)
    np.testing.assert_array_equal(pixels[2, 28 * 7 + 3], IMAGES[2, 7, 3])


def test_the_permutation_is_one_and_stays_the_same():
    permuted = image_sequences(EXAMPLES, "permuted").inputs[..., 0]
    pixels = image_sequences(EXAMPLES, "pixels").inputs[..., 0]
    places = image_sequences(
        Examples(np.arange(784).reshape(1, 28, 28, 1), np.zeros(1)), "permuted"
    )
    order = places.inputs[0, :, 0]
    np.testing.assert_array_equal(np.sort(order), np.arange(784))
    np.testing.assert_array_equal(permuted, pixels[:, order])
    assert order[:6].tolist() == [246, 4, 526, 57, 390, 5]


def test_an_order_that_is_none_is_refused():
    with pytest.raises(InputError, match=r"no order 'pixel'.*pixels"):
        image_sequences(EXAMPLES, "pixel")
