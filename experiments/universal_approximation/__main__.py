"""The program: ``python -m experiments.universal_approximation``."""

from experiments.universal_approximation import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
