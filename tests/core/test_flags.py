"""Exception flags: what sets each (docs/spec.md 4), counting them, and what happens then."""

import asyncio
import threading
import warnings

import numpy as np
import pytest

import cfloat as cf
from cfloat._core.flags import are_counted

E4M3 = cf.CFloat8_1_4_3
UHP = cf.CFloat16_UHP
LARGEST, SMALLEST_NORMAL, SMALLEST = 480.0, 2.0**-6, 2.0**-10  # of CFloat8_1_4_3 at bias 7


def raised_by(operation, *arguments, **options):
    with cf.record_flags() as flags:
        operation(*arguments, **options)
    return {name: count for name, count in vars(flags).items() if count}


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("operation", [cf.encode, cf.round_to])
@pytest.mark.parametrize(
    ("x", "fmt", "expected"),
    [
        ([1.0, -1.0, 0.0, -0.0, LARGEST, SMALLEST_NORMAL, SMALLEST], E4M3, {}),
        ([np.nan, -np.nan, 1.0], E4M3, {"invalid": 2}),
        ([np.nan, 1.0], UHP, {"invalid": 1}),
        ([-1.0, -np.inf, -1e-300, -0.0, np.inf], UHP, {"invalid": 3}),
        ([LARGEST + 15.9, -LARGEST - 15.9], E4M3, {}),
        ([LARGEST + 16, -1e300], E4M3, {"overflow": 2}),
        ([np.inf, -np.inf], E4M3, {"overflow": 2}),
        ([1e300, np.inf], UHP, {"overflow": 1}),
        ([1e300, np.inf], cf.float16, {"overflow": 1}),
        ([1e300, np.inf], cf.float8_e4m3fn, {"overflow": 2}),
        ([SMALLEST / 2, 1e-300, -1e-300, 1.5 * SMALLEST], E4M3, {"underflow": 4}),
        ([SMALLEST_NORMAL * 0.99, -SMALLEST_NORMAL * 0.99], E4M3, {"underflow": 2}),
        ([SMALLEST_NORMAL * 1.01], E4M3, {}),
        ([2.0**-31, 2.0**-32], UHP, {"underflow": 2}),
        ([2.0**-30 * 0.9999], UHP, {"underflow": 1}),
        (np.array([1e-40, -1e-45, 0], np.float32), E4M3, {"denormal": 2, "underflow": 2}),
        (np.array([2.0**-24], np.float16), cf.bfloat16, {"denormal": 1}),
        (np.array([5e-324]), E4M3, {"denormal": 1, "underflow": 1}),
        (np.array([-1e-40], np.float32), UHP, {"denormal": 1, "invalid": 1}),
        (np.array([0, 1, 481, -481, 10**9]), E4M3, {"overflow": 1}),
        (np.array([-1, 1, 3], np.int8), UHP, {"invalid": 1}),
        ([], E4M3, {}),
    ],
)
def test_flags_of_encoding(operation, x, fmt, expected):
    assert raised_by(operation, x, fmt) == expected


@pytest.mark.usefixtures("isa")
def test_overflow_is_judged_after_rounding():
    x = np.full(4, LARGEST + 17)
    assert raised_by(cf.encode, x, E4M3, rounding="toward_zero") == {}
    assert raised_by(cf.encode, x, E4M3, rounding="toward_positive") == {"overflow": 4}
    assert raised_by(cf.encode, -x, E4M3, rounding="toward_positive") == {}
    beyond = np.full(4, 512.0)
    assert raised_by(cf.encode, beyond, E4M3, rounding="toward_zero") == {"overflow": 4}
    x = np.full(1000, LARGEST + 16)
    up = raised_by(cf.encode, x, E4M3, rounding="stochastic", seed=1)["overflow"]
    assert 400 < up < 600


@pytest.mark.usefixtures("isa")
def test_flags_of_decoding():
    assert raised_by(cf.decode, [0, 1, 7, 8, 0x81, 0x7F], E4M3) == {"denormal": 3}
    assert raised_by(cf.decode, [1, 0x3FF, 0x400], UHP) == {"denormal": 2}
    assert raised_by(cf.decode, [0xFC00, 0xFC01, 0xFE00, 0xFFFF], UHP) == {"invalid": 3}
    flush = E4M3.replace(subnormals="flush")
    assert raised_by(cf.decode, [0, 1, 7, 8], flush) == {"denormal": 2}
    # 2**31, then the smallest positive number, which float16 cannot tell from 0
    assert raised_by(cf.decode, [0xF800], UHP, dtype=np.float16) == {"overflow": 1}
    assert raised_by(cf.decode, [0x0400], UHP, dtype=np.float16) == {"underflow": 1}


@pytest.mark.usefixtures("isa")
def test_flags_with_a_bias_for_each_element():
    x = np.full((4, 1), 100.0)
    assert raised_by(cf.encode, x, E4M3, [[3, 7, 10, 63]]) == {"overflow": 8}


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("operation", [cf.encode, cf.round_to])
def test_flags_of_a_large_array(operation):
    x = np.tile(np.array([np.nan, 1e9, 1e-9, 1e-40, 1.0], np.float32), 300_000)
    expected = {"invalid": 300_000, "overflow": 300_000, "underflow": 600_000, "denormal": 300_000}
    assert raised_by(operation, x, E4M3) == expected
    assert raised_by(operation, x[:, None], E4M3, [[7]]) == expected


def overflow(count=1):
    """Raise Overflow on some of nine elements."""
    return cf.encode([1e9] * count + [1.0] * (9 - count), E4M3)


def test_nothing_happens_by_default():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        overflow()


def test_flags():
    assert not cf.Flags()
    assert cf.Flags(denormal=1)
    assert cf.Flags(1, 2, 3, 4) == cf.Flags(invalid=1, overflow=2, underflow=3, denormal=4)
    flags = cf.Flags(1, 2, 3, 4)
    flags.add(cf.Flags(10, 20, 30, 40))
    assert flags == cf.Flags(11, 22, 33, 44)


def test_recording_nests():
    with cf.record_flags() as outer:
        overflow(1)
        with cf.record_flags() as inner:
            overflow(2)
        assert outer.overflow == 3
        overflow(4)
    overflow(5)
    assert (outer.overflow, inner.overflow) == (7, 2)


def test_recording_ends_with_an_exception():
    flags = cf.Flags()

    def record():
        nonlocal flags
        with cf.record_flags() as flags:
            overflow()
            raise KeyError

    with pytest.raises(KeyError):
        record()
    overflow()
    assert flags == cf.Flags(overflow=1)


def in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_recording_is_per_thread():
    counts = []

    def record():
        with cf.record_flags() as flags:
            overflow(2)
        counts.append(flags.overflow)

    with cf.record_flags() as flags:
        in_a_thread(overflow)
        in_a_thread(record)
        overflow(1)
    assert flags.overflow == 1
    assert counts == [2]


def test_what_runs_in_another_thread_is_not_counted_here():
    """asyncio.to_thread hands its context on to the thread."""

    async def main():
        with cf.record_flags() as flags:
            await asyncio.to_thread(overflow, 2)
            overflow(1)
        return flags.overflow

    assert asyncio.run(main()) == 1


def test_recording_follows_a_coroutine():
    async def record(count):
        with cf.record_flags() as flags:
            for _ in range(3):
                await asyncio.sleep(0)
                overflow(count)
        return flags.overflow

    async def main():
        return await asyncio.gather(record(1), record(2))

    assert asyncio.run(main()) == [3, 6]


@pytest.mark.quick
def test_one_recording_in_several_threads_and_coroutines():
    recording = cf.record_flags()
    together = threading.Barrier(3)
    counted = []

    def record(count):
        with recording as flags:
            together.wait()
            for _ in range(count):
                cf.encode(np.inf, E4M3)
            together.wait()
        with cf.errstate(overflow="ignore"):
            cf.encode(np.inf, E4M3)
        counted.append((count, flags.overflow))

    threads = [threading.Thread(target=record, args=(count,)) for count in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counted) == [(0, 0), (1, 1), (2, 2)]

    async def count(times):
        with recording as flags:
            for _ in range(times):
                cf.encode(np.inf, E4M3)
                await asyncio.sleep(0)
        return flags.overflow

    async def count_all():
        return await asyncio.gather(*map(count, range(3)))

    assert asyncio.run(count_all()) == [0, 1, 2]


@pytest.mark.quick
def test_recordings_of_generators_end_in_any_order():
    def record():
        with cf.record_flags() as flags:
            yield flags
            yield

    first, second = record(), record()
    counted, other = next(first), next(second)
    cf.encode(np.inf, E4M3)
    first.close()
    cf.encode(np.inf, E4M3)
    second.close()
    cf.encode(np.inf, E4M3)
    assert (counted.overflow, other.overflow) == (1, 2)
    assert not are_counted()


@pytest.mark.quick
def test_one_recording_entered_again():
    recording = cf.record_flags()
    with recording as outer:
        with recording as inner:
            cf.encode(np.inf, E4M3)
        cf.encode(np.inf, E4M3)
    assert (outer.overflow, inner.overflow) == (2, 1)
    with pytest.raises(RuntimeError, match="did not begin"):
        recording.__exit__(None, None, None)

    @recording
    def count_down(n):
        cf.encode(np.inf, E4M3)
        if n:
            count_down(n - 1)

    with recording as flags:
        count_down(2)
    assert flags.overflow == 3
    assert not are_counted()


def test_ignore():
    with cf.errstate(all="raise"), cf.errstate(overflow="ignore"):
        overflow()


def test_warn():
    with (
        cf.errstate(overflow="warn"),
        pytest.warns(
            cf.FlagWarning, match=r"^overflow in encode to CFloat8_1_4_3: 2 of 9 elements$"
        ),
    ):
        overflow(2)


def test_raise():
    with (
        cf.errstate(overflow="raise"),
        pytest.raises(
            cf.FlagError, match=r"^overflow in encode to CFloat8_1_4_3: 2 of 9 elements$"
        ),
    ):
        overflow(2)
    assert issubclass(cf.FlagError, FloatingPointError)
    assert issubclass(cf.FlagWarning, RuntimeWarning)


@pytest.mark.parametrize(
    ("operation", "operand", "message"),
    [
        (cf.encode, [1e9, 1.0], "overflow in encode to CFloat8_1_4_3: 1 of 2 elements"),
        (cf.round_to, [[1e9, 1e9]], "overflow in round_to CFloat8_1_4_3: 2 of 2 elements"),
        (cf.decode, [1, 2, 8], "denormal in decode from CFloat8_1_4_3: 2 of 3 elements"),
        (cf.encode, [1e-9, 1.0, 2.0], "underflow in encode to CFloat8_1_4_3: 1 of 3 elements"),
        (cf.encode, np.nan, "invalid in encode to CFloat8_1_4_3: 1 of 1 elements"),
    ],
)
def test_a_warning_points_at_the_caller(operation, operand, message):
    def caller():
        operation(operand, E4M3)

    with cf.errstate(all="warn"), pytest.warns(cf.FlagWarning) as caught:
        caller()
    line = caller.__code__.co_firstlineno + 1
    assert [(str(w.message), w.filename, w.lineno) for w in caught] == [(message, __file__, line)]


def test_each_flag_warns():
    x = np.array([np.nan, 1e9, 1e-9, 1e-40], np.float32)
    with cf.errstate(all="warn"), pytest.warns(cf.FlagWarning) as caught:
        cf.encode(x, E4M3)
    words = [str(warning.message).partition(":")[0].split()[0] for warning in caught]
    assert words == ["invalid", "overflow", "underflow", "denormal"]


def test_the_gravest_flag_is_raised_after_the_warnings():
    x = np.array([np.nan, 1e9, 1e-9], np.float32)
    with (
        cf.errstate(invalid="raise", overflow="raise", underflow="warn"),
        pytest.warns(cf.FlagWarning, match="underflow"),
        pytest.raises(cf.FlagError, match="invalid"),
    ):
        cf.encode(x, E4M3)


def test_the_operation_is_complete_when_it_raises():
    out = np.zeros(3, np.uint8)
    with (
        cf.record_flags() as flags,
        cf.errstate(overflow="raise"),
        pytest.raises(cf.FlagError),
    ):
        cf.encode([1.0, 1e9, -1.0], E4M3, out=out)
    np.testing.assert_array_equal(out, [0x38, 0x7F, 0xB8])
    assert flags == cf.Flags(overflow=1)


def test_errstate_nests():
    with cf.errstate(overflow="raise"):
        with cf.errstate(underflow="raise"), pytest.raises(cf.FlagError, match="overflow"):
            overflow()  # what is not named stays
        with cf.errstate(all="ignore"):
            overflow()
        with cf.errstate(all="ignore", overflow="warn"), pytest.warns(cf.FlagWarning):
            overflow()
        with pytest.raises(cf.FlagError):
            overflow()
    overflow()


def test_errstate_ends_with_an_exception():
    with pytest.raises(cf.FlagError), cf.errstate(overflow="raise"):
        overflow()
    overflow()


def test_one_errstate_twice():
    state = cf.errstate(overflow="raise")
    for _ in range(2):
        with state, state, pytest.raises(cf.FlagError):
            overflow()
        overflow()


def test_errstate_is_per_thread():
    errors = []

    def convert():
        try:
            overflow()
        except cf.FlagError as error:
            errors.append(error)

    with cf.errstate(overflow="raise"):
        in_a_thread(convert)
    assert not errors


@pytest.mark.quick
def test_one_errstate_in_several_threads():
    raising = cf.errstate(overflow="raise")
    together = threading.Barrier(2)
    happened = []

    def convert():
        together.wait()
        with raising:
            together.wait()
            with pytest.raises(cf.FlagError):
                overflow()
            together.wait()
        overflow()
        happened.append(are_counted())

    threads = [threading.Thread(target=convert) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert happened == [False, False]
    with pytest.raises(RuntimeError, match="did not begin"):
        raising.__exit__(None, None, None)


@pytest.mark.quick
def test_blocks_of_generators_end_in_any_order():
    def block(action):
        with cf.errstate(overflow=action):
            yield

    first, second = block("raise"), block("warn")
    next(first), next(second)
    first.close()
    with pytest.warns(cf.FlagWarning, match="overflow"):
        overflow()
    second.close()
    overflow()
    assert not are_counted()


def test_errstate_as_a_decorator():
    @cf.errstate(overflow="raise")
    def strict(depth):
        if depth:
            strict(depth - 1)
        overflow()

    for _ in range(2):
        with pytest.raises(cf.FlagError):
            strict(2)
        overflow()


def test_ignored_flags_are_counted():
    with cf.record_flags() as flags, cf.errstate(all="ignore"):
        overflow(3)
    assert flags.overflow == 3


@pytest.mark.parametrize("name", ["all", "invalid", "overflow", "underflow", "denormal"])
def test_bad_actions(name):
    with pytest.raises(
        cf.ArgumentValueError, match=f"^{name} is 'print'; it takes one of ignore, warn, raise$"
    ):
        cf.errstate(**{name: "print"})
    with pytest.raises(
        cf.ArgumentTypeError, match=f"^{name} is True; it takes one of ignore, warn, raise$"
    ):
        cf.errstate(**{name: True})
    with pytest.raises(TypeError):
        cf.errstate("raise")
    with pytest.raises(TypeError):
        cf.errstate(inexact="raise")


def test_warnings_point_past_operators():
    """NumPy's mixin stands between ``a += x`` and this package, and is not who asked."""
    a = cf.asarray([1.0], cf.CFloat8_1_4_3)
    with cf.errstate(overflow="warn"), pytest.warns(cf.FlagWarning) as caught:
        a += 1e9
    assert {warning.filename for warning in caught} == {__file__}
