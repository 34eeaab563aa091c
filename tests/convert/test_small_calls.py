"""The short way of small calls and the general way agree on everything: results, memory, errors, flags."""

import warnings

import numpy as np
import pytest

import cfloat as cf
from cfloat._bias import round_to as round_to_module
from cfloat._convert import elementwise
from cfloat._core import binding

E4M3, SHP, UHP = cf.CFloat8_1_4_3, cf.CFloat16_SHP, cf.CFloat16_UHP
VALUES = np.array([1.0, -2.5, 1000.0, 0.0, -0.0, 1e-9, np.inf, -np.inf, np.nan], np.float32)


class Subclass(np.ndarray):
    pass


def unaligned(values):
    memory = bytearray(values.nbytes + 1)
    made = np.frombuffer(memory, values.dtype, values.size, 1)
    made[:] = values
    return made


def with_metadata(values):
    return values.view(np.dtype(values.dtype.str, metadata={"of": "a file"}))


#: What is to be converted, by what is unlike a contiguous array of float32; whether it goes the short way.
SOURCES = {
    "float32": (VALUES, True),
    "float64": (VALUES.astype(np.float64), True),
    "float16": (np.clip(VALUES, -6e4, 6e4).astype(np.float16), True),
    "int8": (np.arange(-5, 4, dtype=np.int8), True),
    "uint64": (np.arange(9, dtype=np.uint64) << np.uint64(60), True),
    "bool": (np.arange(9) % 2 == 0, True),
    "longdouble": (VALUES.astype(np.longdouble), np.longdouble().itemsize == 8),
    "list": ([1.0, -2.5, 1000.0], True),
    "float": (2.7, True),
    "int": (3, True),
    "NumPy's scalar": (np.float32(2.7), True),
    "0-d": (np.array(2.7), True),
    "empty": (VALUES[:0], True),
    "2-d": (VALUES.reshape(3, 3), True),
    "Fortran order": (np.asfortranarray(VALUES.reshape(3, 3)), False),
    "every other": (np.repeat(VALUES, 2)[::2], False),
    "reversed": (VALUES[::-1], False),
    "broadcast": (np.broadcast_to(np.float32(2.7), (3,)), False),
    "other byte order": (VALUES.astype(VALUES.dtype.newbyteorder()), False),
    "unaligned": (unaligned(VALUES), True),
    "read-only": (np.frombuffer(VALUES.tobytes(), np.float32), True),
    "subclass": (VALUES.view(Subclass), True),
    "masked": (np.ma.masked_less(VALUES[:6], 0), True),
    "metadata": (with_metadata(VALUES), True),
    "complex": (VALUES.astype(complex), False),
    "str": ("2.7", False),
    "object": (np.array([None]), False),
    "huge int": (2**70, False),
}
BIASES = {
    "None": (None, True), "int": (5, True), "NumPy's int": (np.int64(5), True), "bool": (True, False),
    "float": (5.0, False), "negative": (-1, False), "too large": (64, False), "huge": (2**70, False),
    "of 65536": (65536 + 7, False), "array": (np.array([5]), False), "0-d": (np.array(5), True),
    "str": ("mse?", False),
}  # fmt: skip


@pytest.fixture
def agree(monkeypatch):
    """Compare what a call does with and without the short way; tells whether it was taken."""
    homes = [(module, "convert_directly") for module in (elementwise, round_to_module)]

    def outcome(call):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                result = call()
            except Exception as error:
                found = (type(error), str(error))
            else:
                array = np.asarray(result)
                found = (type(result), array.dtype, array.shape, array.strides, array.tobytes())
        return found, [(w.category, str(w.message)) for w in warned]

    def compare(call):
        taken = []

        def counted(*args):
            made = binding.convert_directly(*args)
            taken.append(made is not None)
            return made

        with monkeypatch.context() as patch:
            for module, name in homes:
                patch.setattr(module, name, counted)
            short = outcome(call)
        with monkeypatch.context() as patch:
            for module, name in homes:
                patch.setattr(module, name, lambda *args: None)
            assert outcome(call) == short
        return any(taken)

    return compare


@pytest.mark.quick
@pytest.mark.parametrize("fmt", [E4M3, SHP, UHP, cf.float8_e4m3fn, cf.float6_e2m3fn], ids=str)
@pytest.mark.parametrize("name", SOURCES)
def test_sources(agree, name, fmt, isa):
    x, is_short = SOURCES[name]
    assert agree(lambda: cf.encode(x, fmt)) == is_short
    assert agree(lambda: cf.round_to(x, fmt.name)) == is_short
    agree(lambda: cf.asarray(x, fmt).codes)


@pytest.mark.quick
@pytest.mark.parametrize("name", BIASES)
def test_biases(agree, name):
    bias, is_short = BIASES[name]
    assert agree(lambda: cf.encode(VALUES, E4M3, bias)) == is_short
    assert agree(lambda: cf.round_to(VALUES, E4M3, bias)) == is_short
    assert agree(lambda: cf.decode(np.arange(256, dtype=np.uint8), E4M3, bias)) == is_short


@pytest.mark.quick
@pytest.mark.parametrize("fmt", [E4M3, UHP, cf.float8_e4m3fn, cf.float6_e2m3fn], ids=str)
def test_codes(agree, fmt):
    codes = np.arange(2 ** min(fmt.bits, 10), dtype=fmt.storage_dtype)
    other = codes.astype(codes.dtype.newbyteorder())
    for given, is_short in [
        (codes, True), (codes[:0], True), (codes.reshape(2, -1), True), (codes[3], True),
        (codes[:5].tolist(), True), (codes.view(Subclass), True), (codes[::-1], False),
        (other, False), (codes.astype(np.int64), False), (codes.astype(np.float32), False),
        ([2**fmt.bits], False), ([-1], False), ([], True), (np.array([255, 1], np.uint8), fmt.bits == 8),
    ]:  # fmt: skip
        assert agree(lambda given=given: cf.decode(given, fmt)) == is_short, given
    for dtype, is_short in [
        (np.float32, True), (np.float64, True), ("float32", True), (np.dtype(np.float16), True),
        (np.dtype(">f4"), False), (np.int32, False), ("bfloat16?", False), (3, False), ([3], False),
    ]:  # fmt: skip
        assert agree(lambda dtype=dtype: cf.decode(codes, fmt, dtype=dtype)) == is_short


def outs(shape, dtype):
    """Places to write to, and whether the short way does."""
    memory = np.zeros(2 * int(np.prod(shape)) + 8, dtype)
    read_only = np.zeros(shape, dtype)
    read_only.flags.writeable = False
    return [
        (np.zeros(shape, dtype), True),
        (memory[: 2 * shape[0] : 2], False),
        (np.zeros((2, *shape), dtype), False),
        (np.zeros(shape, np.dtype(dtype).newbyteorder()), np.dtype(dtype).itemsize == 1),
        (np.zeros(shape, np.int32), False),
        (np.zeros(shape, dtype).view(Subclass), False),
        (unaligned(np.zeros(shape, dtype)), np.dtype(dtype).itemsize == 1),
        (read_only, False),
        ([0] * shape[0], False),
    ]


@pytest.mark.quick
def test_outs(agree):
    codes = cf.encode(VALUES, E4M3)
    for into, is_short in outs(VALUES.shape, np.uint8):
        assert agree(lambda into=into: cf.encode(VALUES, E4M3, out=into)) == is_short
    for dtype in (np.float32, np.float64, np.float16):
        for into, is_short in outs(VALUES.shape, dtype):
            assert agree(lambda into=into: cf.decode(codes, E4M3, out=into)) == is_short
            assert agree(lambda into=into: cf.round_to(VALUES, E4M3, out=into)) == is_short
    wanted = np.zeros(9, np.float32)
    assert agree(lambda: cf.decode(codes, E4M3, dtype=np.float32, out=wanted))
    assert not agree(lambda: cf.decode(codes, E4M3, dtype=np.float64, out=wanted))
    result = cf.decode(codes, E4M3, out=wanted)
    assert result is wanted


@pytest.mark.quick
@pytest.mark.parametrize("start", [0, 1, 4, 12, 35, 36])
def test_overlapping_memory(start, isa):
    """Codes written over the values that they are of, and values over codes; beside them, and in between."""
    values = np.linspace(-3, 3, 9, dtype=np.float32)
    expected = cf.encode(values, E4M3)
    memory = np.zeros(64, np.uint8)
    source = memory[:36].view(np.float32)
    source[:] = values
    assert cf.encode(source, E4M3, out=memory[start : start + 9]).tolist() == expected.tolist()
    for first in (start, 36 - start):
        memory = np.zeros(80, np.uint8)
        memory[first : first + 9] = expected
        decoded = cf.decode(memory[first : first + 9], E4M3, out=memory[4:40].view(np.float32))
        np.testing.assert_array_equal(decoded, cf.decode(expected, E4M3))
    shifted = np.concatenate([values, values])
    cf.round_to(shifted[:9], E4M3, out=shifted[start % 9 : start % 9 + 9])
    np.testing.assert_array_equal(shifted[start % 9 : start % 9 + 9], cf.round_to(values, E4M3))


@pytest.mark.quick
def test_other_arguments_go_the_general_way(agree):
    ties = "".join(["ties_to_", "even"])  # equal, and another object
    last = 2**64 - len(VALUES)
    for how, is_short in [
        ({"rounding": ties}, True), ({"rounding": "toward_zero"}, True), ({"rounding": "to_odd"}, True),
        ({"rounding": "nearest"}, False), ({"rounding": 3}, False), ({"rounding": []}, False),
        ({"seed": 3}, True), ({"seed": -1}, False), ({"seed": 2**64}, False), ({"seed": True}, False),
        ({"offset": 4}, True), ({"offset": -4}, False), ({"offset": False}, False), ({"offset": 0.0}, False),
        ({"rounding": "stochastic", "seed": 3}, True),
        ({"rounding": "stochastic", "seed": np.int64(3)}, True),
        ({"rounding": "stochastic", "seed": 2**64 - 1, "offset": last}, True),
        ({"rounding": "stochastic", "seed": 3, "offset": last + 1}, False),
        ({"stochastic_bits": 32.0}, False), ({"stochastic_bits": 8}, False),
        ({"rounding": "stochastic", "seed": 3, "stochastic_bits": 8}, False),
        ({"stochastic_variant": "B"}, False), ({"stochastic_variant": None}, False),
        ({"random_bits": [1]}, False),
    ]:  # fmt: skip
        assert agree(lambda how=how: cf.encode(VALUES, E4M3, **how)) == is_short, how
        assert agree(lambda how=how: cf.round_to(VALUES, E4M3, **how)) == is_short, how


@pytest.mark.quick
def test_formats_by_name(agree):
    for fmt in ("cfloat8_1_4_3", "CFloat8_1_4_3"):
        assert agree(lambda fmt=fmt: cf.encode(VALUES, fmt))
    for fmt in ("no format", None, 3):
        assert not agree(lambda fmt=fmt: cf.encode("no number", fmt))
        assert not agree(lambda fmt=fmt: cf.decode("no number", fmt))


@pytest.mark.quick
def test_bfloat16(agree, isa):
    dtype = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    x = VALUES.astype(dtype)
    codes = cf.encode(x, E4M3)
    assert codes.tolist() == cf.encode(x.astype(np.float32), E4M3).tolist()
    assert agree(lambda: cf.encode(x, E4M3))
    assert agree(lambda: cf.round_to(x, E4M3))
    assert agree(lambda: cf.decode(codes, E4M3, dtype=dtype))
    assert agree(lambda: cf.decode(codes, E4M3, out=np.zeros_like(x)))
    assert agree(lambda: cf.decode(codes, E4M3, dtype="bfloat16"))
    assert not agree(lambda: cf.encode(x[::-1], E4M3))
    assert not agree(lambda: cf.encode(x.astype(dtype.newbyteorder()), E4M3))
    assert not agree(lambda: cf.encode(x.view("u2").view("V2"), E4M3))


@pytest.mark.quick
@pytest.mark.parametrize("action", ["ignore", "warn", "raise"])
@pytest.mark.parametrize("rounding", cf.ROUNDING_MODES)
def test_the_short_way_counts_flags(agree, rounding, action, isa):
    """As the general way does, whatever is to become of them."""
    seed = 3 if rounding == "stochastic" else None
    codes = np.array([255, 1], np.uint8)
    for call in (
        lambda: cf.encode(VALUES, E4M3, rounding=rounding, seed=seed),
        lambda: cf.round_to(VALUES, E4M3, rounding=rounding, seed=seed),
        lambda: cf.decode(codes, cf.float8_e4m3fn),
        lambda: cf.encode(VALUES[:1], E4M3),
    ):
        recorded = []

        def counted(call=call, recorded=recorded):
            with cf.record_flags() as raised, cf.errstate(all=action):
                try:
                    return call()
                finally:
                    recorded.append(raised)

        agree(counted)
        assert recorded[0] == recorded[1]


@pytest.mark.quick
def test_flags_are_counted_and_acted_upon():
    codes = cf.encode(VALUES, cf.float8_e4m3fn)
    for call, counts in [
        (lambda: cf.encode(VALUES, E4M3), (1, 3, 1, 0)),
        (lambda: cf.round_to(VALUES, E4M3), (1, 3, 1, 0)),
        (lambda: cf.decode(codes, cf.float8_e4m3fn), (4, 0, 0, 0)),
        (lambda: cf.asarray(VALUES, E4M3), (1, 3, 1, 0)),
    ]:
        call()  # before, and after, nobody counts
        with cf.record_flags() as raised:
            call()
        call()
        found = (raised.invalid, raised.overflow, raised.underflow, raised.denormal)
        assert found == counts
        with cf.errstate(invalid="raise"), pytest.raises(cf.FlagError, match="invalid in"):
            call()
        with cf.errstate(invalid="warn"), pytest.warns(cf.FlagWarning, match="invalid in"):
            call()
        with cf.errstate(invalid="ignore"):
            call()


@pytest.mark.quick
def test_number_of_threads(monkeypatch):
    asked = []
    core = binding.conversions._cf_convert_nearest
    spy = lambda *args: (asked.append(args[-1]), core(*args))[1]  # noqa: E731
    monkeypatch.setattr(binding.conversions, "_cf_convert_nearest", spy)
    before = cf.get_num_threads()
    try:
        for n in (3, 1):
            cf.set_num_threads(n)
            cf.encode(VALUES, E4M3)
            assert asked.pop() == n
    finally:
        cf.set_num_threads(before)
