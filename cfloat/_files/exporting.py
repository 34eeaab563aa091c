"""Codes that become those of 8-bit floats, with scales in place of biases."""

from typing import Any, Final, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._bias.bias_layout import check_layout
from cfloat._core.binding import map_codes
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.text import printable
from cfloat.errors import FileError

from . import fp8
from .checkpoint import Checkpoint
from .conversion_plan import Plan
from .copying import Counter, Recipe, Writer
from .dtypes import BY_COMMON_NAME
from .paths import shown_path
from .tensor_entry import Entry
from .tensor_metadata import Description

Array = NDArray[Any]


class Exporting:
    """Codes that become those of 8-bit floats."""

    is_short = False

    def __init__(
        self, checkpoint: Checkpoint, name: str, plan: Plan, layout: fp8.ScaleLayout
    ) -> None:
        fmt = checkpoint.format_of(name)
        assert fmt is not None
        self.name = name
        self.recipe = Recipe(Exporting, (name, plan, layout))
        self._checkpoint = checkpoint
        self._format = fmt
        self._plan = plan
        self.entries = fp8_entries(name, fmt, checkpoint.shape_of(name), layout)
        self.longest_description: Description | None = None
        self._layout = layout
        self._biases()  # refused now, if they are

    @in_default_modes
    def run(self, writer: Writer, counter: Counter) -> None:
        """Write codes and scales."""
        tensor = self._checkpoint[self.name]
        assert isinstance(tensor, CFloatArray)
        summary = counter.summary
        table = fp8.recoded(self._format)
        codes, recoded = recode(np.ascontiguousarray(tensor.codes), table, self._format)
        if recoded.values and self._plan.strict:
            refuse_changes(recoded, self.name)
        summary.recoded += recoded.codes
        summary.changed += recoded.values
        writer.write(self.name, 0, codes)
        write_scales(writer, self.name, self._format, self._biases(), self.entries)
        counter.advance(codes.nbytes)
        summary.elements += codes.size
        summary.converted.append(self.name)

    def _biases(self) -> Any:
        """Give the biases, one, one a row or one a block, as the scales are to be."""
        bias = self._checkpoint.read_bias(self.name)
        if isinstance(bias, int):
            return bias
        said = self._checkpoint.description(self.name)
        assert said is not None
        shape = self._checkpoint.shape_of(self.name)
        block = self._layout.block
        if block is None:
            if said.axis == 0 and said.block is None:
                return bias
            which = "not one, nor one a row; blocks of rows and columns may fit (--block)"
        else:
            assert bias is not None
            axis = said.axis if said.is_along else None
            full = check_layout(self._format, bias, shape, axis, said.block).full(shape)
            found = full[:: block[0], :: block[1]]
            rows, columns = (np.arange(n) // size for n, size in zip(shape, block, strict=True))
            if np.array_equal(full, found[rows[:, np.newaxis], columns]):
                return found
            which = f"not one for each block of {block[0]}x{block[1]}"
        raise FileError(
            f"{shown_path(self._checkpoint.path)}: {printable(self.name)}: its biases are {which}"
        )


def fp8_entries(
    name: str, fmt: Format, shape: tuple[int, ...], layout: fp8.ScaleLayout
) -> dict[str, Entry]:
    """Make the entries of a tensor of 8-bit floats and of its scales."""
    ocp = fp8.exported_format(fmt)
    assert ocp is not None
    return {
        name: Entry.of(BY_COMMON_NAME[ocp.name].name, shape),
        name + fp8.SCALE_SUFFIX: Entry.of("F32", layout.scales_shape(shape)),
    }


class Recoded(NamedTuple):
    """How many codes became others, and how many of these stand for other values."""

    codes: int = 0
    values: int = 0


NOTHING_RECODED: Final = Recoded()


def recode(codes: Array, table: Array, fmt: Format) -> tuple[Array, Recoded]:
    """Look up the codes of 8-bit floats, and count those that are others.

    Parameters
    ----------
    codes : ndarray of uint8
        Codes of `fmt`, contiguous.
    table : ndarray of uint8, shape (256,)
        As `fp8.recoded` makes it.
    """
    made = np.empty_like(codes)
    map_codes(table, codes, made)
    differ = made != codes
    count = int(np.count_nonzero(differ))
    if not count:
        return made, NOTHING_RECODED
    old = fmt.values(fmt.default_bias)
    new = fp8.reachable(fmt).values(fmt.default_bias)
    moved = (old != new[table])[codes[differ]]
    return made, Recoded(count, int(np.count_nonzero(moved)))


def refuse_changes(recoded: Recoded, name: str) -> NoReturn:
    """Raise the error of an export that may change nothing."""
    raise FileError(
        f"{printable(name)}: {recoded.values} values that the 8-bit float does not have; without --strict "
        "they become the nearest that it has"
    )


def write_scales(
    writer: Writer, name: str, fmt: Format, bias: Any, entries: dict[str, Entry]
) -> None:
    """Write all scales of a tensor, which biases stand for: as many, or one for all."""
    scale = name + fp8.SCALE_SUFFIX
    biases = np.broadcast_to(np.asarray(bias).reshape(-1), entries[scale].size)
    writer.write(scale, 0, fp8.scale_of(fmt, biases))
