"""The biases of slices, blocks and tiles are the same in any memory layout, dtype and number of threads."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cfloat as cf
from cfloat._bias.choose import choose_checked
from cfloat._bias.percentile import BinadeCounts
from cfloat._core import binding

FORMATS = [
    cf.CFloat8_1_4_3,
    cf.CFloat16_SHP,
    cf.float8_e4m3fn,
    cf.Format("wide", exponent_bits=2, mantissa_bits=1, bias=(-124, 128)),
    cf.Format("high", exponent_bits=4, mantissa_bits=3, bias=(20, 60), default_bias=33),
    cf.Format("unsigned", exponent_bits=4, mantissa_bits=3, bias=(0, 120), signed=False),
    cf.Format("no_zero", exponent_bits=3, mantissa_bits=2, bias=(0, 9), subnormals="normal"),
]
DTYPES = ["f4", "f8", "f2", ">f4", ">f8", ">f2", "bfloat16", "?", "i1", ">i2", "u4", "i8", "u8"]
METHODS = ["mse", "max", "mx", "percentile"]


def values_of(shape, dtype, seed, special):
    """Draw values, of a wide range and with equal ones and zeros among them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * np.exp2(rng.integers(-9, 10, shape))
    x[rng.random(shape) < 0.2] = 0
    x[rng.random(shape) < 0.1] = 1.5
    if dtype == "bfloat16" or np.dtype(dtype).kind == "f":
        if special:
            x[rng.random(shape) < 0.2] = rng.choice([np.nan, np.inf, -np.inf, 2.0**-140])
        return x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    if dtype == "?":
        return x > 0
    kind = np.dtype(dtype)
    x = np.clip(x, 0 if kind.kind == "u" else -128, 127).astype(kind)
    if special and kind.itemsize == 8:  # beyond 2**53
        x = x * kind.type(2**54 + 1) + kind.type(special)
    return x


def laid_out(x, order, seed):
    """Give the values in another memory layout."""
    rng = np.random.default_rng(seed)
    if order == "permuted":
        axes = rng.permutation(x.ndim)
        return np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes))
    if order == "reversed":
        return x[(slice(None, None, -1),) * x.ndim].copy()[(slice(None, None, -1),) * x.ndim]
    if order == "strided":
        wide = np.empty([2 * length for length in x.shape], x.dtype)
        part = wide[(slice(1, None, 2),) * x.ndim]
        part[...] = x
        return part
    if order == "unaligned":
        memory = np.empty(x.nbytes + 1, np.uint8)[1:]
        part = memory.view(x.dtype).reshape(x.shape)
        part[...] = x
        return part
    return x


ORDERS = ["C", "permuted", "reversed", "strided", "unaligned"]


def one_by_one(x, fmt, method, lengths, percentile):
    """Choose for each block by itself, as a whole tensor."""
    counts = [-(-own // length) for own, length in zip(x.shape, lengths, strict=True)]
    found = np.empty(counts, np.int16)
    for place in itertools.product(*map(range, counts)):
        part = x[tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, lengths, strict=True))]
        found[place] = cf.choose_bias(part, fmt, method, percentile=percentile)
    return found


@st.composite
def cases(draw):
    shape = tuple(draw(st.lists(st.integers(1, 20), min_size=1, max_size=4)))
    while np.prod(shape) > 2000:
        shape = shape[1:]
    return shape, draw(st.sampled_from(FORMATS)), draw(st.sampled_from(DTYPES))


@given(
    cases(),
    st.sampled_from(METHODS),
    st.sampled_from(ORDERS),
    st.sampled_from([0.5, 25, 50, 80, 99.9, 100]),
    st.integers(0, 2**32),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=300)
def test_groups_have_the_biases_of_each_by_itself(case, method, order, percentile, seed, special):
    shape, fmt, dtype = case
    if method == "mx" and fmt.bias_range[0] == fmt.bias_range[1]:
        method = "max"
    x = values_of(shape, dtype, seed, special)
    laid = laid_out(x, order, seed)
    rng = np.random.default_rng(seed)
    axis = int(rng.integers(x.ndim))
    block = int(rng.integers(1, shape[axis] + 2))
    slices = cf.choose_bias(laid, fmt, method, axis=axis, percentile=percentile)
    lengths = [1 if i == axis else length for i, length in enumerate(shape)]
    expected = one_by_one(x, fmt, method, lengths, percentile)
    assert slices.tolist() == expected.reshape(-1).tolist()
    blocks = cf.choose_bias(laid, fmt, method, axis=axis, block=block, percentile=percentile)
    lengths = [block if i == axis else 1 for i in range(x.ndim)]
    expected = one_by_one(x, fmt, method, lengths, percentile)
    assert blocks.tolist() == expected.tolist()
    if x.ndim == 2:
        tile = (int(rng.integers(1, shape[0] + 1)), int(rng.integers(1, shape[1] + 1)))
        tiles = choose_checked(laid, fmt, method, block=tile, percentile=percentile)
        expected = one_by_one(x, fmt, method, tile, percentile)
        assert tiles.tolist() == expected.tolist()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["f4", "f2", "f8", ">f4", "i1", "u8"])
@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((300, 700), {"axis": 1}),
        ((700, 300), {"axis": 0}),
        ((90, 70, 3, 3), {"axis": 2}),
        ((90, 70, 3, 3), {"axis": 3}),
        ((90, 70, 3, 3), {"axis": 1}),
        ((300, 500), {"axis": 0, "block": 32}),
        ((100, 30, 40), {"axis": (0, 1), "block": 7}),
        ((20000, 5), {"axis": 1}),
        ((3, 9, 5, 4, 66), {"axis": 4}),
        ((12, 3000), {"axis": 1}),
    ],
)
def test_many_groups_on_any_threads(method, dtype, shape, how):
    x = values_of(shape, dtype, 5, 0)
    fmt, threads = cf.CFloat8_1_4_3, cf.get_num_threads()
    found = []
    try:
        for count, order in itertools.product((1, 2, 5), ("C", "permuted", "strided")):
            cf.set_num_threads(count)
            found.append(cf.choose_bias(laid_out(x, order, 1), fmt, method, **how).tolist())
    finally:
        cf.set_num_threads(threads)
    assert all(each == found[0] for each in found)
    if isinstance(how["axis"], int) and "block" not in how:
        alone = [cf.choose_bias(each, fmt, method) for each in np.moveaxis(x, how["axis"], 0)[:40]]
        assert found[0][:40] == alone


@pytest.mark.parametrize("percentile", [0.5, 40, 90, 99.9])
def test_percentiles_far_from_the_largest_element_in_any_layout(percentile, isa):
    # of magnitudes in a hundred binades, a few of which are asked for at a time
    rng = np.random.default_rng(8)
    x = np.ldexp(rng.uniform(1, 2, (400, 90)), rng.integers(-100, 30, (400, 90)))
    x[:, ::7] = np.ldexp(x[:, ::7], -8)
    x[:, 3] = 0
    fmt = cf.Format("wide", exponent_bits=2, mantissa_bits=1, bias=(-124, 128))
    for dtype in (np.float32, np.float64):
        values = x.astype(dtype)
        counted = [BinadeCounts.of(each, fmt).bias(fmt, percentile) for each in values.T.copy()]
        for laid in (
            values,
            np.asfortranarray(values),
            values.astype(np.dtype(dtype).newbyteorder()),
        ):
            chosen = cf.choose_bias(laid, fmt, "percentile", axis=1, percentile=percentile)
            assert chosen.tolist() == counted
        whole = BinadeCounts.of(values.reshape(-1), fmt).bias(fmt, percentile)
        assert cf.choose_bias(values, fmt, "percentile", percentile=percentile) == whole


@pytest.mark.parametrize("method", METHODS)
def test_groups_of_zeros_nothing_finite_or_subnormal_numbers(method, isa):
    fmt = cf.Format("f", exponent_bits=4, mantissa_bits=3, bias=(0, 63), default_bias=9)
    least = np.float32(2.0**-149)
    rows = np.array(
        [[0, 0, 0, 0], [np.nan, np.inf, -np.inf, 0], [np.nan] * 4, [least, 3 * least, 0, -least]],
        np.float32,
    )
    for x in (rows, np.asfortranarray(rows), rows.astype(np.float64)):
        assert cf.choose_bias(x, fmt, method, axis=0).tolist()[:3] == [9, 9, 9]
        # beyond what the largest bias reaches, all become zeros in "mse"
        assert cf.choose_bias(x, fmt, method, axis=0)[3] == (9 if method == "mse" else 63)
        assert cf.choose_bias(x, fmt, method, block=4)[3, 0] == cf.choose_bias(x[3], fmt, method)


@pytest.mark.parametrize("default", [3, 5, 6, 7, 12])
def test_of_equally_good_biases_the_nearest_to_the_default(default, isa):
    # 1 and 1.5 are exact at many biases
    fmt = cf.Format(
        "f", exponent_bits=4, mantissa_bits=3, bias=(0, 15), default_bias=default, subnormals="ieee"
    )
    x = np.tile(np.float32([1, 1.5, 0, -1]), (30, 2))
    errors = [float(((cf.round_to(x, fmt, bias) - x) ** 2).sum()) for bias in range(16)]
    exact = [bias for bias, error in enumerate(errors) if error == 0]
    assert len(exact) > 5
    nearest = min(exact, key=lambda bias: (abs(bias - default), bias))
    for laid in (x, np.asfortranarray(x), x.astype(np.float16), x.astype(np.float64)):
        assert cf.choose_bias(laid, fmt) == nearest
        assert set(cf.choose_bias(laid, fmt, axis=0).tolist()) == {nearest}
        assert set(cf.choose_bias(laid, fmt, axis=0, block=4).reshape(-1).tolist()) == {nearest}


def test_whole_arrays_of_the_other_byte_order_are_not_copied(monkeypatch):
    x = np.ones(1 << 17, np.float32)
    x[::3] = 0.25
    assert cf.choose_bias(x, cf.CFloat8_1_4_3, "percentile") == 15
    # which copies what it cannot read as it is
    monkeypatch.setattr(binding, "choose_one_bias", None)
    assert cf.choose_bias(x.astype(">f4"), cf.CFloat8_1_4_3, "percentile") == 15
    assert cf.choose_bias(x.astype("<f4")[::2], cf.CFloat8_1_4_3, "percentile") == 15
