"""Planes by linear programming and by least distance, against each other and scikit-learn."""

import numpy as np
import pytest
from sklearn.svm import SVC

from jaxdl.errors import InputError
from jaxdl.separability import separating_plane, signed_rows, widest_margin


def parted(seed, offset=0.3):
    """Points with a gap along a random line."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(40, 3))
    along = points @ rng.normal(size=3) + offset
    return points[np.abs(along) > 0.2], (along > 0)[np.abs(along) > 0.2]


@pytest.mark.parametrize("seed", range(3))
def test_a_plane_parts_what_can_be_parted(seed):
    points, labels = parted(seed)
    weights = separating_plane(points, labels)
    assert (signed_rows(points, labels) @ weights > 0).all()
    between = points[labels][:2].mean(axis=0)
    points, labels = np.concatenate([points, between[None]]), np.append(labels, False)
    assert separating_plane(points, labels) is None
    with pytest.raises(InputError, match="no plane"):
        widest_margin(points, labels)


@pytest.mark.parametrize("seed", range(3))
def test_the_widest_margin_is_that_of_a_support_vector_machine(seed):
    """Scikit-learn's bias has no length; where a point stands opposite to each, both are 0."""
    points, labels = parted(seed, offset=0)
    both, twice = np.concatenate([points, -points]), np.concatenate([labels, ~labels])
    rows = signed_rows(both, twice)
    weights, margin = widest_margin(both, twice)
    np.testing.assert_allclose((rows @ weights).min(), margin, rtol=1e-9)
    machine = SVC(kernel="linear", C=1e9, tol=1e-8).fit(both, twice)
    np.testing.assert_allclose(margin, 1 / np.linalg.norm(machine.coef_), rtol=1e-4)
    assert abs(weights[-1]) < 1e-9


def test_no_other_plane_is_further():
    points, labels = parted(5)
    _, margin = widest_margin(points, labels)
    others = np.random.default_rng(0).normal(size=(2000, 4))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert (signed_rows(points, labels) @ others.T).min(axis=0).max() <= margin


@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (1e6, 1e8)])
def test_neither_units_nor_place_decide(scale, shift):
    points, labels = parted(1)
    weights = separating_plane(scale * points + shift, labels)
    assert (signed_rows(scale * points + shift, labels) @ weights > 0).all()


def test_a_margin_that_is_too_narrow_is_refused():
    with pytest.raises(InputError, match="shift and scale"):
        widest_margin(np.array([[1e8], [1e8 + 1]]), np.array([False, True]))
