"""A small network that trains with tensors in Tesla's formats: the part of `train_mnist.py` to learn from.

A multilayer perceptron, and Adam, in NumPy.  What a step stores, and what it multiplies, is rounded to the
formats that a `Recipe` names; all else is computed in float32.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from make_carried_tensors import Labels, log_softmax
from numpy.typing import NDArray

import cfloat as cf

Floats: TypeAlias = NDArray[np.float32]
Tensor: TypeAlias = Floats | cf.CFloatArray
Rounding: TypeAlias = Literal["stochastic", "ties_to_even"]

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's published defaults

# UHP's bias is fixed, so the power of two that another bias would be is put into the numbers: the second
# moment is that of gradients times this.  What is too small for UHP then has a root below
# sqrt(2**-30) / 2**12 = 0.75e-8, and hides behind EPSILON.  In float32 the factor changes nothing.
SECOND_SCALE = 2.0**12

# How many tensors a bias is learned from.
WINDOW = 16


@dataclass(frozen=True)
class Recipe:
    """The format of each tensor, None being float32, and how it is rounded."""

    weight: cf.Format | None = cf.CFloat8_1_4_3  # in products
    activation: cf.Format | None = cf.CFloat8_1_4_3
    gradient: cf.Format | None = cf.CFloat8_1_5_2  # of what a layer returns
    master: cf.Format | None = cf.CFloat16_SHP  # weights, as they are kept
    first: cf.Format | None = cf.CFloat16_SHP  # moment
    second: cf.Format | None = cf.CFloat16_UHP
    master_rounding: Rounding = "stochastic"
    first_rounding: Rounding = "stochastic"
    second_rounding: Rounding = "stochastic"
    learned: bool = True  # biases; or else the formats' default ones


# --- Tensors -----------------------------------------------------------------------------------


class Place:
    """A place for tensors of one format, whose exponent bias is learned from those that come by.

    Parameters
    ----------
    fmt : Format or None
        The format; None leaves float32 as it is.
    learned : bool
        Whether the bias is learned, or the format's default.
    """

    def __init__(self, fmt: cf.Format | None, learned: bool) -> None:
        self._format = fmt
        self._tracker = cf.BiasTracker(fmt, window=WINDOW) if fmt is not None and learned else None
        self._bias: int | None = None  # the default

    def round(self, x: Tensor, learn: bool = True, **how: Any) -> Tensor:
        """Round values, to nearest unless `how` says else; what is rounded already stays as it is."""
        if self._format is None or isinstance(x, cf.CFloatArray):
            return x
        if learn and self._tracker is not None:
            self._bias = self._tracker.update(x)
        return cf.asarray(x, self._format, self._bias, **how)


class Kept:
    """A tensor that is kept from step to step, and rounded whenever it is written.

    Parameters
    ----------
    place : Place
        Its format and bias.
    rounding : str
        How it is rounded.
    seed, start, words : int
        Of stochastic rounding: each step has so many words of the seed's random stream, and this tensor has
        those from `start` on.  So no word is used twice, and each depends on seed, step and tensor alone.
    values : ndarray of float32
        What it starts with.
    """

    def __init__(
        self, place: Place, rounding: Rounding, seed: int, start: int, words: int, values: Floats
    ) -> None:
        self._place = place
        self._rounding = rounding
        self._seed, self._start, self._words = seed, start, words
        self.write(values, step=0)

    def read(self) -> Floats:
        """Return the values, for the caller to change and write back."""
        return np.asarray(self.stored)

    def write(self, values: Floats, step: int) -> None:
        """Round values, once, into what is kept."""
        how: dict[str, Any] = {"rounding": self._rounding}
        if self._rounding == "stochastic":
            how |= {"seed": self._seed, "offset": step * self._words + self._start}
        self.stored = self._place.round(values, **how)


# --- The network -------------------------------------------------------------------------------


class Layer:
    """A matrix of weights, Adam's moments, and the places of the operands of its three products.

    Parameters
    ----------
    weight : ndarray of float32, shape (inputs, outputs)
        What it starts with.
    recipe : Recipe
        How tensors are stored.
    seed, start, words : int
        As `Kept` takes them.
    """

    def __init__(self, weight: Floats, recipe: Recipe, seed: int, start: int, words: int) -> None:
        def keep(index: int, values: Floats, fmt: cf.Format | None, rounding: Rounding) -> Kept:
            place = Place(fmt, recipe.learned)
            return Kept(place, rounding, seed, start + index * weight.size, words, values)

        zeros = np.zeros_like(weight)
        self.master = keep(0, weight, recipe.master, recipe.master_rounding)
        self.first = keep(1, zeros.copy(), recipe.first, recipe.first_rounding)
        self.second = keep(2, zeros.copy(), recipe.second, recipe.second_rounding)
        self.weights = Place(recipe.weight, recipe.learned)
        self.inputs = Place(recipe.activation, recipe.learned)
        self.gradients = Place(recipe.gradient, recipe.learned)
        self.weight = self.weights.round(self.master.read())

    def update(self, gradient: Floats, step: int, rate: float) -> None:
        """Take a step of Adam in float32, and round what it has changed into where it is kept."""
        weight, first, second = self.master.read(), self.first.read(), self.second.read()
        first += (1 - BETA1) * (gradient - first)
        second += (1 - BETA2) * (np.square(SECOND_SCALE * gradient) - second)
        root = np.sqrt(second / (1 - BETA2**step)) / SECOND_SCALE
        weight -= (rate / (1 - BETA1**step)) * first / (root + EPSILON)
        self.master.write(weight, step)
        self.first.write(first, step)
        self.second.write(second, step)
        self.weight = self.weights.round(self.master.read())


class Network:
    """A multilayer perceptron: products with weights, and a ReLU between one and the next.

    Parameters
    ----------
    recipe : Recipe
        How tensors are stored.
    sizes : tuple of int
        The lengths of the input, of the hidden layers and of the output.
    seed : int
        Of the first weights and of stochastic rounding.
    """

    def __init__(self, recipe: Recipe, sizes: tuple[int, ...], seed: int) -> None:
        rng = np.random.default_rng((seed, 0))
        shapes = list(pairwise(sizes))
        words = 3 * sum(map(math.prod, shapes))
        self.layers: list[Layer] = []
        self.step = start = 0
        for shape in shapes:
            # He's rule, which keeps the variance steady through ReLUs
            weight = rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / shape[0]))
            self.layers.append(Layer(weight, recipe, seed, start, words))
            start += 3 * weight.size

    def forward(self, x: Tensor, learn: bool = False) -> Floats:
        """Return the logits; `learn` biases from what passes, and keep the activations."""
        for layer in self.layers:
            x = layer.inputs.round(x, learn)
            if learn:
                layer.input = x
            logits = x @ layer.weight
            x = np.maximum(logits, 0)
        return logits

    def gradients(self, x: Tensor, labels: Labels) -> tuple[float, list[Floats]]:
        """Return the mean cross-entropy, and its gradient with respect to each layer's weights."""
        log_share = log_softmax(self.forward(x, learn=True))
        loss = -log_share[np.arange(len(labels)), labels].mean()
        delta = np.exp(log_share)
        delta[np.arange(len(labels)), labels] -= 1
        delta /= len(labels)
        gradients: list[Floats] = []
        for layer in reversed(self.layers):
            operand = layer.gradients.round(delta)
            gradients.insert(0, layer.input.T @ operand)
            if layer is not self.layers[0]:
                delta = (operand @ layer.weight.T) * (layer.input > 0)
        return float(loss), gradients

    def learn(self, x: Tensor, labels: Labels, rate: float) -> float:
        """Take a step along the gradients of a minibatch; return its loss before."""
        loss, gradients = self.gradients(x, labels)
        self.step += 1
        for layer, gradient in zip(self.layers, gradients, strict=True):
            layer.update(gradient, self.step, rate)
        return loss

    def memory(self) -> dict[str, int]:
        """Return the bytes of what is stored, once a minibatch has been learned."""

        def total(tensor: Callable[[Layer], Tensor]) -> int:
            return sum(tensor(layer).nbytes for layer in self.layers)

        rounded = [
            layer.weight for layer in self.layers if isinstance(layer.weight, cf.CFloatArray)
        ]
        return {
            "weights, as they are kept": total(lambda layer: layer.master.stored),
            "weights, rounded for products": sum(weight.nbytes for weight in rounded),
            "first moment": total(lambda layer: layer.first.stored),
            "second moment": total(lambda layer: layer.second.stored),
            "activations of a batch": total(lambda layer: layer.input),
        }
