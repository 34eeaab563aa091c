"""Exceptions and warnings.  Each exception is also one of Python's own, so that either can be caught."""


class CFloatError(Exception):
    """Base of every exception that this package defines."""

    __module__ = "cfloat"


class ArgumentTypeError(CFloatError, TypeError):
    """An argument of a type that the operation does not take."""

    __module__ = "cfloat"


class ArgumentValueError(CFloatError, ValueError):
    """An argument of the right type with a value that is not allowed."""

    __module__ = "cfloat"


class FormatError(ArgumentValueError):
    """A format that cannot exist, or that this library does not represent."""

    __module__ = "cfloat"


class FileError(CFloatError, ValueError):
    """A file that is damaged, hostile, or not of a kind that can be read."""

    __module__ = "cfloat"


class MissingExtraError(CFloatError, ImportError):
    """A feature needs an optional package that is not installed."""

    __module__ = "cfloat"


class ClusterError(CFloatError, RuntimeError):
    """A cluster that cannot be reached, or fails."""

    __module__ = "cfloat"


class FlagError(CFloatError, FloatingPointError):
    """An exception flag that `errstate` was told to raise."""

    __module__ = "cfloat"


class FlagWarning(RuntimeWarning):
    """An exception flag that `errstate` was told to warn of."""

    __module__ = "cfloat"
