"""xarray's expectations of an array that it holds: what keeps the format, and what leaves it.

The list is that of xarray's documentation, "Working with numpy-like arrays" and "Integrating with duck
arrays": properties, protocols, construction, attributes, indexing, reshaping, aggregation, missing values,
combining, grouped and windowed computation, Dask, and representation.  The rules are NumPy's for
CFloatArrays: what moves elements keeps the format, what computes gives float32.
"""

import copy
import pickle

import numpy as np
import pytest

import cfloat as cf

xr = pytest.importorskip("xarray", reason="xarray is not installed")

FMT = cf.CFloat8_1_4_3
X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
ARRAYS = {
    "one bias": cf.asarray(X, FMT, 5),
    "a bias a row": cf.asarray(X, FMT, "max", axis=0),
    "a bias a block": cf.asarray(X, FMT, "max", block=2),
}


def data_array(data):
    coordinates = {"x": [10, 20, 30, 40], "y": list("abcdef")}
    return xr.DataArray(data, dims=("x", "y"), coords=coordinates, name="w")


def group():
    return xr.DataArray([0, 0, 1, 1], dims="x", name="g", coords={"x": [10, 20, 30, 40]})


def points(*numbers):
    return xr.DataArray(list(numbers), dims="p")


KEEPS = {
    # construction and attributes
    "to_dataset": lambda d: d.to_dataset()["w"],
    "Variable": lambda d: xr.DataArray(d.variable),
    "copy": lambda d: d.copy(),
    "copy deep": lambda d: d.copy(deep=True),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda d: pickle.loads(pickle.dumps(d)),
    "rename": lambda d: d.rename("v").rename(x="z"),
    "assign_coords": lambda d: d.assign_coords(x=[1, 2, 3, 4]),
    "swap_dims": lambda d: d.assign_coords(z=("x", [1, 2, 3, 4])).swap_dims(x="z"),
    "zeros_like": xr.zeros_like,
    # indexing: basic, outer and vectorized, by place and by label
    "isel slice": lambda d: d.isel(x=slice(1, 3)),
    "isel step": lambda d: d.isel(y=slice(None, None, -2)),
    "isel integer": lambda d: d.isel(x=1),
    "isel both integers": lambda d: d.isel(x=1, y=2),
    "isel list": lambda d: d.isel(x=[2, 0]),
    "isel mask": lambda d: d.isel(x=np.array([True, False, True, False])),
    "isel outer": lambda d: d.isel(x=[2, 0], y=[1, 3, 3]),
    "isel vectorized": lambda d: d.isel(x=points(0, 1), y=points(2, 3)),
    "sel": lambda d: d.sel(x=20),
    "sel slice": lambda d: d.sel(y=slice("b", "d")),
    "sel nearest": lambda d: d.sel(x=21, method="nearest"),
    "sel vectorized": lambda d: d.sel(x=points(10, 30), y=points("a", "c")),
    "where by coordinate, drop": lambda d: d[d.x > 15],
    "head": lambda d: d.head(x=2),
    "drop_sel": lambda d: d.drop_sel(x=10),
    "sortby": lambda d: d.sortby("x", ascending=False),
    "reindex, nothing new": lambda d: d.reindex(x=[20, 10]),
    "align inner": lambda d: xr.align(d, d.isel(x=[1, 2]), join="inner")[0],
    "dropna": lambda d: d.dropna("x"),
    # shapes
    "T": lambda d: d.T,
    "transpose": lambda d: d.transpose("y", "x"),
    "expand_dims": lambda d: d.expand_dims("z"),
    "squeeze": lambda d: d.expand_dims("z").squeeze("z"),
    "stack": lambda d: d.stack(z=("x", "y")),
    "unstack": lambda d: d.stack(z=("x", "y")).unstack("z"),
    "broadcast": lambda d: xr.broadcast(d.isel(x=0), d)[0],
    "broadcast_like": lambda d: d.broadcast_like(d.expand_dims(z=2)),
    "coarsen construct": lambda d: d.coarsen(x=2).construct(x=("a", "b")),
    "merge": lambda d: xr.merge([d, d.rename("v")])["v"],
    "Dataset isel": lambda d: xr.Dataset({"a": d}).isel(x=[1, 0])["a"],
    # arithmetic
    "negative": lambda d: -d,
    "abs": abs,
    "xr.where": lambda d: xr.where(d > 0, d, d),
    "combine_first": lambda d: d.combine_first(d),
    "DataTree": lambda d: xr.DataTree(xr.Dataset({"a": d})).isel(x=0)["a"],
}  # fmt: skip

#: These put elements of several places together, and keep the format where all have one bias, the same one.
JOINS = {
    "concat": lambda d: xr.concat([d, d], dim="x"),
    "concat new": lambda d: xr.concat([d, d], dim="z"),
    "to_array": lambda d: xr.Dataset({"a": d, "b": d}).to_array(),
    "roll": lambda d: d.roll(x=1),
    "max": lambda d: d.max("x"),
    "min": lambda d: d.min("x"),
    "groupby map": lambda d: d.groupby(group()).map(lambda part: part.isel(x=slice(0, 1))),
}

LEAVES = {
    # NaN has no code in these formats: where it may come in, there are values
    "reindex": lambda d: d.reindex(x=[10, 20, 50]),
    "align outer": lambda d: xr.align(d, d.isel(x=[1, 2]), join="outer")[1],
    "pad": lambda d: d.pad(x=1),
    "shift": lambda d: d.shift(x=1),
    "where": lambda d: d.where(d > 0),
    "where, other": lambda d: d.where(d > 0, 0),
    "fillna": lambda d: d.fillna(0),
    "isnull": lambda d: d.isnull(),
    "rolling construct": lambda d: d.rolling(x=2).construct("w"),
    # aggregation
    **{
        name: (lambda d, name=name: getattr(d, name)("x"))
        for name in "sum mean std var median argmax idxmax prod count cumsum cumprod".split()
    },
    "mean of all": lambda d: d.mean(),
    "sum, skipna=False": lambda d: d.sum(skipna=False),
    "any": lambda d: (d > 0).any("y"),
    "quantile": lambda d: d.quantile(0.5, "x"),
    "Dataset mean": lambda d: xr.Dataset({"a": d}).mean()["a"],
    "weighted": lambda d: d.weighted(xr.DataArray([1.0, 2.0, 3.0, 4.0], dims="x")).mean("x"),
    # arithmetic
    "add": lambda d: d + 1,
    "two": lambda d: d * d,
    "broadcast": lambda d: d - d.isel(x=0),
    "compare": lambda d: d > 0,
    "ufunc": np.tanh,
    "apply_ufunc": lambda d: xr.apply_ufunc(np.square, d),
    "clip": lambda d: d.clip(0, 1),
    "round": lambda d: d.round(),
    "astype": lambda d: d.astype(np.float64),
    "dot": lambda d: xr.dot(d, d, dim="x"),
    "matmul": lambda d: d @ d.T.rename(x="z"),
    "diff": lambda d: d.diff("x"),
    "differentiate": lambda d: d.differentiate("x"),
    "integrate": lambda d: d.integrate("x"),
    "polyfit": lambda d: d.polyfit("x", 1)["polyfit_coefficients"],
    # groups and windows
    "groupby mean": lambda d: d.groupby(group()).mean(),
    "coarsen mean": lambda d: d.coarsen(x=2).mean(),
    "rolling mean": lambda d: d.rolling(x=2).mean(),
    "as_numpy": lambda d: d.as_numpy(),
}


def check_values(result, expected):
    assert result.dims == expected.dims
    assert result.dtype == expected.dtype
    kind = {"rtol": 1e-5, "atol": 1e-6} if expected.dtype.kind == "f" else {"rtol": 0}
    np.testing.assert_allclose(np.asarray(result), np.asarray(expected), **kind)


@pytest.mark.parametrize("biases", ARRAYS)
@pytest.mark.parametrize("name", KEEPS)
def test_it_keeps_the_format(name, biases):
    a = ARRAYS[biases]
    result = KEEPS[name](data_array(a))
    assert type(result.data) is cf.CFloatArray
    assert result.data.format == FMT
    check_values(result, KEEPS[name](data_array(np.asarray(a))))


@pytest.mark.parametrize("biases", ARRAYS)
@pytest.mark.parametrize("name", JOINS)
def test_it_keeps_the_format_of_one_bias(name, biases):
    a = ARRAYS[biases]
    result = JOINS[name](data_array(a))
    assert type(result.data) is (cf.CFloatArray if isinstance(a.bias, int) else np.ndarray)
    check_values(result, JOINS[name](data_array(np.asarray(a))))


@pytest.mark.parametrize("biases", ARRAYS)
@pytest.mark.parametrize("name", LEAVES)
def test_it_leaves_the_format(name, biases):
    a = ARRAYS[biases]
    result = LEAVES[name](data_array(a))
    assert type(result.data) is np.ndarray
    check_values(result, LEAVES[name](data_array(np.asarray(a))))


def test_properties_and_protocols():
    a = ARRAYS["one bias"]
    d = data_array(a)
    assert d.data is a
    assert d.variable.data is a
    assert (d.shape, d.ndim, d.dtype, d.size) == (a.shape, 2, np.float32, 24)
    assert d.nbytes == a.nbytes == 24
    for name in ("__array__", "__array_ufunc__", "__array_function__"):
        assert callable(getattr(type(a), name))
    assert type(d.values) is type(d.to_numpy()) is np.ndarray
    np.testing.assert_array_equal(d.values, np.asarray(a))
    assert d.item(3) == a.item(3)
    assert d.equals(d.copy())
    assert d.identical(d.copy())
    assert not d.equals(d + 1)
    np.testing.assert_array_equal(d.to_series().to_numpy(), np.ravel(np.asarray(a)))


def test_assignment_rounds_into_the_format():
    for place in (lambda d: d[{"x": 0}], lambda d: d.loc[{"x": 10}]):
        d = data_array(ARRAYS["one bias"].copy())
        place(d)[...] = 2.7
        np.testing.assert_array_equal(d.isel(x=0), np.full(6, 2.75, np.float32))
        assert type(d.data) is cf.CFloatArray
    d = data_array(ARRAYS["one bias"].copy())
    d += 1
    assert type(d.data) is cf.CFloatArray
    expected = cf.asarray(np.asarray(ARRAYS["one bias"]) + 1, FMT, 5)
    np.testing.assert_array_equal(d.data.codes, expected.codes)


def test_new_arrays_like_it():
    d = data_array(ARRAYS["one bias"])
    for made, value in ((xr.ones_like(d), 1.0), (xr.full_like(d, 2.7), 2.75)):
        assert type(made.data) is cf.CFloatArray
        np.testing.assert_array_equal(made, np.full((4, 6), value))


def test_representation():
    for a in ARRAYS.values():
        d = data_array(a)
        assert "CFloatArray(" in repr(d)
        dataset = xr.Dataset({"w": d})
        (line,) = (line for line in repr(dataset).splitlines() if line.startswith("    w "))
        assert "CFloat8_1_4_3: 0.125 -0.125" in line
        assert len(line) <= 80
        assert "CFloat8_1_4_3" in dataset._repr_html_()
    a = ARRAYS["one bias"]
    assert a._repr_inline_(100).startswith("CFloat8_1_4_3: 0.125 -0.125 0.625 0.1016 ")
    for width in range(4, 200):
        assert len(a._repr_inline_(width)) <= width
    assert cf.asarray([1.0, 2.0], FMT)._repr_inline_(80) == "CFloat8_1_4_3: 1 2"
    assert cf.asarray(3.0, FMT)._repr_inline_(80) == "CFloat8_1_4_3: 3"
    assert cf.asarray([], FMT)._repr_inline_(80) == "CFloat8_1_4_3:"


@pytest.mark.parametrize(
    "call", [lambda d: d & 1, lambda d: ~d, lambda d: np.bitwise_or(d, d)], ids=["and", "not", "or"]
)
def test_what_is_about_bits_is_refused(call):
    with pytest.raises(cf.ArgumentTypeError, match="it is defined for integers and their bits"):
        call(data_array(ARRAYS["one bias"]))


def test_a_dataset_of_weights():
    """One of several arrays, of formats of their own."""
    dataset = xr.Dataset(
        {"w": ("x", cf.asarray(X[0], FMT)), "m": (("t", "x"), cf.asarray(X, cf.CFloat16_SHP))}
    )
    part = dataset.isel(x=slice(0, 3)).transpose()
    assert [type(part[name].data) for name in part] == [cf.CFloatArray] * 2
    assert [part[name].data.format for name in part] == [FMT, cf.CFloat16_SHP]
    assert dataset.nbytes == 6 + 2 * 24
    means = dataset.mean()
    assert all(type(means[name].data) is np.ndarray for name in means)
    scaled = dataset * 2
    assert all(type(scaled[name].data) is np.ndarray for name in scaled)


@pytest.mark.parametrize("biases", ARRAYS)
def test_in_chunks(biases):
    pytest.importorskip("dask", reason="dask is not installed")
    import cfloat.dask  # noqa: F401 - registers the type

    a = ARRAYS[biases]
    chunked = data_array(a).chunk(x=3, y=4)
    assert type(chunked.data._meta) is cf.CFloatArray
    for computed in (chunked.compute(), chunked.isel(x=[0, 3]).compute(), chunked.T.compute()):
        assert type(computed.data) is cf.CFloatArray
    np.testing.assert_array_equal(chunked.compute().data.codes, a.codes)
    for computed in ((chunked + 1).compute(), chunked.mean("x").compute()):
        assert type(computed.data) is np.ndarray
    check_values((chunked + 1).compute(), data_array(np.asarray(a)) + 1)
