"""`save` and `load`: what is written comes back bit by bit, and what contradicts itself is refused."""

import json
import pickle
import struct

import exact
import ml_dtypes
import numpy as np
import pytest
from commands import main_refused, names_in
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._files.tensor_metadata import BIAS_SUFFIX

X = np.random.default_rng(0).standard_normal((6, 10)).astype(np.float32)
FORMATS = (
    *cf.TESLA_FORMATS,
    *cf.COMPARISON_FORMATS,
    cf.Format("fp6", exponent_bits=3, mantissa_bits=2),
)


def assert_same(a, b):
    assert type(a) is type(b)
    if not isinstance(a, cf.CFloatArray):
        assert a.dtype.newbyteorder("=") == b.dtype.newbyteorder("=")
        np.testing.assert_array_equal(a, b)
        return
    assert a.format == b.format
    assert a.shape == b.shape
    np.testing.assert_array_equal(a.codes, b.codes)
    assert type(a.bias) is type(b.bias)
    np.testing.assert_array_equal(a.bias, b.bias)
    assert (a.axis, a.block) == (b.axis, b.block)


def round_trip(tmp_path, tensors, **options):
    path = tmp_path / "x.safetensors"
    cf.save(path, tensors, **options)
    loaded = cf.load(path)
    assert sorted(loaded) == sorted(tensors)
    for name, tensor in tensors.items():
        assert_same(loaded[name], tensor)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]
    return loaded


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_every_code_of_every_format(tmp_path, fmt):
    codes = np.arange(2**fmt.bits, dtype=fmt.storage_dtype)
    biases = sorted({*fmt.bias_range, fmt.default_bias})
    round_trip(tmp_path, {f"b{bias}": cf.CFloatArray(codes, fmt, bias) for bias in biases})


@pytest.mark.parametrize("fmt", exact.NEW_KINDS, ids=exact.label)
def test_every_kind_of_code(tmp_path, fmt):
    codes = np.arange(2**fmt.bits, dtype=fmt.storage_dtype)
    cf.save(tmp_path / "codes.safetensors", {"x": cf.CFloatArray(codes, fmt)})
    loaded = cf.load(tmp_path / "codes.safetensors")["x"]
    assert loaded.format == fmt
    np.testing.assert_array_equal(loaded.codes, codes)


def test_formats_of_one_name_are_told_apart(tmp_path):
    tensors = {
        how: cf.asarray(X, cf.CFloat8_1_4_3.replace(subnormals=how))
        for how in ("whitepaper", "ieee", "flush")
    }
    round_trip(tmp_path, tensors)


def layouts():
    fmt, rng = cf.CFloat8_1_4_3, np.random.default_rng(1)
    yield "one", cf.asarray(X, fmt, 9)
    for axis, count in enumerate(X.shape):
        yield f"axis {axis}", cf.asarray(X, fmt, rng.integers(3, 12, count), axis=axis)
    for block in (5, 4, 1, 10, 99):  # 4: the last is short
        shape = (len(X), -(-10 // min(block, 10)))
        yield f"block {block}", cf.asarray(X, fmt, rng.integers(3, 12, shape), block=block)
    yield "blocks of all rows", cf.asarray(X, fmt, rng.integers(3, 12, 5), block=2)
    yield "full", cf.asarray(X, fmt, rng.integers(3, 12, X.shape))
    yield "one block", cf.asarray(X[0], fmt, [5], block=10)
    yield "empty", cf.asarray(np.empty((0, 3)), fmt)
    yield "empty axis", cf.asarray(np.empty((0, 3)), fmt, [1, 2, 3], axis=1)
    yield "0-d", cf.asarray(2.5, fmt, 3)
    yield "strided", cf.asarray(X, fmt, rng.integers(3, 12, 10), axis=1)[::-2, ::3]
    yield "transposed", cf.asarray(X, fmt, rng.integers(3, 12, 6), axis=0).T
    big = cf.asarray(X, cf.CFloat16_SHP).codes.astype(">u2")
    yield "big-endian", cf.CFloatArray(big, cf.CFloat16_SHP, 15)


@pytest.mark.parametrize(("name", "tensor"), list(layouts()), ids=[name for name, _ in layouts()])
def test_every_layout_of_biases(tmp_path, name, tensor):
    round_trip(tmp_path, {"w": tensor})


def test_blocks_that_were_transposed_keep_their_values(tmp_path):
    tensor = cf.asarray(X, cf.CFloat8_1_4_3, np.arange(12).reshape(6, 2), block=5).T
    cf.save(tmp_path / "x.safetensors", {"w": tensor})
    np.testing.assert_array_equal(cf.load(tmp_path / "x.safetensors")["w"], np.asarray(tensor))


def test_plain_arrays(tmp_path):
    tensors = {
        dtype.str: (X * 50).astype(dtype)
        for dtype in map(np.dtype, "f8 f4 f2 i8 i4 i2 i1 u8 u4 u2 u1 ? >f4 >i8".split())
    }
    tensors |= {
        "0-d": np.array(3),
        "empty": np.empty((0, 2)),
        "strided": X[::2, ::-1],
        "fortran": X.T,
    }
    round_trip(tmp_path, tensors)


EIGHT_BITS = (
    "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
)  # fmt: skip


def test_bfloat16_and_8_bit_floats_come_as_float32(tmp_path):
    path = tmp_path / "x.safetensors"
    tensors = {name: X.astype(getattr(ml_dtypes, name)) for name in ("bfloat16", *EIGHT_BITS)}
    cf.save(path, tensors)
    loaded = cf.load(path)
    for name, tensor in tensors.items():
        assert loaded[name].dtype == np.float32
        np.testing.assert_array_equal(loaded[name], tensor.astype(np.float32))


def test_the_safetensors_library_reads_it(tmp_path):
    tensor = cf.asarray(X, cf.CFloat16_SHP, np.arange(6), axis=0)
    loaded = round_trip(tmp_path, {"w": tensor, "x": X}, metadata={"made by": "me"})
    assert loaded.metadata == {"made by": "me"}
    with safe_open(tmp_path / "x.safetensors", "numpy") as file:
        assert set(file.keys()) == {"w", "x", "w" + BIAS_SUFFIX}
        np.testing.assert_array_equal(file.get_tensor("w"), tensor.codes)
        np.testing.assert_array_equal(file.get_tensor("w" + BIAS_SUFFIX), tensor.bias)
        assert set(file.metadata()) == {"cfloat", "made by"}


def test_a_loaded_checkpoint_can_be_saved(tmp_path):
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    cf.save(first, {"w": cf.asarray(X, cf.CFloat8_1_4_3, np.arange(6), axis=0), "x": X})
    cf.save(second, cf.load(first))
    assert first.read_bytes() == second.read_bytes()
    assert "z" not in cf.load(first)
    with pytest.raises(KeyError):
        cf.load(first)["w" + BIAS_SUFFIX]


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "x.safetensors"
    rows = cf.asarray(X, cf.CFloat8_1_4_3, np.arange(6), axis=0)
    for tensors, error, words in (
        ([X], TypeError, "mapping"),
        ({3: X}, TypeError, "name"),
        ({"__metadata__": X}, ValueError, "__metadata__"),
        ({"\ud800": X}, ValueError, "UTF-8"),
        ({"x": [1.0]}, TypeError, "CFloatArray, a numpy.ndarray"),
        ({"x": X.astype(complex)}, TypeError, "complex128"),
        ({"w": rows, "w" + BIAS_SUFFIX: X}, ValueError, "two tensors"),
    ):
        with pytest.raises(error, match=words):
            cf.save(path, tensors)
    for metadata in ({"cfloat": "x"}, {"a": 1}):
        with pytest.raises(cf.CFloatError, match="metadata has"):
            cf.save(path, {"x": X}, metadata=metadata)
    with pytest.raises(cf.FileError, match=r"\.safetensors"):
        cf.save(tmp_path / "x.npz", {"x": X})
    with pytest.raises(cf.FileError, match="No such file"):
        cf.save(tmp_path / "missing" / "x.safetensors", {"x": X})
    assert list(tmp_path.iterdir()) == []


def rewritten(path, change):
    """Write a file anew with other metadata."""
    with safe_open(path, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        value = json.loads(file.metadata()["cfloat"])
    change(value, tensors)
    save_file(tensors, path, metadata={"cfloat": json.dumps(value)})


def with_(key, value):
    def change(metadata, tensors):
        *outer, last = key
        for part in outer:
            metadata = metadata[part]
        if value is None:
            del metadata[last]
        else:
            metadata[last] = value

    return change


def with_format(**fields):
    return lambda metadata, tensors: metadata["formats"][0].update(fields)


def with_biases(array):
    return lambda metadata, tensors: tensors.__setitem__("w" + BIAS_SUFFIX, array)


CONTRADICTIONS = [
    (with_(["version"], "3"), "version '3'; this cfloat reads versions 1 and 2, and a newer"),
    (with_(["version"], None), "no version"),
    (with_(["formats"], None), "no formats"),
    (with_(["new"], 1), "'new' is not known"),
    (with_(["formats", 0, "exponent_bits"], 40), "take 44 bits"),
    (with_(["formats", 0, "exponent_bits"], "4"), "exponent_bits"),
    (with_format(name="mine", mantissa_bits=10), "U8; codes of mine are U16"),
    (with_format(name="mine", mantissa_bits=2), "codes have an element"),
    (with_(["formats", 0, "bias"], [0, 3]), "bias"),
    (with_(["formats", 0, "subnormals"], None), "no subnormals"),
    (with_(["formats", 0, "saturating"], False), "saturating"),
    (with_(["tensors", "w", "format"], 1), "format is 1"),
    (with_(["tensors", "w", "format"], True), "format is True"),
    (with_(["tensors", "w", "bias"], "other"), "'other', which is not there"),
    (with_(["tensors", "w", "bias"], "x"), "biases are F32"),
    (with_(["tensors", "w", "bias"], 5), "one bias with an axis"),
    (with_(["tensors", "w", "bias"], None), "no bias"),
    (with_(["tensors", "w", "axis"], 1), "axis 1"),
    (with_(["tensors", "w", "block"], 2), "block is 2"),
    (with_(["tensors", "w", "rounding"], "up"), "rounding is 'up'"),
    (with_(["tensors", "w", "rounding"], "stochastic"), "seed"),
    (with_(["tensors", "w", "seed"], 5), "seed goes with"),
    (with_(["tensors", "w", "dtype"], "F7"), "F7"),
    (with_(["tensors", "one", "bias"], 64), "bias is 64"),
    (with_(["tensors", "one", "bias"], 7.0), "bias is 7.0"),
    (with_(["tensors", "none"], {"format": 0, "bias": 7}), "no such tensor"),
    (with_(["tensors", "x"], {"format": 0, "bias": 7}), "it is F32"),
    (with_(["tensors", "one", "bias"], "w" + BIAS_SUFFIX), "biases"),
    (with_biases(np.arange(6, dtype=np.int16)), "shape"),
    (with_biases(np.arange(6, dtype=np.int32).reshape(6, 1)), "they should be I16"),
    (with_biases(np.full((6, 1), 64, np.int16)), "bias has an element 64"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), CONTRADICTIONS)
def test_contradictions_are_refused(tmp_path, change, message):
    path = tmp_path / "x.safetensors"
    codes = np.full(X.shape, 200, np.uint8)
    one = cf.asarray(X, cf.CFloat8_1_4_3, 9)
    cf.save(
        path,
        {"w": cf.CFloatArray(codes, cf.CFloat8_1_4_3, np.arange(6), axis=0), "one": one, "x": X},
    )
    rewritten(path, lambda value, tensors: None)
    dict(cf.load(path))
    rewritten(path, change)
    with pytest.raises(cf.FileError, match=message) as caught:
        dict(cf.load(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def raw(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_hostile_headers(tmp_path):
    path = tmp_path / "x.safetensors"
    entry = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}
    for header, data in (
        (
            b'{"a":' + json.dumps(entry).encode() + b',"a":' + json.dumps(entry).encode() + b"}",
            b"1234",
        ),
        ({"a": entry, "b": entry}, b"1234"),  # overlapping
        ({"a": entry | {"shape": [2**62, 4]}}, b"1234"),
        ({"a": entry | {"shape": [5]}}, b"1234"),
        ({"a": entry | {"dtype": "F99"}}, b"1234"),
        ({"a": entry}, b"123"),
        ({"a": entry}, b"12345"),
        ({"__metadata__": {"cfloat": "[" * 100_000}, "a": entry}, b"1234"),
        ({"__metadata__": {"cfloat": '{"version": "1", "version": "1"}'}, "a": entry}, b"1234"),
        ({"__metadata__": {"cfloat": "NaN"}, "a": entry}, b"1234"),
        ({"__metadata__": {"cfloat": "[1]"}, "a": entry}, b"1234"),
        ({"__metadata__": {"cfloat": 5}, "a": entry}, b"1234"),
        (b"[" * 100_000, b""),
    ):
        raw(path, header, data)
        with pytest.raises(cf.FileError) as caught:
            dict(cf.load(path))
        assert "\n" not in str(caught.value)
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    with pytest.raises(cf.FileError, match="header of"):
        cf.load(path)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "x.safetensors"
    blocks = cf.asarray(X, cf.CFloat8_1_4_3, np.arange(12).reshape(6, 2), block=5)
    cf.save(path, {"w": blocks, "one": cf.asarray(X, cf.CFloat16_UHP), "x": X > 0})
    return path


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_refused_or_read(sample, tmp_path, data):
    content = bytearray(sample.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        # most of it where the header is
        place = data.draw(st.integers(0, header + 20))
        content[place] = data.draw(st.sampled_from([*b'0123456789",:{}[]ax', 0, 255]))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    try:
        dict(cf.load(path))
    except cf.FileError as error:
        assert "\n" not in str(error)  # noqa: PT017 - any other exception fails the test


def test_paths_and_metadata_of_other_types(tmp_path):
    path = tmp_path / "x.safetensors"
    cf.save(bytes(path), {"w": X})
    np.testing.assert_array_equal(cf.load(path)["w"], X)
    with pytest.raises(cf.ArgumentTypeError, match="path is 5"):
        cf.save(5, {"w": X})
    with pytest.raises(cf.ArgumentTypeError, match="metadata is 5"):
        cf.save(path, {"w": X}, metadata=5)


def test_what_is_said_of_tensors_that_are_not_read(tmp_path):
    path = tmp_path / "x.safetensors"
    rows = cf.asarray(X, cf.CFloat8_1_4_3, np.arange(6), axis=0)
    cf.save(path, {"rows": rows, "one": cf.asarray(X, cf.CFloat16_SHP, bias=9), "plain": X})
    found = cf.load(path)
    assert isinstance(found, cf.Checkpoint)
    assert found.path == found.source.path == path
    assert found.reads_anywhere
    assert {name: found.format_of(name) for name in found} == {
        "rows": cf.CFloat8_1_4_3, "one": cf.CFloat16_SHP, "plain": None,
    }  # fmt: skip
    np.testing.assert_array_equal(found.read_bias("rows").reshape(-1), np.arange(6))
    assert (found.read_bias("one"), found.read_bias("plain")) == (9, None)
    assert found.stored_names("rows") == ("rows", "rows" + BIAS_SUFFIX)
    assert found.stored_names("one") == ("one",)
    assert found.stored_nbytes("rows") == X.size + 2 * 6
    assert found.dtype_name("rows") == "CFloat8_1_4_3"
    assert found.dtype_name("plain") == str(X.dtype)
    assert [name for name in found if found.is_encoded(name)] == ["one", "rows"]
    assert [name for name in found if found.is_float(name)] == ["plain"]
    for method in (found.shape_of, found.stored_dtype, found.dtype_name):
        with pytest.raises(KeyError):
            method("rows" + BIAS_SUFFIX)
    assert found.shape_of("rows") == X.shape


@pytest.mark.parametrize(
    "change", [{"exponent_bits": 5, "mantissa_bits": 2}, {"exponent_bits": 3, "mantissa_bits": 4}]
)
def test_a_presets_name_is_the_presets_alone(tmp_path, change):
    """A file that calls other fields so would be shown as the preset."""
    path = tmp_path / "x.safetensors"
    cf.save(path, {"w": cf.asarray(X, cf.CFloat8_1_4_3, bias=9)})
    with safe_open(path, "np") as file:
        said = json.loads(file.metadata()["cfloat"])
        codes = file.get_tensor("w")
    said["formats"][0] |= change
    save_file({"w": codes}, path, {"cfloat": json.dumps(said)})
    with pytest.raises(cf.FileError, match="CFloat8_1_4_3 has exponent_bits 4"):
        cf.load(path)
    other = cf.Format(**change, name="CFloat8_1_4_3")
    with pytest.raises(cf.ArgumentValueError, match="give it another name"):
        cf.save(path, {"w": cf.asarray(X, other)})
    # its subnormals may be others
    ieee = cf.CFloat8_1_4_3.replace(subnormals="ieee")
    cf.save(path, {"w": cf.asarray(X, ieee)})
    assert cf.load(path)["w"].format == ieee


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_checkpoints_of_several_files_are_pickled(tmp_path, kind):
    if kind == "bin":
        torch = pytest.importorskip("torch")
        name, index = "pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"
        torch.save({"a": torch.arange(3.0)}, tmp_path / name)
    else:
        name, index = "model-00001-of-00001.safetensors", "model.safetensors.index.json"
        cf.save(tmp_path / name, {"a": np.arange(3, dtype=np.float32)})
    (tmp_path / index).write_text(json.dumps({"weight_map": {"a": name}}))
    again = pickle.loads(pickle.dumps(cf.load(tmp_path / index)))
    assert again.path.name == index
    np.testing.assert_array_equal(again["a"], [0, 1, 2])


def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch, capsys):
    """It is what an unset variable of a shell becomes; here is a model that nobody has named."""
    monkeypatch.chdir(tmp_path)
    cf.save("model.safetensors", {"w": X})
    before = names_in(tmp_path)
    to = ("--format", "CFloat8_1_4_3")
    for arguments in (
        ("info", ""),
        ("report", ""),
        ("plan", ""),
        ("convert", "", "out.safetensors", *to),
        ("convert", "model.safetensors", "", *to),
    ):
        assert main_refused(capsys, *arguments) == "cfloat: error: '': not a file name\n"
    for function in (cf.load, lambda path: cf.save(path, {"w": X})):
        with pytest.raises(cf.FileError, match="'': not a file name"):
            function("")
    assert names_in(tmp_path) == before
