"""`BiasTracker`: a bias that is learnt over training steps."""

import math
import sys
from collections import deque
from collections.abc import Mapping
from typing import Any, SupportsIndex

from numpy.typing import ArrayLike

from cfloat._core.arguments import integer
from cfloat._core.dtypes import real_array
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.public_names import public
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .peak import bias_of_peak, largest_magnitude


@public
class BiasTracker:
    """A bias that is learnt over training steps, from the largest magnitudes of the last tensors.

    This is what is known as delayed scaling, with a power of two for a scale.

    Parameters
    ----------
    fmt : Format or str
        The format, or its name.
    window : int, optional
        How many tensors the largest magnitude is taken from, the current one included: 1, the default, is the
        current tensor alone.
    margin : int, optional
        How many binades are kept free above that magnitude; 0 by default.

    Attributes
    ----------
    format : Format
        The format.
    bias : int
        The bias after the last `update`; the format's default before the first.

    Raises
    ------
    ArgumentTypeError
        If `fmt` is neither a Format nor a str, or `window` or `margin` not an integer.
    ArgumentValueError
        If `window` is less than 1, or `margin` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> tracker = cf.BiasTracker(cf.CFloat8_1_4_3, window=2)
    >>> [tracker.update(np.float32([peak])) for peak in (1.0, 100.0, 1.0, 1.0)]
    [15, 9, 9, 15]
    >>> restored = cf.BiasTracker(cf.CFloat8_1_4_3, window=2)
    >>> restored.load_state_dict(tracker.state_dict())
    >>> restored.bias
    15
    """

    def __init__(
        self, fmt: Format | str, *, window: SupportsIndex = 1, margin: SupportsIndex = 0
    ) -> None:
        self.format = as_format(fmt)
        self._window, self._margin = _check_counts(window, margin)
        self._history: deque[float] = deque(maxlen=self._window)

    @property
    @in_default_modes
    def bias(self) -> int:
        """The bias to use now."""
        peak = max(self._history, default=0.0)
        bias = bias_of_peak(peak, self.format)
        # the default of no magnitude stays
        return bias if peak == 0 else max(self.format.bias_range[0], bias - self._margin)

    @in_default_modes
    def update(self, x: ArrayLike) -> int:
        """Take note of a tensor's largest finite magnitude, and give the bias that follows.

        Parameters
        ----------
        x : array_like
            Values of a dtype that `encode` takes.

        Returns
        -------
        int

        Raises
        ------
        ArgumentTypeError
            If `x` is not of real numbers.
        """
        self._history.append(largest_magnitude(real_array("x", x).reshape(-1)))
        return self.bias

    def state_dict(self) -> dict[str, Any]:
        """Give the state as plain numbers, which JSON can hold."""
        return {
            "window": self._window, "margin": self._margin, "history": list(self._history),
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned.

        Parameters
        ----------
        state : mapping
            The state, with its window and margin.

        Raises
        ------
        ArgumentTypeError, ArgumentValueError
            If it is no such state; nothing is changed then.
        """
        if not isinstance(state, Mapping) or set(state) != {"window", "margin", "history"}:
            raise ArgumentValueError(
                f"state is {shown(state)}; it takes a mapping of window, margin and history"
            )
        window, margin = _check_counts(state["window"], state["margin"])
        try:
            history = [float(peak) for peak in state["history"]]
        except (TypeError, ValueError, OverflowError):
            raise ArgumentTypeError("history is not a list of numbers") from None
        if len(history) > window or not all(0 <= peak < math.inf for peak in history):
            raise ArgumentValueError(
                f"history is {shown(history)}; it takes {window} finite magnitudes at most"
            )
        self._window, self._margin = window, margin
        self._history = deque(history, maxlen=window)

    def __repr__(self) -> str:
        return (
            f"BiasTracker({self.format.name}, window={self._window}, margin={self._margin}): "
            f"bias {self.bias}"
        )


def _check_counts(window: object, margin: object) -> tuple[int, int]:
    """Give a window and a margin as integers, within what a deque takes."""
    return integer("window", window, 1, sys.maxsize), integer("margin", margin, 0, sys.maxsize)
