"""Biases that are chosen: against the errors of all biases, each tried; and the tracker."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cfloat as cf
from cfloat._bias.histogram import Histogram
from cfloat._bias.squared_errors import squared_errors

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
        assert one.shape == (1,)
        assert tried[one[0] - low] <= best * 1.01 + slack


@pytest.mark.parametrize(("share", "is_tried"), [(0.0101, True), (0.0099, False)])
def test_a_smaller_bias_is_tried_for_more_than_one_per_cent(share, is_tried):
    """Of slices and blocks, a bias is left untried only where it lowers the error by 1 % at most."""
    fmt, bias = cf.CFloat8_1_4_3, 14
    limits = cf.finfo(fmt, bias)
    # of no value's neighbourhood at one bias, and a value at the next smaller one
    in_the_hole = 12 * float(limits.smallest_subnormal)
    lost = float(cf.round_to(in_the_hole, fmt, bias)) - in_the_hole
    assert cf.round_to(in_the_hole, fmt, bias - 1) == in_the_hole
    x = np.array([limits.max, 1 + abs(lost) / np.sqrt(share), in_the_hole])
    tried = squared_errors(x, fmt)
    assert tried[bias] == pytest.approx((1 + share) * tried[bias - 1])
    assert tried[bias - 1] == tried.min()
    expected = [bias - 1 if is_tried else bias]
    assert cf.choose_bias(x[np.newaxis], fmt, axis=0).tolist() == expected
    assert cf.choose_bias(x, fmt, block=3).tolist() == expected
    assert tried[cf.choose_bias(x, fmt)] == tried.min()  # of a whole tensor


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


def test_many_slices_are_taken_in_parts(monkeypatch):
    x = (
        np.random.default_rng(0).standard_normal((50, 40), np.float32)
        * np.logspace(-5, 5, 50)[:, None]
    )
    whole = (
        cf.choose_bias(x, cf.CFloat8_1_4_3, axis=0),
        cf.choose_bias(x, cf.CFloat8_1_4_3, block=7),
    )
    monkeypatch.setattr("cfloat._bias.groups.PIECE_SIZE", 100)
    parts = (
        cf.choose_bias(x, cf.CFloat8_1_4_3, axis=0),
        cf.choose_bias(x, cf.CFloat8_1_4_3, block=7),
    )
    for one, other in zip(whole, parts, strict=True):
        assert np.array_equal(one, other)


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


def test_exponents_and_zeros():
    found = Histogram.of(np.float32([0, -0.0, 1, 1.5, -1.99, 4, 2**-149, np.inf]))
    assert found.exponents() == {0: 3, 2: 1}
    assert (found.zeros, found.finite, found.size) == (3, 7, 8)


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
        ({"axis": (0, 1.0), "block": 2}, TypeError, "axis is 1.0; it takes an integer"),
        ({"axis": "reduction", "block": 2}, TypeError, "axis is 'reduction'; it takes an integer"),
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
