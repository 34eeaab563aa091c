"""What is in a checkpoint, and what a format can hold, as tables."""

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cfloat._core.finfo import finfo
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.table import aligned
from cfloat._core.text import printable

from .checkpoint import Checkpoint, load
from .paths import shown_path

# Values of a format of more than 8 bits that are shown from each end of each kind.
_SHOWN = 4


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a checkpoint.

    Attributes
    ----------
    name : str
        Its name.
    kind : str
        The name of its format, or safetensors' of its dtype.
    subnormals : str or None
        How its subnormals are read, if it has a format.
    shape : tuple of int
        Its shape.
    biases : (int, int) or None
        The smallest and the largest bias, if it has a format.
    layout : str
        Whether there is one bias, one a slice or one a block.
    nbytes : int
        Bytes that it takes, those of biases and scales included.
    """

    name: str
    kind: str
    subnormals: str | None
    shape: tuple[int, ...]
    biases: tuple[int, int] | None
    layout: str
    nbytes: int


@dataclass(frozen=True)
class FileInfo:
    """The tensors of a checkpoint.

    Attributes
    ----------
    path : str
        The file.
    tensors : list of TensorInfo
        Its tensors, in the order of their names.
    """

    path: str
    tensors: list[TensorInfo]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain data, for JSON."""
        return {"path": self.path, "tensors": [asdict(tensor) for tensor in self.tensors]} | {
            "elements": self._elements(),
            "nbytes": sum(tensor.nbytes for tensor in self.tensors),
        }

    def _elements(self) -> int:
        # Python's integers, which do not overflow
        total = 0
        for tensor in self.tensors:
            size = 1
            for length in tensor.shape:
                size *= length
            total += size
        return total

    def to_text(self) -> str:
        """Write a table and its totals."""
        rows = [["name", "dtype or format", "shape", "bias", "bytes"]]
        for tensor in self.tensors:
            kind = printable(tensor.kind)
            if tensor.subnormals is not None:
                kind += f", {tensor.subnormals}"
            shape = "x".join(map(str, tensor.shape)) or "-"
            rows.append(
                [printable(tensor.name), kind, shape, _bias_text(tensor), str(tensor.nbytes)]
            )
        total = sum(tensor.nbytes for tensor in self.tensors)
        last = f"{len(self.tensors)} tensors, {self._elements()} elements, {total} bytes"
        return "\n".join([*aligned(rows, right=(3, 4)), last])


def _bias_text(tensor: TensorInfo) -> str:
    if tensor.biases is None:
        return ""
    low, high = tensor.biases
    text = str(low) if low == high else f"{low}..{high}"
    return f"{text} {tensor.layout}".rstrip()


def file_info(path: str | os.PathLike[str]) -> FileInfo:
    """List the tensors of a checkpoint; only biases are read of the data.

    Parameters
    ----------
    path : str or path-like
        As in `cfloat.load`.

    Returns
    -------
    FileInfo

    Raises
    ------
    FileError, MissingExtraError
        As `cfloat.load`.

    Examples
    --------
    >>> import tempfile
    >>> import cfloat as cf
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/model.safetensors"
    >>> cf.save(path, {"w": cf.asarray([[1.0, 2.7]], cf.CFloat8_1_4_3, bias=9)})
    >>> print(file_info(path).to_text())
    name  dtype or format            shape  bias  bytes
    w     CFloat8_1_4_3, whitepaper  1x2       9      2
    1 tensors, 2 elements, 2 bytes
    >>> folder.cleanup()
    """
    checkpoint = load(path)
    return FileInfo(
        shown_path(checkpoint.path), [_tensor_info(checkpoint, name) for name in checkpoint]
    )


def _tensor_info(checkpoint: Checkpoint, name: str) -> TensorInfo:
    said = checkpoint.description(name)
    shape, nbytes = checkpoint.shape_of(name), checkpoint.stored_nbytes(name)
    if said is None:
        scaled = " with scales" if checkpoint.is_encoded(name) else ""
        kind = checkpoint.stored_dtype(name) + scaled
        return TensorInfo(name, kind, None, shape, None, "", nbytes)
    biases = np.asarray(checkpoint.read_bias(name))
    span = (int(biases.min()), int(biases.max())) if biases.size else None
    layout = ""
    if said.block is not None:
        layout = f"blocks of {said.block}"
    elif said.axis is not None:
        layout = f"axis {said.axis}"
    elif biases.ndim:
        layout = "each"
    return TensorInfo(name, said.format.name, said.format.subnormals, shape, span, layout, nbytes)


@dataclass(frozen=True)
class FormatInfo:
    """A format at a bias: its limits and its values.

    Attributes
    ----------
    format : Format
        The format.
    bias : int
        The bias.
    """

    format: Format
    bias: int

    _LIMITS = (
        "bits", "max", "min", "smallest_normal", "smallest_subnormal", "eps", "nexp", "nmant", "minexp",
        "maxexp", "precision",
    )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain data, for JSON: all values, those that JSON does not have as strings."""
        limits = finfo(self.format, self.bias)
        arguments = self.format._arguments()
        return arguments | {
            "bias": self.bias,
            "bias_range": list(self.format.bias_range),
            "limits": {name: getattr(limits, name) for name in self._LIMITS},
            "values": [
                value if np.isfinite(value) else str(value)
                for value in self.format.values(self.bias).tolist()
            ],
        }

    def to_text(self) -> str:
        """Write the limits, and a table of values: all of 8 bits and less, and else some of each kind."""
        fmt = self.format
        limits = finfo(fmt, self.bias)
        low, high = fmt.bias_range
        lines = [
            f"{fmt.name} at bias {self.bias} (of {low} to {high}): "
            f"{'1 sign, ' if fmt.signed else ''}{fmt.exponent_bits} exponent and {fmt.mantissa_bits} "
            f"mantissa bits, nonfinite {fmt.nonfinite}, subnormals {fmt.subnormals}",
            *(f"{name:20}{getattr(limits, name):.10g}" for name in self._LIMITS),
            "",
        ]
        values = fmt.values(self.bias)
        texts = [f"{value:.7g}" for value in values.tolist()]
        digits = -(-fmt.bits // 4)
        if fmt.bits <= 8:
            width = min(8, len(texts))
            rows = [["code", *(f"+{column}" for column in range(width))]]
            for start in range(0, len(texts), width):
                rows.append([f"0x{start:0{digits}X}", *texts[start : start + width]])
            return "\n".join([*lines, *aligned(rows, right=range(1, width + 1))])
        rows = [["code", "value"]]
        before = -1
        for code in self._some_codes():
            if code != before + 1:
                rows.append(["...", ""])
            rows.append([f"0x{code:0{digits}X}", texts[code]])
            before = code
        if fmt.signed:
            rows.append([f"0x{before + 1:0{digits}X}", "..."])  # the same, negative
        return "\n".join([*lines, *aligned(rows, right=(1,))])

    def _some_codes(self) -> list[int]:
        """Pick codes from both ends of each kind of positive number."""
        fmt = self.format
        half = 1 << (fmt.exponent_bits + fmt.mantissa_bits)
        values = fmt.values(self.bias)[:half]
        # where subnormals end, where one is, and where finite numbers do
        edges = [
            0,
            1 << fmt.mantissa_bits,
            int(np.argmax(values >= 1)),
            int(np.isfinite(values).sum()),
            half,
        ]
        codes = {
            code
            for edge in edges
            for code in range(edge - _SHOWN, edge + _SHOWN)
            if 0 <= code < half
        }
        return sorted(codes)


def format_info(fmt: Format | str, bias: int | None = None) -> FormatInfo:
    """Give a format's limits and values at a bias.

    Parameters
    ----------
    fmt : Format or str
        The format, or its name.
    bias : int, optional
        The bias; the format's default if None.

    Returns
    -------
    FormatInfo

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If the format does not allow the bias.

    Examples
    --------
    >>> import cfloat as cf
    >>> print(format_info(cf.Format("fp4", exponent_bits=2, mantissa_bits=1)).to_text()[-124:])
    code  +0    +1  +2    +3  +4  +5  +6  +7
    0x0    0   0.5   1   1.5   2   3   4   6
    0x8   -0  -0.5  -1  -1.5  -2  -3  -4  -6
    """
    fmt = as_format(fmt)
    return FormatInfo(fmt, fmt.check_bias(bias))
