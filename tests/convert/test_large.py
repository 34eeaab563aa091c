"""Arrays that do not fit in caches: pages taken in pairs, and results that bypass the caches.

Operands repeat after a prime number of elements, so that a page out of place shows; what the portable code
makes of one period is what must come out of each.
"""

import exact
import isas
import numpy as np
import pytest

import cfloat as cf
from cfloat._core import isa as instruction_sets

PERIOD = 5003
# From so many elements on, pages of 1024 elements are taken two at a time.
LARGE = 2**18
PAGES = 2048
# From so many bytes of results on, they bypass the caches.
STREAMED = 2**23
MARGIN = 64

pytestmark = pytest.mark.parametrize(
    "isa",
    [name for name in isas.TESTED if name != "portable"],
    indirect=True,
)

SHORT, WIDE = cf.CFloat8_1_4_3, cf.CFloat16_SHP
FLUSHING = cf.CFloat16_UHP
NEAREST, ZERO = "ties_to_even", "toward_zero"


@pytest.fixture(autouse=True)
def one_thread(isa):
    """One range as long as the array."""
    before = cf.get_num_threads()
    cf.set_num_threads(1)
    yield
    cf.set_num_threads(before)


def portably(operation, *arguments):
    """What an operation returns by the portable code, and the flags it raises."""
    before = cf.isa()
    instruction_sets.select_isa("portable")
    with cf.record_flags() as flags:
        result = operation(*arguments)
    instruction_sets.select_isa(before)
    return result, np.array([getattr(flags, name) for name in exact.FLAGS])


def numbers(dtype, rng):
    """A period of numbers around the formats' values, some of them special."""
    x = rng.standard_normal(PERIOD) * 2.0 ** rng.integers(-14, 14, PERIOD)
    x[::97], x[1::97], x[2::97], x[3::97] = np.nan, -np.inf, 1e-40, 0
    return x.astype(dtype)


def codes(fmt, rng):
    return rng.integers(0, 2**fmt.bits, PERIOD).astype(fmt.storage_dtype)


def near_biases(fmt, rng):
    low, high = fmt.bias_range
    near = np.clip(fmt.default_bias + rng.integers(-3, 4, PERIOD), low, high)
    return near.astype(np.int16)


def out_at(dtype, size, shift):
    """Memory for results that begin so many bytes after an aligned address, and all of it."""
    memory = np.empty(size * dtype.itemsize + shift + 4 * MARGIN, np.uint8)
    start = -memory.ctypes.data % MARGIN + MARGIN + shift
    end = start + size * dtype.itemsize
    memory[:start], memory[end:] = 0xA5, 0xA5
    return memory[start:end].view(dtype), memory, slice(start, end)


def assert_repeats(operation, x, biases, sizes_and_shifts):
    """Assert that long operands give each period's results and flags, and that nothing beside is written.

    Shifts are bytes from an aligned address to the result.
    """
    expected, flags = portably(operation, x, biases, None)
    longest = max(size for size, _ in sizes_and_shifts)
    operand, results = np.resize(x, longest), np.resize(expected, longest)
    where = None if biases is None else np.resize(biases, longest)
    for size, shift in sizes_and_shifts:
        some = None if where is None else where[:size]
        periods, rest = divmod(size, PERIOD)
        rest_biases = None if biases is None else biases[:rest]
        _, rest_flags = portably(operation, x[:rest], rest_biases, None)
        for counting in (False, True):
            out, memory, place = out_at(expected.dtype, size, shift)
            if counting:
                with cf.record_flags() as raised:
                    operation(operand[:size], some, out)
                counts = [getattr(raised, name) for name in exact.FLAGS]
                assert counts == (periods * flags + rest_flags).tolist()
            else:
                operation(operand[:size], some, out)
            exact.assert_same(out, results[:size])
            assert (memory[: place.start] == 0xA5).all()
            assert (memory[place.stop :] == 0xA5).all()


def encode(fmt, mode):
    return lambda x, bias, out: cf.encode(x, fmt, bias, rounding=mode, out=out)


def round_to(fmt, mode):
    return lambda x, bias, out: cf.round_to(x, fmt, bias, rounding=mode, out=out)


def decode(fmt):
    return lambda x, bias, out: cf.decode(x, fmt, bias, out=out)


with_and_without_biases = pytest.mark.parametrize("each", [False, True], ids=["bias", "biases"])


@with_and_without_biases
@pytest.mark.parametrize("mode", [NEAREST, ZERO])
def test_pairs_of_pages(mode, each, rng):
    """Around the least number of elements, and with every sort of remainder."""
    sizes = [LARGE - 1, *(LARGE + more for more in (0, 1, 37, 1023, 1024, 1087, PAGES - 1, PAGES))]
    places = [(size, 4 * i) for i, size in enumerate(sizes)]
    x = numbers(np.float32, rng)
    for fmt in (SHORT, WIDE):
        biases = near_biases(fmt, rng) if each else None
        assert_repeats(encode(fmt, mode), x, biases, places)
        assert_repeats(round_to(fmt, mode), x, biases, places)


@pytest.mark.slow
@with_and_without_biases
def test_where_values_bypass_the_caches(each, rng):
    """At each place in a line, and at an address that is no float32's."""
    least = STREAMED // 4
    biases = near_biases(SHORT, rng) if each else None
    shifts = [*range(0, 164, 4 if not each else 20), 1, 6]
    places = [(least - 1, 4), *((least + 3 * shift, shift) for shift in shifts)]
    assert_repeats(round_to(SHORT, NEAREST), numbers(np.float32, rng), biases, places)
    some = places[:: 1 if each else 4]
    assert_repeats(decode(SHORT), codes(SHORT, rng), biases, some)
    assert_repeats(decode(WIDE), codes(WIDE, rng), None, some[:4])


@pytest.mark.slow
@with_and_without_biases
@pytest.mark.parametrize(
    ("fmt", "dtype", "mode"),
    [
        (SHORT, np.float32, NEAREST),
        (WIDE, np.float32, ZERO),
        (FLUSHING, np.float32, NEAREST),
        (WIDE, np.float32, "toward_negative"),
        (WIDE, np.float64, NEAREST),
    ],
)
def test_where_codes_bypass_the_caches(fmt, dtype, mode, each, rng):
    size = fmt.storage_dtype.itemsize
    least = STREAMED // size
    biases = near_biases(fmt, rng) if each else None
    shifts = (0, 1, 15, 31, 40) if not each else (0, 13)
    places = [(least - 1, size), *((least + 5 * shift, size * shift) for shift in shifts)]
    if size > 1:
        places.append((least + 1, 1))
    assert_repeats(encode(fmt, mode), numbers(dtype, rng), biases, places)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_words_where_results_bypass_the_caches(dtype, rng):
    """Results are aligned where the words begin amid a block of four, and where not."""
    size = STREAMED // 2
    x = np.resize(numbers(dtype, rng), size + 9)

    def convert(x, offset, out=None):
        return cf.encode(x, WIDE, rounding="stochastic", seed=5, offset=offset, out=out)

    # the result of an element depends on it and on its position alone
    expected, _ = portably(convert, x, 2)
    for start in (0, 1, 2, 3, 6):
        for shift in (0, 1, 2, 3):
            out, memory, place = out_at(WIDE.storage_dtype, size, 2 * shift)
            convert(x[start : start + size], 2 + start, out)
            exact.assert_same(out, expected[start : start + size])
            assert (memory[: place.start] == 0xA5).all()
            assert (memory[place.stop :] == 0xA5).all()


@pytest.mark.slow
@with_and_without_biases
def test_in_place(each, rng):
    """Pages are not taken in pairs where results would reach operands yet to be read."""
    size = STREAMED // 4 + 77
    x = numbers(np.float32, rng)
    biases = near_biases(SHORT, rng) if each else None
    where = None if biases is None else np.resize(biases, size)
    for operation in (encode(SHORT, NEAREST), encode(WIDE, ZERO), round_to(WIDE, NEAREST)):
        expected, _ = portably(operation, x, biases, None)
        memory = np.resize(x, size)
        out = memory.view(expected.dtype)[:size]
        operation(memory, where, out)
        exact.assert_same(out, np.resize(expected, size))


@pytest.mark.slow
def test_shares_of_threads(rng):
    """Each thread has a large range of its own, which ends where it may."""
    size = STREAMED // 4 + 3333
    x = numbers(np.float32, rng)
    for threads in (2, 3):
        cf.set_num_threads(threads)
        assert_repeats(round_to(SHORT, NEAREST), x, None, [(size, 0), (size, 20)])
        assert_repeats(encode(SHORT, ZERO), x, near_biases(SHORT, rng), [(LARGE * 3 + 5, 3)])
