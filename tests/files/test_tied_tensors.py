"""Tensors that are one in memory, under several names."""

import json
import subprocess
import sys

import numpy as np
import pytest
from commands import cfloat, succeeded
from safetensors.numpy import load_file

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.names_by_reason import by_kept

torch = pytest.importorskip("torch")

FMT = cf.CFloat8_1_4_3
STOCHASTIC = Plan(FMT, rounding="stochastic", seed=3)

#: A model with a tied head, and what loads it with safetensors' own reader, elsewhere.
READER = """
import sys, torch
from safetensors.torch import load_model
class Model(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.embed = torch.nn.Embedding(size, 32)
        self.head = torch.nn.Linear(32, size, bias=False)
        self.head.weight = self.embed.weight
        self.norm = torch.nn.Parameter(torch.ones(32))
model = Model(int(sys.argv[2]))
print(load_model(model, sys.argv[1]))
assert model.head.weight is model.embed.weight
print(model.head.weight.double().sum().item())
"""


def model(size):
    namespace = {}
    exec(READER.partition("model = ")[0], namespace)
    torch.manual_seed(0)
    return namespace["Model"](size)


def saved(path, tensors):
    path.parent.mkdir(exist_ok=True)
    torch.save(tensors, path)
    return path


# below and above the size at which bytes are read from the file when they are asked for
@pytest.fixture(params=[64, 2000], ids=["small", "large"])
def tied(request, tmp_path):
    return saved(tmp_path / "in" / "x.pt", model(request.param).state_dict())


@pytest.mark.parametrize(
    "plan",
    [STOCHASTIC, Plan(FMT, bias="mse", axis=0), Plan(FMT, block=32, rounding="stochastic")],
    ids=["stochastic", "axis", "block"],
)
def test_one_copy_where_the_file_can_say_so(tied, tmp_path, plan):
    target = tmp_path / "out.safetensors"
    summary = convert(tied, target, plan)
    assert summary.converted == ["embed.weight", "norm"]
    assert summary.tied == {"head.weight": "embed.weight"}
    assert "tied, and stored once: head.weight as embed.weight" in summary.to_text().splitlines()
    tensors = cf.load(target)
    assert list(tensors) == ["embed.weight", "norm"]
    assert tensors.tied == {"head.weight": "embed.weight"}
    assert "head.weight" not in load_file(target)
    # and back, for the reader whose convention it is
    back = tmp_path / "back.safetensors"
    summary = convert(target, back, Plan(to="float32"))
    assert cf.load(back).tied == {"head.weight": "embed.weight"}
    found = load_file(back)["embed.weight"]
    np.testing.assert_array_equal(found, np.asarray(tensors["embed.weight"]))
    run = subprocess.run(
        [sys.executable, "-c", READER, back, str(len(found))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    missing, total = run.stdout.splitlines()
    assert missing == "(set(), [])"
    np.testing.assert_allclose(float(total), found.astype(np.float64).sum())


def test_what_is_only_copied_is_tied_too(tied, tmp_path):
    target = tmp_path / "out.safetensors"
    summary = convert(tied, target, Plan(FMT, include=("norm",)))
    assert summary.copied == ["embed.weight"]
    assert cf.load(target).tied == {"head.weight": "embed.weight"}


def test_equal_copies_in_a_model_s_folder(tied, tmp_path):
    # transformers ties by the configuration, and one that says no would miss a head
    tied.rename(tied.with_name("pytorch_model.bin"))
    (tied.parent / "config.json").write_text('{"tie_word_embeddings": true}')
    for number, source in enumerate((tied.parent, tied.parent / "pytorch_model.bin")):
        target = tmp_path / f"out{number}"
        summary = convert(source, target, STOCHASTIC)
        assert summary.tied == {}
        assert "tied, and stored as equal copies: head.weight as embed.weight" in summary.notes
        tensors = cf.load(target)
        np.testing.assert_array_equal(tensors["head.weight"].codes, tensors["embed.weight"].codes)
        assert len(tensors) == 3
        # a file by itself beside that folder's configuration, too
        target = tmp_path / "in" / "out.safetensors"
        convert(tied.parent / "pytorch_model.bin", target, STOCHASTIC)
        assert "head.weight" in cf.load(target)
        target.unlink()


def test_equal_copies_in_shards_and_exports(tied, tmp_path):
    tensors = torch.load(tied, weights_only=True)
    saved(tmp_path / "sharded" / "pytorch_model-1.bin", tensors)
    saved(tmp_path / "sharded" / "pytorch_model-2.bin", {"other": torch.ones(40, 30)})
    weight_map = dict.fromkeys(tensors, "pytorch_model-1.bin") | {"other": "pytorch_model-2.bin"}
    index = tmp_path / "sharded" / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    convert(index, tmp_path / "out", STOCHASTIC)
    found = cf.load(tmp_path / "out")
    np.testing.assert_array_equal(found["head.weight"].codes, found["embed.weight"].codes)
    export = Plan(export=True, include=("*weight",), format=FMT.replace(subnormals="ieee"),
                  rounding="stochastic", seed=4)  # fmt: skip
    target = tmp_path / "export.safetensors"
    convert(tied, target, export)
    exported = load_file_of_codes(target)
    assert torch.equal(exported["head.weight"], exported["embed.weight"])
    assert torch.equal(exported["head.weight_scale"], exported["embed.weight_scale"])


def load_file_of_codes(path):
    from safetensors.torch import load_file as load_torch

    found = load_torch(path)
    return {
        name: tensor.view(torch.uint8) if tensor.itemsize == 1 else tensor
        for name, tensor in found.items()
    }


def test_one_that_is_converted_alone_is_tied_no_longer(tied, tmp_path):
    target = tmp_path / "out.safetensors"
    summary = convert(tied, target, Plan(FMT, exclude=("embed*",)))
    assert summary.tied == {}
    assert "tied no longer, as one is converted alone: head.weight as embed.weight" in summary.notes
    tensors = cf.load(target)
    assert tensors.format_of("head.weight") == FMT
    assert tensors.stored_dtype("embed.weight") == "F32"


@pytest.mark.parametrize("size", [64, 2000], ids=["small", "large"])
def test_what_shares_memory_and_is_not_the_same(tmp_path, size):
    torch.manual_seed(0)
    whole = torch.randn(size, size)
    tensors = {
        "a": whole,
        "again": torch.nn.Parameter(whole),
        "part": whole[3:10],
        "part again": whole[3:10],
        "transposed": whole.T,
        "flat": whole.reshape(-1),
    }
    target = tmp_path / "out.safetensors"
    convert(saved(tmp_path / "x.pt", tensors), target, STOCHASTIC)
    found = cf.load(target)
    assert found.tied == {"again": "a", "part again": "part"}
    # each of its own words, in its own order
    offset = 0
    for name in ("a", "flat", "part", "transposed"):
        values = tensors[name].numpy()
        expected = cf.encode(
            values, FMT, found[name].bias, rounding="stochastic", seed=3, offset=offset
        )
        np.testing.assert_array_equal(found[name].codes, expected)
        offset += values.size


def test_equal_values_are_not_tied(tmp_path):
    values = torch.ones(300, 300)
    path = saved(
        tmp_path / "x.pt", {"a": values, "b": values.clone(), "none": values[:0], "no": values[:0]}
    )
    summary = convert(path, tmp_path / "out.safetensors", STOCHASTIC)
    assert summary.tied == {}
    assert len(cf.load(tmp_path / "out.safetensors")) == 4


def test_names_that_the_metadata_have_already(tmp_path):
    values = torch.ones(3, 3)
    path = saved(tmp_path / "x.pt", {"a": values, "cfloat": values})
    summary = convert(path, tmp_path / "out.safetensors", STOCHASTIC)
    assert summary.tied == {}
    assert list(cf.load(tmp_path / "out.safetensors")) == ["a", "cfloat"]


def test_what_save_model_of_safetensors_writes(tmp_path):
    from safetensors.torch import save_model

    save_model(model(64), tmp_path / "in.safetensors")
    assert cf.load(tmp_path / "in.safetensors").tied == {"head.weight": "embed.weight"}
    text = succeeded(
        cfloat(
            "convert",
            tmp_path / "in.safetensors",
            tmp_path / "out.safetensors",
            "--format",
            FMT.name,
        )
    )
    assert "2 tensors converted" in text
    assert cf.load(tmp_path / "out.safetensors").tied == {"head.weight": "embed.weight"}


def test_a_cluster_gives_tied_tensors_the_same_words(tmp_path):
    distributed = pytest.importorskip("distributed")
    from cfloat.dask._cluster import Cluster

    path = saved(tmp_path / "m" / "pytorch_model.bin", model(64).state_dict())
    (tmp_path / "m" / "config.json").write_text("{}")
    convert(path.parent, tmp_path / "here", STOCHASTIC)
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            dashboard_address=None,
            protocol="tcp",
        ) as cluster,
        Cluster(cluster.scheduler_address) as there,
    ):
        convert(path.parent, tmp_path / "there", STOCHASTIC, runner=there.run)
    one, other = (tmp_path / name / "model.safetensors" for name in ("here", "there"))
    assert one.read_bytes() == other.read_bytes()


def test_tied_names(tied, tmp_path):
    checkpoint = cf.load(tied)
    assert checkpoint.tied_names() == {"head.weight": "embed.weight"}
    assert checkpoint.tied_names(["head.weight", "embed.weight"]) == checkpoint.tied_names()
    # what is converted and what is not are two tensors then
    assert checkpoint.tied_names(["head.weight"]) == {}
    weight = torch.ones(64, 32)
    three = saved(tmp_path / "three.pt", {"a": weight, "b": weight.T, "c": weight, "d": weight[:]})
    assert cf.load(three).tied_names() == {"c": "a", "d": "a"}


@pytest.mark.parametrize("names", [("", "a", "b"), ("a", "b", "c")])
def test_what_is_not_tied_shares_no_random_words(tmp_path, names):
    """Nor with a tensor whose name is empty."""
    x = np.full(500, 1.03, np.float32)
    np.savez(tmp_path / "x.npz", **dict.fromkeys(names, x))
    convert(tmp_path / "x.npz", tmp_path / "out.safetensors", STOCHASTIC)
    tensors = cf.load(tmp_path / "out.safetensors")
    assert len({tensors[name].codes.tobytes() for name in names}) == len(names)


@pytest.mark.parametrize("left", [0, 36])
@pytest.mark.parametrize("view", [slice(None), slice(1, None, 3)], ids=["whole", "view"])
def test_tensors_whose_memory_was_given_back(tmp_path, left, view):
    """As FSDP gives back that of parameters between their uses: what is there is of somebody else."""
    tensor = torch.arange(10.0)[view]
    expected = np.arange(10, dtype=np.float32)[view]
    tensor.untyped_storage().resize_(left)
    if view.step and left:  # its last element is the eighth
        cf.save(tmp_path / "x.safetensors", {"x": tensor})
        np.testing.assert_array_equal(cf.load(tmp_path / "x.safetensors")["x"], expected)
        return
    with pytest.raises(
        cf.ArgumentValueError, match=f"'x' takes .* bytes of memory, and {left} are"
    ):
        cf.save(tmp_path / "x.safetensors", {"x": tensor})
    for read in (cf.encode, cf.asarray, cf.round_to):
        with pytest.raises(cf.ArgumentValueError, match=f"bytes of memory, and {left} are left"):
            read(tensor, FMT)
    with pytest.raises(cf.ArgumentValueError, match="q takes"):
        cf.error(expected, tensor)
    with pytest.raises(cf.ArgumentValueError, match="'y' takes"):
        cf.report({"y": tensor}, FMT)
    # no element takes none
    tensor = torch.zeros(0, 3)
    assert cf.encode(tensor, FMT).shape == (0, 3)


@pytest.mark.parametrize("name", ["h.weight", "h.*"])
def test_a_pattern_of_a_tied_name(tmp_path, name):
    path = tmp_path / "x.safetensors"
    cf.save(path, {"e.weight": np.ones(3)}, metadata={"h.weight": "e.weight"})
    with pytest.raises(
        cf.ArgumentValueError, match=r"like 'h\..*', which .* tied: h\.weight as e\.weight"
    ):
        convert(path, tmp_path / "out.safetensors", Plan(FMT, include=(name,)))


def test_the_format_of_a_file_is_no_tie(tmp_path):
    cf.save(tmp_path / "x.safetensors", {"pt": np.ones(3)}, metadata={"format": "pt", "b": "pt"})
    assert cf.load(tmp_path / "x.safetensors").tied == {"b": "pt"}
    # so a tensor that is called so is stored as a copy
    x = torch.ones(3)
    torch.save({"a": x, "format": x}, tmp_path / "x.pt")
    summary = convert(tmp_path / "x.pt", tmp_path / "out.safetensors", Plan(FMT))
    assert summary.tied == {}
    assert set(cf.load(tmp_path / "out.safetensors")) == {"a", "format"}


def test_notes_of_ties_have_both_names_whole_or_neither():
    pairs = {f"m.{i}.q": f"m.{i}.k" for i in range(2)}
    assert by_kept({"m.0.q": "m.0.k", "m.0.v": "m.0.k"}) == "m.0.q, m.0.v as m.0.k"
    assert by_kept(pairs | {"h": "e"}) == "m.*.q as m.*.k; h as e"
    assert by_kept({f"m.{i}.w": "m.0.w" for i in (1, 2)}) == "m.*.w as m.0.w"
    assert by_kept({"m.1.w": "m.0.w"}) == "m.1.w as m.0.w"
