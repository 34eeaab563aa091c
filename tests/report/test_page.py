"""The page of a report: what is in it, that nothing escapes from its data, and that a browser shows it."""

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from urllib.parse import parse_qsl

import pytest
from report_content import HOSTILE, make_content

from cfloat._report.html_page import html_page

#: Elements that have no end tag.
VOID = {"meta", "link", "input", "img", "br", "hr", "wbr"}


class _Page(HTMLParser):
    """The elements of a page: tag, attributes, and the text directly inside."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.unbalanced = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(
            {"tag": tag, "text": "", "inside": [each["tag"] for each in self.open]} | dict(attrs)
        )
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        if self.open and self.open[-1]["tag"] == tag:
            self.open.pop()
        elif tag not in VOID:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if self.open:
            self.open[-1]["text"] += data

    def all(self, tag, **attributes):
        return [
            each
            for each in self.elements
            if each["tag"] == tag
            and all(each.get(key) == value for key, value in attributes.items())
        ]

    def id(self, name):
        (element,) = [each for each in self.elements if each.get("id") == name]
        return element


def test_structure():
    parsed = _Page(html_page(make_content(), 'Report <1> & "2"\nof $x'))
    assert not parsed.unbalanced
    assert not parsed.open
    assert parsed.all("title")[0]["text"] == 'Report <1> & "2" of $x'
    assert parsed.all("h1")[0]["text"] == 'Report <1> & "2" of $x'
    assert parsed.all("html")[0]["lang"] == "en"
    assert [each.get("type") for each in parsed.all("script")] == ["application/json", None]
    for section in ("summary", "tensors", "details", "worst", "legend", "skipped"):
        labelled = parsed.id(section)["aria-labelledby"]
        assert section == "details" or parsed.id(labelled)["tag"] == "h2"


def test_the_data_comes_back():
    content = make_content()
    parsed = _Page(html_page(content))
    assert json.loads(parsed.id("content")["text"]) == content
    # not a tag is there that an empty report has not
    tags = [each["tag"] for each in parsed.elements]
    assert tags == [each["tag"] for each in _Page(html_page({"tensors": [], "rows": []})).elements]


def test_nothing_is_loaded():
    text = html_page(make_content())
    parsed = _Page(text)
    for element in parsed.elements:
        assert not {"src", "srcset", "action", "data", "poster", "style"} & set(element)
        assert element.get("href", "#").startswith("#")
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", text)
    # the one address is the name of SVG's namespace
    assert set(re.findall(r"https?://[^\"' )]*", text)) == {"http://www.w3.org/2000/svg"}
    policy = parsed.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_names_are_only_ever_text():
    script = _Page(html_page({"tensors": [], "rows": []})).all("script")[1]["text"]
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "srcdoc",
    ):
        assert way not in script


def test_infinities_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        html_page({"tensors": [], "rows": [], "x": float("nan")})


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Open a page in a browser; return its elements when its script is done."""
    browser = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if browser is None:
        stop = pytest.fail if os.environ.get("CFLOAT_REQUIRE_BROWSER") else pytest.skip
        stop("chromium is not installed")
    folder = tmp_path_factory.mktemp("browser")

    def browse(content, fragment="", script=""):
        path = folder / "report.html"
        text = html_page(content)
        if script:
            text = re.sub("script-src '[^']*'", "script-src 'unsafe-inline'", text)
            text = text.replace("</body>", f"<script>{script}</script></body>")
        path.write_text(text, "utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   f"--user-data-dir={folder / 'profile'}", "--window-size=1280,900",
                   "--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom",
                   f"{path.as_uri()}#{fragment}"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, timeout=120, check=True)
        # what the page logs, a violation of its policy included
        assert b"CONSOLE" not in done.stderr, done.stderr.decode("utf-8", "replace")
        return _Page(done.stdout.decode("utf-8"))

    return browse


def _names(parsed):
    """The tensors of the table, in order."""
    start = parsed.elements.index(parsed.id("tensor-table"))
    end = parsed.elements.index(parsed.id("details"))
    return [each["text"] for each in parsed.elements[start:end] if each["tag"] == "bdi"]


def _ready(parsed):
    root = parsed.all("html")[0]
    assert "data-error" not in root, root["data-error"]
    assert root["data-ready"] == "true"
    return parsed


def test_a_browser_shows_everything(browse):
    parsed = _ready(browse(make_content()))
    names = _names(parsed)
    assert len(names) == len(HOSTILE) + 3
    assert HOSTILE[0] in names
    assert "line\\nbreak\\ttab\\u{1b}[2J" in names
    assert "עברית\\u{202e}gnp.exe" in names
    assert not parsed.all("img")
    curves = [each for each in parsed.all("path") if each.get("class") == "curve"]
    assert all(re.fullmatch(r"M[-0-9.,LM]+", each["d"]) for each in curves)
    # details and ten tiles, each with two formats of several biases
    assert len(curves) == 2 * 11
    assert (
        len([each for each in parsed.all("g") if "window" in each.get("class", "")]) == 3 + 2 * 10
    )
    for svg in [each for each in parsed.all("svg") if "aria-hidden" not in each]:
        assert svg["role"] == "img"
        for label in svg["aria-labelledby"].split():
            assert parsed.id(label)["text"].strip() or parsed.id(label)["tag"] == "desc"
    assert all(each.get("scope") in ("col", "row") for each in parsed.all("th"))
    # no value that is missing became text or a coordinate; the legend may speak of NaN
    shown = [each for each in parsed.elements if each["tag"] not in ("script", "style", "dd")]
    assert not [each for each in shown if re.search("NaN|undefined|Infinity", str(each.values()))]
    assert [each for each in parsed.all("td") if each["text"] == "42"]
    assert [each for each in parsed.all("th") if each["text"] == "a_new_measure"]


def test_the_address_sorts_filters_and_selects(browse):
    parsed = _ready(
        browse(make_content(), "sort=-sqnr:CFloat8_1_4_3&tensor=plain.weight&theme=dark")
    )
    names = _names(parsed)
    assert names[0] == "exact"
    assert names[1] == "plain.weight"
    assert names[-1] == "hopeless"
    assert [each["data-key"] for each in parsed.all("th", **{"aria-sort": "descending"})] == [
        "sqnr:CFloat8_1_4_3"
    ]
    assert parsed.all("html")[0]["data-theme"] == "dark"
    assert len(parsed.all("tr", **{"aria-current": "true"})) == 1
    texts = [each["text"] for each in parsed.elements]
    for heading in ("Beside other formats", "One bias, or several", "In a matrix product"):
        assert heading in texts
    parsed = _ready(browse(make_content(), "filter=PLAIN&sort=name"))
    assert _names(parsed) == ["plain.weight"]


def test_pointer_and_keyboard(browse):
    parsed = _ready(
        browse(
            make_content(),
            script="""
            const find = (selector) => document.querySelector(selector);
            const heading = 'th[data-key="sqnr:CFloat8_1_4_3"] button';
            find(heading).click();
            find(heading).click();
            find("#theme").click();
            const rows = document.querySelectorAll("#tensor-table tbody tr");
            rows[1].querySelector("button").click();
            const press = (key) => new KeyboardEvent("keydown", { key, cancelable: true });
            find("#curves svg").dispatchEvent(press("Home"));
            for (const _ of "123") find("#curves svg").dispatchEvent(press("ArrowRight"));
            find("#exponents svg").dispatchEvent(press("End"));
            const edge = find("#exponents svg").getBoundingClientRect();
            const clientX = edge.left + edge.width / 2;
            find("#exponents svg").dispatchEvent(new PointerEvent("pointermove", { clientX }));
            document.body.dataset.address = location.hash;
            document.body.dataset.focus = document.activeElement.id;
            """,
        )
    )
    assert _names(parsed)[:2] == ["exact", "plain.weight"]
    assert parsed.id("details-title")["tag"] == "h2"
    body = parsed.all("body")[0]
    address = dict(parse_qsl(body["data-address"].lstrip("#")))
    assert address.pop("theme") in ("light", "dark")
    assert address == {"sort": "-sqnr:CFloat8_1_4_3", "tensor": "plain.weight"}
    assert body["data-focus"] == "details-title"
    curves, exponents = [each for each in parsed.all("div") if "readout" in each.get("class", "")]
    texts = [each["text"] for each in parsed.elements]
    assert "bias 3" in texts
    assert "CFloat8_1_4_3 32.3 dB" in texts
    assert "element" in exponents["text"]
    assert "Point at" not in curves["text"]


def test_large_and_empty_reports(browse):
    _ready(browse({"tensors": [], "rows": []}))
    names = [f"layer.{index}.weight" for index in range(1000)]
    content = make_content(names)
    del content["granularity"], content["comparisons"], content["matmul"], content["skipped"]
    parsed = _ready(browse(content, "sort=-name&page=2"))
    assert _names(parsed)[:2] == ["layer.900.weight", "layer.899.weight"]
    assert len(_names(parsed)) == 100
    assert parsed.id("count")["text"] == "101 to 200 of 1,003 tensors"
    assert "Beside other formats" not in [each["text"] for each in parsed.elements]
