"""Exceptions and warnings.  Each exception is also one of Python's own, so that either can be caught."""


class CFloatError(Exception):
    """Base of every exception that this package defines."""


class ArgumentTypeError(CFloatError, TypeError):
    """An argument of a type that the operation does not take."""


class ArgumentValueError(CFloatError, ValueError):
    """An argument of the right type with a value that is not allowed."""


class FormatError(ArgumentValueError):
    """A format that cannot exist, or that this library does not represent."""


class FileError(CFloatError, ValueError):
    """A file that is damaged, hostile, or not of a kind that can be read."""


class MissingExtraError(CFloatError, ImportError):
    """A feature needs an optional package that is not installed."""


class ClusterError(CFloatError, RuntimeError):
    """A cluster that cannot be reached, or fails."""


class FlagError(CFloatError, FloatingPointError):
    """An exception flag that `errstate` was told to raise."""


class FlagWarning(RuntimeWarning):
    """An exception flag that `errstate` was told to warn of."""
