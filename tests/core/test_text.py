"""What is printed of names and of wrong arguments."""

import numpy as np
import pytest

import cfloat as cf
from cfloat._core.text import printable, shown


def test_printable():
    assert printable("plain näme ß") == "plain näme ß"
    assert printable("a\nb\x1b[0m\u202e\x9b\ud800") == r"a\nb\x1b[0m\u202e\x9b\ud800"


def test_shown_is_one_short_line():
    assert shown(1.5) == "1.5"
    assert shown(np.zeros((3, 4))) == "an array of shape (3, 4) and dtype float64"
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 1000)) == 60


@pytest.mark.parametrize("value", [np.zeros((50, 50)), "x" * 1000, "a\nb", list(range(1000))])
def test_messages_stay_one_line(value):
    calls = [
        lambda: cf.encode([1.0], value),
        lambda: cf.decode([1], cf.CFloat8_1_4_3, dtype=value),
        lambda: cf.Format("f", exponent_bits=value, mantissa_bits=2),
        lambda: cf.Format("f", exponent_bits=4, mantissa_bits=2, nonfinite=value),
        lambda: cf.Format("f", exponent_bits=4, mantissa_bits=2, signed=value),
        lambda: cf.encode([1.0], cf.CFloat8_1_4_3, rounding=value),
        lambda: cf.errstate(all=value),
        lambda: cf.report([1.0], value),
    ]
    for call in calls:
        with pytest.raises((cf.ArgumentTypeError, cf.ArgumentValueError)) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 250


def test_names_of_formats_are_printable():
    for name in ("", "a\nb", "\x1b[2J"):
        with pytest.raises(cf.FormatError, match="printable"):
            cf.Format(name, exponent_bits=4, mantissa_bits=3)
