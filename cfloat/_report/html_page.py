"""An error report as one HTML page that needs nothing but itself."""

import base64
import hashlib
import html
import json
from importlib.resources import files
from string import Template
from typing import Any


def html_page(content: dict[str, Any], title: str = "cfloat error report") -> str:
    """Make an HTML page of an error report.

    Parameters
    ----------
    content : dict
        The report as plain data: "tensors", "rows" and the rest, with None for NaN and infinities.
    title : str, optional
        What the page is called.

    Returns
    -------
    str
        The page, with its data, style and script inside.  It loads nothing, from the network or from other
        files, and its content security policy forbids it.  The part of an address after ``#`` sets what is
        shown first: ``#sort=-sqnr:CFloat8_1_4_3&tensor=conv1.weight&filter=conv&page=1&theme=dark``.

    Raises
    ------
    ValueError
        If a number is NaN or infinite.

    Examples
    --------
    >>> html_page({"tensors": [], "rows": []}).splitlines()[0]
    '<!DOCTYPE html>'
    """
    script, style = _asset("charts.js") + _asset("page.js"), _asset("page.css")
    # the script is allowed by its hash, so that nothing that a name smuggles in could ever run
    policy = f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}"
    return Template(_asset("page.html")).substitute(
        title=html.escape(" ".join(title.split())),
        policy=f"{policy}; base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        content=_embedded(content),
    )


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text("utf-8")


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _embedded(content: dict[str, Any]) -> str:
    """Write JSON that no name can end: only a ``<`` ends an HTML script, or hides its end."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
