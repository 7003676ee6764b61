"""Experiments: a module or a package each, run as ``python -m experiments.NAME``."""

import os
import sys

# XLA computes with threads of its own. Those of OpenBLAS, behind NumPy and LAPACK, spin while they
# wait for each other: beside other work the QR of a 128x128 matrix took 830 ms, by one thread 2.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A quick form compiles more than it computes. With fewer of LLVM's optimizations, and each fusion
# written the plain way, XLA compiles in half the time what runs as fast. What is asked for in
# XLA_FLAGS, which XLA reads later, still counts.
if "--quick" in sys.argv:
    os.environ["XLA_FLAGS"] = (
        "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false "
        + os.environ.get("XLA_FLAGS", "")
    )
