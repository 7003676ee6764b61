"""Experiments: a module or a package each, run as ``python -m experiments.NAME``."""

import os

# XLA computes with threads of its own. Those of OpenBLAS, behind NumPy and LAPACK, spin while they
# wait for each other: beside other work the QR of a 128x128 matrix took 830 ms, by one thread 2.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
