"""What a file says of its CFloat tensors: one JSON value in safetensors' metadata, of layout version 1 or 2.

The value, under the key ``cfloat``, is an object:

- ``version``: ``"1"``, or ``"2"`` if blocks of any tensor run along other axes than the last, which earlier
  readers do not know;
- ``formats``: a list of formats, each with all arguments of `cfloat.Format`;
- ``tensors``: an object with one for each tensor of codes (U8 or U16, under the tensor's own name):
  ``format``, an index into the list; ``bias``, an integer or the name of an I16 tensor in the same file;
  ``axis`` or ``block`` if that tensor has one bias a slice or a block, and both if blocks run along another
  axis than the last, or along adjacent axes, ascending, which count as one in row-major order: then ``axis``
  is a list; and if it is known what the codes were made of, ``dtype`` (safetensors' name), ``rounding``, and
  for stochastic rounding ``seed`` and ``offset``.

A tensor of biases has as many axes as the codes, each of length 1 or theirs.  If there are blocks, the axes
that they run along are one, which counts them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from cfloat._bias.bias_layout import check_blocks
from cfloat._convert.by_layout import BlockLayout
from cfloat._core.format import Format
from cfloat._core.presets import namesake
from cfloat._core.rounding import ROUNDING_MODES
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, FormatError

from .dtypes import DTYPES, stored_dtype
from .strict_json import parse_json
from .tensor_entry import Entry

KEY: Final = "cfloat"
VERSION: Final = "1"

#: Of a file in which blocks run along other axes than the last.
VERSION_ALONG: Final = "2"

#: What is put behind a tensor's name to name that of its biases.
BIAS_SUFFIX: Final = ".cfloat_bias"

_FORMAT_KEYS: Final = (
    "name", "exponent_bits", "mantissa_bits", "signed", "bias", "default_bias", "nonfinite", "subnormals",
    "saturating",
)  # fmt: skip


@dataclass(frozen=True)
class Description:
    """What there is to know of a tensor of codes.

    Attributes
    ----------
    format : Format
        The format of the codes.
    bias : int or str
        The bias, or the name of the tensor that has them.
    axis : int, tuple of int or None
        As `CFloatArray` has it.
    block : int or None
        As `CFloatArray` has it.
    dtype : str or None
        safetensors' name of the dtype that the values had.
    rounding : str or None
        How they were rounded.
    seed, offset : int or None
        The random stream of stochastic rounding, and the place in it of the first element.
    """

    format: Format
    bias: int | str
    axis: int | tuple[int, ...] | None = None
    block: int | None = None
    dtype: str | None = None
    rounding: str | None = None
    seed: int | None = None
    offset: int | None = None

    @property
    def is_along(self) -> bool:
        """Whether there are blocks along other axes than the last."""
        return self.axis is not None and self.block is not None

    def blocks(self, shape: tuple[int, ...]) -> BlockLayout | None:
        """Tell what blocks there are of codes of a shape."""
        return None if self.block is None else check_blocks(self.block, shape, self.axis)


def codes_entry(fmt: Format, shape: tuple[int, ...]) -> Entry:
    """Make the entry of a tensor of codes."""
    return Entry.of(stored_dtype(fmt.storage_dtype.name).name, shape)


def longest_bias(fmt: Format) -> int:
    """Find the bias of a format that takes most characters, for which a header must have room."""
    return max(fmt.bias_range, key=lambda bias: len(str(bias)))


def written(descriptions: Mapping[str, Description]) -> dict[str, str]:
    """Write safetensors' metadata that describe tensors."""
    formats: list[Format] = []
    tensors = {}
    for name, description in descriptions.items():
        if description.format not in formats:
            formats.append(description.format)
        said = {field.name: getattr(description, field.name) for field in fields(description)}
        said["format"] = formats.index(description.format)
        tensors[name] = {key: value for key, value in said.items() if value is not None}
    along = any(description.is_along for description in descriptions.values())
    value = {
        "version": VERSION_ALONG if along else VERSION,
        "formats": [fmt._arguments() for fmt in formats],
        "tensors": tensors,
    }
    return {KEY: json.dumps(value, separators=(",", ":"), ensure_ascii=False)}


def read(metadata: Mapping[str, str], entries: Mapping[str, Entry]) -> dict[str, Description]:
    """Read the descriptions of a file's tensors; ValueError if they contradict the file or themselves.

    Parameters
    ----------
    metadata : mapping of str to str
        safetensors' metadata.
    entries : mapping of str to Entry
        The tensors in the file.
    """
    if KEY not in metadata:
        return {}
    value = parse_json(metadata[KEY])
    # first of all: another version may look in any way
    version = value.get("version") if isinstance(value, dict) else None
    if version is None:
        raise ValueError("its cfloat metadata have no version")
    if version not in (VERSION, VERSION_ALONG):
        raise ValueError(
            f"its cfloat metadata are of version {shown(version)}; this cfloat reads versions {VERSION} and "
            f"{VERSION_ALONG}, and a newer one may read it"
        )
    _check_keys("cfloat metadata", value, ("version", "formats", "tensors"))
    if not isinstance(value["formats"], list) or not isinstance(value["tensors"], dict):
        raise ValueError("cfloat metadata: formats are a list, and tensors an object")
    formats = [_format(arguments) for arguments in value["formats"]]
    found: dict[str, Description] = {}
    for name, said in value["tensors"].items():
        both = isinstance(said, dict) and all(
            said.get(key) is not None for key in ("axis", "block")
        )
        if both and version == VERSION:
            raise ValueError(
                f"cfloat metadata of {shown(name)}: block is {shown(said['block'])} and axis "
                f"{shown(said['axis'])}, which version {VERSION} does not have together"
            )
        found[name] = _description(name, said, formats, entries)
    used: set[str] = set()
    for said in found.values():
        if not isinstance(said.bias, str):
            continue
        if said.bias in found or said.bias in used:
            raise ValueError(
                f"{shown(said.bias)} has the biases of a tensor, and is something else as well"
            )
        used.add(said.bias)
    return found


def _check_keys(
    what: str, said: object, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> None:
    if not isinstance(said, dict):
        raise ValueError(f"{what}: {shown(said)} where an object should be")
    for key in required:
        if key not in said:
            raise ValueError(f"{what}: there is no {key}")
    unknown = sorted(said.keys() - {*required, *optional})
    if unknown:
        raise ValueError(f"{what}: {shown(unknown[0])} is not known")


def _format(arguments: Any) -> Format:
    _check_keys("a format", arguments, _FORMAT_KEYS)
    if not isinstance(arguments["bias"], list):
        raise ValueError(f"a format: bias is {shown(arguments['bias'])}; it takes two integers")
    # all of them are there, so that none is derived
    if arguments["default_bias"] is None or arguments["saturating"] is None:
        raise ValueError("a format: default_bias and saturating may not be null")
    try:
        fmt = Format(**arguments)
    except (FormatError, ArgumentTypeError, OverflowError) as error:
        raise ValueError(f"a format: {error}") from None
    check_preset(fmt)
    return fmt


def check_preset(fmt: Format) -> None:
    """Refuse a format that is called as a preset and has other fields: ValueError."""
    preset = namesake(fmt)
    if preset is None:
        return
    for key in ("exponent_bits", "mantissa_bits", "signed"):
        own, named = getattr(fmt, key), getattr(preset, key)
        if own != named:
            raise ValueError(f"a format: {fmt.name} has {key} {named}, and this one {own}")


def _description(
    name: str, said: Any, formats: list[Format], entries: Mapping[str, Entry]
) -> Description:
    what = f"cfloat metadata of {shown(name)}"
    known = tuple(field.name for field in fields(Description))
    _check_keys(what, said, ("format", "bias"), known)
    number = said["format"]
    if type(number) is not int or not 0 <= number < len(formats):
        raise ValueError(f"{what}: format is {shown(number)}; there are {len(formats)}")
    fmt = formats[number]
    if name not in entries:
        raise ValueError(f"{what}: there is no such tensor")
    expected = codes_entry(fmt, entries[name].shape)
    if entries[name] != expected:
        raise ValueError(
            f"{what}: it is {entries[name].dtype}; codes of {fmt.name} are {expected.dtype}"
        )
    description = Description(**(said | {"format": fmt} | _axes(what, said)))
    _check_bias(what, description, entries[name].shape, entries)
    _check_origin(what, description)
    return description


def _axes(what: str, said: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Give several axes as a tuple, as `CFloatArray` has them; an empty dict if there are none."""
    axes = said.get("axis")
    if not isinstance(axes, list):
        return {}
    if len(axes) < 2 or any(type(axis) is not int for axis in axes):
        raise ValueError(f"{what}: axis is {shown(axes)}; a list has two integers or more")
    return {"axis": tuple(axes)}


def _check_bias(
    what: str, said: Description, shape: tuple[int, ...], entries: Mapping[str, Entry]
) -> None:
    if isinstance(said.bias, str):
        if said.bias not in entries:
            raise ValueError(f"{what}: its biases are in {shown(said.bias)}, which is not there")
        entry = entries[said.bias]
        if entry.dtype != "I16":
            raise ValueError(f"{what}: its biases are {entry.dtype}; they should be I16")
        _check_layout(what, said, shape, entry.shape)
        return
    if type(said.bias) is not int:
        raise ValueError(f"{what}: bias is {shown(said.bias)}; it takes an integer or a name")
    said.format.check_bias(said.bias)
    if said.axis is not None or said.block is not None:
        raise ValueError(f"{what}: one bias with an axis or a block")


def _check_layout(
    what: str, said: Description, shape: tuple[int, ...], biases: tuple[int, ...]
) -> None:
    if said.block is not None:
        _check_blocks(what, said, shape)
    blocks = said.blocks(shape)
    allowed = shape if blocks is None else blocks.counted(shape)
    counting = None if blocks is None else blocks.axes[0]
    fits = len(biases) == len(allowed) and all(
        length == own or (length == 1 and axis != counting)
        for axis, (length, own) in enumerate(zip(biases, allowed, strict=True))
    )
    if fits and blocks is None and said.axis is not None:
        axes = [axis for axis, length in enumerate(biases) if length != 1]
        fits = type(said.axis) is int and axes == [said.axis]
    if not fits:
        raise ValueError(
            f"{what}: biases of shape {biases} for codes of shape {shape}, axis {shown(said.axis)}, "
            f"block {shown(said.block)}"
        )


def _check_blocks(what: str, said: Description, shape: tuple[int, ...]) -> None:
    """Refuse blocks that no array of the shape has, and axes that are said in another way than is written."""
    fits = type(said.block) is int and said.block >= 1 and len(shape) > 0
    if fits and said.axis is not None:
        axes = said.axis if isinstance(said.axis, tuple) else (said.axis,)
        fits = all(type(axis) is int and 0 <= axis < len(shape) for axis in axes)
        fits = fits and axes == tuple(range(axes[0], axes[0] + len(axes)))
        fits = fits and axes != (len(shape) - 1,)
    if not fits:
        raise ValueError(
            f"{what}: block is {shown(said.block)}, axis {shown(said.axis)}, of codes of shape {shape}"
        )


def _check_origin(what: str, said: Description) -> None:
    if said.dtype is not None and said.dtype not in DTYPES:
        raise ValueError(f"{what}: dtype is {shown(said.dtype)}, which is not known")
    if said.rounding is not None and said.rounding not in ROUNDING_MODES:
        raise ValueError(f"{what}: rounding is {shown(said.rounding)}, which is not known")
    for key in ("seed", "offset"):
        value = getattr(said, key)
        if value is not None and not (type(value) is int and 0 <= value < 2**64):
            raise ValueError(f"{what}: {key} is {shown(value)}; it takes an integer of 64 bits")
        if (value is not None) != (said.rounding == "stochastic"):
            raise ValueError(f"{what}: {key} goes with stochastic rounding, and that with it")
