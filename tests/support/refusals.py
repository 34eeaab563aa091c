"""Calls that are refused: the error's type, and its one line."""

import pytest

import cfloat as cf


def refuse(error, message, operation, *arguments, **options):
    """Assert that a call raises an error of one line that has the message in it."""
    with pytest.raises(error) as caught:
        operation(*arguments, **options)
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert isinstance(caught.value, cf.CFloatError)


def value_error(message, operation, *arguments, **options):
    refuse(cf.ArgumentValueError, message, operation, *arguments, **options)


def type_error(message, operation, *arguments, **options):
    refuse(cf.ArgumentTypeError, message, operation, *arguments, **options)
