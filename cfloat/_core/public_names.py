"""Where public objects say that they live."""

from typing import Any, TypeVar

T = TypeVar("T")


def public(thing: T) -> T:
    """Make a class or a function say that it is `cfloat`'s own, as users import it and pickles name it.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.encode.__module__
    'cfloat'
    """
    named: Any = thing
    named.__module__ = "cfloat"
    return thing
