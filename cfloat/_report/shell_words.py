"""Commands as they are typed into a shell: written, and read back as they are written here."""

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Final

_JOINT: Final = " && "

# a word as `quoted` writes it: plain, in quotes, or with escapes
_WORD: Final = r"""(?:[\w@%+=:,./-]+|'[^']*'(?:"'"'[^']*')*|\$'(?:[^'\\]|\\.)*')"""
_COMMAND: Final = re.compile(f"{_WORD}(?: {_WORD})*", re.ASCII)
_COMMANDS: Final = re.compile(f"{_WORD}(?: {_WORD}| && {_WORD})*", re.ASCII)


def quoted(word: str) -> str:
    r"""Write a word as a shell takes it for itself, without a character that cannot be seen.

    Examples
    --------
    >>> print(quoted("model"), quoted("it's a model"), quoted("line\nbreak"))
    model 'it'"'"'s a model' $'line\nbreak'
    """
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(char: str) -> str:
    if char in "\\'":
        return "\\" + char
    if char.isprintable():
        return char
    if char in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[char]
    # a byte of a path that is no text, or what UTF-8 has for a character
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))


def typed_path(path: str) -> str:
    """Give a path as an argument: one that begins with a dash is no option."""
    return f"./{path}" if path.startswith("-") else path


def typed_option(name: str, value: str) -> list[str]:
    """Give an option and its value as words: a value that begins with a dash is no option."""
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def joined(commands: Iterable[Sequence[str]]) -> str:
    """Write commands of which each is run if the one before has done its work."""
    return _JOINT.join(" ".join(map(quoted, command)) for command in commands)


def written_words(text: str) -> list[list[str]]:
    """Give the words of commands that `joined` wrote, each as it is written.

    Raises
    ------
    ValueError
        If they are written in any other way: a shell might take more of them than words.

    Examples
    --------
    >>> written_words("cfloat plan 'a && b' && cfloat info c")
    [['cfloat', 'plan', "'a && b'"], ['cfloat', 'info', 'c']]
    """
    if not (text.isprintable() and _COMMANDS.fullmatch(text)):
        raise ValueError("not as commands are written here")
    return [re.findall(_WORD, one, re.ASCII) for one in _COMMAND.findall(text)]
