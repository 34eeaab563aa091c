"""Error reports and plans as one HTML page that needs nothing but itself."""

import base64
import hashlib
import html
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any, Final

from .conclusion_text import is_headline
from .packed_data import packed

#: What both kinds of pages draw with, and what each has of its own, in this order.
_SHARED: Final = ("charts.js", "tables.js", "unpack.js", "shared.js", "frontier.js")
_REPORT: Final = (*_SHARED, "conclusion.js", "compare.js", "page.js")
_PLAN: Final = (*_SHARED, "plan.js")


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
        shown first:
        ``#sort=-sqnr:CFloat8_1_4_3&tensor=conv1.weight&filter=conv&kind=convolution&page=2&theme=dark``.

    Raises
    ------
    ValueError
        If a number is NaN or infinite.

    Examples
    --------
    >>> html_page({"tensors": [], "rows": []}).splitlines()[0]
    '<!DOCTYPE html>'
    """
    return compare_page([content], title)


def compare_page(contents: Sequence[dict[str, Any]], title: str = "cfloat error reports") -> str:
    """Make one HTML page of several error reports, side by side.

    Parameters
    ----------
    contents : sequence of dict
        The reports as plain data, as `html_page` takes one.
    title : str, optional
        What the page is called.

    Returns
    -------
    str
        The page, as `html_page` makes it, with a line for each report, their tensors beside each other, and
        any one of them in full: ``#report=2`` in the address chooses it.

    Raises
    ------
    ValueError
        If a number is NaN or infinite.

    Examples
    --------
    >>> compare_page([{"tensors": [], "rows": []}] * 2).splitlines()[0]
    '<!DOCTYPE html>'
    """
    return _page("page.html", _REPORT, list(map(_with_headlines, contents)), title)


def plan_page(content: dict[str, Any], title: str = "cfloat plan") -> str:
    """Make an HTML page of a plan.

    Parameters
    ----------
    content : dict
        The plan as plain data: what `CompressionPlan.to_json` writes.
    title : str, optional
        What the page is called.

    Returns
    -------
    str
        The page, as `html_page` makes it.

    Raises
    ------
    ValueError
        If a number is NaN or infinite.
    """
    return _page("plan.html", _PLAN, [content], title)


def _with_headlines(content: dict[str, Any]) -> dict[str, Any]:
    """Mark the schemes of a report's conclusion that its first screen has."""
    conclusion = content.get("conclusion")
    if conclusion is None:
        return content
    schemes = [each | {"headline": is_headline(each["scheme"])} for each in conclusion["schemes"]]
    return content | {"conclusion": conclusion | {"schemes": schemes}}


def _page(
    template: str, scripts: Sequence[str], contents: Sequence[dict[str, Any]], title: str
) -> str:
    script, style = "".join(map(_asset, scripts)), _asset("page.css")
    # the script is allowed by its hash, so that nothing that a name smuggles in could ever run
    policy = f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}"
    return Template(_asset(template)).substitute(
        title=html.escape(" ".join(title.split())),
        policy=f"{policy}; base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        content=packed(contents),
    )


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text("utf-8")


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
