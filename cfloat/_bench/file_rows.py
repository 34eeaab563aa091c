"""The rows of files: checkpoints converted and reported on, from the page cache."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.creation import asarray
from cfloat._convert.elementwise import encode
from cfloat._core.presets import CFloat8_1_4_3, bfloat16, float16
from cfloat._files.checkpoint import load
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.save import save
from cfloat._files.tensor_entry import Entry
from cfloat._files.write_safetensors import SafetensorsWriter
from cfloat._report.report import report
from cfloat.errors import CFloatError

from .context import Context
from .row import Calls, Case, Goal
from .timing import Call, Timing

Array = NDArray[Any]

_SIDE: Final = 2048
_MATRICES: Final = 8
_PIECE: Final = 1 << 22
_SMALL: Final = (256, 384)
_DTYPES: Final = ("F32", "F16", "BF16")
_FORMAT: Final = "CFloat8_1_4_3"


def cases(context: Context) -> Iterator[Case]:
    """List conversions and reports of a checkpoint of some matrices, and of many small tensors."""
    sides = context.within(_SIDE, _SIDE)
    for dtype in _DTYPES:
        nbytes = _MATRICES * prod(sides) * _width(dtype)
        for name, plan, least in (
            ("max", Plan(_FORMAT), 2.0),
            ("max, axis 0", Plan(_FORMAT, axis=0), 2.0),
            ("max, blocks of 32", Plan(_FORMAT, block=32), None),
            ("mse", Plan(_FORMAT, bias="mse"), 1.0),
            ("mse, axis 0", Plan(_FORMAT, bias="mse", axis=0), 1.0),
            ("fp8", Plan(export=True, axis=0, include=("*",)), 2.0),
        ):
            yield Case(
                "", "convert / plain read and write", f"{dtype}, {name}", "GB/s", nbytes / 1e9,
                _Conversion(sides, dtype, plan),
                None if least is None else Goal(least, is_ratio=False),
            )  # fmt: skip
    for to in ("float32", "float16", "bfloat16"):
        yield Case(
            "", "convert back / plain read and write", to, "GB/s", _MATRICES * prod(sides) / 1e9,
            _Return(sides, to),
        )  # fmt: skip
    size = _MATRICES * prod(sides)
    for dtype in _DTYPES:
        yield Case(
            "", "report / numpy.square(x).sum()", dtype, "Melem/s", size / 1e6,
            _Report((sides,) * _MATRICES, dtype), Goal(40, is_ratio=False),
        )  # fmt: skip
    yield Case(
        "", "small tensors", f"report of {_SMALL[0]}", "ms/tensor", 1e-3 * _SMALL[0],
        _Report((_SMALL[1:],) * _SMALL[0], "F32"), Goal(0.2, is_ratio=False),
    )  # fmt: skip
    yield Case(
        "", "small tensors", f"convert of {_SMALL[0]}", "ms/tensor", 1e-3 * _SMALL[0],
        _Small("BF16"),
    )  # fmt: skip


def _width(dtype: str) -> int:
    return 4 if dtype == "F32" else 2


class _Folder:
    """A folder of its own, which goes with the last call that uses it."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="cfloat-bench"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.source = folder / "in.safetensors"
        self.target = folder / "out.safetensors"
        self.copy = folder / "copy"

    @property
    def emptied(self) -> Timing:
        """Have neither call replace a file: to free one's blocks takes some disks longer than to write."""

        def remove() -> None:
            self.target.unlink(missing_ok=True)
            self.copy.unlink(missing_ok=True)

        return Timing((remove, remove))


def _write(path: Path, shapes: tuple[tuple[int, ...], ...], dtype: str) -> None:
    """Write a checkpoint of normal numbers, its tensors of different sizes."""
    entries = {f"layers.{i}.weight": Entry.of(dtype, shape) for i, shape in enumerate(shapes)}
    writer = SafetensorsWriter(path, entries, {})
    rng = np.random.default_rng(0)
    for i, (name, entry) in enumerate(entries.items()):
        writer.write(
            name, 0, _stored(rng.standard_normal(entry.size, np.float32) / 2 ** (i % 8), dtype)
        )
    writer.finish({})
    writer.commit()


def _stored(values: Array, dtype: str) -> Array:
    if dtype == "F32":
        return values.astype(np.float32)
    return encode(values, float16 if dtype == "F16" else bfloat16)


def _plain(folder: _Folder, nbytes: int) -> Call:
    """Make what a conversion cannot do without: read all, write as many bytes as it does, and sync."""
    size = folder.source.stat().st_size
    memory = memoryview(bytearray(_PIECE))

    def call() -> None:
        with (
            open(folder.source, "rb", buffering=0) as read,
            open(folder.copy, "wb", buffering=0) as written,
        ):
            done = 0
            while count := read.readinto(memory):
                done += count
                part = nbytes * done // size - nbytes * (done - count) // size
                while part:
                    part -= written.write(memory[:part] if part < _PIECE else memory)
            os.fsync(written.fileno())

    return call


@dataclass(frozen=True)
class _Conversion:
    sides: tuple[int, ...]
    dtype: str
    plan: Plan

    def __call__(self) -> Calls:
        folder = _Folder()
        _write(folder.source, (self.sides,) * _MATRICES, self.dtype)

        def own() -> object:
            return convert(folder.source, folder.target, self.plan)

        own()
        _check_codes(folder, self.plan)
        plain = _plain(folder, folder.target.stat().st_size)
        return Calls(own, plain, timing=folder.emptied)


def _check_codes(folder: _Folder, plan: Plan) -> None:
    """Compare the first and the last tensor with what the functions make of its values."""
    made, was = load(folder.target), load(folder.source)
    names = list(was)
    for name in (names[0], names[-1]):
        values = np.asarray(was[name], np.float32)
        got: Any = made[name]
        method = plan.bias
        if plan.export:
            # their codes are at scales; what they stand for is as near
            wrong = np.abs(np.asarray(got, np.float32) - values).max() > np.abs(values).max() / 16
        else:
            assert method == "max" or method == "mse"
            axis, block = plan.axis, plan.block
            assert not isinstance(axis, str | tuple)
            assert not isinstance(block, tuple)
            expected = asarray(values, CFloat8_1_4_3, method, axis=axis, block=block)
            wrong = not np.array_equal(got.codes, expected.codes)
            wrong = wrong or not np.array_equal(got.bias, expected.bias)
        if wrong:
            raise CFloatError(f"convert, {plan.bias}: {name} is wrong")


@dataclass(frozen=True)
class _Return:
    sides: tuple[int, ...]
    to: Any

    def __call__(self) -> Calls:
        folder = _Folder()
        values = np.random.default_rng(0).standard_normal(self.sides, np.float32)
        arrays = {
            f"layers.{i}.weight": asarray(values / 2**i, CFloat8_1_4_3, "max")
            for i in range(_MATRICES)
        }
        save(folder.source, arrays)
        plan = Plan(to=self.to)

        def own() -> object:
            return convert(folder.source, folder.target, plan)

        own()
        made = load(folder.target)
        for name in (next(iter(arrays)), list(arrays)[-1]):
            if not np.array_equal(np.asarray(made[name], np.float32), np.asarray(arrays[name])):
                raise CFloatError(f"convert to {self.to}: {name} is wrong")
        plain = _plain(folder, folder.target.stat().st_size)
        return Calls(own, plain, timing=folder.emptied)


@dataclass(frozen=True)
class _Report:
    shapes: tuple[tuple[int, ...], ...]
    dtype: str

    def __call__(self) -> Calls:
        folder = _Folder()
        _write(folder.source, self.shapes, self.dtype)

        def own() -> Any:
            return report(folder.source, details=False)

        if len(own().tensors) != len(self.shapes):
            raise CFloatError("report: tensors are missing")
        if len(self.shapes) > _MATRICES:
            return Calls(own)
        x = np.ones(sum(map(prod, self.shapes)), np.float32)
        return Calls(own, lambda: np.square(x).sum())


@dataclass(frozen=True)
class _Small:
    dtype: str

    def __call__(self) -> Calls:
        folder = _Folder()
        _write(folder.source, (_SMALL[1:],) * _SMALL[0], self.dtype)
        plan = Plan(_FORMAT)

        def own() -> object:
            return convert(folder.source, folder.target, plan)

        own()
        _check_codes(folder, plan)
        return Calls(own)
