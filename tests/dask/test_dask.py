"""`cfloat.dask` against cfloat's own functions: the same bits, whatever the chunks and the workers."""

import math
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time

import ml_dtypes
import numpy as np
import pytest
from commands import main_refused, names_in
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import cfloat as cf
from cfloat._core.rounding import Positions
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert as convert_by
from cfloat._files.plan_file import TensorChoice
from cfloat.errors import ClusterError

dask = pytest.importorskip("dask", reason="dask is not installed")
distributed = pytest.importorskip("distributed", reason="distributed is not installed")

import dask.array as da  # noqa: E402

import cfloat.dask as cd  # noqa: E402
from cfloat.dask import _cluster as clusters  # noqa: E402
from cfloat.dask import _on_workers, _registration  # noqa: E402

FMT = cf.CFloat8_1_4_3
FORMATS = [cf.CFloat8_1_4_3, cf.CFloat8_1_5_2, cf.CFloat16_SHP, cf.CFloat16_UHP, cf.bfloat16]
ROUNDINGS = [{"rounding": mode} for mode in cf.ROUNDING_MODES if mode != "stochastic"] + [
    {"rounding": "stochastic", "seed": 5, "offset": 2**64 - 1800},
    {"rounding": "stochastic", "seed": 2**64 - 1, "stochastic_bits": 9, "stochastic_variant": "C"},
]
BIASES = [
    {},
    {"bias": 11},
    *({"bias": method} for method in ("max", "mse", "percentile")),
    *({"bias": method, "axis": 0} for method in ("max", "mse", "percentile")),
    {"bias": "max", "axis": -1},
    *({"bias": method, "block": 4} for method in ("max", "mse", "percentile")),
    {"bias": "mse", "block": 100},
]
CHUNKS = [
    (12, 10, 15), (5, 4, 7), (6, 3, 4), (4, 10, 5), ((2, 0, 10), (10,), (14, 1)), (3, 5, 15),
]  # fmt: skip


def convert(*arguments, scheduler=None):
    """Convert here, or as the command does it with a scheduler."""
    if scheduler is None:
        return convert_by(*arguments)
    with clusters.Cluster(scheduler) as cluster:
        return convert_by(*arguments, runner=cluster.run)


@pytest.fixture(autouse=True)
def synchronous():
    """One thread, for tests that say nothing else."""
    with dask.config.set(scheduler="synchronous"):
        yield


def values(shape=(12, 10, 15), dtype=np.float32):
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape) * np.exp(
        3 * rng.standard_normal((shape[0], *[1] * (len(shape) - 1)))
    )
    x.reshape(-1)[:3] = np.inf, np.nan, 0
    return x.astype(dtype)


def signed_for(fmt, x):
    return x if fmt.signed else abs(x)


def same(q, expected):
    """That arrays have the same codes, and the same biases, each as often as it takes."""
    assert type(q) is cf.CFloatArray
    assert q.format == expected.format
    np.testing.assert_array_equal(q.codes, expected.codes)
    np.testing.assert_array_equal(q._biases.full(q.shape), expected._biases.full(expected.shape))


@pytest.mark.parametrize("cut", CHUNKS[:5], ids=str)
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_conversion(fmt, cut):
    x = signed_for(fmt, values())
    d = da.from_array(x, chunks=cut)
    for how in ROUNDINGS:
        codes = cd.encode(d, fmt, **how)
        assert codes.chunks == d.chunks
        assert codes.dtype == fmt.storage_dtype
        np.testing.assert_array_equal(codes.compute(), cf.encode(x, fmt, **how))
        np.testing.assert_array_equal(
            cd.round_to(d, fmt, **how).compute(), cf.round_to(x, fmt, **how)
        )
    decoded = cd.decode(codes, fmt, dtype=np.float64)
    assert decoded.dtype == np.float64
    np.testing.assert_array_equal(
        decoded.compute(), cf.decode(codes.compute(), fmt, dtype=np.float64)
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, ">f4"])
def test_dtypes(dtype):
    x = np.nan_to_num(values((7, 9)), posinf=3).astype(dtype)
    d = da.from_array(x, chunks=4)
    how = {"rounding": "stochastic", "seed": 1}
    np.testing.assert_array_equal(cd.encode(d, FMT, **how).compute(), cf.encode(x, FMT, **how))
    rounded = cd.round_to(d, FMT, "mse", **how)
    expected = cf.round_to(x, FMT, "mse", **how)
    assert rounded.dtype == expected.dtype
    np.testing.assert_array_equal(rounded.compute(), expected)
    for method in ("max", "mse", "percentile", "mx"):
        for fmt in (FMT, cf.CFloat16_SHP):
            assert int(cd.choose_bias(d, fmt, method)) == cf.choose_bias(x, fmt, method)


@pytest.mark.slow
@pytest.mark.parametrize("cut", CHUNKS[1:4:2], ids=str)
@pytest.mark.parametrize("how", BIASES, ids=str)
def test_biases(how, cut):
    x = values()
    d = da.from_array(x, chunks=cut)
    for rounding in (ROUNDINGS[0], ROUNDINGS[-2]):
        q, expected = cd.asarray(d, FMT, **how, **rounding), cf.asarray(x, FMT, **how, **rounding)
        assert type(q._meta) is cf.CFloatArray
        assert q.shape == expected.shape
        computed = q.compute()
        same(computed, expected)
        if "axis" in how or "block" in how:
            assert computed.axis == expected.axis
            assert computed.block == expected.block
    assert repr(cd.error(d, q).compute()) == repr(cf.error(x, expected))
    if isinstance(how.get("bias"), str):
        layout = {key: how[key] for key in how if key != "bias"}
        np.testing.assert_array_equal(
            cd.choose_bias(d, FMT, how["bias"], **layout).compute(),
            cf.choose_bias(x, FMT, how["bias"], **layout),
        )


@pytest.mark.parametrize("how", [BIASES[3], BIASES[6], BIASES[10]], ids=str)
def test_biases_of_16_bits(how):
    x = values()
    d = da.from_array(x, chunks=(5, 10, 7))
    expected = cf.asarray(x, cf.CFloat16_SHP, **how, rounding="stochastic", seed=2)
    same(cd.asarray(d, cf.CFloat16_SHP, **how, rounding="stochastic", seed=2).compute(), expected)


def test_biases_that_are_given():
    x = values()
    d = da.from_array(x, chunks=(5, 4, 7))
    for bias, layout in [
        (np.arange(12), {"axis": 0}), (np.arange(15), {"axis": 2}),
        (np.arange(480).reshape(12, 10, 4) % 60, {"block": 4}),
        (np.arange(4), {"block": 4}), (np.arange(15), {}), (np.arange(10)[:, None], {}),
    ]:  # fmt: skip
        expected = cf.asarray(x, FMT, bias, **layout)
        for given_bias in (bias, da.from_array(bias, chunks=3)):
            same(cd.asarray(d, FMT, given_bias, **layout).compute(), expected)
        if not layout:
            np.testing.assert_array_equal(cd.encode(d, FMT, bias).compute(), expected.codes)
            decoded = cd.decode(da.from_array(expected.codes, chunks=6), FMT, bias)
            np.testing.assert_array_equal(decoded.compute(), np.asarray(expected))
    # biases of more axes than the values
    one = cf.encode(np.float32([1, 2]), FMT, np.arange(6).reshape(3, 2))
    np.testing.assert_array_equal(
        cd.encode(da.from_array(np.float32([1, 2]), chunks=1), FMT, np.arange(6).reshape(3, 2)), one
    )


def test_empty_chunks_and_no_elements():
    x = values((9, 5))[1:]
    d = da.from_array(x, chunks=((3, 5, 0), (0, 5)))
    for method in ("max", "mse", "percentile", "mx"):
        for axis in (0, 1):
            expected = cf.choose_bias(x, FMT, method, axis=axis)
            chosen = cd.choose_bias(d, FMT, method, axis=axis)
            np.testing.assert_array_equal(chosen.compute(), expected)
            assert chosen.dtype == chosen.compute().dtype == expected.dtype
            empty = cd.choose_bias(d[:0], FMT, method, axis=axis)
            np.testing.assert_array_equal(
                empty.compute(), cf.choose_bias(x[:0], FMT, method, axis=axis)
            )
            assert empty.dtype == expected.dtype
    bias = np.arange(8)
    for cut in ((0, 8), (3, 0, 5)):
        q = cd.asarray(d, FMT, da.from_array(bias, chunks=(cut,)), axis=0)
        same(q.compute(), cf.asarray(x, FMT, bias, axis=0))
    blocks = cd.asarray(d, FMT, da.from_array(np.array([[3]]), chunks=((0, 1), (1,))), block=3)
    same(blocks.compute(), cf.asarray(x, FMT, [[3]], block=3))
    one = cd.asarray(d[:1], FMT, da.from_array(bias[3:4], chunks=((0, 1),)), axis=0)
    same(one.compute(), cf.asarray(x[:1], FMT, bias[3:4], axis=0))


@st.composite
def chunkings(draw):
    """Draw a shape of up to three axes, and chunks of it."""
    shape = draw(st.lists(st.integers(0, 9), min_size=0, max_size=3))
    cuts = []
    for length in shape:
        ends = sorted(draw(st.lists(st.integers(0, length), max_size=2)))
        cuts.append(tuple(np.diff([0, *ends, length]).tolist()))
    return tuple(shape), tuple(cuts)


@settings(max_examples=25)
@given(chunking=chunkings(), seed=st.integers(0, 2**64 - 1), data=st.data())
def test_any_chunks(chunking, seed, data):
    shape, cut = chunking
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    d = da.from_array(x, chunks=cut)
    fmt = FMT
    rounding = {"rounding": "stochastic", "seed": seed, "offset": data.draw(st.integers(0, 9))}
    layouts = [{}]
    if shape:
        layouts += [{"axis": data.draw(st.integers(-len(shape), len(shape) - 1))}]
        layouts += [{"block": data.draw(st.integers(1, 10))}]
    layout = data.draw(st.sampled_from(layouts))
    method = data.draw(st.sampled_from(["max", "mse", "percentile"]))
    q = cd.asarray(d, fmt, method, **layout, **rounding)
    expected = cf.asarray(x, fmt, method, **layout, **rounding)
    same(q.compute(), expected)
    assert repr(cd.error(d, q).compute()) == repr(cf.error(x, expected))


@settings(max_examples=100)
@given(data=st.data())
def test_a_part_takes_the_words_of_its_place(data):
    """What the chunks rest on, by the words themselves."""
    whole = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    key = tuple(
        slice(a := data.draw(st.integers(0, n - 1)), data.draw(st.integers(a + 1, n)))
        for n in whole
    )
    offset = data.draw(st.integers(0, 2**64 - math.prod(whole)))
    words = cf._core.binding.random_words(7, offset, math.prod(whole)).reshape(whole)
    x = np.random.default_rng(1).standard_normal(whole)
    first = offset + int(np.ravel_multi_index([part.start for part in key], whole))
    part = cf.encode(
        x[key], FMT, rounding="stochastic", seed=7, offset=Positions.within(whole, first)
    )
    expected = cf.encode(x[key], FMT, rounding="stochastic", random_bits=words[key])
    np.testing.assert_array_equal(part, expected)


# CFloatArrays as chunks

ARRAYS = {
    "one": cf.asarray(values(), FMT, 5),
    "axis": cf.asarray(values(), FMT, "max", axis=0),
    "block": cf.asarray(values(), FMT, "max", block=4),
}

KEEPS = {
    "negative": lambda np_, q: -q,
    "slice": lambda np_, q: q[2:9, ::2, -3:],
    "list": lambda np_, q: q[[3, 1, 7]],
    "mask": lambda np_, q: q[np.arange(12) % 3 == 0],
    "new axis": lambda np_, q: q[:, None],
    "transpose": lambda np_, q: q.transpose(2, 0, 1),
    "T": lambda np_, q: q.T,
    "swapaxes": lambda np_, q: q.swapaxes(0, 1),
    "reshape": lambda np_, q: q.reshape(120, 15),
    "ravel": lambda np_, q: q.ravel(),
    "squeeze": lambda np_, q: q[:1].squeeze(),
    "flip": lambda np_, q: np_.flip(q, 0),
    "roll": lambda np_, q: np_.roll(q, 2, 1),
    "repeat": lambda np_, q: np_.repeat(q, 2, axis=1),
    "take": lambda np_, q: np_.take(q, [1, 2], axis=1),
    "broadcast_to": lambda np_, q: np_.broadcast_to(q, (2, *q.shape)),
    "pad": lambda np_, q: np_.pad(q, 1, mode="edge"),
}

COMPUTES = {
    "add": lambda np_, q: q + 1,
    "radd": lambda np_, q: np.float32(2) - q,
    "compare": lambda np_, q: q > 0.5,
    "two": lambda np_, q: q * q,
    "ndarray": lambda np_, q: np.ones(15, np.float32) + q,
    "ufunc": lambda np_, q: np.arctan(q),
    "where": lambda np_, q: np_.where(q > 0, q, 0),
    "clip": lambda np_, q: q.clip(0, 1),
    "astype": lambda np_, q: q.astype(np.float64),
    "max": lambda np_, q: np_.nanmax(q, axis=2),
    "argmax": lambda np_, q: np_.argmax(q[1:], axis=1),
    "any": lambda np_, q: (q > 1).any(axis=0),
    "sum": lambda np_, q: np_.sum(q[1:], axis=0),
    "mean": lambda np_, q: q[1:].mean(axis=1),
    "std": lambda np_, q: q[1:].std(axis=0),
    "cumsum": lambda np_, q: np_.cumsum(q[1:], axis=0),
    "median": lambda np_, q: np_.median(q[1:], axis=1),
    "diff": lambda np_, q: np_.diff(q[1:], axis=0),
    "tensordot": lambda np_, q: np_.tensordot(q[1:], q[1:], axes=([1, 2], [1, 2])),
    "einsum": lambda np_, q: np_.einsum("ijk,ljk->il", q[1:], q[1:]),
    "matmul": lambda np_, q: q[1] @ q[2].T,
    "dot": lambda np_, q: np_.dot(q[1:], q[2].T),
    "isin": lambda np_, q: np_.isin(q, [0.5]),
    "digitize": lambda np_, q: np_.digitize(q, np.array([0.0, 1.0])),
    "percentile": lambda np_, q: np_.percentile(q[1:].ravel()[:7], [10, 50], method="nearest"),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("function", KEEPS)
def test_moving_elements_keeps_the_format(function, name):
    a = ARRAYS[name]
    q = KEEPS[function](da, da.from_array(a, chunks=(5, 4, 7)))
    same(q.compute(), KEEPS[function](np, a))
    assert q.dtype == np.float32


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("function", COMPUTES)
def test_computing_gives_what_numpy_gives(function, name):
    a = ARRAYS[name]
    expected = COMPUTES[function](np, a)
    result = COMPUTES[function](da, da.from_array(a, chunks=(5, 4, 7))).compute()
    # the largest of elements of one bias is in the format
    assert type(result) is (type(expected) if function == "max" else np.ndarray)
    assert result.dtype == expected.dtype
    # sums of chunks, in another order
    tolerance = {"rtol": 1e-4, "atol": 1e-3} if result.dtype.kind == "f" else {"rtol": 0}
    np.testing.assert_allclose(result, expected, **tolerance)


@pytest.mark.parametrize("name", ARRAYS)
def test_chunks_join_with_their_biases(name):
    a = ARRAYS[name]
    q = da.from_array(a, chunks=(5, 4, 8))
    joined = q.compute()
    same(joined, a)
    assert (joined.axis, joined.block) == (a.axis, a.block)
    assert np.shape(joined.bias) == np.shape(a.bias)
    same(q.rechunk((12, 3, 4)).compute(), a)
    same(q.rechunk((1, 7, 4)).rechunk((3, 10, 3)).rechunk(-1).compute(), a)
    for join in (da.concatenate, da.stack):
        twice = join([q, q[::-1]], axis=0).compute()
        assert type(twice) is cf.CFloatArray
        part = twice[12:] if join is da.concatenate else twice[1]
        same(part, a[::-1])


def test_arrays_of_different_formats_become_float32():
    a = cf.asarray(values(), FMT)
    b = cf.asarray(values(), cf.CFloat16_SHP)
    q = da.concatenate([da.from_array(a, chunks=4), da.from_array(b, chunks=5)])
    result = q.compute()
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, np.concatenate([a, b]))


def test_a_pickle_for_a_worker_has_all_of_an_array():
    ways = ({}, {"axis": 0}, {"block": 4}, {"axis": 0, "block": 4}, {"axis": (1, 2), "block": 7})
    for how in ways:
        a = cf.asarray(values(), FMT, "max", **how)
        restore, parts = _registration._reduced(a)
        assert parts[4] == "cfloat.dask"
        again = restore(*parts)
        assert (again.axis, again.block) == (a.axis, a.block)
        np.testing.assert_array_equal(again.bias, a.bias)
        np.testing.assert_array_equal(again.codes, a.codes)


def test_chunks_with_blocks_along_any_axes_are_put_together():
    x = values()
    parts = [cf.asarray(part, FMT, "max", axis=(1, 2), block=4) for part in (x[:5], x[5:])]
    result = da.concatenate([da.from_array(part) for part in parts]).compute()
    whole = cf.asarray(x, FMT, "max", axis=(1, 2), block=4)
    assert (result.axis, result.block) == ((1, 2), 4)
    np.testing.assert_array_equal(result.bias, whole.bias)
    np.testing.assert_array_equal(result.codes, whole.codes)


def test_arrays_of_different_biases_keep_them():
    parts = [cf.asarray(values()[1:4], FMT, bias) for bias in (7, 5)]
    result = da.concatenate([da.from_array(part) for part in parts]).compute()
    assert type(result) is cf.CFloatArray
    np.testing.assert_array_equal(result, np.concatenate(parts))
    np.testing.assert_array_equal(np.ravel(result.bias), [7] * 3 + [5] * 3)


def test_a_chunk_is_an_object_like_others():
    a = ARRAYS["axis"]
    tokenize, sizeof = dask.base.tokenize, dask.sizeof.sizeof
    assert tokenize(a) == tokenize(a.copy()) == tokenize(pickle.loads(pickle.dumps(a)))
    codes, biases = np.zeros((2, 2), np.uint8), np.arange(4).reshape(2, 2)
    along = [cf.CFloatArray(codes, FMT, biases, axis=axis, block=1) for axis in (0, 1)]
    assert tokenize(along[0]) != tokenize(along[1])
    other = cf.CFloatArray(a.codes, FMT, 3)
    assert len({tokenize(one) for one in (a, other, a[::-1], other.astype(cf.CFloat8_1_5_2))}) == 4
    assert sizeof(a) == a.nbytes + 2 * 12
    assert sizeof(a[:1]) < sizeof(a)
    assert "chunktype=cfloat.CFloatArray" in repr(da.from_array(a, chunks=5))
    assert type(a + da.ones(15, chunks=4)) is da.Array
    assert type(np.add(a, da.ones(15, chunks=4))) is da.Array


# Sums, errors and flags


def test_sums_that_no_order_changes(rng):
    x = np.ldexp(rng.standard_normal(1000), rng.integers(-300, 300, 1000))
    q = x + np.ldexp(rng.standard_normal(1000), rng.integers(-300, 300, 1000))
    expected = cf.error(x, q)
    for size in (70, 999):
        d, e = da.from_array(x, chunks=size), da.from_array(q, chunks=113)
        assert cd.error(d, e).compute() == expected or math.isnan(expected.saturated)
        assert repr(cd.error(d, e).compute()) == repr(expected)
    order = rng.permutation(1000)
    assert repr(cf.error(x[order], q[order])) == repr(expected)


def test_errors_where_empty_chunks_were_joined():
    x = values((2, 6))[1:]
    d = da.from_array(x, chunks=((1, 0), (0, 3, 3)))
    q, expected = (f(a, FMT, [[5]], block=2) for f, a in ((cd.asarray, d), (cf.asarray, x)))
    for bias in (None, 5):
        assert repr(cd.error(d, q, bias=bias).compute()) == repr(cf.error(x, expected, bias=bias))


@pytest.mark.parametrize("outlier", [1e45, 1e300])
def test_percentiles_beside_outliers_of_float64(outlier, rng):
    x = rng.standard_normal(3000) * 0.02
    x[[3, 700]] = outlier
    d = da.from_array(x, chunks=400)
    assert int(cd.choose_bias(d, FMT, "percentile")) == cf.choose_bias(x, FMT, "percentile") == 19
    assert int(cd.choose_bias(d, FMT, "percentile", percentile=100)) == 0


@pytest.mark.parametrize("exponent", [-127, -139, -145])
def test_subnormal_float32_at_large_biases(exponent, rng):
    fmt = cf.Format("far", exponent_bits=4, mantissa_bits=3, bias=(60, 140))
    x = np.ldexp(rng.standard_normal(40_000), exponent).astype(np.float32)
    for size in (1000, 20_000):
        d = da.from_array(x, chunks=size)
        assert int(cd.choose_bias(d, fmt)) == cf.choose_bias(x, fmt)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_masked_elements_are_left_out(dtype, rng):
    x = rng.standard_normal((8, 30)) * 4
    mask = rng.random(x.shape) < 0.3
    mask[5] = True
    x = np.ma.masked_array(np.where(mask, 50 * x, x).astype(dtype), mask)
    d = da.from_array(x, chunks=(3, 7))
    for method in ("max", "mse", "percentile", "mx"):
        for how in ({}, {"axis": 0}, {"axis": 1}, {"block": 7}):
            np.testing.assert_array_equal(
                cd.choose_bias(d, FMT, method, **how).compute(),
                cf.choose_bias(x, FMT, method, **how),
            )
        same(cd.asarray(d, FMT, method).compute(), cf.asarray(x, FMT, method))
    q = cf.round_to(x, FMT, 9)
    assert cd.error(d, da.from_array(q, chunks=(3, 7))).compute() == cf.error(x, q)
    of_array = cd.error(d, cd.asarray(d, FMT, 9)).compute()
    assert of_array == cf.error(x, cf.asarray(x, FMT, 9))


def test_a_fixed_bias_refuses_the_rule_of_ocp_mx():
    d = da.ones(4, chunks=2)
    with pytest.raises(cf.ArgumentValueError, match="method is 'mx', and the bias of bfloat16 is"):
        cd.choose_bias(d, cf.bfloat16, "mx")
    for call in (cd.asarray, cd.round_to):
        with pytest.raises(
            cf.ArgumentValueError, match="bias is 'mx', and the bias of bfloat16 is"
        ):
            call(d, cf.bfloat16, "mx")


def test_graphs_of_many_chunks():
    """Made in time that grows with the chunks, not with their square: that would be minutes here."""
    count = 4000
    d = da.from_array(np.arange(count, dtype=np.float64), chunks=1)
    for result in (cd.choose_bias(d, FMT, "percentile"), cd.error(d, cd.asarray(d, FMT, "mse"))):
        assert count < len(result.__dask_graph__()) < 20 * count


def test_errors_of_values_with_a_format():
    x = values()
    q = cf.round_to(x, FMT, 9)
    d = da.from_array(x, chunks=5)
    expected = repr(cf.error(x, q, FMT, 9))
    assert repr(cd.error(d, cd.round_to(d, FMT, 9), FMT, 9).compute()) == expected
    assert repr(cd.error(x, da.from_array(q, chunks=6), FMT, 9).compute()) == expected
    assert repr(cd.error(d, cf.asarray(x, FMT, 9)).compute()) == expected


def test_flags_of_threads():
    x = da.from_array(np.float32([1e9, 1, 1e9, 1e-9] * 50), chunks=7)
    codes = cd.encode(x, FMT)
    with cf.record_flags() as expected:
        cf.encode(x.compute(), FMT)
    assert expected.overflow == 100
    with cf.record_flags() as outer, cd.record_flags() as counted:
        codes.compute(scheduler="threads")
    assert counted == outer == expected
    with cf.record_flags() as counted:  # in this very thread
        codes.compute(scheduler="synchronous")
    assert counted == expected
    with (
        cd.record_flags(),
        cf.errstate(overflow="raise"),
        pytest.raises(cf.FlagError, match="overflow"),
    ):
        codes.compute(scheduler="threads")
    with cf.errstate(overflow="raise"), pytest.raises(cf.FlagError, match="overflow"):
        codes.compute(scheduler="synchronous")


X = da.from_array(values(), chunks=5)
SOME = da.arange(20, chunks=5)
SOME = SOME[SOME < 15]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: cd.encode(values(), FMT), "x is a ndarray; it takes a dask.array.Array"),
        (lambda: cd.encode(X, 3), "format is 3; it takes a cfloat.Format"),
        (lambda: cd.encode(X, "e4m3"), "format is 'e4m3'; the names are CFloat8_1_4_3,"),
        (lambda: cd.decode(X, "e4m3"), "format is 'e4m3'; the names are"),
        (lambda: cd.round_to(X, "e4m3", "max"), "format is 'e4m3'; the names are"),
        (lambda: cd.asarray(X, "e4m3", "max"), "format is 'e4m3'; the names are"),
        (lambda: cd.choose_bias(X, "e4m3"), "format is 'e4m3'; the names are"),
        (lambda: cd.error(X, X, "e4m3"), "format is 'e4m3'; the names are"),
        (lambda: cd.encode(X.astype(complex), FMT), "x has dtype complex128"),
        (lambda: cd.encode(X, FMT, 64), "bias is 64; CFloat8_1_4_3 takes an integer from 0 to 63"),
        (lambda: cd.encode(X, FMT, [1, 2]), r"bias has shape \(2,\), which does not broadcast"),
        (lambda: cd.encode(X, FMT, rounding="up"), "rounding is 'up'"),
        (lambda: cd.encode(X, FMT, rounding="stochastic", seed=-1), "seed is -1"),
        (lambda: cd.encode(X, FMT, rounding="stochastic", offset=2**64 - 1799), "offset is"),
        (lambda: cd.encode(X[X > 1], FMT, rounding="stochastic"), "chunks are unknown"),
        (lambda: cd.encode(X, FMT, da.ones(15)), "bias has dtype float64; it takes integers"),
        (lambda: cd.asarray(X, FMT, da.ones(12), axis=0), "bias has dtype float64"),
        (lambda: cd.encode(X, FMT, SOME), r"unknown; bias\.compute_chunk_sizes\(\) finds them"),
        (lambda: cd.asarray(X, FMT, SOME, axis=0), r"unknown; bias\.compute_chunk_sizes\(\)"),
        (lambda: cd.asarray(X, FMT, "most"), "bias is 'most'"),
        (lambda: cd.asarray(X, FMT, [3, 4], axis=0), r"bias has shape \(2,\); axis 0 takes one"),
        (lambda: cd.asarray(X, FMT, da.from_array([3, 4]), axis=0), r"bias has shape \(2,\); axis 0"),
        (lambda: cd.asarray(X, FMT, da.from_array([3, 4]), block=4), "does not broadcast"),
        (lambda: cd.asarray(X, FMT, "max", axis=0, block=4), "blocks of a Dask array run along its last"),
        (lambda: cd.asarray(X, FMT, 7, axis=(0, 1), block=4), "axis and block are both given; blocks of a"),
        (lambda: cd.choose_bias(X, FMT, axis=0, block=4), "blocks of a Dask array run along its last axis"),
        (lambda: cd.asarray(X, FMT, "max", axis=3), "axis is 3; it takes"),
        (lambda: cd.choose_bias(X, FMT, "max", block=0), "block is 0"),
        (lambda: cd.choose_bias(X, FMT, percentile=0), "percentile is 0"),
        (lambda: cd.choose_bias(X[X > 1], FMT, axis=0), "chunks are unknown"),
        (lambda: cd.decode(X, FMT), "codes have dtype float32"),
        (lambda: cd.error(X, X[0]), "they must agree"),
        (lambda: cd.error(values(), values()), "one is a dask.array.Array"),
        (lambda: cd.error(X, X, bias=3), "bias is 3, of no format"),
        (lambda: cd.error(X, cd.asarray(X, FMT), cf.CFloat16_SHP).compute(), "fmt is .* and q has"),
        (lambda: cd.error(X, cd.asarray(X, FMT), bias=3).compute(), "bias is 3, and q has 7"),
    ],
)  # fmt: skip
def test_what_is_refused(call, says):
    with pytest.raises((cf.ArgumentTypeError, cf.ArgumentValueError), match=says):
        call()


def test_a_format_goes_by_its_name():
    """Everywhere, with the results of the format itself."""
    for fmt in FORMATS:
        codes = cd.encode(X, fmt)
        for call in (
            lambda f: cd.encode(X, f),
            lambda f: cd.decode(codes, f),  # noqa: B023
            lambda f: cd.round_to(X, f, "max"),
            lambda f: cd.asarray(X, f, "percentile", axis=0).map_blocks(np.asarray),
            *(lambda f, m=m: cd.choose_bias(X, f, m) for m in ("mse", "max", "percentile")),
            lambda f: cd.choose_bias(X, f, "mse", axis=1),
            lambda f: cd.choose_bias(X, f, "max", block=4),
        ):
            np.testing.assert_array_equal(call(fmt.name).compute(), call(fmt).compute())
        q = cd.asarray(X, fmt.name)
        assert q.compute().format is fmt
        assert cd.error(X, q, fmt.name).compute() == cd.error(X, q, fmt).compute()


def test_the_public_names():
    """Each one says that it is at home where users import it, and there is nothing beside them."""
    assert sorted(name for name in dir(cd) if not name.startswith("__")) == cd.__all__
    for name in cd.__all__:
        assert getattr(cd, name).__module__ == "cfloat.dask"
        assert pickle.loads(pickle.dumps(getattr(cd, name))) is getattr(cd, name)


def test_unknown_chunks_can_be_rounded_to_nearest():
    x = values()
    some = X[X > 1]
    np.testing.assert_array_equal(cd.encode(some, FMT).compute(), cf.encode(x[x > 1], FMT))


# A real cluster


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes, each with a nanny that starts it anew when it is killed."""
    environment = {"OMP_NUM_THREADS": "1", "CFLOAT_NUM_THREADS": "1"}
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        env=environment,
        silence_logs=50,
    ) as started:
        yield started


def kill_one_of(cluster):
    """Kill a worker, and return its process."""
    pid = next(nanny.pid for nanny in cluster.workers.values() if nanny.pid)
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.slow
def test_a_computation_survives_a_killed_worker(cluster, tmp_path):
    x = values((200, 30, 10))
    how = {"rounding": "stochastic", "seed": 8}

    folder = str(tmp_path)

    def slowly(part):
        """Take a while, and leave a trace of each time that it ran."""
        time.sleep(0.02)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False):
            return part

    d = da.from_array(x, chunks=(5, 30, 10)).map_blocks(slowly, dtype=x.dtype, meta=x[:0])
    q = cd.asarray(d, FMT, "mse", axis=1, **how)
    expected = cf.asarray(x, FMT, "mse", axis=1, **how)
    with distributed.Client(cluster, set_as_default=False) as client:
        futures = [client.compute(one) for one in (q, cd.error(d, q), cd.encode(d, FMT, **how))]
        while len(os.listdir(folder)) < 10:
            time.sleep(0.01)
        assert not all(future.done() for future in futures)
        kill_one_of(cluster)
        found, stats, codes = client.gather(futures)
    same(found, expected)
    assert repr(stats) == repr(cf.error(x, expected))
    np.testing.assert_array_equal(codes, cf.encode(x, FMT, **how))


@pytest.mark.parametrize("name", ARRAYS)
def test_chunks_join_on_workers_as_they_do_here(cluster, name):
    a = ARRAYS[name]
    with distributed.Client(cluster, set_as_default=False) as client:
        found = client.compute(da.from_array(a, chunks=(5, 4, 8))[::-1]).result()
    same(found, a[::-1])


@pytest.fixture
def checkpoint(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {f"t{i}.weight": rng.standard_normal((300, 400)).astype(np.float32) for i in range(6)}
    tensors["big"] = rng.standard_normal((1100, 1000)).astype(np.float32) * 100
    tensors["half"] = rng.standard_normal((3, 5, 11)).astype(np.float16)
    tensors["wild"] = np.float32([np.nan, -np.inf, 0.0, -0.0, 1e30, 1e-30])
    tensors["ids"] = np.arange(7)
    path = tmp_path / "in.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [{"rounding": "stochastic", "seed": 5}, {"axis": 1, "rounding": "stochastic", "seed": 5},
     {"block": 32}, {"bias": "mse", "axis": 0}, {"bias": 9}],
    ids=str,
)  # fmt: skip
def test_a_conversion_survives_a_killed_worker(cluster, checkpoint, monkeypatch, how):
    monkeypatch.setattr(clusters, "TASK_SIZE", 1000)
    plan = Plan(FMT, **how)
    here, there = (
        checkpoint.with_name("here.safetensors"),
        checkpoint.with_name("there.safetensors"),
    )
    expected = convert(checkpoint, here, plan)
    killed, shares = [], []

    def kill_half_way(done, total):
        shares.append(done / total)
        if not killed and done > total / 4:
            killed.append(kill_one_of(cluster))

    summary = convert(checkpoint, there, plan, kill_half_way, scheduler=cluster.scheduler_address)
    assert killed
    assert there.read_bytes() == here.read_bytes()
    assert summary.to_text() == expected.to_text()
    assert (summary.converted, summary.copied) == (expected.converted, expected.copied)
    assert shares[-1] == pytest.approx(1)
    assert names_in(checkpoint.parent) == [
        "here.safetensors",
        "in.safetensors",
        "there.safetensors",
    ]


PLANNED = {
    **{f"t{i}.weight": TensorChoice(cf.CFloat8_1_5_2, block=32) for i in range(4)},
    "t4.weight": TensorChoice(cf.CFloat16_SHP, axis=1),
    "t5.weight": TensorChoice(None),
    "big": TensorChoice(cf.CFloat8_1_4_3, axis=0),
    "half": TensorChoice(cf.CFloat8_1_4_3),
    "wild": TensorChoice(None),
}


def test_the_other_ways_of_a_conversion(cluster, checkpoint, tmp_path):
    """Back, as an export, by a plan, into shards, and of a file that is read from its front."""
    address = cluster.scheduler_address
    coded, sharded = tmp_path / "coded.safetensors", tmp_path / "sharded"
    convert(checkpoint, coded, Plan(FMT, axis=0))
    np.savez(tmp_path / "in.npz", a=values(), b=np.arange(3))
    for source, name, plan in [
        (coded, "back", Plan(to="bfloat16")),
        (checkpoint, "export", Plan(FMT.replace(subnormals="ieee"), export=True, include=["t*"])),
        (tmp_path / "in.npz", "npz", Plan(cf.CFloat16_SHP, axis=0)),
        (checkpoint, "plan", Plan(tensors=PLANNED, rounding="stochastic", seed=3)),
        (checkpoint, sharded, Plan(FMT)),
    ]:
        written = []
        for where in ("here", "there"):
            target = tmp_path / f"{where}-{getattr(name, 'name', name)}.safetensors"
            convert(source, target, plan, scheduler=address if where == "there" else None)
            written.append(target.read_bytes())
        assert written[0] == written[1]


@pytest.mark.slow
def test_the_command_prints_what_it_prints_without_a_cluster(cluster, checkpoint, tmp_path):
    printed = []
    for options in ([], ["--scheduler", cluster.scheduler_address]):
        command = [
            sys.executable,
            "-P",
            "-m",
            "cfloat",
            "convert",
            checkpoint,
            tmp_path / "o.safetensors",
        ]
        run = subprocess.run(
            [*command, "--format", "CFloat8_1_4_3", *options],
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stderr == ""
        printed.append(run.stdout)
    assert printed[0] == printed[1]
    assert "too large" in printed[0]


def test_what_workers_refuse(cluster, checkpoint, tmp_path, monkeypatch):
    address = cluster.scheduler_address
    target = tmp_path / "out.safetensors"
    plan = Plan(FMT.replace(subnormals="ieee"), export=True, include=["big"])
    (tmp_path / "gone").mkdir()
    moved = tmp_path / "gone" / "in.safetensors"
    moved.write_bytes(checkpoint.read_bytes())
    original = clusters.Cluster.run

    def removing(self, *arguments):
        moved.unlink()
        return original(self, *arguments)

    # read here, and gone when the workers look
    monkeypatch.setattr(clusters.Cluster, "run", removing)
    with pytest.raises(cf.FileError, match="No such file"):
        convert(moved, target, Plan(FMT), scheduler=address)

    def changing(self, *arguments):
        save_file(others.pop(), moved)
        return original(self, *arguments)

    monkeypatch.setattr(clusters.Cluster, "run", changing)
    larger = load_file(checkpoint) | {"half": values((9, 9, 9), np.float16)}
    others = [{"x": values()}, larger]
    while others:
        moved.write_bytes(checkpoint.read_bytes())
        with pytest.raises(cf.FileError, match="it has changed since it was opened"):
            convert(moved, target, Plan(FMT, include=["half"]), scheduler=address)
    moved.unlink()
    monkeypatch.undo()
    monkeypatch.setattr(clusters, "__version__", "0.0.0")
    with pytest.raises(ClusterError, match=r"a worker has cfloat .*, and this is cfloat 0\.0\.0"):
        convert(checkpoint, target, plan.__class__(FMT), scheduler=address)
    assert names_in(tmp_path) == ["gone", "in.safetensors"]


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "tls://127.0.0.1:1", "nowhere", "", "x://127.0.0.1:1", "a\nb"]
)
def test_a_scheduler_that_is_not_there(checkpoint, tmp_path, capsys, monkeypatch, address):
    monkeypatch.setattr(clusters, "TIMEOUT", 0.5)
    target = tmp_path / "out.safetensors"
    said = main_refused(
        capsys, "convert", checkpoint, target, "--format", FMT.name, "--scheduler", address
    )
    assert said.startswith("cfloat: error: scheduler ")
    assert not target.exists()


def test_dask_that_is_not_installed(checkpoint):
    """As a process sees it that has no such package."""
    for program, says in [
        ("import cfloat.dask", "cfloat.dask needs Dask: pip install 'cfloat[dask]'"),
        (
            f"from cfloat._cli.main import main; main(['convert', {str(checkpoint)!r}, 'o.safetensors', "
            "'--format', 'CFloat8_1_4_3', '--scheduler', 'x:1'])",
            "cfloat: error: a conversion on a cluster needs Dask: pip install 'cfloat[dask]'",
        ),
    ]:
        hidden = "import sys; sys.modules.update(dict.fromkeys(['dask', 'distributed']));"
        run = subprocess.run(
            [sys.executable, "-P", "-c", f"{hidden} {program}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.stderr.splitlines()[-1].endswith(says)


def test_importing_cfloat_imports_no_dask():
    program = "import sys, cfloat, cfloat._cli.main, cfloat._files.convert; sys.exit('dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", program], check=False).returncode == 0


def test_the_merging_of_parts():
    """Sums beyond 64 bits, which no test can fill."""
    one = _on_workers.bin_sums(np.full(3, 1.99, np.float32), FMT, 0)
    many = type(one)(one.bins, one.sums * np.uint64(2**30), 3 << 30)
    both = _on_workers.merge_bin_sums([many, many])
    assert both.size == 6 << 30
    assert both.sums.dtype == object
    assert both.sums[0, 2] == 2 * int(many.sums[0, 2])


@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2])
def test_8_bit_floats_are_their_values(dtype):
    x = np.linspace(-3, 3, 24).astype(dtype).reshape(4, 6)
    chunked = da.from_array(x, chunks=(2, 4))
    np.testing.assert_array_equal(
        cd.encode(chunked, cf.CFloat8_1_4_3, 5).compute(), cf.encode(x, cf.CFloat8_1_4_3, 5)
    )
    assert cd.choose_bias(chunked, cf.CFloat8_1_4_3).compute() == cf.choose_bias(
        x, cf.CFloat8_1_4_3
    )
    codes = cd.encode(chunked, cf.CFloat16_SHP)
    back = cd.decode(codes, cf.CFloat16_SHP, dtype=dtype).compute()
    np.testing.assert_array_equal(back.view(np.uint8), x.view(np.uint8))


@pytest.mark.parametrize(("beyond", "bias"), [(1, 15), (2, 14)])
def test_a_percentile_of_chunks_is_the_decimal_number_that_was_written(beyond, bias):
    x = np.full((2, 1000), 1.875)
    x[:, :beyond] = 2
    for chunks in [(2, 300), (1, 1000)]:
        chunked = da.from_array(x, chunks=chunks)
        assert cd.choose_bias(chunked, FMT, "percentile", axis=0).compute().tolist() == [bias] * 2
        assert cd.choose_bias(chunked[0], FMT, "percentile").compute() == bias
