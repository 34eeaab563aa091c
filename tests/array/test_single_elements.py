"""One element, a few, and one product: the short ways give what decoding everything gives."""

import numpy as np
import pytest

import cfloat as cf
from cfloat._matmul import matmul as matmul_module

BYTES = [
    cf.CFloat8_1_4_3,
    cf.CFloat8_1_5_2,
    cf.float8_e4m3fn,
    cf.float8_e5m2fnuz,
    cf.float8_e8m0fnu,
]
FORMATS = [*BYTES, cf.CFloat16_SHP, cf.CFloat16_UHP, cf.float6_e2m3fn]


def every_code(fmt, bias=None):
    return cf.CFloatArray(np.arange(2**fmt.bits, dtype=fmt.storage_dtype), fmt, bias)


@pytest.mark.quick
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_elements(fmt, isa):
    for bias in sorted({*fmt.bias_range, fmt.default_bias}):
        a = every_code(fmt, bias)
        values = np.asarray(a)
        places = range(len(a)) if fmt.bits <= 8 else range(0, len(a), 997)
        for i in places:
            element = a[i]
            assert type(element) is np.float32
            assert element.tobytes() == values[i].tobytes()  # NaN's sign, too
            assert a[np.int64(i)].tobytes() == a[(i,)].tobytes() == element.tobytes()
        assert a[-1].tobytes() == values[-1].tobytes()
        assert a[-3:].codes.base is not None
        np.testing.assert_array_equal(np.asarray(a[2:10]), values[2:10])
        with pytest.raises(IndexError, match="out of bounds"):
            a[len(a)]


@pytest.mark.quick
def test_an_element_is_no_view_of_what_others_get():
    a = every_code(cf.CFloat8_1_4_3)
    before = a[56]
    a[56] = 2.5
    assert (before, a[56]) == (1.0, 2.5)
    assert every_code(cf.CFloat8_1_4_3)[56] == 1.0
    values = cf.CFloat8_1_4_3.values()
    values[:] = 0  # the caller's own
    assert every_code(cf.CFloat8_1_4_3)[56] == 1.0


@pytest.mark.quick
def test_flags_of_an_element_are_counted():
    a = every_code(cf.float8_e4m3fn)
    a[127], a[1]
    with cf.record_flags() as raised:
        a[127], a[1]
    assert (raised.invalid, raised.denormal) == (1, 1)
    with cf.errstate(invalid="raise"), pytest.raises(cf.FlagError, match="1 of 1"):
        a[127]


@pytest.mark.quick
@pytest.mark.parametrize("fmt", [cf.float6_e2m3fn, cf.float4_e2m1fn], ids=str)
def test_a_code_that_the_format_lacks(fmt):
    a = cf.zeros(3, fmt)
    a.codes[1] = 2**fmt.bits
    assert a[0] == a[2] == 0
    with pytest.raises(cf.ArgumentValueError, match=f"codes have an element {2**fmt.bits}"):
        a[1]


@pytest.mark.quick
def test_elements_at_biases_of_rows_and_blocks():
    x = np.random.default_rng(0).standard_normal((4, 6, 8))
    for how in [
        {"bias": np.arange(1, 5), "axis": 0}, {"bias": np.arange(1, 9), "axis": -1},
        {"bias": np.arange(1, 25).reshape(4, 6, 1)}, {"bias": "max", "block": 4}, {"bias": "max", "block": 3},
    ]:  # fmt: skip
        a = cf.asarray(x, cf.CFloat8_1_4_3, **how)
        values = np.asarray(a)
        for key in [
            2, -1, slice(1, 3), slice(None), slice(3, 1), (1, 2), (1, 2, 3),
            (-1, slice(1, 4), 5), (0, slice(2)),
            (slice(1, 2), 0), (slice(None, None, 2), slice(None), slice(0, 4)), (slice(None), 1, slice(4, 8)),
            (), (1, np.int64(2)), (1, True), ..., None, (None, 1), [0, 2], (slice(None), [0, 1]),
        ]:  # fmt: skip
            np.testing.assert_array_equal(np.asarray(a[key]), values[key])
            if isinstance(a[key], cf.CFloatArray):
                repr(a[key])
                assert not np.asarray(a[key].bias).flags.writeable or type(a[key].bias) is int
        for key in [4, (1, 6), (0, 0, -9), (1, 2, 3, 4), "x", 1.0]:
            with pytest.raises(IndexError):
                a[key]


@pytest.mark.quick
def test_assigning_an_element():
    a = cf.zeros(4, cf.CFloat8_1_4_3)
    a[1] = 2.7
    a[-1] = np.float32(1e9)
    a[2:3] = [-0.1]
    assert np.asarray(a).tolist() == cf.round_to([0, 2.7, -0.1, 480], cf.CFloat8_1_4_3).tolist()
    with cf.record_flags() as raised:
        a[1] = 1e9
    assert raised.overflow == 1
    for key, value, error in [
        (4, 1, IndexError),
        (0, "x", cf.ArgumentTypeError),
        (0, [1, 2], ValueError),
    ]:
        with pytest.raises(error):
            a[key] = value


class Own(cf.CFloatArray):
    __slots__ = ()

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return "its own"


@pytest.mark.quick
def test_products_beside_those_of_the_general_way(monkeypatch, matmul_isa):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 6)).astype(np.float32)
    operands = {
        "codes": cf.asarray(x, cf.CFloat8_1_4_3), "others": cf.asarray(x, cf.CFloat16_UHP, 31),
        "6 bits": cf.asarray(x, cf.float6_e2m3fn), "rows": cf.asarray(x, cf.CFloat8_1_4_3, "max", axis=0),
        "vector": cf.asarray(x[0], cf.CFloat8_1_5_2, 9), "float32": x, "values": x[0], "turned": x.T,
        "other order": x.astype(x.dtype.newbyteorder()), "float64": x.astype(float), "part": x[:, 1:5],
        "stack": cf.asarray(np.stack([x, x]), cf.CFloat8_1_4_3), "empty": x[:, :0],
        "turned codes": cf.asarray(x, cf.CFloat8_1_4_3).T,
        "every other": cf.asarray(x, cf.CFloat8_1_4_3)[:, ::2],
        "columns": cf.asarray(x, cf.CFloat16_SHP, "max", axis=1),
        "blocks": cf.asarray(x, cf.CFloat8_1_4_3, "max", block=4),
        "blocks of columns": cf.asarray(x, cf.CFloat8_1_5_2, "max", block=4).T,
        "one a block of a vector": cf.asarray(x[1], cf.CFloat8_1_4_3, "max", block=2),
    }  # fmt: skip

    def outcome(multiply, a, b):
        try:
            result = multiply(a, b)
        except (TypeError, ValueError) as error:
            return type(error), str(error)
        return type(result), np.shape(result), np.asarray(result).tobytes()

    pairs = [
        (a, b)
        for a in operands.values()
        for b in operands.values()
        if isinstance(a, cf.CFloatArray) or isinstance(b, cf.CFloatArray)
    ]
    products = [cf.matmul, lambda a, b: a @ b, np.matmul]
    short = [[outcome(multiply, a, b) for multiply in products] for a, b in pairs]
    monkeypatch.setattr(matmul_module, "plain_product", lambda *args, **kwargs: None)
    for (a, b), found in zip(pairs, short, strict=True):
        assert found[1] == found[2]
        assert outcome(cf.matmul, a, b) == found[0]


@pytest.mark.quick
def test_an_operand_with_its_own_idea_of_products():
    a = cf.ones((2, 2), cf.CFloat8_1_4_3)
    own = Own(a.codes, a.format)
    assert a @ own == own @ a == np.ones((2, 2)) @ own == own @ np.ones((2, 2)) == "its own"
    a @= a
    assert type(a) is cf.CFloatArray
    assert np.asarray(a).tolist() == [[2, 2], [2, 2]]


@pytest.mark.quick
def test_products_of_codes_that_the_format_lacks():
    a = cf.ones((2, 2), cf.float6_e2m3fn)
    a.codes[0, 1] = 64
    for multiply in (cf.matmul, lambda x, y: x @ y):
        with pytest.raises(cf.ArgumentValueError, match="codes have an element 64"):
            multiply(a, np.ones((2, 2), np.float32))
