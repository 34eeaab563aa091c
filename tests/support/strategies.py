"""Hypothesis strategies: every format that can exist, and operands near its values."""

from hypothesis import strategies as st

import cfloat as cf


def nonfinite_kinds(exponent_bits, mantissa_bits):
    """What the non-finite codes can be, if there is to be a normal number."""
    kinds = ["none"]
    if mantissa_bits > 0 and exponent_bits > 1:
        kinds.append("ieee")
    if mantissa_bits > 0 or exponent_bits > 1:
        kinds.append("nan_only")
    return kinds


@st.composite
def fields(draw):
    """Draw arguments of Format but name and bias, and the least and the greatest bias possible."""
    signed = draw(st.booleans())
    exponent_bits = draw(st.integers(1, 8))
    mantissa_bits = draw(st.integers(0, 16 - signed - exponent_bits))
    nonfinite = draw(st.sampled_from(nonfinite_kinds(exponent_bits, mantissa_bits)))
    subnormals = draw(st.sampled_from(["whitepaper", "ieee", "flush"]))
    arguments = {
        "exponent_bits": exponent_bits,
        "mantissa_bits": mantissa_bits,
        "signed": signed,
        "nonfinite": nonfinite,
        "subnormals": subnormals,
        "saturating": nonfinite == "none" or draw(st.booleans()),
    }
    # every value must be a float32: below 2**128 and a multiple of 2**-149
    loses_top_exponent = nonfinite == "ieee" or (nonfinite == "nan_only" and mantissa_bits == 0)
    top = 2**exponent_bits - 1 - loses_top_exponent
    last_bit = 0 if subnormals == "whitepaper" and mantissa_bits > 0 else 1
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
