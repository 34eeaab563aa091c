"""`SGD` whose momentum is stored in 16 bits."""

from collections.abc import Iterable
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from cfloat._core import binding
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import CFloat16_SHP
from cfloat._core.rounding import RoundingMode
from cfloat._core.text import shown
from cfloat.errors import ArgumentValueError

from ._distributed import Part, Work
from ._optimizer import (
    Kept,
    New,
    StoredMoment,
    StoringOptimizer,
    check_number,
    how_to_round,
    largest_magnitude,
    parameter_stream,
    refuse,
    signed_format,
    stream_of,
    wide_dtype,
)


class SGD(StoringOptimizer):
    """Stochastic gradient descent with a momentum of 16 bits, rounded stochastically.

    Parameters
    ----------
    params : iterable of Tensor or dict
        Parameters, or groups of them, as in `AdamW`.
    lr : float or Tensor, default 1e-3
        The learning rate.
    momentum : float, default 0
        How much of the momentum is kept in a step; 0 keeps none.
    dampening : float, default 0
        What is taken off the gradient's weight, 1, in the momentum.
    weight_decay : float, default 0
        Times the parameter, this is added to the gradient.
    nesterov : bool, default False
        Whether Nesterov's momentum is used, for which `momentum` is not 0 and `dampening` is.
    maximize, foreach, fused, differentiable
        As in `AdamW`.
    momentum_format : Format or str, default CFloat16_SHP
        The format of the momentum.
    rounding : str, default "stochastic"
        How the momentum is rounded, as in `cfloat.encode`.
    seed, parameter_format, parameter_rounding
        As in `AdamW`.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an argument is not as above.

    See Also
    --------
    AdamW : What is there of narrow parameters, DTensors and several ranks holds here too.

    Notes
    -----
    A step computes in float32 (float64 for parameters of float64), as `torch.optim.SGD` does: the momentum
    is decoded, updated and used, and then rounded once, at the largest bias that has its largest element
    within the range.  State, for each parameter: ``steps``, and with momentum ``momentum_buffer_codes`` and
    ``momentum_buffer_bias``, which `torch.optim.SGD` does not look for: it starts with no momentum.
    `torch_state_dict` is for that, and `load_state_dict` takes PyTorch's states as well.  While a group's
    momentum is 0, what there is of it stays.

    Where `AdamW` is updated by the core, so is this with momentum, in place: ``g + weight_decay *
    parameter``, ``(1 - dampening) * g + momentum * buffer``, of Nesterov's ``g + momentum * buffer``, and
    ``parameter - lr * change``, where the first product of each sum is fused with it: the same bits on every
    machine.  All others are updated by PyTorch's operators.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> layer = torch.nn.Linear(16, 4)
    >>> optimizer = cf.torch.SGD(layer.parameters(), lr=0.1, momentum=0.9, seed=0)
    >>> layer(torch.ones(8, 16)).square().mean().backward()
    >>> optimizer.step()
    >>> optimizer.state[layer.weight]["momentum_buffer_codes"].dtype
    torch.uint16
    """

    _of_torch = torch.optim.SGD
    _known_by = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
    _core_maximizes = True

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        momentum_format: Format | str = CFloat16_SHP,
        rounding: RoundingMode = "stochastic",
        seed: SupportsIndex | None = None,
        parameter_format: Format | str | None = None,
        parameter_rounding: RoundingMode = "stochastic",
    ) -> None:
        refuse(differentiable=differentiable)
        fmt = signed_format(momentum_format, "momentum_format")
        self._formats = {"momentum": fmt}
        self._moments = {"momentum_buffer": StoredMoment("momentum_buffer", fmt)}
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "fused": fused,
        }  # fmt: skip
        super().__init__(
            params, defaults, rounding=rounding, parameter_format=parameter_format,
            parameter_rounding=parameter_rounding, seed=seed,
        )  # fmt: skip

    @property
    def momentum_format(self) -> Format:
        """The format of the momentum."""
        return self._formats["momentum"]

    def _check_group(self, group: dict[str, Any]) -> None:
        check_number("momentum", group["momentum"])
        check_number("dampening", group["dampening"])
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ArgumentValueError(
                f"nesterov is {shown(group['nesterov'])}; it takes a momentum that is not 0 "
                "and a dampening of 0"
            )

    def _of_torchs_own(self, steps: int) -> dict[str, Any]:
        return {}

    def _moments_in_core(self, group: dict[str, Any]) -> tuple[StoredMoment, ...]:
        return tuple(self._moments.values()) if group["momentum"] != 0 else ()

    @in_default_modes
    def _described(
        self, updated: Tensor, gradient: Tensor, group: dict[str, Any], steps: int, kept: list[Kept]
    ) -> tuple[Any, tuple[float, ...]]:
        given = binding.sgd_step(
            updated.numel(), gradient.data_ptr(), updated.data_ptr(), kept[0][:3],
            (group["weight_decay"], group["momentum"], 1 - group["dampening"], float(group["lr"])),
            maximizes=bool(group["maximize"]), is_nesterov=bool(group["nesterov"]),
        )  # fmt: skip
        return given, (binding.sgd_peak(given),)

    def _do_described(self, given: Any, new: list[New], offset: int) -> None:
        binding.sgd_update(given, new[0][:3], self.rounding, offset)

    def _work_of_operators(
        self, parameter: Tensor, part: Part, gradient: Tensor, group: dict[str, Any], place: int
    ) -> Work:
        own, state = part.tensor, self.state.get(parameter, {})
        steps = state.get("steps", 0)
        wide = wide_dtype(own.dtype)
        is_rounded = self._is_rounded(own.dtype)
        updated = own.to(wide, copy=True) if is_rounded else own
        gradient = gradient.to(wide)
        if group["maximize"]:
            gradient = gradient.neg()
        if group["weight_decay"] != 0:
            gradient = gradient.add(updated, alpha=group["weight_decay"])
        # a momentum stays while the group has none, as PyTorch's does
        kept: dict[str, Any] = state | {"steps": steps + 1}
        change = gradient
        if group["momentum"] != 0:
            (stored,) = self._moments.values()
            if stored.codes in state:
                mean = stored.decoded(state, wide).mul_(group["momentum"])
                mean.add_(gradient, alpha=1 - group["dampening"])
            else:
                mean = gradient.clone(memory_format=torch.contiguous_format)
            (peak,) = yield (largest_magnitude(mean),)
            how = how_to_round(self.rounding, stream_of(group, part, steps, 2 * place))
            # before anything is changed: a flag may be raised here
            kept |= stored.encoded(mean, peak, parameter, **how)
            change = gradient.add(mean, alpha=group["momentum"]) if group["nesterov"] else mean
        lr = float(group["lr"])
        if is_rounded:
            stream = parameter_stream(group, part, steps, place)
            updated.sub_(change, alpha=lr)
            own.copy_((yield from self._rounded(updated, own.dtype, stream)))
        else:
            own.sub_(change, alpha=lr)
        self.state[parameter] = kept
