"""`AdamW` whose moments are stored in 16 bits: the first in SHP, the second in UHP."""

import math
from collections.abc import Iterable
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from cfloat._core import binding
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import CFloat16_SHP, CFloat16_UHP, as_format
from cfloat._core.rounding import RoundingMode
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

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


class AdamW(StoringOptimizer):
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
    amsgrad : bool, default False
        Whether the denominator is of the largest second moment so far, which is kept as a third moment, in
        the second's format, rounded to nearest: it does not decay, so that no step is lost.
    maximize : bool, default False
        Whether the parameters go along the gradient, not against it.
    foreach, fused : bool, optional
        Taken because PyTorch's optimizer takes them; they change nothing, as each parameter has one pass of
        its own.  Not both are True.
    capturable, differentiable : bool, default False
        False: a step cannot be captured in a CUDA graph, nor differentiated.
    first, second : Format or str, default CFloat16_SHP and CFloat16_UHP
        The formats of the moments.
    rounding : str, default "stochastic"
        How moments are rounded, as in `cfloat.encode`.
    seed : int, optional
        Seed of stochastic rounding, from which each parameter and moment gets a stream of its own; PyTorch's
        default generator draws it if None, and where a process group is initialised at the first step, all
        ranks then take what rank 0 drew.  It is in the state dict.
    parameter_format : Format or str, optional
        The format to which parameters are rounded at the end of each step, at the largest bias that has them
        within its range: of parameters of float64 or float32, which hold such numbers.  None leaves these
        dtypes as they are.
    parameter_rounding : str, default "stochastic"
        How parameters of `parameter_format`, bfloat16 and float16 are rounded at the end of a step.  To
        nearest, an update of less than half of an ulp is lost, each time anew.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an argument is not as above, or `first` or `parameter_format` is unsigned.

    See Also
    --------
    SGD : The same for momentum.

    Notes
    -----
    A step computes in float32 (float64 for parameters of float64): moments are decoded, updated and used,
    and then rounded once, and so is the parameter.  State, for each parameter: ``exp_avg_codes`` and
    ``exp_avg_sq_codes``, ``exp_avg_bias``, ``exp_avg_sq_bias`` and ``exp_avg_sq_scale``, with `amsgrad` those
    of ``max_exp_avg_sq`` as well, and ``steps``.  PyTorch's optimizer looks for other names, and does not
    load it; `torch_state_dict` is for that, and `load_state_dict` takes PyTorch's states as well.

    Exponent biases are chosen anew in each
    step, so that the largest element is within the range; a first moment beyond that of the smallest bias, as
    SHP's 2**32, saturates.  UHP's bias is fixed, and squares of small
    gradients are below its smallest number, 2**-30: a second moment in a format of one bias is stored
    multiplied by two to the power of ``exp_avg_sq_scale``, chosen anew as well, such that its largest element
    is in the last binade but one, from 2**30 to 2**31 in UHP.

    Parameters of float32, bfloat16 and float16 that are contiguous on the CPU are updated by the core, as
    are their states, where they are: ``first + (1 - beta1) * (g - first)`` and
    ``(1 - beta2) * g * g + beta2 * second``, and then
    ``parameter * (1 - lr * weight_decay) - rate * (first / (sqrt(second) * s + eps))``, where ``rate`` is
    ``lr / (1 - beta1**step)`` and ``s`` is ``1 / sqrt(1 - beta2**step)``; the product by ``1 - beta1``, by
    the second ``g``, and by ``rate`` is fused with its sum.  With the same gradients these are the same bits
    on every machine.  Others, all with `amsgrad`, and all while flags are counted, are updated by PyTorch's
    operators, which round as the machine does: moments are the same bits where PyTorch fuses as above, and
    the last bits of parameters differ, as PyTorch's square root may be an ulp off.

    Of parameters that are DTensors, as FSDP2's ``fully_shard`` makes them, each rank updates its shard.
    Random words go by the place of an element in the whole parameter, and biases by the largest element of
    the whole, for which ranks exchange magnitudes once a step: results are the bits of one rank alone.  Of
    shards along another axis than the first, elements do not follow each other; these take words by their
    place in the shard.  States are DTensors, which ``torch.distributed.checkpoint`` saves and loads.

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
    >>> state["exp_avg_codes"].dtype, state["exp_avg_sq_codes"].dtype
    (torch.uint16, torch.uint16)
    """

    _of_torch = torch.optim.AdamW
    _known_by = ("lr", "betas", "eps", "weight_decay", "amsgrad")
    _always_kept = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        first: Format | str = CFloat16_SHP,
        second: Format | str = CFloat16_UHP,
        rounding: RoundingMode = "stochastic",
        seed: SupportsIndex | None = None,
        parameter_format: Format | str | None = None,
        parameter_rounding: RoundingMode = "stochastic",
    ) -> None:
        refuse(capturable=capturable, differentiable=differentiable)
        self.first, self.second = signed_format(first, "first"), as_format(second, "second")
        self._formats = {"first": self.first, "second": self.second}
        self._moments = {
            "exp_avg": StoredMoment("exp_avg", self.first),
            "exp_avg_sq": StoredMoment("exp_avg_sq", self.second, has_scale=True),
            "max_exp_avg_sq": StoredMoment("max_exp_avg_sq", self.second, has_scale=True),
        }
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "fused": fused,
        }  # fmt: skip
        super().__init__(
            params, defaults, rounding=rounding, parameter_format=parameter_format,
            parameter_rounding=parameter_rounding, seed=seed,
        )  # fmt: skip

    def _check_group(self, group: dict[str, Any]) -> None:
        _check_betas(group["betas"])
        check_number("eps", group["eps"])

    def _of_torchs_own(self, steps: int) -> dict[str, Any]:
        return {"step": torch.tensor(float(steps), device="cpu")}

    def _moments_in_core(self, group: dict[str, Any]) -> tuple[StoredMoment, ...]:
        if group["amsgrad"]:
            return ()
        return self._moments["exp_avg"], self._moments["exp_avg_sq"]

    def _work_of_operators(
        self,
        parameter: Tensor,
        part: Part,
        gradient: Tensor,
        group: dict[str, Any],
        place: int,
    ) -> Work:
        own, state = part.tensor, self.state.get(parameter, {})
        steps = state.get("steps", 0)
        first, second, greatest = self._moments.values()
        wide = wide_dtype(own.dtype)
        gradient = gradient.to(wide)
        if group["maximize"]:
            gradient = gradient.neg()
        beta1, beta2 = group["betas"]
        if state:
            mean, square = first.decoded(state, wide), second.decoded(state, wide)
        else:
            mean, square = torch.zeros_like(gradient), torch.zeros_like(gradient)
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        kept_by, stored = square, [(first, mean), (second, square)]
        if group["amsgrad"]:
            kept_by = square.clone()
            if greatest.codes in state:
                kept_by = torch.maximum(greatest.decoded(state, wide), square)
            stored.append((greatest, kept_by))
        peaks = yield tuple(largest_magnitude(value) for _, value in stored)

        lr, step = float(group["lr"]), steps + 1
        denominator = (kept_by / (1 - beta2**step)).sqrt_().add_(group["eps"])
        change = mean / (1 - beta1**step) / denominator
        # before anything is changed: a flag may be raised here
        kept: dict[str, Any] = {"steps": step}
        for number, ((moment, value), largest) in enumerate(zip(stored, peaks, strict=True)):
            how: dict[str, Any] = {"rounding": "ties_to_even"}
            if moment is not greatest:
                how = how_to_round(self.rounding, stream_of(group, part, steps, 2 * place + number))
            kept |= moment.encoded(value, largest, parameter, **how)
        if self._is_rounded(own.dtype):
            updated = own.to(wide, copy=True).mul_(1 - lr * group["weight_decay"])
            updated.sub_(change, alpha=lr)
            stream = parameter_stream(group, part, steps, place)
            own.copy_((yield from self._rounded(updated, own.dtype, stream)))
        else:
            own.mul_(1 - lr * group["weight_decay"]).sub_(change, alpha=lr)
        self.state[parameter] = kept

    @in_default_modes
    def _described(
        self, updated: Tensor, gradient: Tensor, group: dict[str, Any], steps: int, kept: list[Kept]
    ) -> tuple[Any, tuple[float, ...]]:
        (beta1, beta2), lr, step = group["betas"], float(group["lr"]), steps + 1
        given = binding.adamw_step(
            updated.numel(), gradient.data_ptr(), updated.data_ptr(), kept[0][:3], kept[1][:3],
            kept[1][3],
            (1 - beta1, beta2, 1 - beta2),
            (
                1 - lr * group["weight_decay"],
                lr / (1 - beta1**step),
                1 / math.sqrt(1 - beta2**step),
                group["eps"],
            ),
        )  # fmt: skip
        return given, binding.adamw_peaks(given)

    def _do_described(self, given: Any, new: list[New], offset: int) -> None:
        first, second = new
        binding.adamw_update(given, first[:3], second[:3], second[3], self.rounding, offset)


def _check_betas(betas: Any) -> None:
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ArgumentTypeError(f"betas is {shown(betas)}; it takes two numbers")
    first, second = (check_number("betas", beta) for beta in betas)
    if first >= 1 or second >= 1:
        raise ArgumentValueError(f"betas is {shown(betas)}; they are less than 1")
