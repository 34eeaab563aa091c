"""`CFloatLinear`: a Linear layer that holds codes and multiplies them where they are."""

from collections.abc import Sequence
from typing import Any, Self, SupportsIndex, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from cfloat._array.array import CFloatArray
from cfloat._bias import peak
from cfloat._bias.bias_layout import Axis
from cfloat._bias.bias_methods import PeakRule, check_method
from cfloat._bias.choose import choose_bias
from cfloat._compensate.round_compensated import CompensationStats
from cfloat._core import binding, flags
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.text import shown
from cfloat._matmul.matmul import matmul
from cfloat._matmul.operands import matrices, operand
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from . import _direct
from ._arguments import check_bias_or_rule, check_layout, check_values
from ._arrays import asarray
from ._codes_in_states import GIVEN, Written, different, in_blocks, matrix_layout
from ._compensate import (
    Moments,
    MomentsOfModel,
    compensate_rounded,
    notes_that_hold,
    own_weights,
    places_in,
)
from ._conversion import decode
from ._formats import from_text, to_text
from ._layer_notes import note_layers
from ._layers import QuantizedLinear
from ._layout import BiasLayout
from ._memory import for_numpy, from_numpy, to_numpy
from ._notices import has_values, new_model, tell_unlearnt
from ._peaks import bias_of_peak, largest_magnitude
from ._quantize import AnyModule
from ._rounder import (
    counts_of_history,
    in_words,
    learnt_magnitudes,
    text_of,
    written_otherwise,
)
from ._streams import no_stream


@torch.library.custom_op("cfloat::matmul", mutates_args=())
def _matmul(
    x: Tensor,
    x_bias: Tensor | None,
    x_fmt: str,
    codes: Tensor,
    bias: Tensor,
    fmt: str,
    block: int,
    transposed: bool,
    axes: Sequence[int] | None = None,
) -> Tensor:
    """Multiply x, which is codes of `x_fmt` or else values, by the matrix of codes, or by its transpose.

    Biases are one for each `block` codes, if that is not 0: of the last axis, or along `axes` as one.
    """
    matrix = _values(codes, bias, fmt, block, axes)
    values = decode(x, from_text(x_fmt), x_bias) if x_fmt else x.float()
    return values @ (matrix.mT if transposed else matrix)


@_matmul.register_kernel("cpu")
def _(
    x: Tensor,
    x_bias: Tensor | None,
    x_fmt: str,
    codes: Tensor,
    bias: Tensor,
    fmt: str,
    block: int,
    transposed: bool,
    axes: Sequence[int] | None = None,
) -> Tensor:
    layout = _layout(block, axes)
    array = CFloatArray(
        to_numpy(codes), from_text(fmt), to_numpy(bias), axis=layout.axis, block=layout.block
    )
    first: Any
    # all as the rows of one matrix; of no elements PyTorch cannot tell how many there are
    rows = x.reshape(x.shape[:-1].numel(), x.shape[-1]) if x.ndim else x
    if x_fmt:
        assert x_bias is not None
        biases = to_numpy(x_bias)
        first = CFloatArray(
            to_numpy(rows), from_text(x_fmt), biases[None] if biases.ndim else biases
        )
    else:
        first = to_numpy(rows if x.dtype in (torch.float32, torch.bfloat16) else rows.float())
    product: NDArray[np.float32] = matmul(first, array.T if transposed else array)
    return torch.from_numpy(np.asarray(product)).reshape(*x.shape[:-1], product.shape[-1])


@_matmul.register_fake
def _(
    x: Tensor,
    x_bias: Tensor | None,
    x_fmt: str,
    codes: Tensor,
    bias: Tensor,
    fmt: str,
    block: int,
    transposed: bool,
    axes: Sequence[int] | None = None,
) -> Tensor:
    columns = codes.shape[0 if transposed else 1]
    return x.new_empty((*x.shape[:-1], columns), dtype=torch.float32)


def _layout(block: int, axes: Sequence[int] | None) -> BiasLayout:
    """Tell along what blocks run; without blocks biases broadcast as they are."""
    return BiasLayout(tuple(axes) if axes else None, block) if block else BiasLayout()


def _values(
    codes: Tensor, bias: Tensor, fmt: str, block: int, axes: Sequence[int] | None = None
) -> Tensor:
    if block:
        bias = _layout(block, axes).spread(bias, codes.shape)
    return decode(codes, from_text(fmt), bias)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, _, ctx.x_fmt, codes, bias, ctx.fmt, ctx.block, ctx.transposed, ctx.axes = inputs
    ctx.dtype = x.dtype
    ctx.save_for_backward(codes, bias)


def _back(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    codes, bias = ctx.saved_tensors
    if ctx.x_fmt:
        return (None,) * 9
    own = _matmul(gradient, None, "", codes, bias, ctx.fmt, ctx.block, not ctx.transposed, ctx.axes)
    return own.to(ctx.dtype), *(None,) * 8


_matmul.register_autograd(_back, setup_context=_keep)


class CFloatLinear(nn.Module):
    """A Linear layer for inference, whose weights are codes: a quarter of float32's memory in 8 bits.

    Products are `cfloat.matmul`'s on the CPU, which decodes the codes as it goes: of values and codes, or of
    codes alone if `activation` is given, with sums in float32.

    Parameters
    ----------
    weight : CFloatArray, shape (out_features, in_features)
        The weights; not copied, unless their codes are read-only or run backwards in memory.
    bias : Tensor, shape (out_features,), optional
        What is added.
    activation : Format or str, optional
        The format to which inputs are rounded.
    activation_bias : "max", "mx", int or None, default "max"
        The exponent bias of rounded inputs: "max" takes the largest at which no element of an input is too
        large, "mx" that of OCP MX's rule, anew for each call; or an integer, or None for the format's default
        bias.  `to_inference` gives what was learnt.

    Attributes
    ----------
    codes : Tensor of uint8 or uint16, shape (out_features, in_features)
        A buffer: the weights' codes.
    weight_bias : Tensor of int16
        A buffer: their exponent biases, one, or as `CFloatArray.bias` has them.
    bias : Tensor or None
        A buffer.
    activation_biases, activation_observed : Tensor of int16, and Tensor of int64, shape (2,)
        Buffers, of inputs whose bias does not follow from each: the bias, or one for each channel; and of how
        many elements and tensors it was learnt, the latter -1 if it was given.
    formats : Tensor of uint8
        A buffer: text that says of what formats the codes and inputs are.
    weight : CFloatArray
        The weights, in the buffers' memory; on the CPU.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an argument is not as above.

    See Also
    --------
    to_inference : For all layers of a quantized model.

    Notes
    -----
    There is a gradient with respect to the input, if that is not rounded, and none with respect to the
    weights, which are no parameters.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> _ = torch.manual_seed(0)
    >>> layer = torch.nn.Linear(256, 10)
    >>> small = cf.torch.CFloatLinear.from_linear(layer, cf.CFloat8_1_4_3, "mse", axis=0)
    >>> x = torch.randn(32, 256)
    >>> small.codes.dtype, bool((small(x) - layer(x)).abs().max() < 0.1)
    (torch.uint8, True)
    """

    codes: Tensor
    weight_bias: Tensor
    bias: Tensor | None
    activation_biases: Tensor
    activation_observed: Tensor
    formats: Tensor

    # along what blocks run, if not along the last axis: an axis, or both as one
    _along: int | tuple[int, ...] | None = None
    # how weights of a plain layer are rounded that are loaded: the bias, and the binades to keep free
    _method: ArrayLike | None = "max"
    _margin = 0
    # by what rule, and with how many binades kept free, the quantized layer learnt the bias of inputs
    _learns_by: tuple[PeakRule, int] = ("max", 0)
    # whether it is known that something was learnt; looked up in eager mode alone
    _was_learnt = False
    # what a warning calls the bias
    _called = "the bias of a CFloatLinear's inputs"
    # what compensated rounding came to, or why there was none
    _compensation: dict[str, CompensationStats | str]

    def __init__(
        self,
        weight: CFloatArray,
        bias: Tensor | None = None,
        *,
        activation: Format | str | None = None,
        activation_bias: PeakRule | SupportsIndex | None = "max",
    ) -> None:
        super().__init__()
        if not isinstance(weight, CFloatArray):
            raise ArgumentTypeError(f"weight is {shown(weight)}; it takes a CFloatArray")
        if weight.ndim != 2:
            raise ArgumentValueError(f"weight has shape {weight.shape}; it takes two axes")
        self.out_features, self.in_features = weight.shape
        self.format, self.block = weight.format, weight.block
        if self.block is not None:
            self._along = weight.axis
        biases = np.array(weight.bias, np.int16)
        self.activation = None if activation is None else as_format(activation, "activation")
        self._rule: PeakRule | None = "max"
        given = None
        if self.activation is None:
            if not (isinstance(activation_bias, str) and activation_bias == "max"):
                raise ArgumentValueError(
                    "activation_bias is given, and no activation; it takes both"
                )
        else:
            checked = check_bias_or_rule("activation_bias", activation_bias, self.activation)
            if isinstance(checked, int):
                self._rule, given = None, checked
            else:
                self._rule = checked
        if bias is not None and (not isinstance(bias, Tensor) or bias.shape != weight.shape[:1]):
            raise ArgumentValueError(
                f"bias is {shown(bias)}; it takes a tensor of shape ({self.out_features},)"
            )
        self._kept: tuple[Any, binding.Matrices] | None = None
        # in a row, as safetensors takes tensors, and as they are multiplied at once
        self.register_buffer("codes", from_numpy(np.ascontiguousarray(weight.codes)))
        self.register_buffer("weight_bias", torch.from_numpy(biases))
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        if given is not None:
            self.register_buffer("activation_biases", torch.tensor(given, dtype=torch.int16))
            self.register_buffer("activation_observed", torch.tensor([0, GIVEN]))
        self.register_buffer("formats", self._written().to_tensor())
        self._model = new_model()

    @classmethod
    def from_linear(
        cls,
        layer: nn.Linear,
        fmt: Format | str,
        bias: ArrayLike | None = "mse",
        *,
        axis: Axis | None = None,
        block: SupportsIndex | None = None,
        activation: Format | str | None = None,
        activation_bias: PeakRule | SupportsIndex | None = "max",
    ) -> Self:
        """Return a layer with another's weights, rounded to nearest.

        Parameters
        ----------
        layer : Linear
            The layer, which is not changed.
        fmt, bias, axis, block
            As in `cfloat.asarray`: with ``axis=0`` each output has a bias of its own, with `block` each so
            many consecutive weights of one, and with both so many weights of one input.
        activation, activation_bias
            As in `CFloatLinear`.

        Returns
        -------
        CFloatLinear

        Raises
        ------
        ArgumentTypeError
            If `layer` is no Linear layer.
        ArgumentTypeError, ArgumentValueError
            As `cfloat.asarray`.
        """
        if not isinstance(layer, nn.Linear):
            raise ArgumentTypeError(f"layer is {shown(layer)}; it takes a torch.nn.Linear")
        weight = asarray(layer.weight, fmt, bias, axis=axis, block=block)
        made = cls(weight, layer.bias, activation=activation, activation_bias=activation_bias)
        made._method = bias
        return made.to(layer.weight.device).train(layer.training)

    @property
    def weight(self) -> CFloatArray:
        """The weights, in the memory of `codes`."""
        return CFloatArray(
            to_numpy(self.codes.cpu()),
            self.format,
            to_numpy(self.weight_bias.cpu()),
            axis=self._along,
            block=self.block,
        )

    def _written(self) -> Written:
        """Give what a state says of the codes."""
        return Written(self.format, self.activation, self.block, self._along)

    @property
    def activation_bias(self) -> PeakRule | int | Tensor:
        """The bias of rounded inputs, or one for each channel; or the rule by which it follows from each."""
        if self._rule is not None:
            return self._rule
        return (
            self.activation_biases if self.activation_biases.ndim else int(self.activation_biases)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Multiply inputs by the weights.

        Parameters
        ----------
        x : Tensor of float64, float32, float16 or bfloat16, shape (..., in_features)
            Inputs; of float64 and float16 as float32.

        Returns
        -------
        Tensor, shape (..., out_features)
            Of the dtype of `x`.
        """
        check_values(x)
        if self._rule is None and (torch.compiler.is_compiling() or not self._was_learnt):
            self._look_whether_learnt()
        if self._is_at_once(x):
            return self._multiplied(x)
        if self.activation is None:
            return self._multiplied_as_it_is(x)
        check_layout("x has", x)
        self._check_place(x)
        x_fmt, x_bias = to_text(self.activation), self._activation_bias(x)
        given = torch.ops.cfloat.encode(x, x_bias, no_stream(), x_fmt, "ties_to_even")
        return self._product(given, x_bias, x_fmt, x.dtype)

    def _check_place(self, x: Tensor) -> None:
        """Refuse what is of another shape, or elsewhere."""
        if not x.ndim or x.shape[-1] != self.in_features:
            raise ArgumentValueError(
                f"x has shape {tuple(x.shape)}; it takes (..., {self.in_features})"
            )
        if x.device != self.codes.device:
            raise ArgumentValueError(f"x is on {x.device}; the weights are on {self.codes.device}")

    def _multiplied_as_it_is(self, x: Tensor) -> Tensor:
        """Multiply inputs that are not rounded."""
        self._check_place(check_values(x))
        return self._product(x, None, "", x.dtype)

    def _product(
        self, given: Tensor, x_bias: Tensor | None, x_fmt: str, dtype: torch.dtype
    ) -> Tensor:
        y: Tensor = torch.ops.cfloat.matmul(
            given,
            x_bias,
            x_fmt,
            self.codes,
            self.weight_bias,
            to_text(self.format),
            self.block or 0,
            True,
            self._written().axes or None,
        )
        if self.bias is not None:
            y = y + self.bias
        return y.to(dtype)

    def _look_whether_learnt(self) -> None:
        assert self.activation is not None
        observed = self.activation_observed
        tell_unlearnt(observed, self._model, self._called, self.activation.default_bias)
        if not torch.compiler.is_compiling() and has_values(observed):
            self._was_learnt = int(observed[1]) != 0

    def _settle(
        self, layout: BiasLayout, *, peaks: Tensor | None, biases: Tensor | None, observed: Tensor
    ) -> None:
        """Take what was found of many tensors at once: magnitudes from which biases follow, or biases."""
        assert self.activation is not None
        if peaks is not None:
            biases = bias_of_peak(peaks, self.activation, *self._learns_by)
        assert biases is not None
        device = self.activation_biases.device
        self.activation_biases = biases.to(device, torch.int16)
        self.activation_observed = observed.to(device)
        self._was_learnt = False

    def _is_at_once(self, x: Tensor) -> bool:
        """Whether the core multiplies at once, past PyTorch's dispatcher (`_direct`)."""
        return (
            _direct.is_eager(x)
            and not (x.requires_grad and torch.is_grad_enabled())
            and x.ndim > 0
            and x.shape[-1] == self.in_features
            and x.numel() > 0
            and self.out_features > 0
            and _direct.is_in_memory(x)
            and _direct.is_in_memory(self.codes)
            and _direct.is_in_memory(self.weight_bias)
            and (
                self._rule is not None or not cast(Tensor, self._buffers["activation_biases"]).ndim
            )
            and not flags.are_counted()
        )

    def _multiplied(self, x: Tensor) -> Tensor:
        """Multiply as `forward` what `_is_at_once`."""
        rows, dtype = x.numel() // self.in_features, x.dtype
        x_fmt = self.activation
        x_bias: Any = 0
        if x_fmt is not None:
            if self._rule is None:
                x_bias = cast(Tensor, self._buffers["activation_biases"]).item()
            else:
                x_bias = peak.bias_of_peak(_direct.largest_magnitude(x), x_fmt, self._rule)
            x = _direct.encode(x, x_fmt, x_bias, "ties_to_even", None, 0, rounds=False)
        elif dtype not in (torch.float32, torch.bfloat16):
            x = x.float()
        y = torch.empty((*x.shape[:-1], self.out_features), dtype=torch.float32, device="cpu")
        weights = self._operand()
        if isinstance(weights.biases, int):
            _direct.matmul(x, x_fmt, x_bias, self.codes, self.format, weights.biases, y)
        else:
            binding.matmul(
                binding.Matrices(
                    to_numpy(x.reshape(rows, -1)), None if x_fmt is None else x_fmt._struct, x_bias
                ),
                weights,
                to_numpy(y.view(rows, -1)),
            )
        if self.bias is not None:
            y = y.add_(self.bias) if self.bias.dtype == torch.float32 else y + self.bias
        return y.to(dtype)

    def _operand(self) -> binding.Matrices:
        """Describe the transposed weights to the core: as for the last call, if they are the same."""
        codes, biases = self.codes, to_numpy(self.weight_bias)
        if isinstance(self._along, tuple):  # which the core takes spread, too large to be kept
            return matrices(operand("weight", self.weight.T), column=True)
        key = (codes.data_ptr(), codes.shape, biases.shape, biases.tobytes())
        if self._kept is None or self._kept[0] != key:
            self._kept = key, matrices(operand("weight", self.weight.T), column=True)
        return self._kept[1]

    def __getstate__(self) -> dict[str, Any]:
        """Give the state of a copy, which makes its own description of the weights."""
        return self.__dict__ | {"_kept": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore, also what was pickled before activations' biases were buffers."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if "formats" in self._buffers:
            return
        given = self.__dict__.pop("activation_bias", "max")
        self._rule = None if isinstance(given, int) else given
        if self._rule is None:
            self.register_buffer("activation_biases", torch.tensor(given, dtype=torch.int16))
            self.register_buffer("activation_observed", torch.tensor([0, GIVEN]))
        self.register_buffer("formats", self._written().to_tensor())
        self._model = new_model()

    def _activation_bias(self, x: Tensor) -> Tensor:
        assert self.activation is not None
        if self._rule is None:
            return self.activation_biases
        return bias_of_peak(largest_magnitude(x), self.activation, self._rule)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *how: Any) -> None:
        """Load a state, or that of a quantized or plain layer, whose weights are rounded."""
        errors = how[-1]
        self._was_learnt = False
        self.__dict__.pop("_compensation", None)  # of other codes
        try:
            self._translate(state_dict, prefix)
        except ValueError as error:
            errors.append(f"{prefix or 'the layer'}: {error}")
            for key in [key for key in state_dict if key.startswith(prefix)]:
                del state_dict[key]
            state_dict.update(
                {prefix + key: each for key, each in self._buffers.items() if each is not None}
            )
        super()._load_from_state_dict(state_dict, prefix, *how)  # type: ignore[no-untyped-call]

    def _translate(self, state: Any, prefix: str) -> None:
        """Make of a state, in place, one that this layer has."""
        codes = state.get(f"{prefix}codes")
        if codes is not None and codes.dtype != self.codes.dtype:  # which are of another format
            raise ValueError(f"codes are {codes.dtype}; it takes {self.codes.dtype}")
        formats = state.get(f"{prefix}formats")
        if formats is not None:
            written = Written.of_tensor(formats)
            problem = different(written, self.format, self.activation)
            if problem:
                raise ValueError(problem)
            self._take_biases(state, prefix, written)
            state[f"{prefix}formats"] = self.formats
        if f"{prefix}codes" not in state and f"{prefix}weight" in state:
            self._encode(state, prefix)
        elif f"{prefix}codes" in state and formats is None:
            # written before formats and activations' biases were: they are as the layer has them
            biases = state.get(f"{prefix}weight_bias")
            written = self._written()
            if biases is not None and biases.shape != self.weight_bias.shape:
                written = written._replace(block=None, axis=None)
            self._take_biases(state, prefix, written)
            state[f"{prefix}formats"] = self.formats
            for key in ("activation_biases", "activation_observed"):
                if key in self._buffers:
                    state.setdefault(prefix + key, self._buffers[key])
        biases = state.get(f"{prefix}activation_biases")
        if (
            biases is not None
            and self._rule is None
            and biases.shape != self.activation_biases.shape
        ):
            if tuple(biases.shape) not in ((), (self.in_features,)):
                raise ValueError(
                    f"activation_biases has shape {tuple(biases.shape)}; it takes one, or "
                    f"{self.in_features}"
                )
            self.activation_biases = self.activation_biases.new_zeros(biases.shape)

    def _take_biases(self, state: Any, prefix: str, written: Written) -> None:
        """Make of a state's biases of weights, in place, those of the layer's blocks."""
        biases = state.get(f"{prefix}weight_bias")
        if biases is not None:
            own = self._written()
            state[f"{prefix}weight_bias"] = in_blocks(biases, written, own, self.codes.shape)

    def _encode(self, state: Any, prefix: str) -> None:
        """Round the weights of a state: with the biases that it has for them, or as the layer's were."""
        own = [key for key in state if key.startswith(prefix)]
        given = {key[len(prefix) :]: state.pop(key) for key in own}
        weight = given.pop("weight")
        if tuple(weight.shape) != tuple(self.codes.shape):
            raise ValueError(
                f"weight has shape {tuple(weight.shape)}; it takes {tuple(self.codes.shape)}"
            )
        rule: PeakRule = "mx" if self._method == "mx" else "max"
        _complete(given, "weight_rounder.", self.format, rule, self._margin)
        if self.activation is not None:
            _complete(given, "activation_rounder.", self.activation, *self._learns_by)
        layout = matrix_layout(self.weight_bias, self._written())
        biases = given.pop("weight_rounder.biases", None)
        how: Any = self._method if biases is None else to_numpy(biases.cpu())
        if biases is not None and tuple(biases.shape) != layout.shape_of(weight.shape):
            raise ValueError(
                f"the weights have biases of shape {tuple(biases.shape)}; the layer's have "
                f"{layout.shape_of(weight.shape)}"
            )
        where = text_of(given, "weight_rounder.")[1]
        if biases is not None and layout.contradicts(where, tuple(biases.shape), weight.ndim):
            raise ValueError(
                f"biases of the weights lie by {where}; the layer's by {layout.to_text()}"
            )
        if biases is None and self._margin and isinstance(how, str):
            low, high = self.format.bias_range
            method = check_method("bias", how, self.format)
            chosen = choose_bias(
                for_numpy(weight), self.format, method, axis=layout.axis, block=layout.block
            )
            how = np.clip(np.asarray(chosen) - self._margin, low, high)
        array = asarray(
            weight,
            self.format,
            how,
            axis=None if layout.is_one else layout.axis,
            block=layout.block,
        )
        made = CFloatLinear(array)
        state[f"{prefix}codes"], state[f"{prefix}weight_bias"] = made.codes, made.weight_bias
        state[f"{prefix}formats"] = self.formats
        for key in ("activation_biases", "activation_observed"):
            if key in self._buffers:
                part = f"activation_rounder.{key.removeprefix('activation_')}"
                state[prefix + key] = given.pop(part, self._buffers[key])
        for key, value in given.items():
            if not key.startswith(("weight_rounder.", "activation_rounder.", "gradient_rounder.")):
                state[prefix + key] = value

    def extra_repr(self) -> str:
        """Give the words that ``repr`` shows in parentheses."""
        parts = (
            f"in_features={self.in_features}, out_features={self.out_features}, {self.format.name}"
        )
        if self.activation is not None:
            parts += f", activation={self.activation.name}, activation_{self._bias_in_words()}"
        return parts

    def _bias_in_words(self) -> str:
        if self._rule is not None:
            return f"bias={self._rule}"
        biases, observed = self.activation_biases, self.activation_observed
        if not has_values(observed):
            return "bias=learnt"
        if int(observed[1]) == GIVEN:
            return f"bias={int(biases)}"
        return in_words(biases, observed)


def _complete(state: dict[str, Any], name: str, fmt: Format, rule: PeakRule, margin: int) -> None:
    """Add to a rounder's state its biases, if it has none of this format, and of how much they are."""
    history = state.get(f"{name}history")
    if history is None:
        return
    is_other = written_otherwise(state, name, fmt)
    if is_other or f"{name}biases" not in state:
        peaks = learnt_magnitudes(history)
        if peaks is None:
            raise ValueError(
                f"{name}biases are of another format than {fmt.name}, and not by the largest magnitudes"
            )
        state[f"{name}biases"] = bias_of_peak(peaks, fmt, rule, margin).to(torch.int16)
    if f"{name}observed" not in state:
        state[f"{name}observed"] = counts_of_history(history)


def to_inference(module: AnyModule, *, moments: Moments | None = None) -> AnyModule | CFloatLinear:
    """Replace a quantized model's Linear layers by layers that hold codes.

    Parameters
    ----------
    module : Module
        A model that `quantize` changed, with a format for weights; changed in place, and put into evaluation
        mode.  Conv layers go on rounding their weights.
    moments : Sensitivity, str, path-like, or mapping from str to SecondMoment or several, optional
        As of `quantize`: codes are those of `cfloat.round_compensated`, at the biases that the weights have
        in the quantized model.  Weights that go on being rounded are replaced by what that gives.

    Returns
    -------
    Module
        `module`, or if that is a Linear layer itself the layer that takes its place.

    Raises
    ------
    ArgumentTypeError
        If `module` is no Module.
    ArgumentValueError
        If no layer of it is a `QuantizedLinear` that rounds its weights, and what it rounds to nearest; or
        `moments` are not as `quantize` takes them.
    FileError
        If `moments` cannot be read.

    Warns
    -----
    QuantizationWarning
        With the names of weights that are rounded to nearest though `moments` is given, but for embeddings.

    Notes
    -----
    Inputs are rounded with the biases that were learnt.  Results are those of the quantized model but for the
    order of the sums.

    What ``save_pretrained`` of a model of transformers then writes, `load_pretrained` loads, if this model is
    the one that was given here: of a larger one, of which it is a part, transformers 5 may name tensors
    otherwise.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> _ = cf.torch.quantize(model, weight=cf.CFloat8_1_4_3, activation=cf.CFloat8_1_4_3)
    >>> _ = model(torch.randn(16, 4))                 # training mode: the biases are learnt
    >>> cf.torch.to_inference(model)[0]  # doctest: +ELLIPSIS
    CFloatLinear(in_features=4, out_features=8, CFloat8_1_4_3, activation=CFloat8_1_4_3, activation_bias=...)
    """
    if not isinstance(module, nn.Module):
        raise ArgumentTypeError(f"module is {shown(module)}; it takes a torch.nn.Module")
    names = [
        name for name, layer in module.named_modules(remove_duplicate=False) if _is_ready(layer)
    ]
    if not names:
        raise ArgumentValueError(
            "module has no QuantizedLinear that rounds weights, and to nearest; quantize() makes them"
        )
    if moments is not None:
        taken = MomentsOfModel(moments, module)
        taken.check_used(own_weights(places_in(module)))
        compensate_rounded(module, taken)
    module.eval()
    made: dict[nn.Module, CFloatLinear] = {}
    for name in names:
        layer = module.get_submodule(name)
        assert isinstance(layer, QuantizedLinear)
        if layer not in made:
            made[layer] = _with_codes(layer)
        if not name:
            return made[layer]
        module.set_submodule(name, made[layer])
    note_layers(module, CFloatLinear)
    return module


def _is_ready(layer: nn.Module) -> bool:
    if not isinstance(layer, QuantizedLinear) or layer.weight_rounder is None:
        return False
    if "parametrizations" in layer._modules:  # whose weight is computed from others
        return False
    rounders = (layer.weight_rounder, layer.activation_rounder)
    return all(one is None or one.rounding == "ties_to_even" for one in rounders)


def _with_codes(layer: QuantizedLinear) -> CFloatLinear:
    weights, inputs = layer.weight_rounder, layer.activation_rounder
    assert weights is not None
    how: dict[str, Any] = {}
    if inputs is not None:
        how = {
            "activation": inputs.format,
            "activation_bias": None if inputs.learns else inputs.bias,
        }
    biases = weights.bias
    made = CFloatLinear.from_linear(
        layer, weights.format, biases if isinstance(biases, int) else to_numpy(biases.cpu()),
        axis=weights.axis, block=weights.block, **how,
    ).eval()  # fmt: skip
    if weights.learns:
        made._method, made._margin = weights._rule, weights._margin
    made._model = weights._model
    if "_compensation" in layer.__dict__:
        made._compensation = notes_that_hold(layer)
    if inputs is not None:
        made._called = inputs._called
        made._learns_by = inputs._rule, inputs._margin
        if inputs.learns:
            bias = inputs._bias().to(torch.int16)
            made._settle(inputs._layout, peaks=None, biases=bias, observed=inputs.observed.clone())
    return made
