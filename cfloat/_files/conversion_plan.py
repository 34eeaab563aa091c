"""What to do with a checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from cfloat._bias.bias_methods import BiasMethod, check_range
from cfloat._bias.reduction import reduction_axes
from cfloat._compensate.round_compensated import OUTPUT
from cfloat._core.arguments import check_choice, integer
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.rounding import RoundingMode, check_rounding, check_seed
from cfloat._core.text import shown
from cfloat.errors import ArgumentValueError

from . import fp8
from .plan_file import TensorChoice, check_choices, layout_of

FloatName = Literal["float32", "float16", "bfloat16"]

#: Blocks along whatever axes products with a tensor add up.
REDUCTION: Final = "reduction"

#: How a bias can be chosen; an integer is one as well.
BIAS_METHODS: Final = ("max", "mse", "percentile", "mx", "default", OUTPUT)

#: What codes can be decoded to.
FLOAT_NAMES: Final = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Plan:
    """What to do with a checkpoint's tensors.

    Attributes
    ----------
    format : Format, str or None
        What to convert to, or its name; None to convert back, and in an export for CFloat8_1_4_3 with ieee
        subnormals.
    to : str or None
        What to convert back to: "float32", "float16" or "bfloat16".
    bias : int or str
        A bias for all, or how to choose them: "max", "mse", "percentile", "mx" or "default"; or where there
        are moments, "output", as in `round_compensated`, and "mse" of tensors without.
    axis : int, tuple of int, "reduction" or None
        One bias a slice, as in `cfloat.asarray`.  With `block`, what blocks run along, as there; or
        "reduction", the axes along which products with each tensor add up: all but the first, or those
        before the last of one that a model's class has transposed.
    block : int, (int, int) or None
        One bias for so many elements of the last axis, or along `axis`, as in `cfloat.asarray`; or in an
        export, one scale for so many rows and columns.
    rounding : str
        As in `cfloat.encode`.
    seed : int or None
        Of stochastic rounding; None draws one.
    include, exclude : sequence of str
        Patterns of `fnmatch` for the names of tensors that are converted, all if there are none, and of
        those that are not.
    ignore : sequence of str
        In an export, patterns for the names of tensors or modules that stay in full precision.
    export : bool
        Whether to write 8-bit floats beside scales, as compressed-tensors does, in place of codes and biases.
    dynamic : bool
        Whether an export has its readers quantize what goes into a layer, too.
    strict : bool
        Whether to refuse an export that would change values, and to leave out what cannot be read and is not
        excluded.
    tensors : mapping of str to TensorChoice, or None
        What each floating-point tensor becomes, by name, at the biases of the least squared error: in place
        of one format and its biases for all.  If they are of an export, it is one.
    """

    format: Format | str | None = None
    to: FloatName | None = None
    bias: int | BiasMethod | Literal["default", "output"] = "max"
    axis: int | tuple[int, ...] | Literal["reduction"] | None = None
    block: int | tuple[int, int] | None = None
    rounding: RoundingMode = "ties_to_even"
    seed: int | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    ignore: Sequence[str] = ()
    export: bool = False
    dynamic: bool = False
    strict: bool = False
    tensors: Mapping[str, TensorChoice] | None = None

    def of(self, name: str) -> "Plan":
        """Give what is to be done with one of the tensors that become codes."""
        if self.tensors is None:
            return self
        choice = self.tensors[name]
        return replace(
            self,
            format=choice.format,
            axis=choice.axis,
            block=choice.block,
            bias="mse",
            tensors=None,
        )

    def along_reduction(self, shape: tuple[int, ...], is_transposed: bool) -> "Plan":
        """Give the axes of a tensor in the place of "reduction"; the last axis is none."""
        if self.axis != REDUCTION:
            return self
        axes = reduction_axes(len(shape), is_transposed)
        return replace(self, axis=axes if axes != (len(shape) - 1,) and axes else None)

    def checked(self) -> "Plan":
        """Look a format's name up, and draw a seed; raise an error if the plan contradicts itself."""
        if self.to is not None:
            check_choice("to", self.to, FLOAT_NAMES)
            if self != Plan(
                to=self.to, include=self.include, exclude=self.exclude, strict=self.strict
            ):
                raise ArgumentValueError("converting back takes no format, bias or rounding")
            return self
        if self.tensors is not None:
            return self._checked_choices(self.tensors)
        if self.format is None and not self.export:
            raise ArgumentValueError(
                "neither a format to convert to, nor a dtype to convert back to"
            )
        # no other is exported
        fmt = fp8.EXPORTED if self.format is None else as_format(self.format)
        block = self._checked_block()
        axis = self._checked_axis()
        check_rounding(self.rounding, (), self.seed)
        if isinstance(self.bias, str) and self.bias not in BIAS_METHODS:
            raise ArgumentValueError(
                f"bias is {shown(self.bias)}; it takes an integer or one of {', '.join(BIAS_METHODS)}"
            )
        if self.export:
            self._check_export(fmt)
            if self.dynamic and block is None:
                axis = 0
        else:
            given = {"ignore": self.ignore, "dynamic": self.dynamic}
            for name in (name for name, value in given.items() if value):
                raise ArgumentValueError(f"{name} goes with an export")
        check_range("bias", self.bias, fmt)
        if not isinstance(self.bias, str):
            fmt.check_bias(self.bias)
        seed = check_seed(self.seed) if self.rounding == "stochastic" else None
        return replace(self, format=fmt, seed=seed, axis=axis, block=block)

    def _checked_choices(self, tensors: Mapping[str, TensorChoice]) -> "Plan":
        check_choices(tensors)
        own = Plan(tensors=tensors, rounding=self.rounding, seed=self.seed, strict=self.strict)
        layout = layout_of(tensors)
        whole = own
        if layout is not None:
            whole = replace(own, export=True, axis=layout.axis, block=layout.block)
        # what is checked already is as well
        if self not in (own, whole, replace(own, export=whole.export)):
            raise ArgumentValueError(
                "a plan of each tensor takes no format, bias, pattern or export for all of them"
            )
        check_rounding(self.rounding, (), self.seed)
        return replace(whole, seed=check_seed(self.seed) if self.rounding == "stochastic" else None)

    def _checked_axis(self) -> int | tuple[int, ...] | Literal["reduction"] | None:
        """Give axes as integers, or say what is allowed."""
        if self.axis is None:
            return None
        if self.block is None:
            if isinstance(self.axis, tuple) or self.axis == REDUCTION:
                raise ArgumentValueError(
                    f"axis is {shown(self.axis)}, and there is no block; it takes an integer, and with block "
                    "several"
                )
            return integer("axis", self.axis)
        if self.export:
            raise ArgumentValueError(
                "axis and block are both given; an export's scales are one a row or one a block"
            )
        if self.axis == REDUCTION:
            return REDUCTION
        given = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        return tuple(integer("axis", axis) for axis in given)

    def _checked_block(self) -> int | tuple[int, int] | None:
        """Give the block as integers, or say what is allowed."""
        if self.block is None:
            return None
        if not isinstance(self.block, tuple):
            length = integer("block", self.block, 1)
            if self.export:
                raise ArgumentValueError(
                    f"block is {length}; an export takes rows and columns, such as 1x{length} or 128x128"
                )
            return length
        if len(self.block) != 2:
            raise ArgumentValueError(f"block is {shown(self.block)}; it takes rows and columns")
        rows, columns = (integer("block", length, 1) for length in self.block)
        if not self.export:
            raise ArgumentValueError(
                f"block is {rows}x{columns}; codes have biases for N consecutive elements, and blocks of "
                "rows and columns go with an export"
            )
        return rows, columns

    def _check_export(self, fmt: Format) -> None:
        if fp8.exported_format(fmt) is None:
            why = ""
            if fp8.stored_format(fmt) is not None:
                why = ": compressed-tensors has no E5M2, and its readers would take the codes for E4M3's"
            raise ArgumentValueError(f"format is {fmt.name}; an export takes CFloat8_1_4_3{why}")
        if self.axis not in (None, 0):
            raise ArgumentValueError(
                f"axis is {shown(self.axis)}; an export takes one scale a tensor, one a row (axis 0) or one "
                "a block of rows and columns"
            )
