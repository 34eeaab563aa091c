"""What `train_mnist.py` prints, and the files that it writes."""

import csv
import io
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np


@dataclass(frozen=True)
class Run:
    """What one seed gave: mean training loss and test accuracy in per cent, epoch by epoch; bytes."""

    losses: list[float]
    accuracies: list[float]
    memory: dict[str, int]


Results: TypeAlias = dict[str, list[Run]]


def spread(values: Sequence[float], decimals: int) -> str:
    """Return mean and sample standard deviation."""
    deviation = f" +- {statistics.stdev(values):.{decimals}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{decimals}f}{deviation}"


def print_results(runs: Iterator[Run], variants: list[str], seeds: int) -> Results:
    """Print a line for each variant as soon as its runs are done, and then the memory; return the runs."""
    results: Results = {}
    print(f"{'variant':27}{'test accuracy, %':>18}{'minus float32':>18}{'training loss':>22}")
    for name in variants:
        results[name] = list(islice(runs, seeds))
        accuracies = [run.accuracies[-1] for run in results[name]]
        losses = [run.losses[-1] for run in results[name]]
        difference = ""
        if name != "float32" and "float32" in results:
            # seed by seed: of one seed, all have the same first weights and the same batches
            pairs = zip(accuracies, results["float32"], strict=True)
            difference = spread([mine - other.accuracies[-1] for mine, other in pairs], 2)
        line = f"{name:27}{spread(accuracies, 2):>18}{difference:>18}{spread(losses, 4):>22}"
        print(line, flush=True)
    print_memory(results)
    return results


def print_memory(results: Results) -> None:
    """Print the bytes of what is stored, in a column for each variant that differs from those before."""
    columns: dict[str, dict[str, int]] = {}
    for name, runs in results.items():
        if runs[0].memory not in columns.values():
            columns[name] = runs[0].memory
    print(f"\n{'bytes of':30}" + "".join(f"{name:>14}" for name in columns))
    for part in next(iter(columns.values())):
        print(f"{part:30}" + "".join(f"{memory[part]:>14,}" for memory in columns.values()))
    totals = [sum(memory.values()) for memory in columns.values()]
    print(f"{'all':30}" + "".join(f"{total:>14,}" for total in totals))


def write_curves(results: Results, stream: IO[bytes]) -> None:
    """Write losses and accuracies as comma-separated values."""
    text = io.TextIOWrapper(stream, "utf-8", newline="")
    table = csv.writer(text)
    table.writerow(("variant", "seed", "epoch", "training_loss", "test_accuracy_percent"))
    for name, runs in results.items():
        for seed, run in enumerate(runs):
            for epoch, values in enumerate(zip(run.losses, run.accuracies, strict=True), 1):
                table.writerow((name, seed, epoch, *values))
    text.detach()


def draw_curves(results: Results, stream: IO[bytes]) -> None:
    """Draw the means over seeds as a PNG; it takes matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    accuracy, loss = figure.subplots(1, 2)
    for index, (name, runs) in enumerate(results.items()):
        epochs = range(1, len(runs[0].losses) + 1)
        style = {
            "label": name,
            "color": f"C{index % 10}",
            "linestyle": ("-", "--", ":")[index % 3],
            "linewidth": 2.5 if name in ("float32", "cfloat") else 1.5,
        }
        accuracy.plot(epochs, np.mean([run.accuracies for run in runs], axis=0), **style)
        loss.plot(epochs, np.mean([run.losses for run in runs], axis=0), **style)
    accuracy.set(xlabel="epoch", ylabel="test accuracy, %")
    loss.set(xlabel="epoch", ylabel="training loss", yscale="log")
    for axes in (accuracy, loss):
        axes.grid(alpha=0.3)
    figure.legend(*accuracy.get_legend_handles_labels(), loc="outside right center")
    figure.savefig(stream, format="png", dpi=100)


def save(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write a file under a temporary name, then move it into place: all of it or none."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as stream:
            write(stream)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
