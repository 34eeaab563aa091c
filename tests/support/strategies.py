"""Hypothesis strategies: every format that can exist, and operands near its values."""

from hypothesis import strategies as st

import cfloat as cf


def max_code(exponent_bits, mantissa_bits, signed, nonfinite):
    """Give the code of the largest finite value, which may be negative: there is none then."""
    all_ones = 2 ** (exponent_bits + mantissa_bits) - 1
    not_numbers = {
        "none": 0, "ieee": 2**mantissa_bits, "nan_only": 1, "fnuz": 0, "p3109": 1 if signed else 2
    }  # fmt: skip
    return all_ones - not_numbers[nonfinite]


def nonfinite_kinds(exponent_bits, mantissa_bits, signed, subnormals):
    """What the non-finite codes can be, if there is to be a normal number."""
    kinds = ["none", "nan_only"]
    if mantissa_bits > 0:
        kinds.append("ieee")
    if signed and subnormals != "normal":
        kinds.append("fnuz")
    if not signed or subnormals != "normal":
        kinds.append("p3109")
    least = 0 if subnormals == "normal" else 2**mantissa_bits
    return [kind for kind in kinds if max_code(exponent_bits, mantissa_bits, signed, kind) >= least]


@st.composite
def fields(draw):
    """Draw arguments of Format but name and bias, and the least and the greatest bias possible."""
    signed = draw(st.booleans())
    exponent_bits = draw(st.integers(1, 8))
    mantissa_bits = draw(st.integers(0, 16 - signed - exponent_bits))
    subnormals = draw(st.sampled_from(["whitepaper", "ieee", "flush", "normal"]))
    kinds = nonfinite_kinds(exponent_bits, mantissa_bits, signed, subnormals)
    nonfinite = draw(st.sampled_from(kinds))
    arguments = {
        "exponent_bits": exponent_bits,
        "mantissa_bits": mantissa_bits,
        "signed": signed,
        "nonfinite": nonfinite,
        "subnormals": subnormals,
        "saturating": nonfinite == "none" or draw(st.booleans()),
    }
    # every value must be a float32: below 2**128 and a multiple of 2**-149
    top = max_code(exponent_bits, mantissa_bits, signed, nonfinite) >> mantissa_bits
    finer = subnormals == "normal" or (subnormals == "whitepaper" and mantissa_bits > 0)
    last_bit = 0 if finer else 1
    lowest = last_bit - mantissa_bits
    return arguments, top - 127, lowest + 149


@st.composite
def formats(draw):
    """Draw a format that can exist, with a range of biases."""
    arguments, least, greatest = draw(fields())
    low = draw(st.integers(least, greatest))
    high = draw(st.integers(low, greatest))
    return cf.Format(draw(st.text("abé_0 ", min_size=1, max_size=5)), bias=(low, high), **arguments)


def biases(fmt):
    """Draw a bias that a format allows."""
    return st.integers(*fmt.bias_range)
