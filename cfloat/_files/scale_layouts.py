"""Codes that lie beside scales, as quantised checkpoints have them: which tensors belong together, and how.

A value is ``(code - zero point) * scale``, where a scale is for the whole tensor, or for so many elements
along each axis.  `_NAMES` has the names that belong together, and a `Coding` how codes are stored; whatever
else lies beside codes and is called a scale is refused, for without it the codes are no values.

Who writes what: compressed-tensors ``weight`` or ``weight_packed`` beside ``weight_scale`` (NVFP4's with
``weight_global_scale``, by which scales are divided); DeepSeek ``weight_scale_inv``, a factor as well;
NVIDIA's ModelOpt ``weight_scale`` and ``weight_scale_2``; ComfyUI ``scale_weight``; torchao
``_weight_qdata`` beside ``_weight_scale``.
"""

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from cfloat._core.text import printable
from cfloat.errors import FileError

from .out_of_reach import OutOfReach
from .paths import shown_path
from .quantization_hints import Hints, read_hints
from .tensor_entry import Entry
from .tensor_names import Near, split
from .tensor_source import Source


class Coding(NamedTuple):
    """How codes are stored.

    Attributes
    ----------
    name : str
        What NumPy, ml_dtypes and PyTorch call the dtype of one.
    stored : str
        safetensors' name of the dtype of what they are stored in.
    bits : int
        Bits of a code; several lie in an element of that dtype if it has more.
    scales : dict of str to (int or None)
        The dtypes that scales may have, and for how many elements of the last axis one is, if it is said.
    """

    name: str
    stored: str
    bits: int
    scales: dict[str, int | None]

    @property
    def is_packed(self) -> bool:
        """Whether several codes lie in an element."""
        return self.bits != _WIDTHS[self.stored]


_WIDTHS: Final = {
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I8": 8, "U8": 8, "I32": 32,
}  # fmt: skip
_REAL: Final[dict[str, int | None]] = dict.fromkeys(("F32", "BF16", "F16", "F64"))
#: Powers of two, as OCP's microscaling formats have them.  Bytes are taken for them only in blocks of 32.
_POWERS: Final[dict[str, int | None]] = {"F8_E8M0": None, "U8": 32}
_MX: Final[dict[str, int | None]] = {"F8_E8M0": 32, "U8": 32}
#: What scales are, and nothing else need say so but their names.
_SCALES: Final = frozenset((*_REAL, "F8_E8M0"))

E4M3: Final = Coding("float8_e4m3fn", "F8_E4M3", 8, _REAL | _POWERS)
E5M2: Final = Coding("float8_e5m2", "F8_E5M2", 8, _REAL | _POWERS)
_FNUZ: Final = tuple(
    Coding(f"float8_{bits}fnuz", f"F8_{bits.upper()}FNUZ", 8, _REAL | _POWERS)
    for bits in ("e4m3", "e5m2")
)
INT8: Final = Coding("int8", "I8", 8, _REAL)
E2M1: Final = Coding("float4_e2m1fn", "U8", 4, _MX | {"F8_E4M3": 16})
E2M3: Final = Coding("float6_e2m3fn", "U8", 6, _MX)
#: compressed-tensors' integers in words of 32 bits, with an offset that makes them positive.
_INTS: Final = tuple(Coding(f"int{bits}", "I32", bits, _REAL) for bits in (2, 4, 8))


class _Names(NamedTuple):
    """Names of tensors that belong together, where ``{}`` stands for the name of what they are together."""

    codes: str
    codings: tuple[Coding, ...]
    scales: tuple[str, ...]
    zero_point: str | None = None
    # a scale for all scales, and whether these are divided by it
    scale_of_scales: tuple[tuple[str, bool], ...] = ()
    shape: str | None = None


#: The names of what is read, the most usual first.
_NAMES: Final = (
    _Names(
        "{}_packed",
        (E2M1, E2M3, *_INTS),
        ("{}_scale",),
        "{}_zero_point",
        (("{}_global_scale", True),),
        "{}_shape",
    ),
    _Names(
        "_{}_qdata",
        (E4M3, E5M2, *_FNUZ, INT8, E2M1),
        ("_{}_scale",),
        "_{}_zero_point",
        (("_{}_per_tensor_scale", False),),
    ),
    _Names(
        "{}",
        (E4M3, E5M2, *_FNUZ, INT8, E2M1),
        ("{}_scale", "{}_scale_inv"),
        "{}_zero_point",
        (("{}_scale_2", False),),
    ),
)

#: Names of scales in a module whose only tensor of codes is called ``weight``.
_OF_WEIGHT: Final = ("scale_weight", "scale")

#: What belongs to a module with codes, and says nothing of their values: the scales of what goes in and comes
#: out, and ComfyUI's notes.
_BESIDE: Final = re.compile(
    r"(.*_)?(input|output)_(scale|global_scale|zero_point)|scale_input|comfy_quant|[qkv]_scale|kv_scale"
)

#: What is called a scale, whatever it is one of; and what is called so in networks that have no codes.
_SCALE: Final = re.compile(
    r"(.*_)?((de|inv|q|re|w)?scales?|scaling|scb|absmax|amax)(_.*)?"
    r"|(?-i:.*[a-z0-9](Scale|Scaling)s?([A-Z_].*)?)",
    re.IGNORECASE,
)
_LEARNED: Final = re.compile(r"(.*_)?(logit|layer)_?scale.*|scale_shift_table")
#: What is nothing but a scale, even where no codes are.
_NOTHING_ELSE: Final = re.compile(r"weight_(scale(_inv|_2)?|global_scale)|scale_weight")

_NARROW: Final = re.compile(r"F[468]_(?!E8M0).*|F4")
_INTEGERS: Final = ("I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64")

#: Numbers beside codes that are no scales of theirs: what layers, norms and optimizers call their own.
_WEIGHTS: Final = re.compile(
    r"(.*_)?(weights?|bias(es)?|kernels?|embed(ding)?s?|norm|gamma|beta|table|tokens?|mean|var|mask|orig)"
    r"|(.*_)?(weight|bias)_([guv]|[ih]h_l\d+(_reverse)?)|original\d*|\d+"
    r"|(max_)?exp_avg(_sq)?|momentum_buffer|step|lora_[ab]|alpha|a_log|d|(inv_)?freqs?",
    re.IGNORECASE,
)
_MARKER: Final = "scaled_fp8"  # ComfyUI's, for a whole file


class Scaled(NamedTuple):
    """A tensor whose codes lie beside scales.

    Attributes
    ----------
    name : str
        What it is called as a whole.
    codes, scale : str
        The tensors that have them.
    coding : Coding
        How codes are stored.
    shape : tuple of int
        Of the values.
    blocks : tuple of int
        For how many elements along each axis a scale is.
    counts : tuple of int
        How many scales there are along each axis.
    zero_point, scale_of_scales : str or None
        The tensors that have these.
    is_divisor : bool
        Whether scales are divided by the scale of scales.
    others : tuple of str
        What else belongs to it, and says nothing of its values.
    """

    name: str
    codes: str
    scale: str
    coding: Coding
    shape: tuple[int, ...]
    blocks: tuple[int, ...]
    counts: tuple[int, ...]
    zero_point: str | None = None
    scale_of_scales: str | None = None
    is_divisor: bool = False
    others: tuple[str, ...] = ()

    @property
    def beside(self) -> tuple[str, ...]:
        """All tensors that belong to it but the codes."""
        more = (self.zero_point, self.scale_of_scales)
        return (self.scale, *(name for name in more if name is not None), *self.others)

    @property
    def entry(self) -> Entry:
        """The tensor as a whole: with the name of its codes' dtype, and their bytes."""
        dtype = f"{self.coding.name} packed" if self.coding.is_packed else self.coding.stored
        return Entry(dtype, self.shape, -(-math.prod(self.shape) * self.coding.bits // 8))


class Layouts(NamedTuple):
    """What a file has of codes beside scales.

    Attributes
    ----------
    scaled : dict of str to Scaled
        These tensors by name.
    scales : frozenset of str
        Scales that belong to none of them: of a cache of keys and values, or of codes in another file.
    """

    scaled: dict[str, Scaled]
    scales: frozenset[str]


def find_layouts(source: Source, taken: Collection[str]) -> Layouts:
    """Find the tensors of codes beside scales.

    Parameters
    ----------
    source : Source
        The file.
    taken : collection of str
        Names of tensors that are something else: CFloat codes, and their biases.

    Raises
    ------
    FileError
        If a scale is not understood that codes have beside them, or lack where others have one.
    """
    entries = {name: entry for name, entry in source.entries.items() if name not in taken}
    search = _Search(source, entries)
    scaled = search.run()
    claimed = {name for each in scaled.values() for name in (each.codes, *each.beside)}
    scales = {
        name
        for name, entry in entries.items()
        if name not in claimed and entry.dtype in _SCALES and _is_scale(_leaf(name), bool(scaled))
    }
    return Layouts(scaled, frozenset(scales))


def _is_scale(leaf: str, is_quantised: bool) -> bool:
    """Whether a tensor of no codes is a scale all the same; a norm's ``scale`` is its weight."""
    if _NOTHING_ELSE.fullmatch(leaf):
        return True
    called = _SCALE.fullmatch(leaf) and "_" in leaf and not _LEARNED.fullmatch(leaf)
    return is_quantised and bool(called or _BESIDE.fullmatch(leaf))


def _leaf(name: str) -> str:
    return split(name)[1]


def _calls_scale(name: str, *more: str) -> bool:
    """Whether a tensor's name says that it is a scale, or has one more word, and may be one of codes."""
    leaf = _leaf(name)
    if _LEARNED.fullmatch(leaf) or _BESIDE.fullmatch(leaf):
        return False
    return _SCALE.fullmatch(leaf) is not None or any(word in leaf for word in more)


def _may_be_scale(name: str, entry: Entry) -> bool:
    """Whether a tensor has no name that would say what it is, and numbers as scales are."""
    leaf = _leaf(name)
    is_known = _WEIGHTS.fullmatch(leaf) or _LEARNED.fullmatch(leaf) or _BESIDE.fullmatch(leaf)
    return entry.dtype in _SCALES and not is_known


class _Search:
    """The search through a file for codes and scales that belong together."""

    def __init__(self, source: Source, entries: Mapping[str, Entry]) -> None:
        self._source = source
        self._entries = entries
        self._hints: Hints | None = None
        self._claimed: set[str] = set()
        self._scales = Near(name for name in entries if _calls_scale(name))
        self._others = Near(name for name in entries if _BESIDE.fullmatch(_leaf(name)))

    def run(self) -> dict[str, Scaled]:
        found: dict[str, Scaled] = {}
        # packed ones first: their scales may be 8-bit floats
        candidates = [name for name in self._entries if self._may_be_codes(name)]
        candidates.sort(key=lambda name: (self._entries[name].dtype.startswith("F"), name))
        left = []
        for name in candidates:
            if name in self._claimed:
                continue
            scaled = self._of_codes(name)
            if scaled is None:
                left.append(name)
                continue
            if scaled.name in found or (scaled.name != name and scaled.name in self._entries):
                raise self._refusal(name, scaled.scale, f"there are two tensors {scaled.name}")
            found[scaled.name] = scaled
        for name in left:
            if name not in self._claimed:
                self._check_plain(name, found)
        for each in found.values():
            self._check_reach(each.codes)
        return {name: self._with_others(found[name]) for name in sorted(found)}

    def _may_be_codes(self, name: str) -> bool:
        dtype = self._entries[name].dtype
        if _leaf(name) == _MARKER:
            return False
        return bool(_NARROW.fullmatch(dtype)) or dtype in _INTEGERS

    def _of_codes(self, name: str) -> Scaled | None:
        """Find what belongs to a tensor that may be codes; None if no scale does."""
        prefix, leaf = split(name)
        for names in _NAMES:
            before, after = names.codes.split("{}")
            if not (leaf.startswith(before) and leaf.endswith(after)):
                continue
            own = leaf.removeprefix(before).removesuffix(after)
            scales = [scale.format(own) for scale in names.scales]
            if own == "weight" and names.codes == "{}":
                scales += _OF_WEIGHT
            there = [prefix + scale for scale in scales if prefix + scale in self._entries]
            if len(there) > 1:
                raise self._refusal(name, there[1], f"{printable(there[0])} is its scale as well")
            if there and own and there[0] not in self._claimed:
                return self._layout(name, prefix, own, names, there[0])
        return None

    def _layout(self, name: str, prefix: str, own: str, names: _Names, scale: str) -> Scaled:
        entries = self._entries
        zero_point = self._there(prefix, own, names.zero_point)
        shape = self._there(prefix, own, names.shape)
        of_scales = [
            (there, is_divisor)
            for pattern, is_divisor in names.scale_of_scales
            if (there := self._there(prefix, own, pattern)) is not None
        ]
        order = self._there(prefix, own, "{}_g_idx")
        if order is not None:
            raise self._refusal(
                name,
                scale,
                f"its columns are in the order of {printable(order)}, which is not read",
            )
        coding, lengths = self._coding(name, scale, names, shape, prefix + own)
        blocks, counts = self._blocks(name, scale, coding, lengths, prefix + own)
        if zero_point is not None:
            self._check_zero_point(name, scale, zero_point, coding, lengths, counts)
        for there, _ in of_scales:
            if entries[there].size != 1 or entries[there].dtype not in _REAL:
                raise self._refusal(name, there, "that is not one number")
            if coding is not E2M1:
                raise self._refusal(name, there, "only FP4 has a scale of scales")
        others = () if shape is None else (shape,)
        self._claimed |= {name, scale, *others, *(there for there, _ in of_scales)}
        if zero_point is not None:
            self._claimed.add(zero_point)
        self._check_said(prefix + own, name, scale)
        return Scaled(
            prefix + own, name, scale, coding, lengths, blocks, counts, zero_point,
            of_scales[0][0] if of_scales else None, bool(of_scales and of_scales[0][1]), others,
        )  # fmt: skip

    def _there(self, prefix: str, own: str, pattern: str | None) -> str | None:
        name = None if pattern is None else prefix + pattern.format(own)
        return name if name in self._entries else None

    def _coding(
        self, name: str, scale: str, names: _Names, shape: str | None, whole: str
    ) -> tuple[Coding, tuple[int, ...]]:
        """Find how codes are stored, and the shape of the values."""
        entry = self._entries[name]
        dtype = self._entries[scale].dtype
        fitting = [each for each in names.codings if each.stored == entry.dtype]
        if not fitting:
            raise self._refusal(name, scale, f"{printable(entry.dtype)} beside scales is not read")
        fitting = [each for each in fitting if dtype in each.scales]
        if not fitting:
            raise self._refusal(name, scale, f"scales of {printable(dtype)} are not read here")
        if not fitting[0].is_packed:
            return fitting[0], entry.shape
        if not entry.shape:
            raise self._refusal(name, scale, "packed codes of no axes")
        if entry.dtype == "I32":
            return self._coding_of_words(name, scale, shape, fitting, whole)
        # bytes: as many scales along the last axis tell 4 bits from 6
        counts = self._entries[scale].shape
        for coding in fitting:
            length, rest = divmod(entry.shape[-1] * 8, coding.bits)
            block = coding.scales[dtype]
            if counts and block and not rest and length == counts[-1] * block:
                return coding, (*entry.shape[:-1], length)
        raise self._refusal(name, scale, self._shapes(name, scale))

    def _coding_of_words(
        self, name: str, scale: str, shape: str | None, fitting: list[Coding], whole: str
    ) -> tuple[Coding, tuple[int, ...]]:
        words = self._entries[name].shape
        if shape is None or self._entries[shape] != Entry.of("I64", (len(words),)):
            raise self._refusal(name, scale, "the shape of what is packed is not beside it")
        raw = np.empty(8 * len(words), np.uint8)
        self._source.read_into(shape, 0, raw)
        lengths = tuple(int(length) for length in raw.view("<i8"))
        found = [
            coding
            for coding in fitting
            if min(lengths) > 0
            and words == (*lengths[:-1], -(-lengths[-1] * coding.bits // 32))
            and self._hinted(whole).allow_bits(coding.bits)
        ]
        if len(found) != 1:
            raise self._refusal(
                name, scale, f"{words} words for codes of shape {lengths}, bits unknown"
            )
        return found[0], lengths

    def _blocks(
        self, name: str, scale: str, coding: Coding, lengths: tuple[int, ...], whole: str
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Find for how many elements along each axis a scale is, and how many scales there are."""
        counts = self._entries[scale].shape
        if math.prod(counts) == 1:
            counts = (1,) * len(lengths)
        elif len(counts) == 1 and lengths and counts[0] == lengths[0]:
            counts = (*counts, *(1 for _ in lengths[1:]))
        if len(counts) != len(lengths) or 0 in counts:
            raise self._refusal(name, scale, self._shapes(name, scale))
        said = coding.scales[self._entries[scale].dtype]
        if said is not None and (
            counts[:-1] != lengths[:-1] or counts[-1] != -(-lengths[-1] // said)
        ):
            raise self._refusal(name, scale, self._shapes(name, scale))
        blocks = []
        for axis, (length, count) in enumerate(zip(lengths, counts, strict=True)):
            is_last = axis == len(lengths) - 1
            if said is not None and is_last:
                blocks.append(said)
                continue
            possible = sorted(_possible_blocks(length, count))
            if len(possible) != 1 or count not in (1, length):
                hints = self._hinted(whole)
                named = hints.columns if is_last else hints.rows
                hinted = {block for block in named if -(-length // block) == count}
                if scale.endswith("_scale_inv") and not hinted and 128 in possible:
                    hinted = {128}
                possible = sorted(hinted) if hinted else possible
            if len(possible) != 1:
                reason = self._shapes(name, scale)
                if possible:
                    reason += (
                        f"; a scale may be for {' or '.join(map(str, possible))} along axis {axis}"
                    )
                raise self._refusal(name, scale, reason)
            blocks.append(possible[0])
        return tuple(blocks), counts

    def _check_zero_point(
        self,
        name: str,
        scale: str,
        zero_point: str,
        coding: Coding,
        lengths: tuple[int, ...],
        counts: tuple[int, ...],
    ) -> None:
        entry = self._entries[zero_point]
        allowed = [Entry.of(dtype, self._entries[scale].shape) for dtype in ("I8", coding.stored)]
        if coding.stored == "I32":
            # packed along the rows
            packed = (-(-lengths[0] * coding.bits // 32), *counts[1:])
            is_matrix = len(lengths) == 2 and counts[0] == lengths[0]
            allowed = [Entry.of("I32", packed)] if is_matrix else []
        if entry not in allowed or coding.name.startswith("float4"):
            raise self._refusal(name, zero_point, "that zero point is not read here")

    def _check_said(self, whole: str, name: str, scale: str) -> None:
        """Refuse what torchao's metadata say of the order of scales, if it is another."""
        try:
            said = json.loads(self._source.metadata.get(whole, "{}"))
        except (ValueError, RecursionError):
            return
        data = said.get("_data") if isinstance(said, dict) else None
        if isinstance(data, dict) and data.get("is_swizzled_scales"):
            raise self._refusal(name, scale, "swizzled scales are not read")

    def _check_plain(self, name: str, found: Mapping[str, Scaled]) -> None:
        """Refuse codes that have no scale which is understood, if they have one, or should."""
        entry = self._entries[name]
        beside = next(self._scales_beside(name), None)
        if beside is not None:
            raise self._refusal(name, beside, "no layout that is read here has such names")
        unnamed = next(self._unnamed_beside(name), None)
        if unnamed is not None:
            raise self._refusal(name, unnamed, "it may be one, as nothing says what else it is")
        self._check_reach(name)
        if self._elsewhere.is_unknown and _NARROW.fullmatch(entry.dtype) and len(entry.shape) > 1:
            raise FileError(
                f"{shown_path(self._source.path)}: {printable(name)} is {printable(entry.dtype)}, and "
                "may have a scale in another part of the checkpoint: open the index of its parts, "
                "which is not here"
            )
        like = next(
            (
                each
                for each in found.values()
                if _leaf(each.codes) == _leaf(name) and each.coding.stored == entry.dtype
            ),
            None,
        )
        if like is not None and _NARROW.fullmatch(entry.dtype) and len(entry.shape) > 1:
            raise FileError(
                f"{shown_path(self._source.path)}: {printable(name)} has no scale beside it, as "
                f"{printable(like.codes)} has {printable(like.scale)}"
            )

    def _check_reach(self, name: str) -> None:
        """Refuse codes that have a scale, or a zero point, which cannot be read with them."""
        for other in self._out_of_reach.of(name):
            if self._entries[name].dtype in _INTEGERS and not self._go_together(name, other):
                continue
            why = self._elsewhere.names[other]
            raise FileError(
                f"{shown_path(self._source.path)}: {printable(name)} has a scale or a zero point, "
                f"{printable(other.removeprefix(split(name)[0]))}, which {why}"
            )

    @cached_property
    def _out_of_reach(self) -> Near:
        names = self._elsewhere.names
        return Near(name for name in names if _calls_scale(name, "zero_point"))

    @cached_property
    def _unnamed(self) -> Near:
        return Near(name for name, entry in self._entries.items() if _may_be_scale(name, entry))

    @cached_property
    def _elsewhere(self) -> OutOfReach:
        return OutOfReach(self._source)

    def _scales_beside(self, name: str) -> Iterator[str]:
        """Give the scales beside what may be codes, that no other codes have."""
        dtype = self._entries[name].dtype
        for other in self._scales.of(name):
            if other == name or other in self._claimed:
                continue
            if self._entries[other].dtype == dtype and dtype not in _INTEGERS:
                continue  # a network whose numbers all are 8-bit floats
            if dtype in _INTEGERS and not self._go_together(name, other):
                continue
            yield other

    def _unnamed_beside(self, name: str) -> Iterator[str]:
        """Give what may be a scale of codes whatever it is called: fewer numbers, and no known name."""
        entry = self._entries[name]
        prefix, leaf = split(name)
        if len(entry.shape) < 2 or (entry.dtype in _INTEGERS and not _names_weights(leaf)):
            return
        for other in self._unnamed.of(name):
            # what is in no module may be of any layer
            if not prefix and not other.startswith(f"{leaf}_") and not split(other)[0]:
                continue
            if other not in self._claimed and self._entries[other].size < entry.size:
                yield other

    def _go_together(self, name: str, scale: str) -> bool:
        """Whether a scale may be of integers, which may be anything else but codes."""
        entry, leaf = self._entries[name], _leaf(name)
        own = re.sub(r"^_|_(packed|blocks|data|qdata|quantized)$", "", leaf)
        if _leaf(scale).lstrip("_").startswith(own) or _names_weights(leaf):
            return True
        # indices have 64 bits: no codes do, unless they are called so
        return len(entry.shape) > 1 and not entry.dtype.endswith("64")

    def _with_others(self, scaled: Scaled) -> Scaled:
        """Add what lies in its module and says nothing of its values."""
        others = [
            other
            for other in self._others.of(scaled.codes)
            if other not in self._claimed and split(other)[0] == split(scaled.codes)[0]
        ]
        unknown = [name for name in self._scales_beside(scaled.codes) if name not in others]
        if unknown:
            raise self._refusal(scaled.codes, unknown[0], "its meaning is not known")
        self._claimed.update(others)
        return scaled._replace(others=(*scaled.others, *others))

    def _hinted(self, whole: str) -> Hints:
        if self._hints is None:
            self._hints = read_hints(self._source.path)
        return self._hints.with_metadata(self._source.metadata.get(whole))

    def _shapes(self, name: str, scale: str) -> str:
        own, other = self._entries[name].shape, self._entries[scale].shape
        return f"scales of shape {other} for codes of shape {own}"

    def _refusal(self, name: str, scale: str, reason: str) -> FileError:
        return FileError(
            f"{shown_path(self._source.path)}: {printable(name)} has {printable(scale)} beside it, "
            f"a scale that is not understood: {reason}"
        )


def _names_weights(leaf: str) -> bool:
    return "weight" in leaf or leaf in ("W_q", "_data", "kernel")


def _possible_blocks(length: int, count: int) -> set[int]:
    """Find what a block's length may be, of which so many cover an axis; the usual ones are powers of two."""
    if count == 1:
        return {max(length, 1)}
    found = {1 << shift for shift in range(2, 31) if -(-length // (1 << shift)) == count}
    if length % count == 0:
        found.add(length // count)
    return found
