"""What is in a checkpoint, as a table."""

import os
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cfloat._bias.bias_layout import along_text, check_blocks
from cfloat._core.text import printable
from cfloat._core.text_table import aligned

from .checkpoint import Checkpoint, load
from .names_by_reason import in_one_line
from .paths import shown_path


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
    unreadable : dict of str to str
        What else it has, and why that cannot be read.
    """

    path: str
    tensors: list[TensorInfo]
    unreadable: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain data, for JSON."""
        return {"path": self.path, "tensors": [asdict(tensor) for tensor in self.tensors]} | {
            "elements": self._elements(),
            "nbytes": sum(tensor.nbytes for tensor in self.tensors),
            "unreadable": self.unreadable,
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
        lines = [*aligned(rows, right=(3, 4)), last]
        if self.unreadable:
            lines.append(f"{len(self.unreadable)} not readable: {in_one_line(self.unreadable)}")
        return "\n".join(lines)


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
        shown_path(checkpoint.path),
        [_tensor_info(checkpoint, name) for name in checkpoint],
        checkpoint.unreadable,
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
        if said.is_along:
            layout += f" along {along_text(check_blocks(said.block, shape, said.axis).axes)}"
    elif said.axis is not None:
        layout = f"axis {said.axis}"
    elif biases.ndim:
        layout = "each"
    return TensorInfo(name, said.format.name, said.format.subnormals, shape, span, layout, nbytes)
