"""The program: ``python -m experiments.toy_gan``."""

from experiments.toy_gan import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
