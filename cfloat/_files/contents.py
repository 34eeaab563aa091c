"""What is in a file: its tensors, and what its metadata say of them."""

from typing import Any

from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert.elementwise import decode
from cfloat._core.flags import no_flags
from cfloat._core.float_modes import in_default_modes

from . import tensor_metadata
from .dtypes import DTYPES, FP8_FORMATS
from .file_errors import refusing_contradictions, refusing_damage
from .reader import read_raw, read_values
from .scale_layouts import Scaled, find_layouts
from .scaled_values import read_scaled
from .tensor_entry import Entry
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
    scaled : dict of str to Scaled
        The tensors whose codes lie beside scales.
    scales : frozenset of str
        Scales that belong to none of them.
    names : list of str
        All tensors as they are read, in the file's order: without what lies beside codes.

    Raises
    ------
    FileError
        If the metadata contradict the file or themselves, or codes have a scale that is not understood.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.metadata: dict[str, str] = {}
        self.descriptions: dict[str, Description] = {}
        self.scaled: dict[str, Scaled] = {}
        self.scales: frozenset[str] = frozenset()
        self._parts: dict[str, Source] = {}
        for part in source.parts:
            with refusing_damage(part.path):
                found = tensor_metadata.read(part.metadata, part.entries)
                self.descriptions |= found
            self._parts |= dict.fromkeys(part.entries, part)
            self.metadata |= part.metadata
        self.metadata.pop(tensor_metadata.KEY, None)
        biases = {said.bias for said in self.descriptions.values() if isinstance(said.bias, str)}
        with refusing_damage(source.path):
            self.scaled, self.scales = find_layouts(source, biases | self.descriptions.keys())
        whole = {each.codes: name for name, each in self.scaled.items()}
        hidden = {name for each in self.scaled.values() for name in each.beside} | biases
        self.names = [whole.get(name, name) for name in source.names if name not in hidden]

    def entry(self, name: str) -> Entry:
        """Give the entry of a tensor as it is read: of the shape of its values."""
        if name in self.scaled:
            return self.scaled[name].entry
        return self.source.entries[name]

    def stored_names(self, name: str) -> tuple[str, ...]:
        """Name the tensors that the file has for one: that of its codes first."""
        if name in self.scaled:
            return (self.scaled[name].codes, *self.scaled[name].beside)
        said = self.descriptions.get(name)
        return (name, said.bias) if said and isinstance(said.bias, str) else (name,)

    @in_default_modes
    def read(self, name: str) -> CFloatArray | Array:
        """Read a tensor: a CFloatArray if it is one, or values; of float32 if NumPy lacks its dtype."""
        if name in self.scaled:
            with refusing_contradictions(self._parts[self.scaled[name].codes].path, name):
                return read_scaled(self.scaled[name], self._stored_or_raw, self._dtype)
        if name in self.descriptions:
            return self._read_codes(name)
        values = self._stored(name)
        fmt = FP8_FORMATS.get(self.source.entries[name].dtype)
        if fmt is None:
            return values
        with no_flags():
            return decode(values, fmt)

    @in_default_modes
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
            # biases of slices broadcast as they are
            axis = said.axis if said.is_along else None
            return CFloatArray(codes, said.format, bias, axis=axis, block=said.block)

    def _stored(self, name: str) -> Array:
        """Read a tensor as `read_values` does, in its own shape."""
        part = self._parts[name]
        entry = part.entries[name]
        return read_values(part, name, 0, entry.size).reshape(entry.shape)

    def _stored_or_raw(self, name: str) -> Array:
        """Read what belongs to codes beside scales: bytes, if its dtype is one of scales alone."""
        part = self._parts[name]
        entry = part.entries[name]
        if entry.dtype in DTYPES:
            return self._stored(name)
        return read_raw(part, name).reshape(entry.shape)

    def _dtype(self, name: str) -> str:
        return self._parts[name].entries[name].dtype
