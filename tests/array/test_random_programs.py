"""Programs written for ndarrays give on CFloatArrays what they give on the decoded values."""

import operator

import numpy as np
import pytest
from arrays import full_biases
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cfloat as cf

FORMATS = [cf.CFloat8_1_4_3, cf.CFloat8_1_5_2, cf.CFloat16_SHP, cf.float16, cf.float8_e4m3fn]


def check(got, expected):
    """Compare what a step gave: bit by bit, but for the bits of NaN."""
    if isinstance(expected, tuple):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            check(one, other)
        return
    assert np.shape(got) == np.shape(expected)
    one, other = np.asarray(got), np.asarray(expected)
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)
    if one.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(one[one == one]), np.signbit(other[one == one]))


def outcome(function, *args):
    with np.errstate(all="ignore"):
        try:
            return function(*args), None
        except (ValueError, TypeError, IndexError) as error:
            return None, error


@st.composite
def moves(draw, a):
    """Draw a function that moves or selects elements of an array."""
    ndim, shape = a.ndim, a.shape
    axis = draw(st.integers(-ndim, ndim - 1)) if ndim else None
    axes = draw(st.permutations(range(ndim)))
    some = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    key = draw(hnp.basic_indices(shape, allow_newaxis=ndim < 4))
    rows = draw(hnp.integer_array_indices(shape)) if ndim and a.size else ...
    return draw(
        st.sampled_from(
            [
                lambda x: x[key],
                lambda x: x[rows],
                lambda x: x[np.asarray(x) > 0.5],
                lambda x: x.reshape(-1),
                lambda x: x.reshape(*shape, 1),
                lambda x: x.reshape(shape[::-1]),
                lambda x: x.reshape(2, -1),
                lambda x: x.T,
                lambda x: np.transpose(x, axes),
                lambda x: np.flip(x, axis),
                lambda x: np.roll(x, 2, axis),
                lambda x: np.repeat(x, 2, axis),
                lambda x: np.take(x, some, axis),
                lambda x: x.take(some),
                lambda x: np.expand_dims(x, 0),
                lambda x: x.squeeze(),
                lambda x: np.broadcast_to(x, (2, *shape)),
                lambda x: np.moveaxis(x, -1, 0),
                lambda x: np.tile(x, 2),
                lambda x: np.split(x, 2)[0],
                lambda x: x.ravel(),
                lambda x: x.copy(),
            ]
        )
    )


UNARY = [
    np.negative, np.absolute, np.square, np.sqrt, np.exp, np.tanh, np.floor, np.sign, np.isfinite,
    np.reciprocal, np.log1p, np.signbit, np.modf,
]  # fmt: skip
BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.lt, operator.ge, operator.eq,
    np.maximum, np.copysign, np.arctan2, operator.matmul, np.hypot, np.add.outer,
]  # fmt: skip
REDUCTIONS = [
    np.sum,
    np.prod,
    np.max,
    np.mean,
    np.std,
    np.argmax,
    np.cumsum,
    np.any,
    np.median,
    np.count_nonzero,
]
ORDERED = [lambda x, axis: np.sort(x, axis), lambda x, axis: np.argsort(x, axis, kind="stable")]
JOINS = [
    lambda x, y: np.concatenate([x, y]),
    lambda x, y: np.stack([x, y]),
    lambda x, y: np.hstack([x, y]),
    lambda x, y: np.where(np.asarray(x) < 1, x, y),
    lambda x, y: np.append(x, y),
    lambda x, y: np.broadcast_arrays(x, y),
]
# What gives the sign of its last operand.
SIGNS = (np.signbit, np.copysign)
IN_PLACE = {
    operator.iadd: np.add,
    operator.isub: np.subtract,
    operator.imul: np.multiply,
    operator.itruediv: np.divide,
}


class Program:
    """Pairs of a CFloatArray, or what came of one, and the same in float32."""

    def __init__(self, data):
        self.data = data
        self.pairs = []

    def draw(self, *choices):
        return self.data.draw(st.sampled_from(choices))

    def keep(self, got, expected):
        check(got, expected)
        usable = isinstance(expected, np.ndarray) and expected.dtype == np.float32
        if usable and expected.ndim <= 4 and expected.size <= 500:
            self.pairs.append((got, expected))

    def start(self):
        shape = self.draw((), (4,), (2, 4), (3, 1), (2, 3, 4), (1, 4), (0, 4))
        fmt = self.draw(*FORMATS)
        low, high = fmt.bias_range
        low, high = max(low, min(high, 5)), min(high, 20)
        how = self.draw("one", "one", "full", "slices", "blocks") if shape else "one"
        rng = np.random.default_rng(self.data.draw(st.integers(0, 99)))
        if how == "slices":
            axis = self.data.draw(st.integers(0, len(shape) - 1))
            how = {"bias": rng.integers(low, high + 1, shape[axis]), "axis": axis}
        elif how == "blocks":
            how = {
                "bias": rng.integers(low, high + 1, (*shape[:-1], -(-shape[-1] // 3))),
                "block": 3,
            }
        else:
            how = {"bias": rng.integers(low, high + 1, shape if how == "full" else ())}
        a = cf.asarray(rng.normal(size=shape) * 4, fmt, **how)
        self.pairs.append((a, np.asarray(a)))

    def step(self):
        kind = self.draw(
            self.move,
            self.move,
            self.unary,
            self.binary,
            self.reduce,
            self.join,
            self.change,
            self.assign,
        )
        kind()
        for a, x in self.pairs:
            check(a, x)

    def pick(self):
        return self.draw(*range(len(self.pairs)))

    def move(self):
        a, x = self.pairs[self.pick()]
        function = self.data.draw(moves(x))
        (got, error), (expected, wanted) = outcome(function, a), outcome(function, x)
        assert type(error) is type(wanted) or isinstance(error, type(wanted)), (error, wanted)
        if wanted is None:
            self.keep(got, expected)
            if isinstance(a, cf.CFloatArray) and isinstance(expected, np.ndarray):
                assert isinstance(got, cf.CFloatArray)
                assert got.format == a.format
                assert np.shares_memory(got.codes, a.codes) == np.shares_memory(expected, x)

    def compute(self, function, *pairs):
        # a NaN that NumPy computed has a sign that nothing else of it depends on: see docs/spec.md 3.8
        if function in SIGNS and np.isnan(pairs[-1][1]).any():
            return
        # what NumPy computes may depend on where elements lie in memory; decoded ones lie in order
        got, error = outcome(function, *(a for a, _ in pairs))
        expected, wanted = outcome(function, *(x.copy() if np.ndim(x) else x for _, x in pairs))
        assert (error is None) == (wanted is None), (error, wanted)
        if wanted is None:
            self.keep(got, expected)
        else:
            assert isinstance(error, type(wanted)), (error, wanted)

    def unary(self):
        self.compute(self.draw(*UNARY), self.pairs[self.pick()])

    def operands(self):
        pair = self.pairs[self.pick()]
        other = self.pairs[self.pick()]
        value = self.draw(
            2, 0.5, np.float32(1.5), np.arange(4.0, dtype=np.float32), other, other, other
        )
        other = value if isinstance(value, tuple) else (value, value)
        return (pair, other) if self.draw(True, False) else (other, pair)

    def binary(self):
        function, pairs = self.draw(*BINARY), self.operands()
        if function is operator.matmul:
            self.multiply(*pairs)
        else:
            self.compute(function, *pairs)

    def multiply(self, *pairs):
        """Sums are in an order of their own: compare with the exact ones, by the bound that is promised."""
        got, error = outcome(operator.matmul, *(a for a, _ in pairs))
        expected, wanted = outcome(operator.matmul, *(x for _, x in pairs))
        assert (error is None) == (wanted is None), (error, wanted)
        if wanted is not None:
            assert isinstance(error, type(wanted)), (error, wanted)
            return
        a, b = (np.asarray(x, np.float64) for _, x in pairs)
        with np.errstate(all="ignore"):
            exact, magnitude = a @ b, np.abs(a) @ np.abs(b)
        assert np.shape(got) == np.shape(expected)
        assert np.asarray(got).dtype == np.asarray(expected).dtype
        in_range = magnitude < np.finfo(np.float32).max
        bound = a.shape[-1] * (2.0**-23 * magnitude + 2.0**-149)
        assert np.all(np.abs(got - exact)[in_range] <= bound[in_range])
        np.testing.assert_array_equal(
            np.isnan(got)[np.isnan(magnitude)], np.isnan(expected)[np.isnan(magnitude)]
        )
        if isinstance(got, np.ndarray):  # a product of two vectors is a scalar
            self.keep(got, np.array(got))

    def join(self):
        self.compute(self.draw(*JOINS), *self.operands())

    def reduce(self):
        a, x = self.pairs[self.pick()]
        axis = self.data.draw(st.sampled_from([None, *range(-x.ndim, x.ndim)]))
        function = self.draw(*REDUCTIONS, *ORDERED)
        self.compute(lambda x: function(x, axis=axis), (a, x))

    def rounded(self, a, result, biases):
        if not isinstance(a, cf.CFloatArray):
            return result
        return cf.round_to(result, a.format, biases)

    def change(self):
        i, j = self.pick(), self.pick()
        (a, x), (b, y) = self.pairs[i], self.pairs[j]
        if self.draw(True, False):
            b = y = self.draw(2, -0.5, np.float32(0.75))
        in_place = self.draw(*IN_PLACE)
        biases = full_biases(a) if isinstance(a, cf.CFloatArray) else None
        if biases is None:
            b = np.asarray(b)
        with np.errstate(all="ignore"):
            try:
                # float64 holds these sums and products, and enough of the quotients
                wide = np.float64 if biases is not None else np.float32
                result = IN_PLACE[in_place](x.astype(wide), np.asarray(y, wide))
                if result.shape != x.shape:
                    raise ValueError("more than the output holds")
                if biases is not None:
                    # 0 / 0 has no sign that machines agree on; a CFloatArray gets a positive one
                    result = np.where(np.isnan(result), np.nan, result)
                x[...] = self.rounded(a, result, biases)
            except ValueError:
                with pytest.raises(ValueError):  # noqa: PT011
                    in_place(a, b)
                return
            assert in_place(a, b) is a

    def assign(self):
        a, x = self.pairs[self.pick()]
        key = self.data.draw(hnp.basic_indices(x.shape))
        value = self.draw(7.3, -1e9, 0, np.arange(4.0) / 3)
        biases = full_biases(a)[key] if isinstance(a, cf.CFloatArray) else None
        _, wanted = outcome(operator.setitem, x, key, np.asarray(value, np.float32))
        if wanted is None:
            x[key] = self.rounded(a, np.broadcast_to(value, np.shape(x[key])), biases)
            a[key] = value
        else:
            _, error = outcome(operator.setitem, a, key, value)
            assert isinstance(error, ValueError)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(st.data())
@settings(max_examples=200)
def test_random_programs(data):
    program = Program(data)
    program.start()
    program.start()
    for _ in range(data.draw(st.integers(1, 8))):
        program.step()


# Programs that know nothing of CFloatArrays


def k_means(points, centres, steps):
    for _ in range(steps):
        distances = ((points[:, None, :] - centres) ** 2).sum(axis=-1)
        labels = distances.argmin(axis=1)
        for k in range(len(centres)):
            members = points[labels == k]
            if len(members):
                centres[k] = members.mean(axis=0)
    return centres, labels


def principal_components(x, count):
    centred = x - x.mean(axis=0)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    scores = centred @ vt[:count].T
    return vt[:count], s[:count] ** 2 / (len(x) - 1), scores


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def forward(x, w1, b1, w2, b2):
    hidden = np.maximum(x @ w1 + b1, 0)
    hidden -= hidden.mean(axis=-1, keepdims=True)
    return softmax(hidden.dot(w2) + b2)


@pytest.mark.parametrize(
    ("fmt", "tolerance"), [(cf.CFloat8_1_4_3, 2**-4), (cf.CFloat16_SHP, 2**-11)]
)
def test_k_means(rng, fmt, tolerance):
    middles = np.array([[-4, 0, 3], [5, 5, -2], [0, -6, 1], [2, 3, 6]])
    truth = rng.integers(0, 4, 400)
    points = (middles[truth] + rng.normal(size=(400, 3))).astype(np.float32)
    centres = points[[np.flatnonzero(truth == k)[0] for k in range(4)]]
    wanted, labels = k_means(points, centres.copy(), 10)
    a = cf.asarray(points, fmt)
    got, own_labels = k_means(a, a[[np.flatnonzero(truth == k)[0] for k in range(4)]], 10)
    assert isinstance(got, cf.CFloatArray)
    assert got.format is fmt
    np.testing.assert_allclose(got, wanted, rtol=2 * tolerance, atol=tolerance)
    assert (own_labels == labels).mean() > 0.99


@pytest.mark.parametrize(
    ("fmt", "tolerance"), [(cf.CFloat8_1_4_3, 2**-4), (cf.CFloat16_SHP, 2**-11)]
)
def test_principal_components(rng, fmt, tolerance):
    scales = np.array([8, 4, 1, 0.5, 0.25, 0.125])
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    x = (rng.normal(size=(500, 6)) * scales @ rotation).astype(np.float32)
    wanted, variances, scores = principal_components(x, 2)
    bias = fmt.default_bias
    columns = {"bias": bias - np.array([1, 1, 0, 0, 0, 1]), "axis": 1}
    for how in ({}, columns, {"bias": np.full((500, 2), bias), "block": 3}):
        a = cf.asarray(x, fmt, **how)
        got, own_variances, own_scores = principal_components(a, 2)
        assert type(got) is np.ndarray
        assert got.dtype == own_scores.dtype == np.float32
        signs = np.sign((got * wanted).sum(axis=1))
        np.testing.assert_allclose(np.abs((got * wanted).sum(axis=1)), 1, atol=tolerance**2)
        np.testing.assert_allclose(own_variances, variances, rtol=2 * tolerance)
        np.testing.assert_allclose(
            own_scores * signs, scores, atol=tolerance * np.abs(scores).max()
        )


@pytest.mark.parametrize(
    ("fmt", "tolerance"), [(cf.CFloat8_1_4_3, 2**-4), (cf.CFloat16_SHP, 2**-11)]
)
def test_two_layers(rng, fmt, tolerance):
    x = rng.normal(size=(64, 32)).astype(np.float32)
    w1 = (rng.normal(size=(32, 48)) / 32**0.5).astype(np.float32)
    w2 = (rng.normal(size=(48, 10)) / 48**0.5).astype(np.float32)
    b1, b2 = (rng.normal(size=n).astype(np.float32) / 8 for n in (48, 10))
    wanted = forward(x, w1, b1, w2, b2)
    rows = {"bias": np.full(32, fmt.default_bias), "axis": 0}
    blocks = {"bias": np.full((32, 3), fmt.default_bias), "block": 16}
    for how in ({}, rows, blocks):
        weights = (
            cf.asarray(w1, fmt, **how),
            cf.asarray(b1, fmt),
            cf.asarray(w2, fmt),
            cf.asarray(b2, fmt),
        )
        got = forward(cf.asarray(x, fmt), *weights)
        assert type(got) is np.ndarray
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, wanted, atol=tolerance)
        assert np.mean(got.argmax(axis=1) == wanted.argmax(axis=1)) > 0.85
        # what float32 gives of the rounded values, but for the order of sums
        decoded = forward(*(np.asarray(a) for a in (cf.asarray(x, fmt), *weights)))
        np.testing.assert_allclose(got, decoded, rtol=1e-5)
