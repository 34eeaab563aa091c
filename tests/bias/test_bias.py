"""Biases that are chosen: against the errors of all biases, each tried; and the tracker."""

import json
from fractions import Fraction

import exact
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cfloat as cf
from cfloat._bias.histogram import Histogram
from cfloat._bias.percentile import BinadeCounts
from cfloat._bias.squared_errors import squared_errors
from cfloat._core import binding
from cfloat._core.dtypes import BFLOAT16
from cfloat._core.flags import no_flags
from cfloat._metrics.error import sums_of_rounding

TESLA = [cf.CFloat8_1_4_3, cf.CFloat8_1_5_2, cf.CFloat16_SHP]
FORMATS = [
    *TESLA,
    *(fmt.replace(subnormals="ieee") for fmt in TESLA),
    *(fmt.replace(subnormals="flush") for fmt in TESLA),
]
IDS = [f"{fmt.name}-{fmt.subnormals}" for fmt in FORMATS]
FIXED = [cf.float16, cf.bfloat16, cf.float8_e4m3fn, cf.float8_e5m2]


@st.composite
def tensors(draw, dtype=np.float32):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.sampled_from([1, 2, 5, 33, 1000]))
    spread = draw(st.floats(0, 10))
    x = rng.standard_normal(size) * np.exp(spread * rng.standard_normal(size))
    if draw(st.booleans()):  # few significant bits: ties, and values in the hole
        x = np.ldexp(rng.integers(-15, 16, size), rng.integers(-25, 6, size)).astype(float)
    x = np.ldexp(x, draw(st.integers(-40, 30))).astype(dtype)
    for special in draw(st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 0.0]), max_size=2)):
        x[rng.integers(size)] = special
    return x


def signal(x):
    finite = x[np.isfinite(x)].astype(np.float64)
    return float(finite @ finite)


@pytest.mark.parametrize("fmt", [*FORMATS, *FIXED], ids=[*IDS, *(fmt.name for fmt in FIXED)])
@settings(max_examples=12, deadline=None)
@given(x=tensors())
def test_moments_give_the_errors_of_every_bias(fmt, x):
    tried, found = squared_errors(x, fmt), Histogram.of(x).errors(fmt)
    assert np.array_equal(np.isinf(tried), np.isinf(found))
    finite = np.isfinite(tried)
    np.testing.assert_allclose(found[finite], tried[finite], rtol=1e-6, atol=1e-12 * signal(x))


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@settings(max_examples=12, deadline=None)
@given(x=tensors())
def test_mse_is_the_least_of_all(fmt, x):
    tried = squared_errors(x, fmt)
    low, slack = fmt.bias_range[0], 1e-12 * signal(x)
    best = tried.min()
    assert tried[cf.choose_bias(x, fmt) - low] <= best * (1 + 1e-6) + slack
    for one in (cf.choose_bias(x[np.newaxis], fmt, axis=0), cf.choose_bias(x, fmt, block=x.size)):
        assert one.tolist() == [cf.choose_bias(x, fmt)]


@pytest.mark.parametrize("fmt", exact.NEW_KINDS, ids=exact.label)
@settings(max_examples=8, deadline=None)
@given(x=tensors())
def test_errors_of_every_kind_of_code(fmt, x):
    """A zero that becomes NaN is infinitely wrong; one that becomes the smallest value, by that."""
    finite = x[np.isfinite(x)]
    low, high = fmt.bias_range
    with no_flags():
        wanted = [
            float(np.square(cf.round_to(finite, fmt, bias).astype(np.float64) - finite).sum())
            for bias in range(low, high + 1)
        ]
    wanted = np.where(np.isnan(wanted), np.inf, wanted)
    tried = squared_errors(x, fmt)
    np.testing.assert_allclose(tried, wanted, rtol=1e-9)
    assert tried[cf.choose_bias(x, fmt) - low] <= tried.min() * (1 + 1e-9)
    # what fills a short block is no element
    rows = np.concatenate([x, x, x])[np.newaxis]
    blocks = cf.choose_bias(rows[..., np.newaxis], fmt, axis=1, block=x.size + 1)
    assert blocks[0, 1, 0] == cf.choose_bias(rows[0, x.size + 1 :], fmt)


WIDE = cf.Format("wide", exponent_bits=6, mantissa_bits=4, bias=(0, 63), subnormals="whitepaper")


@pytest.mark.parametrize(("fmt", "bias"), [(cf.CFloat8_1_4_3, 14), (WIDE, 62)])
def test_a_smaller_bias_is_found_however_little_it_gains(fmt, bias):
    """Of six bits of exponent less than float64 tells of the sum: the exact ones are compared."""
    m = fmt.mantissa_bits
    in_the_hole = np.ldexp(1.5, -bias)  # and a subnormal number at the m - 1 biases before
    assert cf.round_to(in_the_hole, fmt, bias) != in_the_hole
    x = np.float32([cf.finfo(fmt, bias).max, 1 + np.ldexp(1.0, -m - 2), in_the_hole])
    tried = squared_errors(x, fmt)
    assert (tried[bias] == tried[bias - 1]) == (fmt is WIDE)
    expected = bias - (m - 1)
    assert cf.round_to(in_the_hole, fmt, expected) == in_the_hole
    for repeats in (1, 40, 3000):
        row = np.repeat(x, repeats)
        assert cf.choose_bias(row[np.newaxis], fmt, axis=0).tolist() == [expected]
        assert cf.choose_bias(row, fmt, block=row.size).tolist() == [expected]
        assert cf.choose_bias(row, fmt) == expected


@pytest.mark.parametrize("fmt", TESLA, ids=lambda fmt: fmt.name)
@settings(max_examples=12, deadline=None)
@given(x=tensors())
def test_max_is_the_largest_bias_without_saturation(fmt, x):
    bias = cf.choose_bias(x, fmt, "max")
    peak = np.abs(x[np.isfinite(x)]).max(initial=0)
    low, high = fmt.bias_range
    if peak == 0:
        assert bias == fmt.default_bias
        return
    assert bias == low or cf.finfo(fmt, bias).max >= peak
    assert bias == high or cf.finfo(fmt, bias + 1).max < peak
    assert cf.choose_bias(x, fmt, "percentile", percentile=100) == bias
    assert cf.choose_bias(x[np.newaxis], fmt, "max", axis=0)[0] == bias


@pytest.mark.parametrize("share", [50, 90, 99.9, 100])
@settings(max_examples=12, deadline=None)
@given(x=tensors())
def test_percentile_saturates_no_more_than_the_rest(share, x):
    fmt = cf.CFloat8_1_4_3
    bias = cf.choose_bias(x, fmt, "percentile", percentile=share)
    magnitudes = np.abs(x[np.isfinite(x)].astype(np.float64))
    if bias > fmt.bias_range[0] and magnitudes.size:
        beyond = (magnitudes > cf.finfo(fmt, bias).max).sum()
        assert beyond <= magnitudes.size * (1 - share / 100) + 1e-9
    slices = cf.choose_bias(x[np.newaxis], fmt, "percentile", percentile=share, axis=0)
    assert slices[0] == bias


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", ">f4", "i1", "i4", "i8", "u8", "bfloat16"])
def test_few_elements_have_the_percentile_that_counts_of_binades_give(dtype):
    rng = np.random.default_rng(31)
    formats = [*TESLA, cf.float8_e4m3fn, TESLA[0].replace(bias=(-100, 120)), cf.CFloat16_UHP]
    for case in range(60):
        size = int(rng.choice([0, 1, 2, 3, 10, 100, 1000, 3000]))
        x = np.round(rng.standard_normal(size) * 20) * 2.0 ** rng.integers(-30, 2, size)
        x[rng.integers(0, max(size, 1), size // 7)] = 0
        if dtype == "bfloat16":
            x = (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(BFLOAT16)
        else:
            x = (x.clip(-127, 127) if dtype[0] == "i" else abs(x) if dtype[0] == "u" else x).astype(
                dtype
            )
            if x.dtype.kind == "f":
                x[rng.integers(0, max(size, 1), size // 9)] = rng.choice([np.nan, np.inf, -np.inf])
        x = x[::-1] if case % 4 == 0 else x
        for fmt in formats:
            for percentile in (0.5, 50, 87, 99.9, 100):
                counted = BinadeCounts.of(x, fmt).bias(fmt, percentile)
                chosen = cf.choose_bias(x, fmt, "percentile", percentile=percentile)
                assert chosen == counted, (fmt, percentile, x)
                assert isinstance(chosen, int)


@pytest.mark.parametrize("name", sorted(cf.carried_tensors()))
def test_mse_on_real_tensors_is_best_and_no_worse_than_max(name):
    x = cf.carried_tensors()[name]
    for fmt in TESLA:
        tried, low = squared_errors(x, fmt), fmt.bias_range[0]
        best = tried[cf.choose_bias(x, fmt) - low]
        assert best <= tried.min() * (1 + 1e-6)
        assert best <= tried[cf.choose_bias(x, fmt, "max") - low] * (1 + 1e-12)


@pytest.mark.parametrize("method", ["mse", "max", "percentile"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ">f4", np.int32])
def test_slices_and_blocks_are_what_each_alone_has(method, dtype):
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((4, 5, 37)) * np.exp(2 * rng.standard_normal((4, 5, 1)))).astype(dtype)
    for axis in (0, 1, -1):
        biases = cf.choose_bias(x, cf.CFloat8_1_4_3, method, axis=axis)
        alone = [
            cf.choose_bias(x.take([i], axis), cf.CFloat8_1_4_3, method, axis=axis)[0]
            for i in range(x.shape[axis])
        ]
        assert biases.dtype == np.int16
        assert biases.tolist() == alone
    biases = cf.choose_bias(x, cf.CFloat8_1_4_3, method, block=16)
    assert biases.shape == (4, 5, 3)
    for i, part in enumerate((x[..., :16], x[..., 16:32], x[..., 32:])):
        alone = cf.choose_bias(part, cf.CFloat8_1_4_3, method, block=16)
        assert np.array_equal(biases[..., i : i + 1], alone)
    made = cf.asarray(x, cf.CFloat8_1_4_3, method, block=16)
    assert np.array_equal(made.bias, biases)
    assert np.array_equal(cf.asarray(x, cf.CFloat8_1_4_3, biases, block=16).codes, made.codes)


def test_moments_do_not_depend_on_threads_or_pieces():
    x = np.random.default_rng(0).standard_normal(1 << 23, np.float32)
    threads = cf.get_num_threads()
    try:
        found = []
        for count in (1, 3):
            cf.set_num_threads(count)
            found.append(Histogram.of(x).errors(cf.CFloat8_1_4_3))
    finally:
        cf.set_num_threads(threads)
    assert np.array_equal(*found)
    assert np.array_equal(found[0], Histogram.of(x[::-1]).errors(cf.CFloat8_1_4_3))


def test_code_use_counts_codes():
    fmt = cf.CFloat8_1_4_3
    x = np.random.default_rng(0).standard_normal(10_001, np.float32)
    _, counts = np.unique(cf.encode(x, fmt, 13), return_counts=True)
    shares = counts / x.size
    use = Histogram.of(x).code_use(fmt, 13)
    assert (use.used, use.available) == (counts.size, 256)
    assert use.entropy == pytest.approx(-(shares * np.log2(shares)).sum(), abs=1e-3)


@pytest.mark.parametrize(
    "fmt",
    [
        cf.CFloat8_1_4_3,
        cf.float16,
        cf.Format("signs", exponent_bits=1, mantissa_bits=0, signed=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [0, 1, 300, 5000])
def test_code_use_of_few_and_many(fmt, size):
    """Few elements have few of the codes, which are sorted then; many have a count for each."""
    # several bins have one code
    x = 1 + np.random.default_rng(0).integers(0, 60, size).astype(np.float32) / 2048
    bias = 15 if fmt.bits > 4 else fmt.default_bias
    _, counts = np.unique(cf.encode(x, fmt, bias), return_counts=True)
    use = Histogram.of(x).code_use(fmt, bias)
    assert (use.used, use.available) == (counts.size, 1 << fmt.bits)
    shares = counts / max(1, size)
    assert use.entropy == pytest.approx(-(shares * np.log2(shares)).sum())


def test_exponents_and_zeros():
    found = Histogram.of(np.float32([0, -0.0, 1, 1.5, -1.99, 4, 2**-149, np.inf]))
    assert found.exponents() == {0: 3, 2: 1, -149: 1}
    assert (found.zeros, found.finite, found.size) == (2, 7, 8)


@pytest.mark.parametrize("fmt", [*TESLA, cf.CFloat16_UHP, cf.bfloat16], ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("method", ["mse", "max", "percentile"])
def test_nothing_to_choose_from(fmt, method):
    for x in ([], [0.0, -0.0], [np.nan, np.inf], np.zeros((0, 3))):
        assert cf.choose_bias(np.float32(x), fmt, method) == fmt.default_bias
    assert cf.choose_bias(np.zeros((2, 3)), fmt, method, axis=1).tolist() == [fmt.default_bias] * 3
    assert cf.choose_bias(np.zeros((2, 0)), fmt, method, axis=1).shape == (0,)
    assert cf.choose_bias(np.zeros((2, 0)), fmt, method, axis=0).tolist() == [fmt.default_bias] * 2
    assert cf.choose_bias(np.zeros((2, 0)), fmt, method, block=4).shape == (2, 0)
    assert cf.choose_bias(np.float32(3), cf.CFloat8_1_4_3, "max") == 14  # an array of no axes


def test_what_fits_no_bias_takes_the_nearest():
    assert cf.choose_bias(np.float32([1e30]), cf.CFloat8_1_4_3, "max") == 0
    assert cf.choose_bias(np.float32([1e-30]), cf.CFloat8_1_4_3, "max") == 63
    assert cf.choose_bias([1e300], cf.CFloat8_1_4_3, "max") == 0


def test_flags_are_not_raised():
    x = np.float32([np.nan, np.inf, 1e30, 1e-30])
    with cf.record_flags() as flags:
        cf.choose_bias(x, cf.CFloat8_1_4_3)
        cf.choose_bias(x, cf.CFloat8_1_4_3, block=2)
    assert not any((flags.invalid, flags.overflow, flags.underflow, flags.denormal))


def test_biases_by_name_where_a_bias_is_taken():
    x = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32) * [[1], [100], [0.01]]
    fmt = cf.CFloat8_1_4_3
    bias = cf.choose_bias(x, fmt)
    assert np.array_equal(cf.round_to(x, fmt, "mse"), cf.round_to(x, fmt, bias))
    assert cf.asarray(x, fmt, "mse").bias == bias
    a = cf.asarray(x, cf.CFloat16_SHP, "max")
    assert (
        a.astype(fmt, "max", axis=0).bias.ravel().tolist()
        == cf.choose_bias(a, fmt, "max", axis=0).tolist()
    )
    assert a.rebias("mse").bias == cf.choose_bias(a, cf.CFloat16_SHP)
    with pytest.raises(cf.ArgumentTypeError, match="bias is 'mse'; it takes an integer"):
        cf.encode(x, fmt, "mse")  # whose codes nobody could read


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"method": "best"}, ValueError, "method is 'best'; it takes 'max', 'mse', 'percentile'"),
        ({"percentile": 0}, ValueError, "percentile is 0.0"),
        ({"percentile": "x"}, TypeError, "percentile is 'x'"),
        ({"axis": 2}, ValueError, "axis is 2"),
        ({"axis": (0, 1)}, TypeError, r"axis is \(0, 1\), and there is no block"),
        (
            {"axis": (1, 0), "block": 2},
            ValueError,
            r"axis is \(1, 0\); with block it takes one, or sev",
        ),
        (
            {"axis": (0, 0), "block": 2},
            ValueError,
            r"axis is \(0, 0\); with block it takes one, or sev",
        ),
        (
            {"axis": (), "block": 2},
            ValueError,
            r"axis is \(\); with block it takes one, or several",
        ),
        ({"axis": (0, 2), "block": 2}, ValueError, "axis is 2; it takes an integer from -2 to 1"),
        (
            {"axis": (0, 1.0), "block": 2},
            TypeError,
            r"axis is \(0, 1.0\); with block it takes an int",
        ),
        (
            {"axis": "reduction", "block": 2},
            TypeError,
            "axis is 'reduction'; with block it takes an ",
        ),
        ({"axis": (0, 1), "block": 0}, ValueError, "block is 0"),
        ({"block": 0}, ValueError, "block is 0"),
        ({"x": ["a"]}, TypeError, "x has dtype"),
        ({"x": [1j]}, TypeError, "x has dtype complex128"),
        ({"fmt": 8}, TypeError, "Format"),
        ({"fmt": "CFloat8"}, ValueError, "the names are CFloat8_1_4_3"),
    ],
)
def test_bad_arguments(change, error, words):
    given = {"x": np.ones((2, 3)), "fmt": cf.CFloat8_1_4_3} | change
    with pytest.raises(error, match=words):
        cf.choose_bias(**given)


def test_asarray_says_which_names_there_are():
    with pytest.raises(ValueError, match="bias is 'min'; it takes 'max', 'mse', 'percentile'"):
        cf.asarray([1.0], cf.CFloat8_1_4_3, "min")


class TestTracker:
    def test_follows_the_largest_of_the_window(self):
        tracker = cf.BiasTracker(cf.CFloat8_1_4_3, window=3, margin=1)
        assert tracker.bias == 7
        found = [tracker.update(np.float32([peak, -0.5])) for peak in (1, 30, 1, 1, 1)]
        assert found == [14, 10, 10, 10, 14]

    def test_is_by_default_the_current_tensor(self):
        tracker = cf.BiasTracker(cf.CFloat8_1_5_2)
        for seed in range(5):
            x = np.random.default_rng(seed).standard_normal(100) * 10.0**seed
            assert tracker.update(x) == cf.choose_bias(x, cf.CFloat8_1_5_2, "max") == tracker.bias

    def test_leaves_out_what_is_not_finite(self):
        tracker = cf.BiasTracker(cf.CFloat8_1_4_3)
        assert tracker.update([np.inf, np.nan, 1.0]) == 15
        assert tracker.update([np.nan]) == 7
        assert tracker.update([]) == 7

    def test_state_survives_json(self):
        tracker = cf.BiasTracker(cf.CFloat8_1_4_3, window=4, margin=2)
        for peak in (1.0, 1e-3, 7.0):
            tracker.update([peak])
        other = cf.BiasTracker(cf.CFloat8_1_4_3)
        other.load_state_dict(json.loads(json.dumps(tracker.state_dict())))
        assert other.bias == tracker.bias
        assert other.update([0.5]) == tracker.update([0.5])
        assert (
            repr(other)
            == repr(tracker)
            == "BiasTracker(CFloat8_1_4_3, window=4, margin=2): bias 11"
        )

    @pytest.mark.parametrize(
        "state",
        [
            {},
            {"window": 1, "margin": 0, "history": [1.0, 2.0]},
            {"window": 1, "margin": 0, "history": [float("inf")]},
            {"window": 1, "margin": 0, "history": [-1.0]},
            {"window": 0, "margin": 0, "history": []},
            {"window": 1, "margin": 0, "history": ["x"]},
            {"window": 1, "margin": 0.5, "history": []},
        ],
    )
    def test_refuses_other_states(self, state):
        tracker = cf.BiasTracker(cf.CFloat8_1_4_3)
        tracker.update([100.0])
        with pytest.raises((TypeError, ValueError)):
            tracker.load_state_dict(state)
        assert tracker.bias == 9

    def test_refuses_bad_arguments(self):
        with pytest.raises(ValueError, match="window is 0; it takes an integer from 1 on"):
            cf.BiasTracker(cf.CFloat8_1_4_3, window=0)
        with pytest.raises(TypeError, match=r"margin is 0\.5"):
            cf.BiasTracker(cf.CFloat8_1_4_3, margin=0.5)
        with pytest.raises(TypeError, match="x has dtype"):
            cf.BiasTracker(cf.CFloat8_1_4_3).update(["a"])


def test_percentile_of_a_short_block_counts_its_elements_alone():
    x = np.concatenate([np.ones(32), [100.0]])
    chosen = cf.choose_bias(x, cf.CFloat8_1_4_3, "percentile", block=32, percentile=50)
    alone = [
        cf.choose_bias(part, cf.CFloat8_1_4_3, "percentile", percentile=50)
        for part in (x[:32], x[32:])
    ]
    assert chosen.tolist() == alone == [15, 9]
    rows = cf.choose_bias(np.ones((2, 3), int), cf.CFloat8_1_4_3, "percentile", block=2)
    assert rows.tolist() == [[15, 15], [15, 15]]


@pytest.mark.parametrize("beyond", [2.0**-9, 1e-12])
def test_percentile_of_elements_next_to_the_largest_value(beyond):
    top = 1.875
    x = np.array([top] * 99 + [top * (1 + beyond)])
    for share, bias in [(50, 15), (99, 15), (99.5, 14), (100, 14)]:
        assert cf.choose_bias(x, cf.CFloat8_1_4_3, "percentile", percentile=share) == bias
        rows = cf.choose_bias(x[None], cf.CFloat8_1_4_3, "percentile", axis=0, percentile=share)
        assert rows == bias


def test_a_tracker_of_absurd_numbers():
    with pytest.raises(cf.ArgumentValueError, match="window is 1000"):
        cf.BiasTracker(cf.CFloat8_1_4_3, window=10**30)
    tracker = cf.BiasTracker(cf.CFloat8_1_4_3)
    with pytest.raises(cf.ArgumentTypeError, match="history is not a list of numbers"):
        tracker.load_state_dict({"window": 1, "margin": 0, "history": [10**400]})


@pytest.mark.parametrize("fmt", [*TESLA, cf.CFloat16_UHP, *FIXED], ids=lambda fmt: fmt.name)
def test_a_tracker_of_one_tensor_chooses_as_max(fmt, rng):
    tracker = cf.BiasTracker(fmt)
    top = float(cf.finfo(fmt).max)
    edges = [top, np.nextafter(top, 0), np.nextafter(top, np.inf), 5e-324, 1e308, 0.0]
    for peak in [*edges, *np.exp2(rng.uniform(-80, 80, 300))]:
        assert tracker.update(np.array([peak, -peak / 3])) == cf.choose_bias([peak], fmt, "max")


def exact_errors(x, fmt):
    """Sum up squared errors as fractions, by rounding at each bias; None where one is infinite."""
    low, high = fmt.bias_range
    x = x[np.isfinite(x)]
    for bias in range(low, high + 1):
        rounded = cf.round_to(x, fmt, bias)
        if np.isfinite(rounded).all():
            pairs = zip(rounded.tolist(), x.tolist(), strict=True)
            yield sum((Fraction(q) - Fraction(v)) ** 2 for q, v in pairs)
        else:
            yield None


USERS = [
    cf.Format("few", exponent_bits=2, mantissa_bits=1, bias=(-5, 20), subnormals="whitepaper"),
    cf.Format("none", exponent_bits=3, mantissa_bits=0, bias=(-5, 20), default_bias=19),
    cf.Format("nan", exponent_bits=3, mantissa_bits=3, bias=(-20, 40), nonfinite="nan_only"),
    cf.Format("ieee", exponent_bits=3, mantissa_bits=2, bias=(-50, 100), nonfinite="ieee"),
    cf.Format(
        "unsigned", exponent_bits=4, mantissa_bits=3, bias=(0, 120), signed=False,
        subnormals="whitepaper",
    ),
    cf.Format(
        "many", exponent_bits=3, mantissa_bits=12, bias=(-50, 100), default_bias=100,
        subnormals="whitepaper",
    ),
]  # fmt: skip


def least_errors(rows, fmt, length=None):
    """Find the biases of the least errors, and these, of so many float32 of each row, or of all."""
    return binding.least_errors(fmt._struct, fmt.default_bias, rows, length or rows.shape[1])


@pytest.mark.parametrize(
    "fmt",
    [*FORMATS, *FIXED, cf.CFloat16_UHP, *USERS],
    ids=[*IDS, *(fmt.name for fmt in [*FIXED, cf.CFloat16_UHP, *USERS])],
)
def test_least_errors_are_the_exact_ones(fmt, rng):
    for trial in range(25):
        size = int(rng.integers(1, 24))
        x = [
            lambda n: np.exp(rng.uniform(0, 8) * rng.standard_normal(n)) * rng.choice([-1, 1], n),
            lambda n: np.ldexp(rng.integers(-15, 16, n).astype(float), rng.integers(-25, 6, n)),
            lambda n: np.ldexp(rng.integers(-7, 8, n).astype(float), rng.integers(-16, 1, n)),
            lambda n: rng.choice([0.0, 1, 1.5, 1.5 * 2**-5, 2.0**-149, 1e38, np.inf, np.nan], n),
            lambda n: np.full(n, rng.standard_normal()),
        ][trial % 5](size)
        with np.errstate(over="ignore"):
            x = np.ldexp(x, int(rng.integers(-40, 30)) if trial % 2 else 0).astype(np.float32)
        errors, low = list(exact_errors(x, fmt)), fmt.bias_range[0]
        least = min((error for error in errors if error is not None), default=None)
        equal = [low + i for i, error in enumerate(errors) if error == least]
        expected = min(equal, key=lambda bias: (abs(bias - fmt.default_bias), bias))
        biases, found = least_errors(x[np.newaxis], fmt)
        assert biases[0].tolist() == [expected], x.tolist()
        assert found[0, 0] == pytest.approx(np.inf if least is None else float(least), rel=1e-14)
        tried = [np.inf if error is None else float(error) for error in errors]
        assert squared_errors(x, fmt) == pytest.approx(tried, rel=1e-14, abs=0)
        assert cf.choose_bias(x, fmt) == expected
        assert cf.choose_bias(x[np.newaxis], fmt, axis=0).tolist() == [expected]
        padded = np.concatenate([x, np.zeros(size), x]).astype(np.float32)
        assert least_errors(padded[np.newaxis], fmt, 2 * size)[0].tolist() == [[expected] * 2]


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", ">f8"])
def test_values_that_are_not_aligned(monkeypatch, dtype):
    x = np.random.default_rng(1).standard_normal((6, 10)).astype(dtype)
    memory = np.frombuffer(b"!" + x.tobytes(), np.uint8)[1:]
    off = memory.view(dtype).reshape(x.shape)
    assert not off.flags.aligned
    searched = []
    for name in ("least_errors", "errors_at_biases", "rounding_errors"):
        own = getattr(binding, name)

        def called(*args, own=own):
            searched.extend(each for each in args if isinstance(each, np.ndarray))
            return own(*args)

        monkeypatch.setattr(binding, name, called)
    fmt = cf.CFloat8_1_4_3
    for how in ({}, {"axis": 0}, {"axis": 1}, {"block": 4}, {"block": 4, "axis": 0}):
        expected = cf.choose_bias(x, fmt, **how)
        np.testing.assert_array_equal(cf.choose_bias(off, fmt, **how), expected)
    np.testing.assert_array_equal(squared_errors(off, fmt), squared_errors(x, fmt))
    flat = off.reshape(-1)
    assert sums_of_rounding(flat, fmt, 7) == sums_of_rounding(x.reshape(-1), fmt, 7)
    # the core takes no others
    assert searched
    assert all(each.flags.aligned and each.dtype.isnative for each in searched)


def test_errors_are_the_same_bits_on_any_threads_and_however_rows_are_cut():
    x = np.random.default_rng(0).standard_normal((7, 300_000), np.float32)
    fmt, threads = cf.CFloat8_1_4_3, cf.get_num_threads()
    found = []
    try:
        for count in (1, 4):
            cf.set_num_threads(count)
            found.append(least_errors(x, fmt)[1].tolist())
            found.append(least_errors(x.reshape(1, -1), fmt, x.shape[1])[1].reshape(-1, 1).tolist())
            found.append([least_errors(row[np.newaxis], fmt)[1][0].tolist() for row in x])
    finally:
        cf.set_num_threads(threads)
    assert all(each == found[0] for each in found)


# percentages, counts, and how many may be beyond: by float64, 99.9 / 100 * 1000 is above 999, and so on
PERCENTILES = [(99.9, 1000, 1), (66.7, 3000, 999), (99.9, 17000, 17)]


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize(("percentile", "count", "beyond"), PERCENTILES)
def test_a_percentile_is_the_decimal_number_that_was_written(dtype, percentile, count, beyond):
    fmt = cf.CFloat8_1_4_3
    how = {"method": "percentile", "percentile": percentile}
    for others, bias in [(beyond, 15), (beyond + 1, 14)]:
        x = np.full(count, 1.875, dtype)
        x[:others] = 2
        assert cf.choose_bias(x, fmt, **how) == bias
        assert cf.choose_bias(np.stack([x, x]), fmt, axis=0, **how).tolist() == [bias, bias]
        assert cf.choose_bias(x, fmt, block=count, **how).tolist() == [bias]
        if percentile == 99.9:  # the default
            assert cf.choose_bias(x, fmt, "percentile") == bias
            assert cf.round_to(x, fmt, bias="percentile")[-1] == 1.875
            assert cf.round_to(x, fmt, bias="percentile")[0] == (1.875 if bias == 15 else 2)


@pytest.mark.quick
@pytest.mark.parametrize("default", [0, 1])
def test_a_tie_of_small_values_and_of_one_beyond_the_range_goes_to_the_default(default):
    # 16 times 1/4 is lost at bias 0, below its quantum, and 4 at bias 1, beyond its 6
    fmt = cf.Format("tie", exponent_bits=2, mantissa_bits=1, bias=(0, 1), default_bias=default)
    x = np.array([8.0] + [0.5] * 16 + [2.0, 3.0, 4.0, 6.0], np.float32)
    for values in (x, x.astype(np.float64)):
        assert cf.choose_bias(values, fmt, "mse") == default
