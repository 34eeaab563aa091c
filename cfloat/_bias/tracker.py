"""`BiasTracker`: a bias that is learnt over training steps."""

import math
import sys
from collections import deque
from collections.abc import Mapping
from typing import Any, SupportsIndex

from numpy.typing import ArrayLike

from cfloat._core.arguments import check_choice, integer
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.public_names import public
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .bias_methods import PEAK_RULES, PeakRule, check_range
from .masked import present_values
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
    method : {"max", "mx"}, optional
        How `choose_bias` chooses by that magnitude: so that it is within the range, the default, or by the
        rule of OCP MX.

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
        If `window` is less than 1, `margin` is negative, or `method` is no such rule; or it is "mx" and the
        format's bias fixed.

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
        self,
        fmt: Format | str,
        *,
        window: SupportsIndex = 1,
        margin: SupportsIndex = 0,
        method: PeakRule = "max",
    ) -> None:
        self.format = as_format(fmt)
        self._window, self._margin = _check_counts(window, margin)
        self._method: PeakRule = _check_rule(method, self.format)
        self._history: deque[float] = deque(maxlen=self._window)

    @property
    @in_default_modes
    def bias(self) -> int:
        """The bias to use now."""
        peak = max(self._history, default=0.0)
        return bias_of_peak(peak, self.format, self._method, self._margin)

    @in_default_modes
    def update(self, x: ArrayLike) -> int:
        """Take note of a tensor's largest finite magnitude, and give the bias that follows.

        Parameters
        ----------
        x : array_like
            Values of a dtype that `encode` takes; what a masked array masks is left out.

        Returns
        -------
        int

        Raises
        ------
        ArgumentTypeError
            If `x` is not of real numbers.
        """
        self._history.append(largest_magnitude(present_values("x", x).reshape(-1)))
        return self.bias

    def state_dict(self) -> dict[str, Any]:
        """Give the state as plain numbers, which JSON can hold."""
        return {
            "window": self._window, "margin": self._margin, "method": self._method,
            "history": list(self._history),
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned.

        Parameters
        ----------
        state : mapping
            The state, with its window, margin and method; "max" where an earlier version had none.

        Raises
        ------
        ArgumentTypeError, ArgumentValueError
            If it is no such state; nothing is changed then.
        """
        needed = {"window", "margin", "history"}
        if not isinstance(state, Mapping) or set(state) - {"method"} != needed:
            raise ArgumentValueError(
                f"state is {shown(state)}; it takes a mapping of window, margin, method and history"
            )
        method = _check_rule(state.get("method", "max"), self.format)
        window, margin = _check_counts(state["window"], state["margin"])
        try:
            history = [float(peak) for peak in state["history"]]
        except (TypeError, ValueError, OverflowError):
            raise ArgumentTypeError("history is not a list of numbers") from None
        if len(history) > window or not all(0 <= peak < math.inf for peak in history):
            raise ArgumentValueError(
                f"history is {shown(history)}; it takes {window} finite magnitudes at most"
            )
        self._window, self._margin, self._method = window, margin, method
        self._history = deque(history, maxlen=window)

    def __repr__(self) -> str:
        method = "" if self._method == "max" else f", method={self._method!r}"
        return (
            f"BiasTracker({self.format.name}, window={self._window}, margin={self._margin}{method}): "
            f"bias {self.bias}"
        )


def _check_counts(window: object, margin: object) -> tuple[int, int]:
    """Give a window and a margin as integers, within what a deque takes."""
    return integer("window", window, 1, sys.maxsize), integer("margin", margin, 0, sys.maxsize)


def _check_rule(method: Any, fmt: Format) -> PeakRule:
    """Give a rule, or say which there are."""
    check_choice("method", method, PEAK_RULES)
    check_range("method", method, fmt)
    rule: PeakRule = method
    return rule
