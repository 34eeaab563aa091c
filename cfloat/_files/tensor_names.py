"""Names of tensors: the module that one is in, its own name there, and which others belong to it."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

#: What is called so quantises, but not the weights if it says what goes in or comes out.
_QUANTIZER: Final = re.compile(r"(?!(.*_)?(input|output|act|activation)s?_).*(quant|observer).*")


def split(name: str) -> tuple[str, str]:
    """Split a name into its module, with the separator at its end, and its own name there.

    The separator is a dot, or a slash as in names of JAX's trees.
    """
    at = 1 + max(name.rfind("."), name.rfind("/"))
    return name[:at], name[at:]


class Near:
    """Names by module, to find those beside a tensor and below it.

    Parameters
    ----------
    names : iterable of str
        The names to search.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._modules: dict[str, list[str]] = {}
        for name in names:
            self._modules.setdefault(split(name)[0], []).append(name)
        self._ordered = sorted(self._modules)
        self._quantizers: dict[str, list[str]] = {}
        for module in self._ordered:
            above, own = split(module[:-1])
            if _QUANTIZER.fullmatch(own):
                self._quantizers.setdefault(above, []).append(module)

    def of(self, name: str) -> Iterator[str]:
        """Give the names in a tensor's module, and in those below that are called after it or quantise.

        ``l.weight`` has ``l.weight_scale`` beside it, and below it ``l.weight.absmax`` and
        ``l.weight_quantizer.scale``.
        """
        module, own = split(name)
        yield from self._modules.get(module, ())
        below = self._quantizers.get(module, [])
        for each in below:
            yield from self._modules[each]
        for each in self._ordered[bisect_left(self._ordered, name) :]:
            if not each.startswith(name):
                break
            rest = each[len(name) : -1]
            if own and each not in below and not rest[:1].isalnum() and split(rest)[0] == "":
                yield from self._modules[each]
