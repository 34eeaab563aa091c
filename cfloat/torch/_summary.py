"""`summary`: a table of a model's layers, what each rounds, and what is not rounded and why."""

import html
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from cfloat._core.format import Format
from cfloat._core.text import printable, shown
from cfloat._core.text_table import aligned
from cfloat.errors import ArgumentTypeError

from ._attention import OPERANDS, kind_of_attention, rounds_products
from ._by_name import is_covered, note_on, read_by_others, why_not
from ._codes_in_states import GIVEN
from ._compensate import in_words
from ._formats import code_dtype
from ._inference import CFloatLinear
from ._layers import Quantized
from ._notices import has_values
from ._rounder import Rounder

_BIAS_BYTES = 2


@dataclass(frozen=True)
class LayerSummary:
    """What a layer rounds: a row of `ModelSummary`.

    Attributes
    ----------
    name, kind : str
        Its name in the model, and its class.
    weight, activation, gradient : str
        The formats, empty where nothing is rounded.
    attention : str
        The format of the operands of attention's products, empty where they are not rounded.
    weight_bias, activation_bias, gradient_bias, attention_bias : str
        The biases, "not learnt yet", or empty; of several the least and the largest.  Of attention those of
        queries, keys, values and probabilities.
    learnt_from : str
        Of how much the bias of activations was learnt, or that it is given; or empty.
    is_rounded : bool
        Whether all of its weights are rounded; of attention that has none, whether its products are.
    note : str
        Why its weights are not rounded; or what else is not.
    elements, rounded_elements : int
        How many elements its parameters have, or its codes, and how many of them are rounded.
    nbytes, code_nbytes : int
        How many bytes these take now, and with codes in place of weights that are rounded.
    compensation : str
        Of weights that were given moments: what that gained for the outputs of their products on the inputs
        that the moments are of, or why they are rounded to nearest; or empty.  A state that is loaded says
        nothing of it.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> row = cf.torch.summary(torch.nn.Embedding(10, 4)).layers[0]
    >>> row.kind, row.is_rounded, row.note
    ('Embedding', False, 'skipped, or given no format')
    """

    name: str
    kind: str
    weight: str
    weight_bias: str
    activation: str
    activation_bias: str
    gradient: str
    gradient_bias: str
    attention: str
    attention_bias: str
    learnt_from: str
    is_rounded: bool
    note: str
    elements: int
    rounded_elements: int
    nbytes: int
    code_nbytes: int
    compensation: str = ""


_HEADINGS = (
    "layer", "class", "weights", "bias", "activations", "bias", "gradients", "bias", "attention",
    "bias", "elements", "bytes", "as codes", "note",
)  # fmt: skip
_NUMBERS = ("elements", "bytes", "as codes")


@dataclass(frozen=True)
class ModelSummary:
    """A table of a model's layers, which `summary` makes: its text is the table, and notebooks show it.

    Attributes
    ----------
    layers : tuple of LayerSummary
        What holds parameters or codes itself, or computes attention, in the model's order.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> model = cf.torch.quantize(torch.nn.Linear(4, 8), weight=cf.CFloat8_1_4_3, bias=7)
    >>> found = cf.torch.summary(model)
    >>> found.elements, found.rounded_elements, found.nbytes, found.code_nbytes
    (40, 32, 160, 66)
    """

    layers: tuple[LayerSummary, ...]

    @property
    def elements(self) -> int:
        """How many elements all parameters and codes have."""
        return sum(layer.elements for layer in self.layers)

    @property
    def rounded_elements(self) -> int:
        """How many of them are rounded."""
        return sum(layer.rounded_elements for layer in self.layers)

    @property
    def nbytes(self) -> int:
        """How many bytes they take."""
        return sum(layer.nbytes for layer in self.layers)

    @property
    def code_nbytes(self) -> int:
        """How many bytes they take with codes in place of all that is rounded."""
        return sum(layer.code_nbytes for layer in self.layers)

    def _cells(self) -> Iterator[list[str]]:
        for layer in self.layers:
            note = "; ".join(
                each for each in (layer.learnt_from, layer.compensation, layer.note) if each
            )
            yield [
                printable(layer.name) or "(the model)", layer.kind, layer.weight or "-", layer.weight_bias,
                layer.activation or "-", layer.activation_bias, layer.gradient or "-", layer.gradient_bias,
                layer.attention or "-", layer.attention_bias, f"{layer.elements:,}",
                f"{layer.nbytes:,}", f"{layer.code_nbytes:,}", note,
            ]  # fmt: skip

    def _rows(self) -> list[list[str]]:
        """Give the headings and cells of columns in which anything is."""
        rows = [list(_HEADINGS), *self._cells()]
        kept = [
            i for i in range(len(_HEADINGS)) if any(row[i] not in ("", "-") for row in rows[1:])
        ]
        return [[row[i] for i in kept] for row in rows]

    def _total(self) -> str:
        share = 100 * self.rounded_elements / self.elements if self.elements else 0
        return (
            f"{self.rounded_elements:,} of {self.elements:,} elements are rounded ({share:.1f} %); "
            f"{self.nbytes:,} bytes, {self.code_nbytes:,} with codes"
        )

    def __str__(self) -> str:
        rows = self._rows()
        right = [i for i, heading in enumerate(rows[0]) if heading in _NUMBERS]
        return "\n".join([*aligned(rows, right), "", self._total()])

    def _repr_html_(self) -> str:
        def row(cells: Iterable[str], tag: str) -> str:
            inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
            return f"<tr>{inner}</tr>"

        headings, *rows = self._rows()
        body = "".join(row(cells, "td") for cells in rows)
        total = html.escape(self._total())
        return f"<table><thead>{row(headings, 'th')}</thead><tbody>{body}</tbody></table><p>{total}</p>"


def summary(model: nn.Module) -> ModelSummary:
    """Tell of each layer of a model what it rounds, with which biases, and what is not rounded and why.

    Parameters
    ----------
    model : Module
        The model; whether `quantize` or `to_inference` changed it or not.

    Returns
    -------
    ModelSummary
        A table: print it, or look at its ``layers``.

    Raises
    ------
    ArgumentTypeError
        If `model` is no Module.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.LayerNorm(8), torch.nn.Linear(8, 2))
    >>> _ = cf.torch.quantize(model, weight=cf.CFloat8_1_4_3, activation=cf.CFloat8_1_4_3, skip=["2"])
    >>> for layer in cf.torch.summary(model).layers:
    ...     print(layer.name, layer.is_rounded, layer.activation_bias, layer.note)
    0 True not learnt yet
    1 False  no weights of two axes or more
    2 False  skipped, or given no format
    """
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"model is {shown(model)}; it takes a torch.nn.Module")
    inner: nn.Module = getattr(model, "_orig_mod", model)
    read = read_by_others(inner)
    seen: set[int] = set()
    rows = []
    for name, layer in inner.named_modules():
        if isinstance(layer, Rounder):
            continue
        if "parametrizations" in name.split("."):
            continue
        row = (
            _codes_row(name, layer)
            if isinstance(layer, CFloatLinear)
            else _row(name, layer, read, seen)
        )
        if row is not None:
            rows.append(row)
    return ModelSummary(tuple(rows))


def _row(
    name: str, layer: nn.Module, read: dict[int, nn.Module], seen: set[int]
) -> LayerSummary | None:
    own = _parameters(layer)
    attends = kind_of_attention(layer) is not None
    if not own and not attends and not isinstance(layer, Quantized):
        return None
    rounders = {
        key.removesuffix("_rounder"): part
        for key, part in layer._modules.items()
        if isinstance(part, Rounder)
    }
    roles = {role: rounders.pop(role, None) for role in ("activation", "gradient")}
    products = [rounders.pop(operand) for operand in OPERANDS if operand in rounders]
    elements = nbytes = code_nbytes = rounded = 0
    for key, parameter in own.items():
        if id(parameter) in seen:  # as tied ones are
            continue
        seen.add(id(parameter))
        size = parameter.numel() * parameter.element_size()
        elements += parameter.numel()
        nbytes += size
        if key in rounders:
            rounder = rounders[key]
            rounded += parameter.numel()
            bias_bytes = _BIAS_BYTES * (rounder.biases.numel() if rounder.learns else 1)
            code_nbytes += parameter.numel() * code_dtype(rounder.format).itemsize + bias_bytes
        else:
            code_nbytes += size
    matrices = [key for key, each in own.items() if each.ndim > 1]
    missing = [key for key in matrices if key not in rounders]
    computed = [key for key in rounders if key not in own]
    is_rounded = bool(rounders) and (bool(computed) or not missing)
    if attends and not own:
        is_rounded = bool(products)
        note = "" if products else "it computes attention, whose products are not rounded"
    elif rounders or roles["activation"] is not None:
        note = note_on(layer)
        if id(layer) in read and not note and not rounds_products(read[id(layer)]):
            note = "read by attention, which rounds no input of it"
        if computed:
            note = "weights are computed from others, and then rounded"
        if not rounders:
            note = "; ".join(each for each in ("weights are given no format", note) if each)
    else:
        note = _why(layer, bool(matrices))
        if attends and not products:
            note += "; attention's own products are not rounded"
    return LayerSummary(
        name, type(layer).__name__,
        _formats(rounder.format for rounder in rounders.values()),
        ", ".join(dict.fromkeys(_bias(rounder) for rounder in rounders.values())),
        *_format_and_bias(roles["activation"]), *_format_and_bias(roles["gradient"]),
        ", ".join(dict.fromkeys(each.format.name for each in products)), _biases_of_products(products),
        _learnt_from(roles["activation"] or next(iter(products), None)), is_rounded, note,
        elements, rounded, nbytes, code_nbytes, in_words(layer),
    )  # fmt: skip


def _codes_row(name: str, layer: CFloatLinear) -> LayerSummary:
    others = sum(
        each.nbytes
        for key, each in layer._buffers.items()
        if each is not None and key in ("weight_bias", "bias")
    )
    nbytes = layer.codes.nbytes + others
    activation, bias, learnt = "", "", ""
    if layer.activation is not None:
        activation = layer.activation.name
        if layer._rule is not None:
            bias, learnt = f"by {layer._rule!r}", "bias of activations anew for each input"
        else:
            bias = _biases(layer.activation_biases, layer.activation_observed)
            learnt = _much(layer.activation_observed)
    elements = layer.codes.numel() + (0 if layer.bias is None else layer.bias.numel())
    return LayerSummary(
        name, type(layer).__name__, layer.format.name, _range(layer.weight_bias), activation, bias, "", "",
        "", "", learnt, True, "", elements, layer.codes.numel(), nbytes, nbytes,
        in_words(layer),
    )  # fmt: skip


def _parameters(layer: nn.Module) -> dict[str, Tensor]:
    """Give a layer's own parameters, and those that its weights are computed from."""
    own: dict[str, Tensor] = {
        key: each for key, each in layer._parameters.items() if each is not None
    }
    parametrizations = layer._modules.get("parametrizations")
    if parametrizations is not None:
        for key, each in parametrizations.named_parameters():
            own[f"parametrizations.{key}"] = each
    return own


def _why(layer: nn.Module, has_matrices: bool) -> str:
    """Say why a layer rounds nothing."""
    if not has_matrices:
        return "no weights of two axes or more"
    if not is_covered(layer):
        return "of no class whose weights are rounded"
    return why_not(layer) or "skipped, or given no format"


def _formats(formats: Iterable[Format]) -> str:
    return ", ".join(dict.fromkeys(fmt.name for fmt in formats))


def _format_and_bias(rounder: Rounder | None) -> tuple[str, str]:
    return ("", "") if rounder is None else (rounder.format.name, _bias(rounder))


def _biases_of_products(rounders: list[Rounder]) -> str:
    biases = [_bias(rounder) for rounder in rounders]
    is_known = any(each.lstrip("-").isdigit() for each in biases)
    return ", ".join(biases if is_known else dict.fromkeys(biases))


def _bias(rounder: Rounder) -> str:
    if not rounder.learns:
        return str(rounder.bias)
    if not has_values(rounder.observed):
        return "unknown"
    bias = rounder.bias
    return (
        str(bias)
        if isinstance(bias, int) and rounder.is_learnt
        else _biases(rounder._bias(), rounder.observed)
    )


def _biases(biases: Tensor, observed: Tensor) -> str:
    return _range(biases) if int(observed[1]) else "not learnt yet"


def _range(biases: Tensor) -> str:
    if biases.numel() == 1:
        return str(int(biases))
    if not biases.numel():
        return "none"
    return f"{int(biases.min())} to {int(biases.max())}"


def _learnt_from(rounder: Rounder | None) -> str:
    if rounder is None:
        return ""
    if not rounder.learns:
        return "bias of activations is given"
    return _much(rounder.observed) if has_values(rounder.observed) else ""


def _much(observed: Tensor) -> str:
    elements, tensors = observed.tolist()
    if tensors == GIVEN:
        return "bias of activations is given"
    if not tensors:
        return ""
    much = f"{elements:,} elements in " if elements else ""
    return f"learnt from {much}{tensors:,} batch{'' if tensors == 1 else 'es'}"
