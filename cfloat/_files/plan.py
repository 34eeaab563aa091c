"""What to do with a checkpoint, and what was done."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from cfloat._bias.methods import BiasMethod
from cfloat._core.flags import Flags
from cfloat._core.format import Format
from cfloat._core.rounding import RoundingMode, check_rounding, check_seed
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from . import fp8

FloatName = Literal["float32", "float16", "bfloat16"]

#: How a bias can be chosen; an integer is one as well.
BIAS_METHODS: Final = ("max", "mse", "percentile", "default")

#: What codes can be decoded to, and safetensors' names.
FLOAT_NAMES: Final = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


@dataclass(frozen=True)
class Plan:
    """What to do with a checkpoint's tensors.

    Attributes
    ----------
    format : Format or None
        What to convert to; None to convert back.
    to : str or None
        What to convert back to: "float32", "float16" or "bfloat16".
    bias : int or str
        A bias for all, or how to choose them: "max", "mse", "percentile" or "default".
    axis, block : int or None
        One bias a slice, or a block, as in `cfloat.asarray`.
    rounding : str
        As in `cfloat.encode`.
    seed : int or None
        Of stochastic rounding; None draws one.
    include, exclude : sequence of str
        Patterns of `fnmatch` for the names of tensors that are converted, all if there are none, and of
        those that are not.
    export : bool
        Whether to write 8-bit floats beside scales, as compressed-tensors does, in place of codes and biases.
    strict : bool
        Whether to refuse an export that would change values.
    """

    format: Format | None = None
    to: FloatName | None = None
    bias: int | BiasMethod | Literal["default"] = "max"
    axis: int | None = None
    block: int | None = None
    rounding: RoundingMode = "ties_to_even"
    seed: int | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    export: bool = False
    strict: bool = False

    def checked(self) -> "Plan":
        """Return the plan with its seed; raise an error if it contradicts itself."""
        if self.to is not None:
            if self.to not in FLOAT_NAMES:
                raise ArgumentValueError(
                    f"to is {shown(self.to)}; it takes one of {', '.join(FLOAT_NAMES)}"
                )
            if self != Plan(to=self.to, include=self.include, exclude=self.exclude):
                raise ArgumentValueError("converting back takes no format, bias or rounding")
            return self
        if self.format is None and not self.export:
            raise ArgumentValueError(
                "neither a format to convert to, nor a dtype to convert back to"
            )
        if self.format is not None and not isinstance(self.format, Format):
            raise ArgumentTypeError(f"format is {shown(self.format)}; it takes a cfloat.Format")
        if self.axis is not None and self.block is not None:
            raise ArgumentValueError(
                "axis and block are both given; biases are one a slice or one a block"
            )
        if self.block is not None and self.block < 1:
            raise ArgumentValueError(f"block is {self.block}; it takes an integer from 1 on")
        check_rounding(self.rounding, (), self.seed)
        if isinstance(self.bias, str) and self.bias not in BIAS_METHODS:
            raise ArgumentValueError(
                f"bias is {shown(self.bias)}; it takes an integer or one of {', '.join(BIAS_METHODS)}"
            )
        if self.export:
            _check_export(self)
        elif self.strict:
            raise ArgumentValueError("strict goes with an export")
        if self.format is not None and not isinstance(self.bias, str):
            self.format.check_bias(self.bias)
        if self.rounding == "stochastic":
            return replace(self, seed=check_seed(self.seed))
        return replace(self, seed=None)


def _check_export(plan: Plan) -> None:
    if plan.format is not None and fp8.stored_format(plan.format) is None:
        raise ArgumentValueError(
            f"format is {plan.format.name}; an export as 8-bit floats takes CFloat8_1_4_3 or CFloat8_1_5_2"
        )
    if plan.block is not None or plan.axis not in (None, 0):
        raise ArgumentValueError(
            "an export takes one scale a tensor, or one a row: axis 0, no block"
        )


@dataclass
class Summary:
    """What a conversion did.

    Attributes
    ----------
    converted, copied : list of str
        Names of the tensors that were converted, and that were copied byte for byte.
    bytes_in, bytes_out : int
        Bytes of the tensors as they were, and of the files written.
    elements : int
        Elements that were converted.
    flags : Flags
        Counts of elements: ``overflow`` were too large, ``underflow`` too small to be exact, and
        ``invalid`` NaN or, in an unsigned format, negative.
    recoded, changed : int
        In an export, elements whose codes another code stands for, and of those the ones whose value is
        another.
    seed : int or None
        Of stochastic rounding.
    files : list of Path
        The files written.
    """

    converted: list[str] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    bytes_in: int = 0
    bytes_out: int = 0
    elements: int = 0
    flags: Flags = field(default_factory=Flags)
    recoded: int = 0
    changed: int = 0
    seed: int | None = None
    files: list[Path] = field(default_factory=list)

    def add(self, other: "Summary") -> None:
        """Add what was done to other tensors, or to other parts of one."""
        self.converted += other.converted
        self.copied += other.copied
        self.elements += other.elements
        self.flags.add(other.flags)
        self.recoded += other.recoded
        self.changed += other.changed

    def to_text(self) -> str:
        """Return the summary in a few lines."""
        ratio = self.bytes_in / self.bytes_out if self.bytes_out else float("nan")
        lines = [
            f"{len(self.converted)} tensors converted, {len(self.copied)} copied",
            f"{self.bytes_in} bytes of tensors in, {self.bytes_out} bytes out, ratio {ratio:.2f}",
        ]
        if self.flags:
            lines.append(
                f"of {self.elements} elements: {self.flags.overflow} too large, {self.flags.underflow} too "
                f"small to be exact, {self.flags.invalid} invalid"
            )
        if self.recoded:
            lines.append(
                f"{self.recoded} codes changed, and {self.changed} of the values with them"
            )
        if self.seed is not None:
            lines.append(f"seed {self.seed}")
        return "\n".join(lines)
