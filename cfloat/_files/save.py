"""`save`: tensors into a safetensors file, CFloat tensors among them."""

import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._core.dtypes import check_memory
from cfloat._core.float_modes import in_default_modes
from cfloat._core.public_names import public
from cfloat._core.text import printable, shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError, FileError

from . import tensor_metadata
from .dtypes import BY_COMMON_NAME, StoredDtype, stored_dtype
from .file_errors import NotSupportedError
from .paths import as_path, shown_path
from .safetensors_header import check_name
from .tensor_entry import Entry
from .tensor_metadata import BIAS_SUFFIX, Description, codes_entry
from .write_safetensors import SafetensorsWriter

Array = NDArray[Any]

# Bytes of codes or values handed to the file at a time, if they are not in its order already.
_PIECE_BYTES: Final = 1 << 22


@public
@in_default_modes
def save(
    path: str | os.PathLike[str],
    tensors: Mapping[str, CFloatArray | Array],
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors to a safetensors file.

    Codes are stored as U8 or U16 tensors under the tensor's own name, and biases that are more than one as an
    I16 tensor, ``<name>.cfloat_bias``.  Formats and layouts are in the file's metadata.
    The file is written under a temporary name and moved into its place when it is complete.

    Parameters
    ----------
    path : str or path-like
        The file to write, or to replace; its name ends in ``.safetensors``.
    tensors : mapping of str to CFloatArray or ndarray
        The tensors; those that are no CFloatArray are stored as they are, in any dtype that safetensors and
        NumPy share, complex64 among them, and ml_dtypes' bfloat16, float8_e4m3fn and float8_e5m2.  PyTorch's
        tensors in memory and JAX's arrays are taken likewise.  Each is asked for twice if the mapping is not
        a dict.
    metadata : mapping of str to str, optional
        More of safetensors' metadata, under other names than ``cfloat``.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If a name, a tensor or the metadata are not as above.
    FileError
        If the file cannot be written; nothing is left behind then.

    See Also
    --------
    load : The way back.

    Examples
    --------
    >>> import tempfile
    >>> import cfloat as cf
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/model.safetensors"
    >>> cf.save(path, {"w": cf.asarray([1.0, 2.7], cf.CFloat8_1_4_3, bias=9)})
    >>> cf.load(path)["w"]
    CFloatArray([1.  , 2.75], CFloat8_1_4_3, bias=9)
    >>> folder.cleanup()
    """
    path = os.fspath(as_path(path))
    if not path.lower().endswith(".safetensors"):
        raise FileError(f"{shown_path(path)}: its name should end in .safetensors")
    if not isinstance(tensors, Mapping):
        raise ArgumentTypeError(
            f"tensors is {shown(tensors)}; it takes a mapping of names to arrays"
        )
    entries: dict[str, Entry] = {}
    descriptions: dict[str, Description] = {}
    for name in tensors:
        for key, entry in _entries_of(name, tensors[name], descriptions).items():
            if key in entries:
                raise ArgumentValueError(f"there are two tensors {shown(key)}")
            entries[key] = entry
    extra = _checked_metadata(metadata) | (
        tensor_metadata.written(descriptions) if descriptions else {}
    )
    writer = SafetensorsWriter(path, entries, extra)
    try:
        for name in tensors:
            tensor = tensors[name]
            for key, entry in _entries_of(name, tensor, {}).items():
                if entries.get(key) != entry:
                    raise ArgumentValueError(f"{shown(name)} has changed while it was written")
            if isinstance(tensor, CFloatArray):
                _write(writer, name, tensor.codes)
                if not isinstance(tensor.bias, int):
                    _write(writer, name + BIAS_SUFFIX, tensor.bias)
            else:
                _write(writer, name, _stored(name, tensor)[1])
        writer.finish(extra)
        writer.commit()
    except BaseException:
        writer.discard()
        raise


def _entries_of(name: Any, tensor: Any, descriptions: dict[str, Description]) -> dict[str, Entry]:
    """Make what a file has for a tensor; add its description if it has codes."""
    try:
        check_name(name)
    except TypeError as error:
        raise ArgumentTypeError(str(error)) from None
    except ValueError as error:
        raise ArgumentValueError(str(error)) from None
    if isinstance(tensor, CFloatArray):
        try:
            tensor_metadata.check_preset(tensor.format)
        except ValueError as error:
            raise ArgumentValueError(f"{shown(name)}: {error}; give it another name") from None
        bias = tensor.bias
        entries = {name: codes_entry(tensor.format, tensor.shape)}
        if not isinstance(bias, int):
            entries[name + BIAS_SUFFIX] = Entry.of("I16", bias.shape)
        descriptions[name] = Description(
            tensor.format,
            bias if isinstance(bias, int) else name + BIAS_SUFFIX,
            tensor.axis,
            tensor.block,
        )
        return entries
    dtype, array = _stored(name, tensor)
    return {name: Entry.of(dtype.name, array.shape)}


def _stored(name: str, tensor: Any) -> tuple[StoredDtype, Array]:
    """Give the dtype that a tensor is stored in, and an array of its elements, or of their bits."""
    library = type(tensor).__module__.partition(".")[0]
    if library == "torch" or _is_torch(tensor):
        return _of_torch(name, tensor)
    if library in ("jax", "jaxlib") and hasattr(tensor, "__array__"):
        try:
            tensor = np.asarray(tensor)
        except RuntimeError as error:  # it was deleted, or given to what reused its memory
            reason = " ".join(str(error).split())
            raise ArgumentValueError(f"{shown(name)} cannot be read: {printable(reason)}") from None
    if not isinstance(tensor, np.ndarray | np.generic):
        raise ArgumentTypeError(
            f"{shown(name)} is a {type(tensor).__name__}; it takes a CFloatArray, a numpy.ndarray, or a "
            "tensor of PyTorch or JAX"
        )
    return _dtype(name, tensor.dtype.name), np.asarray(tensor)


def _dtype(name: str, dtype: str) -> StoredDtype:
    try:
        return stored_dtype(dtype)
    except NotSupportedError:
        raise ArgumentTypeError(
            f"{shown(name)} has dtype {dtype}; it takes {', '.join(BY_COMMON_NAME)}"
        ) from None


def _is_torch(tensor: Any) -> bool:
    """Whether it is of a class that someone has derived of PyTorch's."""
    return any(each.__module__.partition(".")[0] == "torch" for each in type(tensor).__mro__)


def _of_torch(name: str, tensor: Any) -> tuple[StoredDtype, Array]:
    import torch

    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        raise ArgumentTypeError(
            f"{shown(name)} is a {type(tensor).__name__}; of PyTorch's it takes tensors alone"
        )
    if tensor.layout != torch.strided or tensor.is_quantized:
        hint = "dequantize()" if tensor.is_quantized else "to_dense()"
        raise ArgumentTypeError(f"{shown(name)} is not dense; give it as {hint} makes it")
    if tensor.device.type != "cpu":
        raise ArgumentTypeError(
            f"{shown(name)} is on {tensor.device}; it takes tensors in memory, as cpu() makes them"
        )
    check_memory(shown(name), tensor)
    dtype = _dtype(name, str(tensor.dtype).removeprefix("torch."))
    plain = tensor.detach().resolve_conj().resolve_neg()
    if dtype.format is not None:
        # the bits, which NumPy has integers for
        plain = plain.view(torch.int16 if dtype.numpy.itemsize == 2 else torch.uint8)
    array: Array = plain.numpy()
    return dtype, array


def _is_text(text: str) -> bool:
    """Whether UTF-8 has it: no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ArgumentTypeError(f"metadata is {shown(metadata)}; it takes a mapping of str to str")
    checked = dict(metadata or {})
    for key, value in checked.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ArgumentTypeError(
                f"metadata has {shown(key)}: {shown(value)}; it takes a str for a str"
            )
        if not all(map(_is_text, (key, value))):
            raise ArgumentValueError(
                f"metadata has {shown(key)}: {shown(value)}; it takes text that UTF-8 has"
            )
        if key == tensor_metadata.KEY:
            raise ArgumentValueError(f"metadata has {shown(key)}, under which formats are stored")
    return checked


def _write(writer: SafetensorsWriter, name: str, array: Array) -> None:
    if array.flags.c_contiguous or array.nbytes <= _PIECE_BYTES or not len(array):
        writer.write(name, 0, array)
        return
    # in slices, each of which is copied by itself
    step = max(1, _PIECE_BYTES * len(array) // array.nbytes)
    for start in range(0, len(array), step):
        part = array[start : start + step]
        writer.write(name, start * (array.nbytes // len(array)), part)
