"""Indexing, assignment and changes of shape give every element its own bias."""

import itertools
import sys
import tracemalloc

import numpy as np
import pytest
from arrays import by_element, full_biases, how_laid_out
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cfloat as cf

FMT = cf.CFloat8_1_4_3
SHP = cf.CFloat16_SHP


def same(got, expected):
    got, expected = np.asarray(got), np.asarray(expected)
    return (got.shape, got.dtype, got.tobytes()) == (
        expected.shape,
        expected.dtype,
        expected.tobytes(),
    )


@st.composite
def arrays(draw, min_dims=0, min_side=0, max_side=7, fmts=(FMT, SHP)):
    """Draw a CFloatArray of random codes with one of the layouts of biases, and its biases in full."""
    shape = draw(
        hnp.array_shapes(min_dims=min_dims, max_dims=4, min_side=min_side, max_side=max_side)
    )
    fmt = draw(st.sampled_from(fmts))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    codes = rng.integers(0, 2**fmt.bits, shape).astype(fmt.storage_dtype)
    if len(shape) > 1 and draw(st.booleans()):
        axes = draw(st.permutations(range(len(shape))))
        codes = np.ascontiguousarray(codes.transpose(axes)).transpose(np.argsort(axes))
    layouts = ["one", "full", "mixed"] + (["slice", "block", "along"] if shape else [])
    layout = draw(st.sampled_from(layouts))
    low, high = fmt.bias_range
    how = {}
    if layout == "one":
        size = ()
    elif layout == "slice":
        how["axis"] = draw(st.integers(-len(shape), len(shape) - 1))
        size = (shape[how["axis"]],)
    elif layout == "block":
        how["block"] = draw(st.integers(1, 8))
        size = [n if draw(st.booleans()) else 1 for n in shape[:-1]]
        size = (*size, -(-shape[-1] // how["block"]))
    elif layout == "along":
        first = draw(st.integers(0, len(shape) - 1))
        axes = tuple(range(first, draw(st.integers(first, len(shape) - 1)) + 1))
        how = {"axis": axes, "block": draw(st.integers(1, 12))}
        row = int(np.prod([shape[axis] for axis in axes]))
        counts = (*shape[:first], -(-row // how["block"]), *shape[axes[-1] + 1 :])
        size = [n if i == first or draw(st.booleans()) else 1 for i, n in enumerate(counts)]
    else:
        size = tuple(n if layout == "full" or draw(st.booleans()) else 1 for n in shape)
    bias = rng.integers(low, high + 1, size)
    if layout == "slice":
        lengths = [1] * len(shape)
        lengths[how["axis"]] = -1
        expanded = bias.reshape(lengths)
    elif layout == "block":
        expanded = np.repeat(bias, how["block"], -1)[..., : shape[-1]]
    elif layout == "along":
        expanded = by_element(bias, shape, **how)
    else:
        expanded = bias
    return cf.CFloatArray(codes, fmt, bias, **how), np.broadcast_to(expanded, shape)


@st.composite
def keys(draw, shape):
    """Draw an index of an array of a shape: basic, advanced, mixed, or a mask."""
    kinds = ["basic"]
    if shape:
        kinds += ["mixed", "mask", "mask of some", "list"]
        if 0 not in shape:
            kinds.append("advanced")
    kind = draw(st.sampled_from(kinds))
    if kind == "basic":
        return draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=8))
    if kind == "advanced":
        return draw(hnp.integer_array_indices(shape))
    if kind == "mask":
        return draw(hnp.arrays(bool, shape))
    if kind == "mask of some":
        axes = draw(st.integers(1, len(shape)))
        rest = draw(st.sampled_from([(), (Ellipsis,), (None, Ellipsis), (Ellipsis, None)]))
        return (draw(hnp.arrays(bool, shape[:axes])), *rest)
    if kind == "list":
        return draw(st.lists(st.integers(-shape[0], shape[0] - 1), max_size=4)) if shape[0] else []
    common = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=3))
    parts = []
    for length in shape:
        integers = st.integers(-length, length - 1) if length else st.nothing()
        choices = [st.slices(length)]
        if length:
            choices += [integers, hnp.arrays(np.intp, common, elements=integers)]
            choices += [integers.map(np.array), hnp.arrays(np.int8, (1,), elements=integers)]
        if draw(st.integers(0, 3)) == 0:
            parts.append(None)
        parts.append(draw(st.one_of(choices)))
    place = draw(st.integers(0, len(parts)))
    if draw(st.booleans()):
        parts.insert(place, Ellipsis)
    elif draw(st.booleans()):
        parts = parts[:place]
    return tuple(parts)


@given(st.data())
def test_index(data):
    a, biases = data.draw(arrays())
    key = data.draw(keys(a.shape))
    values = np.asarray(a)
    part, expected = a[key], values[key]
    assert same(part, expected)
    assert isinstance(part, cf.CFloatArray) == isinstance(expected, np.ndarray)
    if not isinstance(part, cf.CFloatArray):
        assert type(part) is type(expected)
        return
    assert part.format is a.format
    np.testing.assert_array_equal(full_biases(part), biases[key])
    codes = a.codes[key]
    assert np.shares_memory(part.codes, a.codes) == np.shares_memory(codes, a.codes)
    assert part.strides == codes.strides
    assert part.flags.writeable == codes.flags.writeable


SHAPE = (3, 4, 5)
LAYOUTS = {
    "full": {"bias": np.arange(60).reshape(SHAPE)},
    "last two": {"bias": np.arange(20).reshape(4, 5)},
    "outer two": {"bias": np.arange(12).reshape(3, 4, 1)},
    **{f"axis {axis}": {"bias": np.arange(SHAPE[axis]), "axis": axis} for axis in range(3)},
    **{
        f"block {block}": {
            "bias": np.arange(12 * -(-5 // block)).reshape(3, 4, -1) % 64,
            "block": block,
        }
        for block in (1, 2, 3, 5, 9)
    },
    "block for all": {"bias": np.arange(3), "block": 2},
}
each_layout = pytest.mark.parametrize("how", LAYOUTS.values(), ids=LAYOUTS)
I1, I2 = np.array([0, -1]), np.array([[1, -2], [-3, 0]])
PARTS = [
    slice(None),
    slice(2, None),
    slice(1, -1),
    slice(None, None, -2),
    slice(0, 0),
    1,
    -2,
    I1,
    I2,
    [True, False, True],
]
KEYS = [
    *((part,) for part in PARTS),
    *((..., part) for part in PARTS[:-1]),
    *((one, ..., other) for one in PARTS for other in PARTS[:-1]),
    *((one, slice(None), other) for one in PARTS for other in PARTS[:-1]),
    (slice(None), I1, ..., I1), (slice(None), I1, I1, ...), (I1, ..., I1, I1), (I2, I1, ..., 2),
    (0, ..., I1, 1),
    (..., None), (None, ..., slice(2, 4), None), (None, I1, None, I1), (..., slice(0, 2), None),
    (..., -2, None),
    (0, 1, 2, None), (np.array(1), ..., I1), np.array(True), (True, I1), (..., False), [], (), ..., None,
    np.arange(60).reshape(SHAPE) % 7 == 1, (slice(1, 2), np.arange(20).reshape(4, 5) % 3 == 0),
    np.ix_([2, 0], [1], [3, 4]),
]  # fmt: skip


def one_of_each(how):
    codes = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    a = cf.CFloatArray(codes, FMT, **how)
    return a, full_biases(a)


@each_layout
def test_indices_of_every_kind(how):
    a, biases = one_of_each(how)
    values = np.asarray(a)
    for key in KEYS:
        part = a[key]
        assert same(part, values[key]), key
        if isinstance(part, cf.CFloatArray):
            np.testing.assert_array_equal(full_biases(part), biases[key], str(key))
        if np.unique(np.arange(60).reshape(SHAPE)[key]).size == np.size(values[key]):
            b = a.copy()
            b[key] = 0.3
            expected = a.codes.copy()
            expected[key] = cf.encode(np.full(np.shape(values[key]), 0.3), FMT, biases[key])
            np.testing.assert_array_equal(b.codes, expected)


@each_layout
def test_shapes_of_every_kind(how):
    a, biases = one_of_each(how)
    places = np.arange(60).reshape(SHAPE)
    for new in [
        (60,),
        (12, 5),
        (3, 20),
        (15, 4),
        (4, 3, 5),
        (2, 30),
        (6, 10),
        (5, 12),
        (3, 2, 2, 5),
        (3, 4, 1, 5),
        (1, 60),
    ]:
        for order in "CF":
            part = a.reshape(new, order=order)
            np.testing.assert_array_equal(part.codes, a.codes.reshape(new, order=order))
            np.testing.assert_array_equal(full_biases(part), biases.reshape(new, order=order))
    for axes in itertools.permutations(range(3)):
        part = a.transpose(axes)
        np.testing.assert_array_equal(full_biases(part), biases.transpose(axes))
        np.testing.assert_array_equal(part.ravel("K").codes, part.codes.ravel("K"))
        np.testing.assert_array_equal(full_biases(part.ravel("K")), biases.reshape(-1))
        for order in "CF":
            np.testing.assert_array_equal(
                full_biases(part.flatten(order)), biases.transpose(axes).flatten(order)
            )
        moved = places.transpose(axes)[::-1]
        np.testing.assert_array_equal(
            part[::-1].ravel("K").codes, a.codes.reshape(-1)[moved.ravel("K")]
        )


@given(st.data())
def test_an_index_of_an_index(data):
    a, biases = data.draw(arrays(min_dims=1))
    first = data.draw(keys(a.shape))
    part = a[first]
    assume(isinstance(part, cf.CFloatArray))
    second = data.draw(keys(part.shape))
    part = part[second]
    assert same(part, np.asarray(a)[first][second])
    if isinstance(part, cf.CFloatArray):
        np.testing.assert_array_equal(full_biases(part), biases[first][second])


@given(st.data())
def test_assignment(data):
    a, biases = data.draw(arrays(min_side=1))
    key = data.draw(keys(a.shape))
    # an element assigned to twice may get either
    places = np.arange(a.size).reshape(a.shape)[key]
    assume(np.unique(places).size == np.size(places))
    shape = np.shape(places)
    if data.draw(st.booleans()):
        shape = tuple(n if data.draw(st.booleans()) else 1 for n in shape)
    if np.ndim(places) and data.draw(st.booleans()):
        shape = (1, *shape)
    value = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-9e4, 9e4, width=32)))
    try:
        np.asarray(a)[key] = value
    except (TypeError, ValueError):
        assume(False)  # a mask takes values of one axis
    expected = a.codes.copy()
    before = a.bias
    own = biases[key]
    with cf.record_flags() as wanted:
        value_in_full = np.broadcast_to(
            value.reshape(shape[1:] if value.ndim > own.ndim else shape), own.shape
        )
        encoded = cf.encode(value_in_full, a.format, own)
    expected[key] = encoded
    with cf.record_flags() as got:
        a[key] = value
    np.testing.assert_array_equal(a.codes, expected)
    np.testing.assert_array_equal(a.bias, before)
    if value.shape == own.shape:
        assert got == wanted


@given(st.data())
def test_assignment_of_a_cfloat_array(data):
    a, biases = data.draw(arrays(min_dims=1, min_side=1))
    key = data.draw(hnp.basic_indices(a.shape, allow_newaxis=True))
    shape = np.shape(a.codes[key])
    rng = np.random.default_rng(0)
    fmt = data.draw(st.sampled_from([FMT, SHP]))
    codes = rng.integers(0, 2**fmt.bits, shape).astype(fmt.storage_dtype)
    value = cf.CFloatArray(codes, fmt, rng.integers(0, 64, shape))
    expected = a.codes.copy()
    expected[key] = cf.encode(np.asarray(value), a.format, biases[key])
    a[key] = value
    np.testing.assert_array_equal(a.codes, expected)


def test_assignment_within_an_array():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (6, 8)).astype(np.uint8)
    for how in (
        {"bias": 7},
        {"bias": [3, 4, 5, 6, 7, 8], "axis": 0},
        {"bias": np.full((6, 2), 7), "block": 4},
    ):
        a = cf.CFloatArray(codes.copy(), FMT, **how)
        values = np.asarray(a)
        a[1:] = a[:-1]
        expected = cf.round_to(values[:-1], FMT, full_biases(a)[1:])
        np.testing.assert_array_equal(np.asarray(a)[1:], expected)
        np.testing.assert_array_equal(np.asarray(a)[0], values[0])


def test_a_value_that_does_not_fit():
    for how in ({}, {"bias": [3, 4], "axis": 0}, {"bias": [[3, 4]], "block": 2}):
        a = cf.asarray(np.ones((2, 3)), FMT, **how)
        for value in (np.zeros(4), np.zeros((3, 3)), np.zeros((2, 1, 3))):
            with pytest.raises(ValueError, match="broadcast"):
                a[...] = value
        assert (a == 1).all()
        with pytest.raises(IndexError):
            a[2]
        with pytest.raises(IndexError):
            a[0, 0, 0] = 1
        with pytest.raises(IndexError):
            a["x"]
        with pytest.raises(IndexError):
            a[a]
        with pytest.raises(TypeError, match="complex"):
            a[0] = 1j


def test_whole_blocks_keep_the_block():
    bias = np.arange(6).reshape(2, 3)
    a = cf.asarray(np.ones((2, 12)), FMT, bias, block=4)
    assert (
        a[0].block == a[:, 4:].block == a[..., 4:8].block == a[[1, 0]].block == a[None].block == 4
    )
    assert a[:, 4:8].bias.tolist() == [[1], [4]]
    assert a[[1, 0]].bias.tolist() == [[3, 4, 5], [0, 1, 2]]
    assert a[a[:, 0] == 1].block == 4
    for part in (a[:, 1:], a[:, :5], a[:, ::2], a[:, ::-1], a[:, 4:8, None], a[:, [0, 1, 2, 3]]):
        assert part.block is None
    assert a[:, 2:9].bias.tolist() == [[0, 0, 1, 1, 1, 1, 2], [3, 3, 4, 4, 4, 4, 5]]
    # the last block may be shorter, in whole
    b = cf.asarray(np.ones((2, 10)), FMT, bias, block=4)
    assert b[:, 8:].block == b[:, 4:].block == 4
    assert b[:, 4:9].block is None
    assert b[:, 8:].bias.tolist() == [[2], [5]]
    assert b[0, 9:].bias == 2


def test_biases_stay_few():
    rows, columns = 600, 1000
    codes = np.zeros((rows, columns), np.uint8)
    per_row = cf.CFloatArray(codes, FMT, np.arange(rows) % 64, axis=0)
    per_column = cf.CFloatArray(codes, FMT, np.arange(columns) % 64, axis=1)
    blocks = cf.CFloatArray(codes, FMT, np.arange(rows * 10).reshape(rows, 10) % 64, block=100)
    mask = np.arange(rows) % 2 == 0
    few = [
        per_row[::2], per_row[::-1, 3:], per_row[:, None], per_row[[5, 1]], per_row[mask], per_row[:, [3, 2]],
        per_row[np.ix_(mask, [1, 2, 3])], per_row.T, per_row.swapaxes(0, 1), per_row.reshape(rows, 10, 100),
        per_row.reshape(2, rows // 2, columns), per_row.ravel(), per_row.reshape(3, -1),
        per_row[None].squeeze(),
        per_column.T, per_column[:, ::-1], per_column[mask], per_column.reshape(2, rows // 2, columns),
        per_column[..., 1], blocks[mask], blocks[:, 100:300], blocks.ravel(), blocks.reshape(-1, 500),
        blocks.reshape(rows, 10, 100), blocks.reshape(rows, 10, 10, 10), blocks.reshape(2, -1, columns),
        blocks[:, None].swapaxes(0, 1), blocks.T[100], blocks[None].squeeze(),
    ]  # fmt: skip
    for i, part in enumerate(few):
        assert np.asarray(part.bias).size <= 6000, i
    assert per_row[::2].axis == 0
    assert per_row.T.axis == 1
    assert per_row.ravel().block == columns
    assert per_row.reshape(3, -1).block == columns
    assert per_row.reshape(rows, 10, 100).axis == 0
    assert blocks.reshape(-1, 500).block == blocks.reshape(2, -1, columns).block == 100
    assert blocks.reshape(rows, 10, 100).block == 100
    assert blocks.reshape(rows, 10, 10, 10).bias.shape == (rows, 10, 1, 1)


@st.composite
def shapes_of_size(draw, size):
    if size == 0:
        return (
            *draw(st.lists(st.integers(0, 4), max_size=2)),
            0,
            *draw(st.lists(st.integers(1, 4), max_size=2)),
        )
    shape = []
    while size > 1:
        length = draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
        shape.append(length)
        size //= length
        if len(shape) > 4:
            shape.append(size)
            break
    return tuple(shape)


@given(st.data())
def test_shape(data):
    a, biases = data.draw(arrays())
    order = data.draw(st.sampled_from("CFA"))
    kind = data.draw(
        st.sampled_from(
            ["reshape", "transpose", "swapaxes", "squeeze", "ravel", "flatten", "diagonal"]
        )
    )
    if kind in ("swapaxes", "diagonal"):
        assume(a.ndim >= 2)
    if kind == "reshape":
        args, how = (data.draw(shapes_of_size(a.size)),), {"order": order}
    elif kind == "transpose":
        args, how = (data.draw(st.permutations(range(a.ndim))),), {}
    elif kind == "swapaxes":
        axes = st.integers(-a.ndim, a.ndim - 1)
        args, how = (data.draw(axes), data.draw(axes)), {}
    elif kind == "squeeze":
        args, how = (), {}
    elif kind == "diagonal":
        args, how = (
            (data.draw(st.integers(-3, 3)), *data.draw(st.permutations(range(a.ndim)))[:2]),
            {},
        )
    else:
        args, how = (data.draw(st.sampled_from("CFAK")),), {}
    part = getattr(a, kind)(*args, **how)
    codes = getattr(a.codes, kind)(*args, **how)
    np.testing.assert_array_equal(part.codes, codes)
    assert np.may_share_memory(part.codes, a.codes) == np.may_share_memory(codes, a.codes)
    if part.ndim == 1 and kind in ("ravel", "flatten"):
        # the places of elements, in memory as the codes are
        marked = np.empty_like(a.codes, np.intp, order="K")
        marked[...] = np.arange(a.size).reshape(a.shape)
        expected = biases.reshape(-1)[getattr(marked, kind)(*args)]
    elif how.get("order") == "A":
        expected = biases.reshape(args[0], order="F" if a.codes.flags.fnc else "C")
    else:
        expected = getattr(biases, kind)(*args, **how)
    np.testing.assert_array_equal(full_biases(part), expected)
    assert same(part, cf.decode(codes, a.format, expected))


def test_the_callers_biases_are_not_the_arrays():
    for how in ({"axis": 0}, {"axis": 1}, {"block": 1}, {}):
        bias = (
            np.array([[3, 4], [5, 6]], np.int16)
            if "axis" not in how
            else np.array([3, 4], np.int16)
        )
        for make in (
            lambda: cf.asarray(np.ones((2, 2)), FMT, bias, **how),  # noqa: B023
            lambda: cf.CFloatArray(np.full((2, 2), 56, np.uint8), FMT, bias, **how),  # noqa: B023
        ):
            a = make()
            view, copied = a[:1], a.copy()
            before, values = a.bias.tolist(), a.tolist()
            bias += 1
            assert a.bias.tolist() == copied.bias.tolist() == before
            np.testing.assert_array_equal(full_biases(view), full_biases(a)[:1])
            assert a.tolist() == values
            bias -= 1
            with pytest.raises(ValueError, match="read-only"):
                a.bias[...] = 0
            with pytest.raises(ValueError, match="WRITEABLE"):
                a.bias.flags.writeable = True


def test_bias_of_one_element_is_one_bias():
    a = cf.asarray(np.ones((2, 3)), FMT, [[4], [9]])
    assert a[1].bias == 9
    assert type(a[1].bias) is int
    assert a[1].axis is None
    assert a.axis == 0
    assert cf.asarray(np.ones((1, 3)), FMT, [5], axis=0).bias == 5


def test_size_of_biases_counts():
    codes = np.zeros((100, 1000), np.uint8)
    one = sys.getsizeof(cf.CFloatArray(codes.copy(), FMT))
    full = sys.getsizeof(cf.CFloatArray(codes.copy(), FMT, np.full((100, 1000), 7)))
    assert full - one >= 200_000


LAYOUT_ERRORS = [
    ({"bias": [1, 2], "axis": (0, 1)}, TypeError, r"axis is \(0, 1\), and there is no block"),
    ({"bias": 3, "axis": (1,)}, TypeError, r"axis is \(1,\), and there is no block"),
    ({"bias": [1, 2], "axis": 2}, ValueError, "axis is 2; it takes an integer from -2 to 1"),
    ({"bias": 3, "axis": -3}, ValueError, "axis is -3; it takes an integer from -2 to 1"),
    ({"bias": [1, 2], "axis": 1.0}, TypeError, "axis is 1.0; it takes an integer"),
    ({"bias": [1, 2], "axis": True}, TypeError, "axis is True; it takes an integer"),
    (
        {"bias": [1, 2, 3], "axis": 0},
        ValueError,
        r"bias has shape \(3,\); axis 0 takes one for each slice, \(2,\)",
    ),
    ({"bias": [[1, 2]], "axis": 0}, ValueError, r"bias has shape \(1, 2\); axis 0"),
    ({"bias": [1, 2], "block": 0}, ValueError, "block is 0; it takes an integer from 1 on"),
    ({"bias": [1, 2], "block": "4"}, TypeError, "block is '4'; it takes an integer"),
    ({"bias": [1, 2], "block": 2}, ValueError, r"bias has shape \(2,\); blocks of 2 take \(2, 3\)"),
    ({"bias": [[[1, 2, 3]]], "block": 2}, ValueError, r"bias has shape \(1, 1, 3\)"),
    (
        {"bias": [1, 2, 3]},
        ValueError,
        r"bias has shape \(3,\), which does not broadcast to \(2, 6\)",
    ),
    ({"bias": [[[1]]]}, ValueError, r"bias has shape \(1, 1, 1\), which does not broadcast"),
    ({"bias": [1.5, 2]}, TypeError, "bias has dtype float64; it takes integers"),
    ({"bias": [64, 1], "axis": 0}, ValueError, "bias has an element 64"),
    ({"bias": -1}, ValueError, "-1"),
]


@pytest.mark.parametrize(("how", "error", "message"), LAYOUT_ERRORS)
def test_wrong_layouts(how, error, message):
    for make in (
        lambda: cf.asarray(np.ones((2, 6)), FMT, **how),
        lambda: cf.CFloatArray(np.zeros((2, 6), np.uint8), FMT, **how),
    ):
        with pytest.raises(error, match=message) as caught:
            make()
        assert isinstance(caught.value, cf.CFloatError)


def test_codes_have_no_bias_of_a_name():
    with pytest.raises(cf.ArgumentTypeError, match="bias is 'max'; it takes an integer"):
        cf.CFloatArray(np.zeros((2, 6), np.uint8), FMT, "max")


def test_no_axes():
    for how in ({"axis": 0}, {"block": 1}):
        with pytest.raises(cf.ArgumentValueError, match="no axes"):
            cf.asarray(1.0, FMT, 7, **how)


@given(st.data())
def test_stochastic_rounding_does_not_depend_on_the_layout(data):
    a, biases = data.draw(arrays(fmts=(FMT,)))
    x = np.random.default_rng(1).normal(size=a.shape).astype(np.float32)
    how = {"rounding": "stochastic", "seed": 3, "offset": 5}
    made = cf.asarray(x, FMT, a.bias, **how_laid_out(a), **how)
    np.testing.assert_array_equal(made.codes, cf.encode(x, FMT, biases, **how))
    bits = np.random.default_rng(2).integers(0, 2**32, a.shape)
    made = cf.asarray(x, FMT, a.bias, **how_laid_out(a), rounding="stochastic", random_bits=bits)
    np.testing.assert_array_equal(
        made.codes, cf.encode(x, FMT, biases, rounding="stochastic", random_bits=bits)
    )


@given(st.data())
def test_ravel_in_the_order_of_memory(data):
    shape = data.draw(hnp.array_shapes(max_dims=4, max_side=3))
    codes = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    codes = codes.transpose(data.draw(st.permutations(range(len(shape)))))
    for axis in range(codes.ndim):
        if data.draw(st.booleans()):
            repeated = [2 if i == axis else n for i, n in enumerate(codes.shape)]
            codes = np.broadcast_to(codes.take([0], axis), repeated)
        elif data.draw(st.booleans()):
            codes = np.flip(codes, axis)
    codes = codes.transpose(data.draw(st.permutations(range(codes.ndim))))
    a = cf.CFloatArray(codes, FMT)
    np.testing.assert_array_equal(a.ravel("K").codes, codes.ravel("K"))
    np.testing.assert_array_equal(a.flatten("K").codes, codes.flatten("K"))


@pytest.mark.parametrize("key", [slice(None, None, 2), slice(None, None, -1), slice(1, None, 3)])
@pytest.mark.parametrize("order", "CFAK")
def test_ravel_gives_neighbours(key, order):
    """What lies apart is copied, as NumPy does it: a view would be no array in one piece."""
    for x in (np.arange(4, dtype=np.uint8), np.arange(12, dtype=np.uint8).reshape(3, 4).T):
        codes = x[key]
        flat = cf.CFloatArray(codes, FMT).ravel(order).codes
        np.testing.assert_array_equal(flat, codes.ravel(order))
        assert flat.flags.c_contiguous
        assert np.shares_memory(flat, codes) == np.shares_memory(codes.ravel(order), codes)


def test_ravel_of_repeated_elements():
    a = cf.asarray([1, 2, 3], FMT)
    for codes in (
        np.broadcast_to(a.codes, (2, 2, 3)),
        np.broadcast_to(a.codes, (2, 2, 3)).T,
        np.broadcast_to(a.codes[:, None], (2, 3, 2)).transpose(1, 0, 2),
        np.broadcast_to(np.arange(12, dtype=np.uint8).reshape(3, 1, 4), (3, 2, 4)).transpose(
            2, 1, 0
        ),
    ):
        b = cf.CFloatArray(codes, FMT)
        np.testing.assert_array_equal(b.ravel("K").codes, codes.ravel("K"))


@pytest.mark.parametrize("block", [3, 10**8, 2**62, 2**70])
def test_blocks_longer_than_the_axis(block):
    tracemalloc.start()
    a = cf.asarray(np.ones(2), FMT, [1], block=block)
    b = cf.CFloatArray(a.codes, FMT, [1], block=block)
    rebuilt, parts = a.__reduce__()
    c = rebuilt(*parts[:-1], block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6
    for made in (a, b, c):
        assert made.block == 2
        np.testing.assert_array_equal(np.asarray(made), np.ones(2))
        np.testing.assert_array_equal(made[::-1].bias, 1)
        np.testing.assert_array_equal(made[[0, 1]].bias, 1)
    assert cf.asarray(np.ones((2, 0)), FMT, np.ones((2, 0), int), block=block).shape == (2, 0)


@given(arrays(), st.data())
def test_biases_are_never_writable(drawn, data):
    a, _ = drawn
    moves = [
        lambda: a,
        lambda: a.reshape(-1),
        lambda: a.T,
        lambda: a[..., ::-1] if a.ndim else a,
        lambda: a.copy(),
        lambda: np.broadcast_to(a, (2, *a.shape)),
        lambda: np.expand_dims(a, 0),
        lambda: a.ravel("F"),
        lambda: np.repeat(a, 2),
        lambda: np.atleast_2d(a),
    ]
    bias = data.draw(st.sampled_from(moves))().bias
    if not isinstance(bias, int):
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            bias.flags.writeable = True


def test_biases_of_blocks_broadcast():
    x = np.arange(8.0).reshape(2, 4)
    for bias, expected in (([[1]], [[1, 1]]), ([3], [[3, 3]]), ([[1], [2]], [[1, 1], [2, 2]])):
        a = cf.asarray(x, FMT, bias, block=2)
        assert a.block == 2
        assert a.bias.tolist() == expected
        np.testing.assert_array_equal(full_biases(a), np.broadcast_to(bias, (2, 4)))
        np.testing.assert_array_equal(a.codes, cf.encode(x, FMT, bias))
