"""Two ranks of a gloo group: DDP, FSDP2's shards, and checkpoints of them."""

import importlib

import numpy as np
import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
    pytest.skip("this PyTorch has no gloo", allow_module_level=True)
pytest.importorskip("torch.distributed.fsdp", reason="needs FSDP2")
if not hasattr(importlib.import_module("torch.distributed.fsdp"), "fully_shard"):
    pytest.skip("this PyTorch has no FSDP2", allow_module_level=True)
ranks = importlib.import_module("ranks")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Give what both ranks computed."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(ranks.run, (ranks.all_work, str(folder)), nprocs=2)
    return [torch.load(folder / f"all_work_{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", ["AdamW", "SGD"])
def test_ranks_of_ddp_stay_together(found, name):
    """Whatever seeds they would draw, and whatever their data."""
    one, other = (each["ddp"] for each in found)
    assert all(map(torch.equal, one[name], other[name]))
    assert one[f"{name} seed"] == other[f"{name} seed"]
    assert one[f"{name} biases"] == other[f"{name} biases"]


@pytest.mark.parametrize("name", ranks.CASES)
def test_shards_have_the_bits_of_whole_parameters(found, name):
    for each in found:
        for whole, sharded, _ in each["fsdp"][name]:
            assert torch.equal(whole, sharded)


@pytest.mark.parametrize("name", ranks.CASES)
def test_what_a_checkpoint_resumes_has_the_bits_of_what_went_on(found, name):
    for each in found:
        for _, sharded, resumed in each["fsdp"][name]:
            assert torch.equal(sharded, resumed)


def test_ranks_of_fsdp_stay_together(found):
    one, other = (each["fsdp_training"] for each in found)
    assert one["seed"] == other["seed"]
    assert one["biases"] == other["biases"]
    assert all(map(torch.equal, one["parameters"], other["parameters"]))


def test_shards_of_columns_have_the_biases_of_whole_parameters(found):
    """And words of their own."""
    for each in found:
        one = each["columns"]
        assert one["biases"][0] == one["biases"][1]
        for sharded, whole in (one["parameters"], one["moments"]):
            assert not torch.equal(sharded, whole)
            assert torch.allclose(sharded, whole, rtol=2e-3, atol=1e-3)
    one, other = (each["columns"] for each in found)
    assert torch.equal(one["parameters"][0], other["parameters"][0])


@pytest.mark.parametrize("rounding", ["ties_to_even", "stochastic"])
def test_quantized_before_or_after_fully_shard_is_the_same(found, rounding):
    for each in (each["quantized_shards"] for each in found):
        before = each[rounding, "before"]
        for order in ("after", "each layer before"):
            assert all(map(torch.equal, before, each[rounding, order]))
        assert torch.equal(before[0], each[rounding, "whole"][0])


def test_ranks_share_the_streams_of_layers(found):
    """Which `quantize` draws where no seed is given; each layer has its own."""
    one, other = (each["quantized_shards"]["streams"] for each in found)
    assert all(map(torch.equal, one, other))
    assert len({tuple(stream.tolist()) for stream in one}) == len(one) == 4


@pytest.mark.parametrize("granularity", ["tensor", "axis 0"])
def test_a_plain_state_that_shards_load_has_biases_of_its_own(found, granularity):
    for each in found:
        biases, history = each["quantized_shards"]["loaded", granularity]
        for sharded, whole in biases:
            assert torch.equal(sharded, whole)
        assert not torch.equal(biases[0][0], biases[1][0])
        assert (history == 3).all()


@pytest.mark.parametrize("per", ["tensor", "channel"])
@pytest.mark.parametrize("method", ["max", "percentile", "mse", "moving_average"])
def test_ranks_calibrate_together(found, method, per):
    """Each has the biases of all ranks' batches."""
    one, other = (each["calibration"][method, per] for each in found)
    for mine, theirs in zip(one[0] + one[1], other[0] + other[1], strict=True):
        assert torch.equal(mine, theirs)
    assert one[1][0].tolist() == [3 * 16 * 7, 3]
    assert one[1][1].tolist() == [16 * 33, 1]
    if method != "moving_average":
        every = torch.cat([one[2], other[2]]).numpy()
        axis = None if per == "tensor" else 1
        chosen = cf.choose_bias(every, cf.CFloat8_1_4_3, method, axis=axis)
        assert one[0][0].tolist() == np.asarray(chosen).tolist()
