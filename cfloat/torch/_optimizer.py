"""What optimizers have in common whose moments are codes: seeds, shards, parameters that round, states."""

import math
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any, ClassVar, Final, SupportsIndex, overload

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.optim import Optimizer

from cfloat._bias import peak as peaks_of_numbers
from cfloat._core import binding, flags
from cfloat._core.finfo import finfo
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import as_format, bfloat16, float16
from cfloat._core.rounding import WORDS, RoundingMode, check_rounding, check_seed
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from . import _arithmetic, _direct, _peaks
from ._arguments import FLOATS, check_codes, names
from ._conversion import decode, encode, round_to
from ._distributed import (
    Part,
    Peaks,
    Work,
    do_alone,
    do_together,
    is_dtensor,
    local,
    of_rank_0,
    part_of,
    placed_as,
)
from ._formats import code_dtype, to_text
from ._state_checks import check_integer, check_shape, check_steps, parts_of
from ._streams import derived_seed, drawn_seed

#: Second moments are multiplied by a power of two that is a normal float32, as is its inverse.
LARGEST_SCALE: Final = binding.ADAMW_MAX_SCALE

# Formats whose codes are the bits of a dtype's numbers.
_OF_DTYPE: Final = {torch.bfloat16: bfloat16, torch.float16: float16}

# The streams of moments have numbers below this, and those of parameters from it on.
_PARAMETERS: Final = 1 << 40

# What a copy takes along.
_OWN: Final = (
    "rounding", "parameter_format", "parameter_rounding", "first", "second", "_drawn", "_moments",
    "_formats",
)  # fmt: skip

# The streams of a parameter's moments.
_STREAMS_EACH: Final = 2

#: Of a moment before a step its format's struct, the codes' address, or 0, their bias and their scale.
Kept = tuple[Any, int, int, int]

#: Of one after a step the codes' address, their bias, the seed of the random stream, and the scale.
New = tuple[int, int, int, int]

# Options of PyTorch's optimizers that are not of these.
_OF_TORCH_ALONE: Final = ("capturable", "differentiable", "decoupled_weight_decay")


class StoredMoment:
    """A moment that is kept as codes: in which format, and under which names of a state.

    One that has a scale is stored multiplied by two to its power, where the format has one bias alone.
    """

    def __init__(self, name: str, fmt: Format, *, has_scale: bool = False) -> None:
        self.fmt, self.has_scale = fmt, has_scale
        self.codes, self.bias, self.scale = f"{name}_codes", f"{name}_bias", f"{name}_scale"
        low, high = fmt.bias_range
        self.is_scaled = has_scale and low == high
        self._top_exponent = math.frexp(finfo(fmt).max)[1]

    def scale_of(self, peak: float) -> int:
        """Give the power of two that brings a magnitude into the format's last binade but one."""
        if not (self.is_scaled and peak):
            return 0
        scale = self._top_exponent - 1 - math.frexp(peak)[1]
        return max(-LARGEST_SCALE, min(scale, LARGEST_SCALE))

    def scales_of(self, peak: Tensor) -> Tensor:
        """Do as `scale_of` on any device."""
        if not self.is_scaled:
            return torch.zeros((), dtype=torch.int64, device=peak.device)
        scale = self._top_exponent - 1 - _peaks.frexp_exponent(peak)
        return torch.where(peak == 0, 0, scale.clamp(-LARGEST_SCALE, LARGEST_SCALE))

    def decoded(self, state: dict[str, Any], dtype: torch.dtype) -> Tensor:
        """Decode what this rank has of a moment."""
        codes, bias = local(state[self.codes]), state[self.bias]
        value = decode(codes, self.fmt, int(bias) if codes.is_cpu else bias, dtype=dtype)
        if self.is_scaled:
            value *= _power_of_two(-state[self.scale], dtype)
        return value

    def encoded(self, value: Tensor, peak: Any, like: Tensor, **how: Any) -> dict[str, Tensor]:
        """Encode what this rank has of a moment; `value` is changed.

        Parameters
        ----------
        value : Tensor of float64 or float32
            The part.
        peak : float or Tensor of float64
            The largest magnitude of the whole.
        like : Tensor
            The parameter, as which the codes are placed.
        how : dict
            How to round.
        """
        kept, bias = {}, None
        if isinstance(peak, float):
            bias, scale = peaks_of_numbers.bias_of_peak(peak, self.fmt), self.scale_of(peak)
            kept[self.bias] = torch.tensor(bias, dtype=torch.int16, device=value.device)
            scales = torch.tensor(scale, dtype=torch.int16, device=value.device)
        else:
            peak = peak.to(value.device)
            kept[self.bias] = _peaks.bias_of_peak(peak, self.fmt).to(torch.int16)
            scales = self.scales_of(peak).to(torch.int16)
        if self.has_scale:
            kept[self.scale] = scales
        if self.is_scaled:
            value *= _power_of_two(scales, value.dtype)
        codes = encode(value, self.fmt, kept[self.bias] if bias is None else bias, **how)
        return kept | {self.codes: placed_as(codes, like)}


class StoringOptimizer(Optimizer):
    """An optimizer that keeps its moments as codes, and rounds parameters that are narrow.

    Attributes
    ----------
    rounding, parameter_format, parameter_rounding
        The arguments.
    """

    #: PyTorch's optimizer of the same algorithm, and options by which its state is known.
    _of_torch: ClassVar[type[Any]]
    _known_by: ClassVar[tuple[str, ...]]

    #: The moments that there are after any step.
    _always_kept: ClassVar[tuple[str, ...]] = ()

    #: Whether the core's step does what `maximize` says; or else it is given the negated gradient.
    _core_maximizes: ClassVar[bool] = False

    #: The moments, by the names that PyTorch has for them, and the arguments that are their formats.
    _moments: dict[str, StoredMoment]
    _formats: dict[str, Format]

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        defaults: dict[str, Any],
        *,
        rounding: RoundingMode,
        parameter_format: Format | str | None,
        parameter_rounding: RoundingMode,
        seed: SupportsIndex | None,
    ) -> None:
        check_rounding(rounding, (), 0, 0)
        self.rounding: RoundingMode = rounding
        check_rounding(parameter_rounding, (), 0, 0)
        self.parameter_rounding: RoundingMode = parameter_rounding
        self.parameter_format: Format | None = None
        formats = {f"{name}_format": to_text(fmt) for name, fmt in self._formats.items()}
        if parameter_format is not None:
            self.parameter_format = signed_format(parameter_format, "parameter_format")
            formats["parameter_format"] = to_text(self.parameter_format)
        # what was drawn is rank 0's from the first step on
        self._drawn = int(drawn_seed()) % 2**64 if seed is None else None
        known = check_seed(seed) if self._drawn is None else self._drawn
        super().__init__(params, defaults | {"seed": known} | formats)

    @abstractmethod
    def _check_group(self, group: dict[str, Any]) -> None:
        """Check those of a group's options that are not of every optimizer."""

    @abstractmethod
    def _moments_in_core(self, group: dict[str, Any]) -> tuple[StoredMoment, ...]:
        """Give the moments of a step of a group that the core can do; none if it can't."""

    @abstractmethod
    def _described(
        self, updated: Tensor, gradient: Tensor, group: dict[str, Any], steps: int, kept: list[Kept]
    ) -> tuple[Any, tuple[float, ...]]:
        """Describe a step to the core, and find the largest moments that it gives."""

    @abstractmethod
    def _do_described(self, given: Any, new: list[New], offset: int) -> None:
        """Have the core do a step that was described."""

    @abstractmethod
    def _work_of_operators(
        self, parameter: Tensor, part: Part, gradient: Tensor, group: dict[str, Any], place: int
    ) -> Work:
        """Do a step as `_work`, by PyTorch's operators."""

    @abstractmethod
    def _of_torchs_own(self, steps: int) -> dict[str, Any]:
        """Give what PyTorch's optimizer keeps beside moments."""

    def __getstate__(self) -> dict[str, Any]:
        """Give the state of a copy, which is more than all of PyTorch's optimizers have."""
        of_all = super().__getstate__()
        return of_all | {name: getattr(self, name) for name in _OWN if name in self.__dict__}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own, as all of PyTorch's optimizers do."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self._check_options(group)
            group["seed"] = check_seed(group["seed"])
            for parameter in group["params"]:
                self._check_parameter(parameter)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def _check_options(self, group: dict[str, Any]) -> None:
        """Check the options of a group."""
        check_number("lr", group["lr"])
        check_number("weight_decay", group["weight_decay"])
        check_seed(group["seed"])
        if group["foreach"] and group["fused"]:
            raise ArgumentValueError("foreach and fused are True; only one of them can be")
        self._check_group(group)
        # what is the same for all groups
        formats: list[tuple[str, Format | None]] = [
            (name, fmt) for name, fmt in self._formats.items() if name not in self.defaults
        ]
        formats += [(f"{name}_format", fmt) for name, fmt in self._formats.items()]
        formats.append(("parameter_format", self.parameter_format))
        for name, expected in formats:
            found = group.get(name, expected)
            if found is expected or (expected is not None and found == to_text(expected)):
                continue
            if found is None or as_format(found, name) != expected:
                raise ArgumentValueError(
                    f"{name} of a group is {shown(found)}; it takes that of the optimizer, {expected}"
                )
        for name, rounding in (
            ("rounding", self.rounding),
            ("parameter_rounding", self.parameter_rounding),
        ):
            if group.get(name, rounding) != rounding:
                raise ArgumentValueError(
                    f"{name} of a group is {shown(group[name])}; "
                    f"it takes that of the optimizer, {rounding!r}"
                )

    def _check_parameter(self, parameter: Tensor) -> None:
        taken: tuple[torch.dtype, ...] = FLOATS
        if self.parameter_format is not None:
            taken = tuple(dtype for dtype in FLOATS if dtype not in _OF_DTYPE)
        if parameter.dtype not in taken:
            raise ArgumentTypeError(
                f"a parameter has dtype {parameter.dtype}; it takes {names(taken)}"
                f"{' where parameter_format is given' if len(taken) < len(FLOATS) else ''}"
            )

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
        ArgumentValueError
            If a parameter is a DTensor that is neither sharded nor replicated along each axis of its mesh.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._drawn is not None:
            self._agree()
        place = 0
        sharded: list[tuple[Tensor, Callable[[], Work]]] = []
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is not None:
                    if gradient.layout != torch.strided:
                        raise ArgumentTypeError(
                            f"a gradient has layout {gradient.layout}; it takes dense ones"
                        )
                    if type(parameter) is not nn.Parameter and is_dtensor(parameter):
                        begin = partial(self._work_of_shard, parameter, group, place)
                        sharded.append((parameter, begin))
                    else:
                        part = Part(parameter, 0, parameter.numel(), True)
                        do_alone(self._work(parameter, part, gradient, group, place))
                place += 1
        if sharded:
            do_together(sharded)
        return loss

    def _work_of_shard(self, parameter: Tensor, group: dict[str, Any], place: int) -> Work:
        whole: Any = parameter
        gradient: Any = parameter.grad
        if not is_dtensor(gradient) or gradient.placements != whole.placements:
            gradient = gradient.redistribute(whole.device_mesh, whole.placements)
        return self._work(parameter, part_of(parameter), gradient.to_local(), group, place)

    def _work(
        self, parameter: Tensor, part: Part, gradient: Tensor, group: dict[str, Any], place: int
    ) -> Work:
        """Do a step of a part of a parameter, whose gradient is dense; asks for moments' magnitudes."""
        own, moments = part.tensor, self._moments_in_core(group)
        if (
            moments
            and own.dtype is not torch.float64
            and not flags.are_counted()
            and not own.is_inference()
            and _direct.is_eager(own)
            and _direct.is_in_memory(own)
            and _direct.is_in_memory(gradient)
        ):
            state = self.state.get(parameter) or {}
            steps, codes = state.get("steps", 0), None
            if moments[0].codes in state:
                codes = [state[moment.codes] for moment in moments]
                if own is not parameter:
                    codes = [local(each) for each in codes]
            streams = [
                stream_of(group, part, steps, _STREAMS_EACH * place + number)
                for number in range(len(moments))
            ]
            if streams[0][1] + own.numel() <= WORDS and (
                codes is None or _are_in_memory(codes, state[moments[0].bias], own.numel())
            ):
                return self._work_in_core(
                    parameter, part, gradient, group, place, moments, streams, codes
                )
        return self._work_of_operators(parameter, part, gradient, group, place)

    def _work_in_core(
        self,
        parameter: Tensor,
        part: Part,
        gradient: Tensor,
        group: dict[str, Any],
        place: int,
        moments: tuple[StoredMoment, ...],
        streams: list[tuple[int, int]],
        codes: list[Tensor] | None,
    ) -> Work:
        """Update a parameter and its state where they are; one that is rounded, in float32 first."""
        own, state = part.tensor, self.state[parameter]
        steps, is_rounded = state.get("steps", 0), self._is_rounded(own.dtype)
        updated = own.to(torch.float32, copy=True) if is_rounded else own
        if gradient.dtype is not torch.float32:
            gradient = gradient.to(torch.float32)
        if group["maximize"] and not self._core_maximizes:
            gradient = gradient.neg()
        kept: list[Kept] = []
        for number, moment in enumerate(moments):
            address = bias = scale = 0
            if codes is not None:
                address, bias = codes[number].data_ptr(), int(state[moment.bias])
                scale = int(state[moment.scale]) if moment.has_scale else 0
            kept.append((moment.fmt._struct, address, bias, scale))
        given, found = self._described(updated, gradient, group, steps, kept)
        peaks: Peaks = yield found
        if codes is None:
            codes = _new_codes(parameter, own, state, moments)
        self._stepped(given, peaks, state, moments, codes, streams)
        state["steps"] = steps + 1
        if is_rounded:
            stream = parameter_stream(group, part, steps, place)
            own.copy_((yield from self._rounded(updated, own.dtype, stream)))
        else:
            increment_version(own)  # for autograd, which may have kept the parameter

    @in_default_modes
    def _stepped(
        self,
        given: Any,
        peaks: Peaks,
        state: dict[str, Any],
        moments: tuple[StoredMoment, ...],
        codes: list[Tensor],
        streams: list[tuple[int, int]],
    ) -> None:
        """Do the step that was described; the largest moments are those of the whole parameter."""
        new: list[New] = []
        for moment, peak, of_moment, (seed, _) in zip(moments, peaks, codes, streams, strict=True):
            bias = peaks_of_numbers.bias_of_peak(peak, moment.fmt)
            new.append((of_moment.data_ptr(), bias, seed, moment.scale_of(peak)))
        self._do_described(given, new, streams[0][1])
        for moment, (_, bias, _, scale) in zip(moments, new, strict=True):
            state[moment.bias].fill_(bias)
            if moment.has_scale:
                state[moment.scale].fill_(scale)

    def _agree(self) -> None:
        """Take the seed that rank 0 drew in place of the one that was drawn here."""
        drawn, self._drawn = self._drawn, None
        assert drawn is not None
        seed = of_rank_0(drawn)
        for group in (self.defaults, *self.param_groups):
            if group["seed"] == drawn:
                group["seed"] = seed

    def _is_rounded(self, dtype: torch.dtype) -> bool:
        """Whether parameters of a dtype are rounded at the end of a step."""
        return self.parameter_format is not None or dtype in _OF_DTYPE

    def _rounded(
        self, updated: Tensor, dtype: torch.dtype, stream: tuple[int, int]
    ) -> Generator[Peaks, Peaks, Tensor]:
        """Round a parameter to what is kept of it, of `dtype`; asks for its largest magnitude."""
        how = how_to_round(self.parameter_rounding, stream)
        fmt = self.parameter_format
        if fmt is None:
            return encode(updated, _OF_DTYPE[dtype], **how).view(dtype)
        (peak,) = yield (largest_magnitude(updated),)
        if isinstance(peak, float):
            return round_to(updated, fmt, peaks_of_numbers.bias_of_peak(peak, fmt), **how)
        return round_to(updated, fmt, _peaks.bias_of_peak(peak, fmt).to(updated.device), **how)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned, or PyTorch's optimizer of the same name.

        Parameters
        ----------
        state_dict : dict
            The state, of an optimizer with the same formats.  Or PyTorch's: its moments are encoded, to
            nearest, and what PyTorch's has not, as the seed, stays as it is here.

        Raises
        ------
        ArgumentTypeError
            If codes are not of the formats' storage dtypes, or it is not made as a state dict is.
        ArgumentValueError
            If it is of other formats, of another optimizer or of parameters of other shapes, or lacks
            something.
        ValueError
            If it is of other groups of parameters.
        """
        groups, kept = parts_of(state_dict)
        is_own = any(f"{name}_format" in group for name in self._formats for group in groups)
        for group in groups:
            (self._check_own if is_own else self._check_torchs)(group)
        for number, state in kept.items():
            kept[number] = (self._from_own if is_own else self._from_torchs)(state)
        for i, group in enumerate(groups):
            mine = self.param_groups[i] if i < len(self.param_groups) else {}
            groups[i] = {name: mine[name] for name in self.defaults if name in mine} | {
                name: value for name, value in group.items() if name not in _OF_TORCH_ALONE
            }
            self._check_options(self.defaults | groups[i])
        lengths = [len(group["params"]) for group in groups]
        if lengths == [
            len(group["params"]) for group in self.param_groups
        ]:  # PyTorch tells, if not
            for number, parameter in self._numbered(groups):
                if number in kept:
                    self._check_state(kept[number], parameter)
        super().load_state_dict(state_dict | {"state": kept, "param_groups": groups})
        if is_own and self._drawn is not None:
            # groups to come go on with the seed that was loaded, as they would have without a state
            self.defaults["seed"] = self.param_groups[0]["seed"]
            self._drawn = None
        # where parameters are floats, PyTorch has made floats of the codes
        for number, parameter in self._numbered(groups):
            if number in kept:
                self.state[parameter] = {
                    name: value.to(parameter.device, copy=True)
                    if isinstance(value, Tensor)
                    else value
                    for name, value in kept[number].items()
                }

    def _numbered(self, groups: list[dict[str, Any]]) -> list[tuple[Any, Tensor]]:
        """Give the parameters with the numbers that a state dict's groups have for them."""
        numbers = [number for group in groups for number in group["params"]]
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        return list(zip(numbers, parameters, strict=True))

    def _check_own(self, group: dict[str, Any]) -> None:
        for name in (*self._formats, "parameter"):
            key = f"{name}_format"
            found, expected = group.get(key), self.defaults.get(key)
            if found != expected:
                raise ArgumentValueError(
                    f"state has {key} {shown(found)}; it takes {shown(expected)}"
                )

    def _from_own(self, state: dict[str, Any]) -> dict[str, Any]:
        """Give a state under the names that it has now."""
        # once codes had the names under which PyTorch's optimizers have moments
        old = {name: moment.codes for name, moment in self._moments.items()} | {"step": "steps"}
        state = {old.get(name, name): value for name, value in state.items()}
        for moment in self._moments.values():
            if moment.bias in state or moment.codes in state:
                check_codes(state.get(moment.codes), moment.fmt)
                check_integer(state, moment.bias, *moment.fmt.bias_range)
                if moment.has_scale:
                    check_integer(state, moment.scale, -LARGEST_SCALE, LARGEST_SCALE)
        if state:
            state["steps"] = check_steps(state.get("steps"))
        return state

    def _check_state(self, state: dict[str, Any], parameter: Tensor) -> None:
        """Check that a state, under the names that it has here, is a parameter's."""
        for name, moment in self._moments.items():
            if moment.codes in state:
                check_shape(state, moment.codes, parameter)
            elif state.get("steps") and name in self._always_kept:
                raise ArgumentValueError(
                    f"state has no {name!r} of a parameter; it takes {', '.join(self._always_kept)}"
                )

    def _check_torchs(self, group: dict[str, Any]) -> None:
        theirs = f"torch.optim.{type(self).__name__}"
        for name in self._known_by:
            if name not in group:
                raise ArgumentValueError(
                    f"state has no {name!r} in a group; it takes that of "
                    f"cfloat.torch.{type(self).__name__} or {theirs}"
                )
        if not group.get("decoupled_weight_decay", True) and group["weight_decay"] != 0:
            raise ArgumentValueError(
                "state is of an optimizer whose weight_decay is a part of the gradient; "
                f"it takes that of {theirs}"
            )

    def _from_torchs(self, state: dict[str, Any]) -> dict[str, Any]:
        """Encode a state of PyTorch's, to nearest: that needs no seed, which ranks may not share yet."""
        if not state:
            return {}
        # PyTorch's SGD keeps no number of steps
        kept: dict[str, Any] = {
            "steps": check_steps(state.get("step", None if self._always_kept else 0))
        }
        for name, moment in self._moments.items():
            value = state.get(name)
            if value is None:
                continue
            if not isinstance(value, Tensor) or value.dtype not in FLOATS:
                found = value.dtype if isinstance(value, Tensor) else shown(value)
                raise ArgumentTypeError(f"state has {name} of {found}; it takes {names(FLOATS)}")
            with torch.no_grad():
                part = local(value)
                part = part.to(wide_dtype(part.dtype), copy=True)
                peak = _peak_of_whole(value, part)
                kept |= moment.encoded(part, peak, value, rounding="ties_to_even")
        return kept

    def torch_state_dict(self) -> dict[str, Any]:
        """Give the state as PyTorch's optimizer of the same name takes it.

        Returns
        -------
        dict
            For its ``load_state_dict``: moments are decoded, to float64 for parameters of float64 and else to
            float32.

        Examples
        --------
        >>> import torch
        >>> import cfloat.torch
        >>> weight = torch.nn.Parameter(torch.ones(3))
        >>> weight.grad = torch.tensor([0.5, -1.0, 0.25])
        >>> optimizer = cfloat.torch.AdamW([weight], rounding="ties_to_even")
        >>> optimizer.step()
        >>> other = torch.optim.AdamW([weight])
        >>> other.load_state_dict(optimizer.torch_state_dict())
        >>> other.state[weight]["exp_avg"]
        tensor([ 0.0500, -0.1000,  0.0250])
        """
        own = self.state_dict()
        theirs = self._of_torch([torch.zeros(0)]).defaults
        ours = self.defaults.keys() - theirs.keys()
        groups = [
            theirs | {name: value for name, value in group.items() if name not in ours}
            for group in own["param_groups"]
        ]
        states: dict[Any, Any] = {}
        with torch.no_grad():
            for number, parameter in self._numbered(groups):
                if number in own["state"]:
                    state = own["state"][number]
                    states[number] = self._of_torchs_own(state["steps"])
                    for name, moment in self._moments.items():
                        if moment.codes in state:
                            value = moment.decoded(state, wide_dtype(parameter.dtype))
                            states[number][name] = placed_as(value, parameter)
        return {"state": states, "param_groups": groups}


def _new_codes(
    parameter: Tensor, own: Tensor, state: dict[str, Any], moments: tuple[StoredMoment, ...]
) -> list[Tensor]:
    """Make room for moments, which the core writes."""
    made = []
    with torch.inference_mode(False):  # later steps write to them, in whichever mode
        for moment in moments:
            codes = torch.empty(own.shape, dtype=code_dtype(moment.fmt), device="cpu")
            made.append(codes)
            state[moment.codes] = placed_as(codes, parameter)
            state[moment.bias] = torch.empty((), dtype=torch.int16, device="cpu")
            if moment.has_scale:
                state[moment.scale] = torch.empty((), dtype=torch.int16, device="cpu")
    return made


def _are_in_memory(codes: list[Tensor], bias: Tensor, count: int) -> bool:
    """Whether the core can update the moments of a state where they are."""
    return (
        all(each.numel() == count and _direct.is_in_memory(each) for each in codes)
        and (count == 0 or len({each.data_ptr() for each in codes}) == len(codes))
        # made in inference mode, as all of a state are or none, they are replaced
        and not any(each.is_inference() for each in codes)
        and not bias.is_inference()
    )


def largest_magnitude(x: Tensor) -> Any:
    """Give the largest finite magnitude of what this rank has: a number, or where it is dear, a tensor."""
    if _direct.is_eager(x) and _direct.is_in_memory(x):
        return _direct.largest_magnitude(x)
    return _peaks.largest_magnitude(x)


def _peak_of_whole(whole: Tensor, part: Tensor) -> Any:
    """Give the largest finite magnitude of a tensor of which this rank has a part."""
    found: list[Peaks] = []

    def work() -> Work:
        found.append((yield (largest_magnitude(part),)))

    if is_dtensor(whole):
        do_together([(whole, work)])
    else:
        do_alone(work())
    return found[0][0]


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """Give the dtype in which a step of parameters of a dtype is computed."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def stream_of(group: dict[str, Any], part: Part, steps: int, number: int) -> tuple[int, int]:
    """Give seed and offset of the words that a step takes for one of an optimizer's tensors.

    Words go by the places of elements in the whole, and those of a step follow those of the step before.
    Elements that do not follow each other in the whole have a stream of their own.
    """
    seed = derived_seed(group["seed"], number)
    if part.is_run:
        return seed, steps * part.size + part.first
    return derived_seed(seed, part.first), steps * part.tensor.numel()


def parameter_stream(group: dict[str, Any], part: Part, steps: int, place: int) -> tuple[int, int]:
    """Give the words for rounding a parameter, beyond those of all moments."""
    return stream_of(group, part, steps, _PARAMETERS + place)


def how_to_round(rounding: RoundingMode, stream: tuple[int, int]) -> dict[str, Any]:
    """Give the arguments of a conversion."""
    if rounding != "stochastic":
        return {"rounding": rounding}
    return {"rounding": rounding, "seed": stream[0], "offset": stream[1]}


def signed_format(fmt: Format | str, name: str) -> Format:
    """Give a format that has a sign."""
    known = as_format(fmt, name)
    if not known.signed:
        raise ArgumentValueError(f"{name} is {known}; it takes a signed format")
    return known


def check_number(name: str, value: Any) -> Any:
    """Check a number that is 0 or more."""
    number = float(value) if isinstance(value, int | float | Tensor) else math.nan
    if not 0 <= number < math.inf:
        raise ArgumentValueError(f"{name} is {shown(value)}; it takes a number, 0 or more")
    return value


def refuse(**options: bool) -> None:
    """Refuse options of PyTorch's optimizers that these have not."""
    for name, value in options.items():
        if value:
            raise ArgumentValueError(f"{name} is {shown(value)}; it takes False: {_REASONS[name]}")


_REASONS: Final = {
    "capturable": "a step waits for the largest magnitudes, which no CUDA graph can",
    "differentiable": "no gradient goes through codes",
}


def _power_of_two(exponent: Tensor, dtype: torch.dtype) -> Tensor:
    return _arithmetic.power_of_two(exponent.long()).to(dtype)
