"""Real tensors that the package carries, to try formats on."""

from importlib.resources import as_file, files
from typing import Any

from numpy.typing import NDArray

from cfloat._core.public_names import public
from cfloat._files.stored_values import StoredValues

Array = NDArray[Any]


@public
def carried_tensors() -> dict[str, Array]:
    """Read the real tensors that the package carries.

    Returns
    -------
    dict of str to ndarray of float32
        Weights, activations, gradients and Adam's moments of a small network part-way through training on
        MNIST digits; ``cfloat/_report/data/README.md`` says how they were made.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.carried_tensors()["dense1.weight"].shape
    (32, 576)
    """
    resource = files(__package__) / "data" / "mnist_convnet.safetensors"
    with as_file(resource) as path:
        return dict(StoredValues(path))
