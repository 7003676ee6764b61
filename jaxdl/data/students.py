"""Two small tables of students, for regression and for two classes."""

import numpy as np
from jaxtyping import Float

EXAM_COLUMNS = ("study", "sleep", "quiz", "exam")
EXAMS = np.array(
    [
        (12, 6, 78, 93),
        (22, 6.5, 24, 68),
        (115, 4, 100, 95),
        (31, 9, 67, 75),
        (0, 10, 58, 51),
        (5, 8, 78, 60),
        (92, 6, 82, 89),
        (57, 8, 91, 97),
    ]
)
"""Eight students: hours of study, hours of sleep, points in a quiz and in the exam."""

PASS_LAW = (-5.0, 0.35, 0.15)
"""The constant, and the weights of a lecture and of an hour, that `PASSES` were drawn by."""
_LECTURES = (
    "12 3 1 4 6 12 6 1 5 9 12 10 14 2 13 0 8 4 3 9 4 8 3 2 11 6 10 10 14 6 3 9 14 14 13 10 5 5 0 2"
)
_HOURS = (
    "13 14 23 20 28 36 35 31 40 13 37 37 9 19 23 28 28 4 19 4 "
    "39 8 18 36 21 27 20 34 24 26 18 16 24 21 32 24 19 35 8 17"
)
_PASSED = "0 0 0 0 1 1 1 1 1 1 1 1 0 0 1 0 1 0 0 1 1 1 0 1 1 0 1 1 1 1 0 0 1 1 1 1 0 1 0 0"
PASSES = np.array([of.split() for of in (_LECTURES, _HOURS, _PASSED)], np.float64).T
"""Forty students: lectures attended (of 14), hours on the project, and whether they passed.

Nobody attended this course: the rows are made. Lectures and hours were drawn evenly from 0 to 14
and 0 to 40, and 1 (passed) with the probability ``sigmoid(-5 + 0.35 lectures + 0.15 hours)``, once,
by ``numpy.random.default_rng(2)``.
"""


def standardize_columns(
    table: Float[np.ndarray, "rows columns"],
) -> Float[np.ndarray, "rows columns"]:
    """Each column about its mean, in its standard deviations (by n, not n - 1).

    >>> standardize_columns(np.array([[1.0, 10.0], [3.0, 30.0]])).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """
    return (table - table.mean(axis=0)) / table.std(axis=0)
