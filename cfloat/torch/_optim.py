"""`AdamW` whose moments are stored in 16 bits: the first in SHP, the second in UHP."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, SupportsIndex, overload

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.optim import Optimizer

from cfloat._bias import peak
from cfloat._core import binding, flags
from cfloat._core.finfo import finfo
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import CFloat16_SHP, CFloat16_UHP, as_format
from cfloat._core.rounding import WORDS, RoundingMode, check_rounding, check_seed
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from . import _arithmetic
from ._arguments import FLOATS, check_codes, names
from ._conversion import decode, encode
from ._direct import is_eager, is_in_memory
from ._formats import code_dtype, to_text
from ._peaks import bias_of_peak, frexp_exponent, largest_magnitude
from ._streams import derived_seed, drawn_seed

# Second moments are multiplied by a power of two that is a normal float32, as is its inverse.
_LARGEST_SCALE: Final = binding.ADAMW_MAX_SCALE


class AdamW(Optimizer):
    """AdamW (Loshchilov and Hutter) with moments of 16 bits, rounded stochastically: half the memory.

    Parameters
    ----------
    params : iterable of Tensor or dict
        Parameters, or groups of them, as all of PyTorch's optimizers take them: dense, and of float64,
        float32, float16 or bfloat16.
    lr : float or Tensor, default 1e-3
        The learning rate.
    betas : (float, float), default (0.9, 0.999)
        How much of the moments is kept in a step: 0 or more, and less than 1.
    eps : float, default 1e-8
        Added to the denominator.
    weight_decay : float, default 1e-2
        Decoupled from the gradient.
    first, second : Format or str, default CFloat16_SHP and CFloat16_UHP
        The formats of the moments.
    rounding : str, default "stochastic"
        How moments are rounded, as in `cfloat.encode`.
    seed : int, optional
        Seed of stochastic rounding, from which each parameter and moment gets a stream of its own; PyTorch's
        default generator draws it if None.  It is in the state dict.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an argument is not as above, or `first` is unsigned.

    Notes
    -----
    A step computes in float32 (float64 for parameters of float64): moments are decoded, updated and used,
    and then rounded once.  State, for each parameter: ``exp_avg`` and ``exp_avg_sq``, their codes, and
    ``exp_avg_bias``, ``exp_avg_sq_bias`` and ``exp_avg_sq_scale``.  Exponent biases are chosen anew in each
    step, so that the largest element is within the range; a first moment beyond that of the smallest bias, as
    SHP's 2**32, saturates.  UHP's bias is fixed, and squares of small
    gradients are below its smallest number, 2**-30: a second moment in a format of one bias is stored
    multiplied by two to the power of ``exp_avg_sq_scale``, chosen anew as well, such that its largest element
    is in the last binade but one, from 2**30 to 2**31 in UHP.

    Parameters of float32 that are contiguous on the CPU are updated by the core, as are their states, where
    they are: ``first + (1 - beta1) * (g - first)`` and ``(1 - beta2) * g * g + beta2 * second``, and then
    ``parameter * (1 - lr * weight_decay) - rate * (first / (sqrt(second) * s + eps))``, where ``rate`` is
    ``lr / (1 - beta1**step)`` and ``s`` is ``1 / sqrt(1 - beta2**step)``; the product by ``1 - beta1``, by
    the second ``g``, and by ``rate`` is fused with its sum.  With the same gradients these are the same bits
    on every machine.  Others, and all while flags are counted, are updated by PyTorch's operators, which
    round as the machine does: moments are the same bits where PyTorch fuses as above, and the last bits of
    parameters differ, as PyTorch's square root may be an ulp off.

    ``state_dict()`` holds the states themselves, as those of PyTorch's optimizers do, and the next step
    changes them; `copy.deepcopy` keeps them as they are.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> layer = torch.nn.Linear(16, 4)
    >>> optimizer = cf.torch.AdamW(layer.parameters(), lr=1e-2, seed=0)
    >>> layer(torch.ones(8, 16)).square().mean().backward()
    >>> optimizer.step()
    >>> state = optimizer.state[layer.weight]
    >>> state["exp_avg"].dtype, state["exp_avg_sq"].dtype
    (torch.uint16, torch.uint16)
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        first: Format | str = CFloat16_SHP,
        second: Format | str = CFloat16_UHP,
        rounding: RoundingMode = "stochastic",
        seed: SupportsIndex | None = None,
    ) -> None:
        self.first, self.second = as_format(first, "first"), as_format(second, "second")
        if not self.first.signed:
            raise ArgumentValueError(f"first is {self.first}; it takes a signed format")
        self._top_exponent = math.frexp(finfo(self.second).max)[1]
        check_rounding(rounding, (), 0, 0)
        self.rounding: RoundingMode = rounding
        drawn = int(drawn_seed()) % 2**64 if seed is None else check_seed(seed)
        defaults = {
            "lr": _check("lr", lr), "betas": _check_betas(betas), "eps": _check("eps", eps),
            "weight_decay": _check("weight_decay", weight_decay), "seed": drawn,
        }  # fmt: skip
        # for load_state_dict to compare
        formats = {"first_format": to_text(self.first), "second_format": to_text(self.second)}
        super().__init__(params, defaults | formats)

    def __getstate__(self) -> dict[str, Any]:
        """Give the state of a copy, which is more than all of PyTorch's optimizers have."""
        own = {
            "first": self.first, "second": self.second, "rounding": self.rounding,
            "_top_exponent": self._top_exponent,
        }  # fmt: skip
        return super().__getstate__() | own

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own, as all of PyTorch's optimizers do."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check_betas(group["betas"])
            for name in ("lr", "eps", "weight_decay"):
                _check(name, group[name])
            group["seed"] = check_seed(group["seed"])
            for parameter in group["params"]:
                if parameter.dtype not in FLOATS:
                    raise ArgumentTypeError(
                        f"a parameter has dtype {parameter.dtype}; it takes {names(FLOATS)}"
                    )
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Change the parameters by one step.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew.

        Returns
        -------
        float or None
            What `closure` returned.

        Raises
        ------
        ArgumentTypeError
            If a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        place = 0
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group, place)
                place += 1
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any], place: int) -> None:
        gradient = parameter.grad
        assert gradient is not None
        if gradient.layout != torch.strided:
            raise ArgumentTypeError(f"a gradient has layout {gradient.layout}; it takes dense ones")
        state = self.state.get(parameter, {})
        step = state.get("step", 0) + 1
        offset = (step - 1) * parameter.numel()
        if (
            parameter.dtype == gradient.dtype == torch.float32
            and offset + parameter.numel() <= WORDS
            and not flags.are_counted()
            and not parameter.is_inference()
            and is_eager(parameter)
            and is_in_memory(parameter)
            and is_in_memory(gradient)
            and (not state or _are_in_memory(state, parameter.numel()))
        ):
            self._update_in_core(parameter, gradient, group, place)
            return
        wide = torch.float64 if parameter.dtype == torch.float64 else torch.float32
        gradient = gradient.to(wide)
        beta1, beta2 = group["betas"]
        if state:
            mean = decode(state["exp_avg"], self.first, state["exp_avg_bias"], dtype=wide)
            square = decode(state["exp_avg_sq"], self.second, state["exp_avg_sq_bias"], dtype=wide)
            square *= _power(-state["exp_avg_sq_scale"], wide)
        else:
            mean, square = torch.zeros_like(gradient), torch.zeros_like(gradient)
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)

        lr = float(group["lr"])
        denominator = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        change = mean / (1 - beta1**step) / denominator
        # before anything is changed: a flag may be raised here
        kept = self._stored(mean, square, group["seed"], place, offset)
        if parameter.dtype == wide:
            parameter.mul_(1 - lr * group["weight_decay"]).sub_(change, alpha=lr)
        else:  # rounded once
            updated = parameter.to(wide).mul_(1 - lr * group["weight_decay"]).sub_(change, alpha=lr)
            parameter.copy_(updated)
        self.state[parameter] = {"step": step, **kept}

    @in_default_modes
    def _update_in_core(
        self, parameter: Tensor, gradient: Tensor, group: dict[str, Any], place: int
    ) -> None:
        """Update a parameter of float32, and its state, where they are."""
        state = self.state[parameter]
        step, count = state.get("step", 0) + 1, parameter.numel()
        (beta1, beta2), lr = group["betas"], float(group["lr"])
        first, second = self.first, self.second
        addresses, biases, scale = (0, 0), (0, 0), 0
        if state:
            addresses = (state["exp_avg"].data_ptr(), state["exp_avg_sq"].data_ptr())
            biases = (int(state["exp_avg_bias"]), int(state["exp_avg_sq_bias"]))
            scale = int(state["exp_avg_sq_scale"])
        given = binding.adamw_step(
            count, gradient.data_ptr(), parameter.data_ptr(),
            (first._struct, addresses[0], biases[0]), (second._struct, addresses[1], biases[1]), scale,
            (1 - beta1, beta2, 1 - beta2),
            (
                1 - lr * group["weight_decay"],
                lr / (1 - beta1**step),
                1 / math.sqrt(1 - beta2**step),
                group["eps"],
            ),
        )  # fmt: skip
        of_mean, of_square = binding.adamw_peaks(given)
        scale = 0
        if second.bias_range[0] == second.bias_range[1] and of_square:
            scale = self._top_exponent - 1 - math.frexp(of_square)[1]
            scale = max(-_LARGEST_SCALE, min(scale, _LARGEST_SCALE))
        biases = (peak.bias_of_peak(of_mean, first), peak.bias_of_peak(of_square, second))
        if not state:
            with torch.inference_mode(False):  # later steps write to them, in whichever mode
                for name, fmt in (("exp_avg", first), ("exp_avg_sq", second)):
                    state[name] = torch.empty(parameter.shape, dtype=code_dtype(fmt), device="cpu")
                    state[f"{name}_bias"] = torch.empty((), dtype=torch.int16, device="cpu")
                state["exp_avg_sq_scale"] = torch.empty((), dtype=torch.int16, device="cpu")
            addresses = (state["exp_avg"].data_ptr(), state["exp_avg_sq"].data_ptr())
        seeds = [derived_seed(group["seed"], 2 * place + part) for part in (0, 1)]
        binding.adamw_update(
            given, (addresses[0], biases[0], seeds[0]), (addresses[1], biases[1], seeds[1]), scale,
            self.rounding, (step - 1) * count,
        )  # fmt: skip
        # for autograd, which may have kept the parameter
        increment_version(parameter)
        state["exp_avg_bias"].fill_(biases[0])
        state["exp_avg_sq_bias"].fill_(biases[1])
        state["exp_avg_sq_scale"].fill_(scale)
        state["step"] = step

    def _stored(
        self, mean: Tensor, square: Tensor, seed: int, place: int, offset: int
    ) -> dict[str, Tensor]:
        """Return moments as they are kept; `square` is changed."""
        scale = torch.zeros((), dtype=torch.int64, device=square.device)
        if self.second.bias_range[0] == self.second.bias_range[1]:
            scale = _scale_for(largest_magnitude(square), self.second)
            square *= _power(scale, square.dtype)
        kept = {"exp_avg_sq_scale": scale.to(torch.int16)}
        for part, (name, fmt, moment) in enumerate(
            (("exp_avg", self.first, mean), ("exp_avg_sq", self.second, square))
        ):
            bias = bias_of_peak(largest_magnitude(moment), fmt)
            kept[f"{name}_bias"] = bias.to(torch.int16)
            kept[name] = encode(
                moment, fmt, bias, rounding=self.rounding,
                seed=derived_seed(seed, 2 * place + part), offset=offset,
            )  # fmt: skip
        return kept

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned.

        Parameters
        ----------
        state_dict : dict
            The state, of an optimizer with the same formats.

        Raises
        ------
        ArgumentTypeError
            If codes are not of the formats' storage dtypes.
        ArgumentValueError
            If it is of other formats, or of another optimizer.
        ValueError
            If it is of other groups of parameters.
        """
        kept = {number: dict(state) for number, state in state_dict["state"].items()}
        for state in kept.values():
            for name, fmt in (("exp_avg", self.first), ("exp_avg_sq", self.second)):
                check_codes(state.get(name), fmt)
        for group in state_dict["param_groups"]:
            for name in ("first_format", "second_format"):
                if group.get(name) != self.defaults[name]:
                    raise ArgumentValueError(
                        f"state has {name} {shown(group.get(name))}; it takes {shown(self.defaults[name])}"
                    )
        super().load_state_dict(state_dict)
        # where parameters are floats, PyTorch has made floats of the codes
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        for number, parameter in zip(numbers, parameters, strict=True):
            if number in kept:
                self.state[parameter] = {
                    name: value.to(parameter.device, copy=True)
                    if isinstance(value, Tensor)
                    else value
                    for name, value in kept[number].items()
                }


def _are_in_memory(state: dict[str, Any], count: int) -> bool:
    """Whether the core can update the moments of a state where they are."""
    first, second = state["exp_avg"], state["exp_avg_sq"]
    return (
        first.numel() == second.numel() == count
        and is_in_memory(first)
        and is_in_memory(second)
        and first.data_ptr() != second.data_ptr()
        # made in inference mode, they are replaced
        and not any(isinstance(each, Tensor) and each.is_inference() for each in state.values())
    )


def _power(exponent: Tensor, dtype: torch.dtype) -> Tensor:
    return _arithmetic.power_of_two(exponent.long()).to(dtype)


def _scale_for(peak: Tensor, fmt: Format) -> Tensor:
    """Give the exponent of the power of two that brings a magnitude into a format's last binade but one."""
    _, top_exponent = math.frexp(finfo(fmt).max)
    scale = (top_exponent - 1 - frexp_exponent(peak)).clamp(-_LARGEST_SCALE, _LARGEST_SCALE)
    return torch.where(peak == 0, 0, scale)


def _check(name: str, value: Any) -> Any:
    number = float(value) if isinstance(value, int | float | Tensor) else math.nan
    if not 0 <= number < math.inf:
        raise ArgumentValueError(f"{name} is {shown(value)}; it takes a number, 0 or more")
    return value


def _check_betas(betas: Any) -> tuple[float, float]:
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ArgumentTypeError(f"betas is {shown(betas)}; it takes two numbers")
    first, second = (_check("betas", beta) for beta in betas)
    if first >= 1 or second >= 1:
        raise ArgumentValueError(f"betas is {shown(betas)}; they are less than 1")
    return first, second
