"""Exception flags: counting them, and what happens when one is raised (docs/spec.md 4)."""

import sys
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ContextDecorator, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, get_args

from cfloat.errors import FlagError, FlagWarning

from .arguments import check_choice
from .public_names import public

FlagAction = Literal["ignore", "warn", "raise"]

#: The flags, gravest first: where several are to raise, the first one does.
FLAG_NAMES = ("invalid", "overflow", "underflow", "denormal")


@public
@dataclass
class Flags:
    """Counts of elements that raised each exception flag.

    Attributes
    ----------
    invalid : int
        NaN operands, and operations with no definable result (a negative number in an unsigned format).
    overflow : int
        Results beyond the largest finite value, and infinities going where there are none.
    underflow : int
        Non-zero operands below the smallest normal number that are not represented exactly.
    denormal : int
        Operands that are denormal in their own format.

    Notes
    -----
    The whitepaper's section "Exception Status Flags" names these four; docs/spec.md 4 says when each is
    set.

    Examples
    --------
    >>> import cfloat as cf
    >>> with cf.record_flags() as flags:
    ...     _ = cf.encode([1e9, 1e-9, 1.0], cf.CFloat8_1_4_3)
    >>> flags
    Flags(invalid=0, overflow=1, underflow=1, denormal=0)
    """

    invalid: int = 0
    overflow: int = 0
    underflow: int = 0
    denormal: int = 0

    def __bool__(self) -> bool:
        return bool(self.invalid or self.overflow or self.underflow or self.denormal)

    def add(self, other: "Flags") -> None:
        """Add another set of counts to this one."""
        self.invalid += other.invalid
        self.overflow += other.overflow
        self.underflow += other.underflow
        self.denormal += other.denormal


class _Recorder:
    """Who counts, and in whose block: made in less time than a tuple with names."""

    __slots__ = ("flags", "owner", "thread")

    def __init__(self, flags: Flags, thread: int, owner: object = None) -> None:
        self.flags = flags
        self.thread = thread
        self.owner = owner


_Block = tuple[object, tuple[FlagAction, ...]]


class _Environment(NamedTuple):
    """What the code that runs now has asked for."""

    recorders: tuple[_Recorder, ...] = ()
    actions: tuple[FlagAction, ...] = ("ignore", "ignore", "ignore", "ignore")
    #: Each block of errstate that has begun, and the actions before it.
    blocks: tuple[_Block, ...] = ()


#: What code asks for that asks for nothing.
_NOTHING: Final = _Environment()

# A context variable, as numpy.errstate uses: right for threads and for interleaved coroutines.
_environment: ContextVar[_Environment | None] = ContextVar("cfloat_flags", default=None)


class _Recording(ContextDecorator):
    """Counts flags while it is entered; by methods, which take less time than a generator.

    It holds nothing itself: threads and coroutines may have entered one, as a decorator too, and blocks of
    generators end in any order.
    """

    def __enter__(self) -> Flags:
        counted = Flags()
        recorder = _Recorder(counted, threading.get_ident(), self)
        current = _environment.get()
        if current is None:
            _environment.set(_Environment((recorder,)))
        else:
            recorders = (*current.recorders, recorder)
            _environment.set(_Environment(recorders, current.actions, current.blocks))
        return counted

    def __exit__(self, *_: object) -> None:
        recorders, actions, blocks = _environment.get() or _NOTHING
        last = len(recorders) - 1
        while last >= 0 and recorders[last].owner is not self:
            last -= 1
        if last < 0:
            raise RuntimeError("a block of record_flags ends where it did not begin")
        _go_on(recorders[:last] + recorders[last + 1 :], actions, blocks)


def _go_on(
    recorders: tuple[_Recorder, ...], actions: tuple[FlagAction, ...], blocks: tuple[_Block, ...]
) -> None:
    """Ask for what is left after a block."""
    asks = recorders or blocks or actions != _NOTHING.actions
    _environment.set(_Environment(recorders, actions, blocks) if asks else None)


@public
def record_flags() -> AbstractContextManager[Flags]:
    """Count the exception flags that operations raise inside a ``with`` block.

    Returns
    -------
    context manager of Flags
        Counts of elements, growing from zero as operations run.  Blocks nest: an inner block's flags are
        counted by the outer one too.  Only this thread's operations are counted.  One may be entered again,
        and by several threads at once: each time gives counts of its own.

    Examples
    --------
    >>> import cfloat as cf
    >>> with cf.record_flags() as flags:
    ...     _ = cf.encode([1.0, float("nan")], cf.CFloat16_UHP)
    >>> flags.invalid
    1
    """
    return _Recording()


@public
class errstate(ContextDecorator):  # noqa: N801 - numpy.errstate's name
    """Say what happens when an operation raises an exception flag, as `numpy.errstate` does.

    Parameters
    ----------
    all : {"ignore", "warn", "raise"}, optional
        For every flag that is not named otherwise.
    invalid, overflow, underflow, denormal : {"ignore", "warn", "raise"}, optional
        For one flag; None leaves it as it is.  At first every flag is ignored.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an action is none of the three.
    FlagError
        By an operation inside the block that raises a flag set to "raise": it is a
        `FloatingPointError`.  The operation is complete by then, and an `out` array written.

    Warns
    -----
    FlagWarning
        By an operation inside the block that raises a flag set to "warn".

    See Also
    --------
    record_flags : Counts them.

    Examples
    --------
    >>> import cfloat as cf
    >>> with cf.errstate(overflow="raise"):
    ...     cf.encode([1e9, 2e9, 1.0], cf.CFloat8_1_4_3)
    Traceback (most recent call last):
    cfloat.FlagError: overflow in encode to CFloat8_1_4_3: 2 of 3 elements
    """

    def __init__(
        self,
        *,
        all: FlagAction | None = None,  # noqa: A002 - numpy.errstate's name
        invalid: FlagAction | None = None,
        overflow: FlagAction | None = None,
        underflow: FlagAction | None = None,
        denormal: FlagAction | None = None,
    ) -> None:
        _check_action("all", all)
        self._actions = (invalid, overflow, underflow, denormal)
        for name, action in zip(FLAG_NAMES, self._actions, strict=True):
            _check_action(name, action)
        self._actions = (invalid or all, overflow or all, underflow or all, denormal or all)

    def __enter__(self) -> None:
        recorders, before, blocks = _environment.get() or _NOTHING
        actions = tuple(new or old for new, old in zip(self._actions, before, strict=True))
        _environment.set(_Environment(recorders, actions, (*blocks, (self, before))))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        recorders, actions, blocks = _environment.get() or _NOTHING
        places = [place for place, (owner, _) in enumerate(blocks) if owner is self]
        if not places:
            raise RuntimeError("a block of errstate ends where it did not begin")
        before, after = blocks[: places[-1]], blocks[places[-1] + 1 :]
        old = blocks[places[-1]][1]
        if after:  # those blocks have yet to end
            before, after = (*before, (after[0][0], old)), after[1:]
        else:
            actions = old
        _go_on(recorders, actions, before + after)


def _check_action(name: str, action: object) -> None:
    if action is None:
        return
    check_choice(name, action, get_args(FlagAction))


@contextmanager
def no_flags() -> Generator[None]:
    """Keep operations that the caller did not ask for, such as a search's trials, from raising flags."""
    token = _environment.set(None)
    try:
        yield
    finally:
        _environment.reset(token)


class Carried:
    """What the code of this thread has asked for, taken along for work that another thread does for it."""

    def __init__(self) -> None:
        self._environment = _environment.get() or _NOTHING

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function in another thread: its flags count, and are acted upon, as the first thread's."""
        counted = Flags()
        own = _Recorder(counted, threading.get_ident())
        token = _environment.set(_Environment((own,), self._environment.actions))
        try:
            return function(*args, **kwargs)
        finally:
            _environment.reset(token)
            with _adding:
                for recorder in self._environment.recorders:
                    recorder.flags.add(counted)


# several threads may end at once
_adding = threading.Lock()


class collected:  # noqa: N801 - used as a function
    """Count the flags of the parts of an operation, of which its own `report` will tell."""

    __slots__ = ("_flags", "_token")

    def __enter__(self) -> Flags:
        self._flags = Flags()
        recorder = _Recorder(self._flags, threading.get_ident())
        self._token = _environment.set(_Environment((recorder,)))
        return self._flags

    def __exit__(self, *_: object) -> None:
        _environment.reset(self._token)


#: What the code that runs now has asked for; None if nothing, as in most programs.
asked: Final = _environment.get


def are_counted() -> bool:
    """Whether flags are counted, warned of or raised now; otherwise nobody need count them."""
    environment = _environment.get()
    return environment is not None and (
        bool(environment.recorders) or environment.actions != _NOTHING.actions
    )


def report(counted: Flags, operation: str, size: int) -> None:
    """Count, warn of and raise the flags of an operation on `size` elements, as the caller has asked.

    A warning points at the code that called this package.
    """
    environment = _environment.get()
    if environment is None:
        return
    for recorder in environment.recorders:
        # a thread may inherit its parent's context, but flags are a thread's own
        if recorder.thread == threading.get_ident():
            recorder.flags.add(counted)
    if environment.actions == _NOTHING.actions:
        return
    error = None
    for name, action in zip(FLAG_NAMES, environment.actions, strict=True):
        count = getattr(counted, name)
        if count == 0 or action == "ignore":
            continue
        message = f"{name} in {operation}: {count} of {size} elements"
        if action == "warn":
            warnings.warn(message, FlagWarning, stacklevel=_level_of_caller())
        elif error is None:
            error = FlagError(message)
    if error is not None:
        raise error


#: Packages that may stand between an operation and who asked for it: this one, and whose operators it does.
_BETWEEN: Final = ("cfloat", "numpy", "torch")


def _level_of_caller() -> int:
    """Count the frames from `report` up to the first that is the user's, as `warnings` does."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        level, frame = level + 1, frame.f_back
    return level
