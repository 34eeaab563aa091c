"""What is in a file: its tensors, and what its metadata say of them."""

from typing import Any

from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert.elementwise import decode
from cfloat._core.flags import no_flags

from . import fp8, tensor_metadata
from .dtypes import FP8_FORMATS
from .file_errors import refusing_contradictions, refusing_damage
from .reader import read_values
from .tensor_metadata import Description
from .tensor_source import Source

Array = NDArray[Any]


class Contents:
    """The tensors of a file, each read when it is asked for.

    Parameters
    ----------
    source : Source
        The file.

    Attributes
    ----------
    source : Source
        The file.
    metadata : dict of str to str
        safetensors' metadata without those of this package.
    descriptions : dict of str to Description
        What these say of tensors of codes.
    scales : dict of str to str
        The tensors that are 8-bit floats beside scales, and the names of those.

    Raises
    ------
    FileError
        If the metadata contradict the file or themselves.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.metadata: dict[str, str] = {}
        self.descriptions: dict[str, Description] = {}
        self.scales: dict[str, str] = {}
        self._parts: dict[str, Source] = {}
        for part in source.parts:
            with refusing_damage(part.path):
                found = tensor_metadata.read(part.metadata, part.entries)
                self.descriptions |= found
            self._parts |= dict.fromkeys(part.entries, part)
            self.metadata |= part.metadata
            self.scales |= {
                name: scale for name, scale in fp8.scales(part.entries).items() if name not in found
            }
        self.metadata.pop(tensor_metadata.KEY, None)

    def read(self, name: str) -> CFloatArray | Array:
        """Read a tensor: a CFloatArray if it is one; any other without a scale, as values of its dtype.

        Those that NumPy lacks come as float32.
        """
        if name in self.descriptions:
            return self._read_codes(name)
        values = self._stored(name)
        fmt = FP8_FORMATS.get(self.source.entries[name].dtype)
        if fmt is None:
            return values
        with no_flags():
            return decode(values, fmt)

    def read_scaled(self, name: str) -> CFloatArray | Array:
        """Read a tensor of 8-bit floats that has scales: what both stand for."""
        fmt = FP8_FORMATS[self.source.entries[name].dtype]
        return fp8.restored(self._stored(name), fmt, self._stored(self.scales[name]))

    def read_bias(self, name: str) -> int | Array:
        """Read the bias or the biases of a tensor of codes, without its codes."""
        said = self.descriptions[name]
        if isinstance(said.bias, int):
            return said.bias
        biases = self._stored(said.bias)
        with refusing_contradictions(self._parts[name].path, name):
            return said.format.check_biases(biases)

    def _read_codes(self, name: str) -> CFloatArray:
        said = self.descriptions[name]
        bias: Any = self._stored(said.bias) if isinstance(said.bias, str) else said.bias
        codes = self._stored(name).astype(said.format.storage_dtype, copy=False)
        with refusing_contradictions(self._parts[name].path, name):
            return CFloatArray(codes, said.format, bias, block=said.block)

    def _stored(self, name: str) -> Array:
        """Read a tensor as `read_values` does, in its own shape."""
        part = self._parts[name]
        entry = part.entries[name]
        return read_values(part, name, 0, entry.size).reshape(entry.shape)
