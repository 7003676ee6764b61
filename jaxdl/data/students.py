"""Two small tables of students, for regression and for two classes."""

import numpy as np

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
_ROWS = (
    *("12 16 1", "9 1 0", "7 0 0", "4 5 0", "4 0 0", "0 27 0", "1 21 0", "0 26 0", "2 10 0"),
    *("12 25 1", "9 31 1", "13 15 1", "7 18 0", "9 40 1", "14 33 1", "10 40 1", "9 15 1"),
    *("8 28 1", "8 38 1", "14 26 1", "4 34 1", "12 28 1", "10 28 1", "0 15 0", "5 35 1"),
    *("12 5 0", "8 23 1", "0 29 0", "11 34 1", "10 21 1", "12 15 1", "2 12 0", "1 17 0"),
    *("12 19 0", "0 29 0", "8 36 1", "1 2 0", "4 38 0", "7 21 0", "6 14 0"),
)
PASSES = np.array([row.split() for row in _ROWS], np.float64)
"""Forty students: lectures attended (of 14), hours on the project, and whether they passed.

Nobody attended this course: the rows are made. Lectures and hours were drawn evenly from 0 to 14
and 0 to 40, and 1 (passed) with the probability ``sigmoid(-5 + 0.35 lectures + 0.15 hours)``, once,
by ``numpy.random.default_rng(0)``.
"""
