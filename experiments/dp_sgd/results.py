"""What the runs spent and reached: a row for each epoch, a table, and lines for the user."""

from collections.abc import Sequence
from typing import Any

from experiments.dp_sgd.training import Trained
from jaxdl.runs import Run
from jaxdl.statistics import mean_and_interval

RECORDED = ("loss", "accuracy", "clipped_examples", "test_loss", "test_accuracy")
"""What is recorded of each epoch besides what it has spent."""


def record(directory: Run, trained: Sequence[Trained]) -> None:
    """A row for each epoch: what each budget's runs had spent and reached, means over seeds."""
    for epoch in range(len(trained[0].steps)):
        row = {}
        for runs in trained:
            seen = {
                "epsilon_rdp": runs.rdp[epoch],
                "epsilon_pld": runs.pld[epoch],
                **{name: runs.history[name][:, epoch].mean() for name in RECORDED},
            }
            row |= {f"{name}_at_{runs.budget.epsilon:g}": value for name, value in seen.items()}
        directory.record(epoch + 1, row)


def tabulate(trained: Sequence[Trained]) -> list[dict[str, Any]]:
    """For ``summary.json``: what each budget's runs spent and reached."""
    table = []
    for runs in trained:
        accuracies = runs.history["test_accuracy"][:, -1]
        mean, half_width = mean_and_interval(accuracies)
        table.append(
            {
                **runs.budget._asdict(),
                "steps": int(runs.steps[-1]),
                "epsilon_rdp": runs.rdp[-1],
                "epsilon_pld": runs.pld[-1],
                "test_accuracy": mean,
                "test_accuracy_interval": half_width,
                "test_accuracy_of_seeds": accuracies,
                "largest_batch": runs.history["largest_batch"].max(),
            }
        )
    return table


def report(table: Sequence[dict[str, Any]], *, held_out: bool) -> None:
    """Prints a line for each budget; what was measured on are test or ``held_out`` examples."""
    share = "held-out" if held_out else "test"
    for row in table:
        one = len(row["test_accuracy_of_seeds"]) == 1
        spread = " (one seed)" if one else f" ± {row['test_accuracy_interval']:.2%}"
        print(
            f"epsilon {row['epsilon']:g} (RDP {row['epsilon_rdp']:.4f}, PLD "
            f"{row['epsilon_pld']:.4f}), noise {row['noise_multiplier']:.3f}: "
            f"{share} accuracy {row['test_accuracy']:.2%}{spread} after {row['steps']} steps"
        )
