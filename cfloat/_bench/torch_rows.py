"""The rows of PyTorch: an optimizer's step, layers, and operators, beside PyTorch's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import numpy as np

from cfloat._bias.round_to import round_to
from cfloat._convert.elementwise import encode
from cfloat._core.presets import CFloat8_1_4_3, CFloat16_SHP
from cfloat.errors import CFloatError

from .context import Context
from .row import Calls, Case, Goal

_PARAMETERS: Final = 1 << 20
_SIDE: Final = 4096
_FEW: Final = 1000


def cases(context: Context) -> Iterator[Case]:
    """List what PyTorch does as well, if it is among the peers."""
    torch = context.peers.get("torch")
    if torch is None:
        return
    (size,) = context.within(_PARAMETERS)
    for name, how, goal in (
        ("AdamW", {}, Goal(1 / 1.2)),
        ("SGD", {"lr": 1e-3, "momentum": 0.9}, None),
    ):
        yield Case(
            "", f"{name}, a step / torch.optim.{name}", f"{size} parameters", "us", 1e-6,
            _Step(torch, size, name, how), goal,
        )  # fmt: skip
    side, _ = context.within(_SIDE, _SIDE)
    for rows in (1, 16):
        for fmt in (CFloat8_1_4_3, CFloat16_SHP):
            goal = Goal(1.5) if rows == 1 and fmt.bits == 8 else None
            yield Case(
                "", "CFloatLinear / torch, bfloat16", f"{fmt.name}, {rows}x{side}x{side}", "us", 1e-6,
                _Linear(torch, side, rows, fmt), goal,
            )  # fmt: skip
    for name in ("encode", "round_to"):
        yield Case(
            "", "operators / to(float8_e4m3fn)", f"{name}, {_FEW} elements", "us", 1e-6,
            _Operator(torch, name), Goal(8, is_ratio=False),
        )  # fmt: skip


def _here() -> Any:
    """Import what needs PyTorch."""
    return import_module("cfloat.torch")


@dataclass(frozen=True)
class _Step:
    torch: Any
    size: int
    name: str
    how: dict[str, float]

    def __call__(self) -> Calls:
        torch = self.torch
        steps, results = [], []
        values = torch.from_numpy(
            np.random.default_rng(0).standard_normal((2, self.size), np.float32)
        )
        for of in (_here(), torch.optim):
            parameter = torch.nn.Parameter(values[0].clone())
            parameter.grad = values[1].clone()
            steps.append(getattr(of, self.name)([parameter], **self.how).step)
            steps[-1]()
            results.append(parameter.detach())
        # a step of the learning rate, whatever the moments' last bits
        if (results[0] - results[1]).abs().max() > 1e-4:
            raise CFloatError(f"{self.name}: wrong results")
        return Calls(*steps)


@dataclass(frozen=True)
class _Linear:
    torch: Any
    side: int
    rows: int
    fmt: Any

    def __call__(self) -> Calls:
        torch = self.torch
        layer = torch.nn.Linear(self.side, self.side, bias=False).requires_grad_(False)
        x = torch.from_numpy(
            np.random.default_rng(0).standard_normal((self.rows, self.side), np.float32)
        )
        made = _here().CFloatLinear.from_linear(layer, self.fmt, "max")
        expected = layer(x)
        if (made(x) - expected).norm() > 0.05 * expected.norm():
            raise CFloatError("CFloatLinear: wrong results")
        narrow, narrow_x = layer.bfloat16(), x.bfloat16()
        return Calls(lambda: made(x), lambda: narrow(narrow_x))


@dataclass(frozen=True)
class _Operator:
    torch: Any
    name: str

    def __call__(self) -> Calls:
        torch = self.torch
        values = np.random.default_rng(0).standard_normal(_FEW, np.float32)
        x = torch.from_numpy(values)
        function = getattr(_here(), self.name)
        expected = {"encode": encode, "round_to": round_to}[self.name](values, CFloat8_1_4_3)
        if not np.array_equal(function(x, CFloat8_1_4_3).numpy(), expected):
            raise CFloatError(f"{self.name} of a torch.Tensor: wrong results")
        return Calls(lambda: function(x, CFloat8_1_4_3), lambda: x.to(torch.float8_e4m3fn))
