"""Benchmarks: our work beside that of others, run as ``python -m experiments.benchmarks.NAME``."""
