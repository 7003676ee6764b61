"""The program: ``python -m experiments.exam_scores``."""

from experiments.exam_scores import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
