"""CFloat in PyTorch: rounding as an operator, layers that round, codes in layers and in an optimizer.

``import cfloat.torch`` takes PyTorch 2.4 or later (``pip install 'cfloat[torch]'``).

- `round_to`, `encode`, `decode`: docs/spec.md 3 for tensors on any device, in eager mode and under
  ``torch.compile``; `asarray` and `to_torch` lead to `CFloatArray` and back.
- `quantize`: lets a model's layers round weights, activations and output gradients, with biases that are
  learnt; `Rounder` is what they round with.
- `calibrate` learns the biases of activations from batches, without training.
- `summary`: what each layer rounds, and what is not rounded and why.
- `CFloatLinear` and `to_inference`: layers that hold codes and multiply them; `load_pretrained` loads what
  models of transformers save that have such layers.
- `AdamW` and `SGD`: moments in 16 bits, rounded stochastically.
- `sensitivity`: how an error of each weight shows in what a model computes, for `cfloat.plan`.
- `collect_moments`: the second moments of layers' inputs, by which `quantize` and `to_inference` round.
- `compensate`: rounds a model's weights for what its layers compute, from batches, in one call.
"""

from cfloat.errors import MissingExtraError

try:
    import torch as _torch
except ImportError:
    raise MissingExtraError("cfloat.torch needs PyTorch: pip install 'cfloat[torch]'") from None
if not hasattr(_torch.library, "custom_op"):
    raise MissingExtraError(
        f"cfloat.torch needs PyTorch 2.4 or later, and this is {_torch.__version__}"
    )

from ._arrays import asarray, to_torch
from ._calibrate import calibrate
from ._compensate_model import ModelCompensation, compensate
from ._conversion import decode, encode, round_to
from ._inference import CFloatLinear, to_inference
from ._layers import (
    QuantizedConv1d,
    QuantizedConv2d,
    QuantizedConv3d,
    QuantizedLinear,
)
from ._moments import collect_moments
from ._notices import QuantizationWarning
from ._optim import AdamW
from ._plain_states import plain_state_dict
from ._pretrained import load_pretrained
from ._quantize import quantize
from ._rounder import Rounder
from ._sensitivity import sensitivity
from ._sgd import SGD
from ._summary import LayerSummary, ModelSummary, summary

__all__ = [
    "SGD",
    "AdamW",
    "CFloatLinear",
    "LayerSummary",
    "ModelCompensation",
    "ModelSummary",
    "QuantizationWarning",
    "QuantizedConv1d",
    "QuantizedConv2d",
    "QuantizedConv3d",
    "QuantizedLinear",
    "Rounder",
    "asarray",
    "calibrate",
    "collect_moments",
    "compensate",
    "decode",
    "encode",
    "load_pretrained",
    "plain_state_dict",
    "quantize",
    "round_to",
    "sensitivity",
    "summary",
    "to_inference",
    "to_torch",
]

for _name in __all__:  # as users import it, and pickles name it
    globals()[_name].__module__ = __name__


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
