"""What a report says of a tensor, as records."""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, NamedTuple

from cfloat._bias.histogram import CodeUse
from cfloat._core.public_names import public
from cfloat._metrics.error import ErrorStats

#: Distributions whose error theory predicts, in the order of a report's columns.
THEORY = ("normal", "uniform", "laplace")

#: What rows have of the outputs of products, where their inputs are known.
OUTPUTS: Final = ("output_db", "compensated_db")


@public
@dataclass(frozen=True)
class SubnormalCost:
    """What the whitepaper's reading of a denormal costs a tensor (docs/spec.md 2.1).

    Attributes
    ----------
    ieee_bias : int
        The bias with the least squared error under the ieee reading.
    ieee_sqnr_db : float
        The SQNR there, in dB.
    gain_db : float
        How much that is above the whitepaper reading's at its own best bias, in dB.
    default_gain_db : float
        The same with the format's default bias for both, in dB.
    """

    ieee_bias: int
    ieee_sqnr_db: float
    gain_db: float
    default_gain_db: float


@public
@dataclass(frozen=True)
class SubnormalRow:
    """What the whitepaper's reading of a denormal costs one tensor in one format.

    Attributes
    ----------
    tensor, format : str
        Names of the tensor and the format.
    sqnr_db : float
        The SQNR in dB under that reading, at the bias of the least squared error.
    cost : SubnormalCost
        What it costs.
    """

    tensor: str
    format: str
    sqnr_db: float
    cost: SubnormalCost


@public
@dataclass(frozen=True)
class BiasCurve:
    """The SQNR at every bias that a format allows.

    Attributes
    ----------
    first : int
        The least bias.
    sqnr_db : tuple of float
        The SQNR in dB at it and at those that follow.
    plateau : tuple of int
        The first and the last of the biases around the best whose SQNR is within 0.1 dB of it.
    """

    first: int
    sqnr_db: tuple[float, ...]
    plateau: tuple[int, int]


@public
@dataclass(frozen=True)
class Window:
    """The exponents, to base 2, of what a format has at a bias.

    Attributes
    ----------
    smallest_subnormal : int or None
        Of the smallest subnormal; None if the format has none.
    smallest_normal, highest : int
        Of the smallest normal and of the largest value.
    """

    smallest_subnormal: int | None
    smallest_normal: int
    highest: int


@public
@dataclass(frozen=True)
class ReportRow:
    """One tensor rounded to one format.

    Attributes
    ----------
    tensor : str
        Name of the tensor.
    shape : tuple of int
        Its shape.
    dtype : str
        Its dtype before rounding.
    format : str
        Name of the format, with its reading of subnormals where several formats have that name.
    subnormals : str
        The format's reading of subnormals.
    bits : int
        Bits of a code.
    bias : int
        The exponent bias: of all that the format allows, the one with the least squared error.
    stats : ErrorStats
        The errors.
    curve : BiasCurve
        The SQNR at every bias.
    window : Window
        What the format has at the bias.
    headroom : int
        How many times the tensor's largest magnitude can be doubled before it is beyond the format's largest
        value; negative if it is already.
    use : CodeUse
        How the codes are used.
    stochastic_db : float
        The SQNR to expect of stochastic rounding, in dB.
    theory : dict of str to float
        What theory predicts for distributions of the same root mean square, in dB (`theoretical_sqnr_db`).
    denormals : SubnormalCost or None
        What the whitepaper's reading costs, for a format that has it; None for others.
    output_db : float
        The SQNR of the outputs of the tensor's products with inputs whose moments are known, in dB; NaN
        without.
    compensated_db : float
        The same of the tensor as `round_compensated` rounds it, with the same bias; NaN where that is not
        done.
    """

    tensor: str
    shape: tuple[int, ...]
    dtype: str
    format: str
    subnormals: str
    bits: int
    bias: int
    stats: ErrorStats
    curve: BiasCurve
    window: Window
    headroom: int
    use: CodeUse
    stochastic_db: float
    theory: dict[str, float]
    denormals: SubnormalCost | None = None
    output_db: float = math.nan
    compensated_db: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        """Give everything that is a single value as one flat dictionary, outputs where they are known."""
        flat: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("tensor", "shape", "dtype", "format", "subnormals", "bits", "bias")
        }
        flat |= asdict(self.stats)
        flat |= {
            "plateau_first": self.curve.plateau[0],
            "plateau_last": self.curve.plateau[1],
            "headroom": self.headroom,
            "codes_used": self.use.used,
            "codes": self.use.available,
            "entropy": self.use.entropy,
            "stochastic_db": self.stochastic_db,
        }
        flat |= {f"theory_{name}_db": self.theory.get(name, math.nan) for name in THEORY}
        if self.denormals is None:
            flat |= dict.fromkeys(names_of(SubnormalCost))
        else:
            flat |= asdict(self.denormals)
        if math.isnan(self.output_db):
            return flat
        return flat | {name: getattr(self, name) for name in OUTPUTS}

    def to_content(self) -> dict[str, Any]:
        """Give everything as plain data, for JSON."""
        content = self.to_dict()
        del content["plateau_first"], content["plateau_last"]
        for name in THEORY:
            del content[f"theory_{name}_db"]
        return content | {
            "plateau": list(self.curve.plateau),
            "curve": {"first": self.curve.first, "sqnr_db": list(self.curve.sqnr_db)},
            "window": asdict(self.window),
            "theory": dict(self.theory) or None,
            "ieee_gain_db": None if self.denormals is None else self.denormals.gain_db,
        }


@public
@dataclass(frozen=True)
class TensorSummary:
    """A tensor before rounding.

    Attributes
    ----------
    name : str
        Its name.
    shape : tuple of int
        Its shape.
    dtype : str
        Its dtype.
    size, nonfinite, zeros : int
        Numbers of elements: all, those infinite or NaN, and zeros.
    max : float
        The largest finite magnitude.
    kurtosis : float
        Excess kurtosis.
    exponents : dict of int to int
        Numbers of elements by binade, the exponent of its first value.
    signal : float
        The sum of the squares of the finite elements; infinite if float64 does not hold it.  Of a sample,
        what that makes of all elements.
    kind : str
        What it is in a model, by its shape, its name and the model's class: "linear", "convolution",
        "embedding", "norm or bias" or "other".
    is_constant : bool
        Whether all finite elements are equal.
    sampled : int
        How many elements were looked at, of which the numbers of elements are, and `max`; all, but for a
        sample.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size: int
    nonfinite: int
    zeros: int
    max: float
    kurtosis: float
    exponents: dict[int, int] = field(default_factory=dict)
    signal: float = math.nan
    kind: str = "other"
    is_constant: bool = False
    sampled: int = 0

    def to_content(self) -> dict[str, Any]:
        """Give everything as plain data, for JSON."""
        content = asdict(self)
        first, last = min(self.exponents, default=0), max(self.exponents, default=-1)
        counts = [self.exponents.get(exponent, 0) for exponent in range(first, last + 1)]
        return content | {"exponents": {"first": first, "counts": counts}}


@public
class Granularity(NamedTuple):  # there are many a tensor, and a tuple is quick
    """What biases of their own for the parts of a tensor are worth.

    Attributes
    ----------
    tensor, format : str
        Names of the tensor and the format.
    granularity : str
        "tensor", "channel" (slices of the first axis), "block 128" or "block 32" (of the last).
    sqnr_db : float
        The SQNR in dB with the bias of the least squared error for each part.
    biases : int
        How many biases there are.
    lowest, median, highest : int
        Of the biases.
    nbytes : int
        The bytes of codes and biases, as a converted file has them.
    bits_per_element : float
        The same in bits an element.
    uncertainty_db : float
        How far `sqnr_db` may be from that of all elements, with 95 % confidence; 0 but for a sample.
    """

    tensor: str
    format: str
    granularity: str
    sqnr_db: float
    biases: int
    lowest: int
    median: int
    highest: int
    nbytes: int
    bits_per_element: float
    uncertainty_db: float = 0.0


@public
@dataclass(frozen=True)
class MatmulRow:
    """What rounding a weight and its input activations does to their product.

    Attributes
    ----------
    tensor, format : str
        Names of the weight and the format.
    weight_sqnr_db, input_sqnr_db, output_sqnr_db : float
        The SQNR of both operands and of the product, in dB.
    predicted_db : float
        What the operands' own predict for the product, in dB.
    """

    tensor: str
    format: str
    weight_sqnr_db: float
    input_sqnr_db: float
    output_sqnr_db: float
    predicted_db: float


def names_of(record: Any) -> list[str]:
    """List the names of a record's fields."""
    return [each.name for each in fields(record)]
