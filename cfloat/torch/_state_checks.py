"""What a state dict must be that an optimizer goes on from."""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

_INTEGERS: Final = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


def parts_of(state_dict: Any) -> tuple[list[dict[str, Any]], dict[Any, dict[str, Any]]]:
    """Give copies of the groups and of the states of a state dict.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If it is not made as all of PyTorch's optimizers make theirs.
    """
    _check_is("state_dict", state_dict, Mapping, "a dict")
    for key in ("state", "param_groups"):
        if key not in state_dict:
            raise ArgumentValueError(
                f"state has no {key!r}, but {shown(sorted(map(str, state_dict)))}; "
                "it takes what an optimizer's state_dict() returned"
            )
    groups, states = state_dict["param_groups"], state_dict["state"]
    _check_is("param_groups of a state", groups, list | tuple, "a list of dicts")
    _check_is("state of a state", states, Mapping, "a dict of dicts")
    for group in groups:
        _check_is("a group of a state", group, Mapping, "a dict")
        if not isinstance(group.get("params"), list | tuple):
            raise ArgumentValueError(
                f"state has a group with params {shown(group.get('params'))}; it takes a list of numbers"
            )
    for number, state in states.items():
        _check_is(f"state of parameter {number}", state, Mapping, "a dict")
    return [dict(group) for group in groups], {
        number: dict(state) for number, state in states.items()
    }


def _check_is(name: str, value: object, kind: Any, allowed: str) -> None:
    if not isinstance(value, kind):
        raise ArgumentTypeError(f"{name} is {shown(value)}; it takes {allowed}")


def check_steps(steps: Any) -> int:
    """Give the number of steps that a state says, as an integer or, as PyTorch's, a number in a tensor."""
    number = steps.item() if isinstance(steps, Tensor) and steps.numel() == 1 else steps
    if not isinstance(number, int | float) or not number >= 0 or number != int(number):
        raise ArgumentValueError(f"state has steps {shown(steps)}; it takes an integer, 0 or more")
    return int(number)


def check_integer(state: Mapping[str, Any], name: str, low: int, high: int) -> None:
    """Check an integer that a state has in a tensor of one element."""
    value = state.get(name)
    if not isinstance(value, Tensor) or value.numel() != 1 or value.dtype not in _INTEGERS:
        raise ArgumentTypeError(
            f"state has {name} {shown(value)}; it takes a torch.Tensor of one integer"
        )
    if not value.is_meta and not low <= int(value) <= high:
        raise ArgumentValueError(f"state has {name} {int(value)}; it takes {low} to {high}")


def check_shape(state: Mapping[str, Any], name: str, parameter: Tensor) -> None:
    """Check that codes of a state are as many as a parameter's elements, and lie like them."""
    found, expected = tuple(state[name].shape), tuple(parameter.shape)
    if found != expected:
        raise ArgumentValueError(
            f"state has {name} of shape {found}; it takes that of the parameter, {expected}"
        )
