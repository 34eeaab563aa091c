"""The page of a report: what is in it, that nothing escapes from its data, and that a browser shows it."""

import json
import math
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from urllib.parse import parse_qsl

import numpy as np
import pytest
from report_content import (
    HOSTILE,
    KINDS,
    make_conclusion,
    make_content,
    make_large,
    make_plan,
)

import cfloat as cf
from cfloat._report.html_page import compare_page, html_page, plan_page

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


PAGES = {
    "report": lambda: html_page(make_content()),
    "several": lambda: compare_page([make_content(), make_content(("other",))]),
    "plan": lambda: plan_page(make_plan()),
}


@pytest.mark.parametrize("page", PAGES)
def test_structure(page):
    make = {"report": html_page, "several": lambda *a: compare_page([a[0]] * 2, a[1])}.get(
        page, plan_page
    )
    content = make_plan() if page == "plan" else make_content()
    parsed = _Page(make(content, 'Report <1> & "2"\nof $x'))
    assert not parsed.unbalanced
    assert not parsed.open
    assert parsed.all("title")[0]["text"] == 'Report <1> & "2" of $x'
    assert parsed.all("h1")[0]["text"] == 'Report <1> & "2" of $x'
    assert parsed.all("html")[0]["lang"] == "en"
    assert [each.get("type") for each in parsed.all("script")] == ["text/plain", None]
    for section in parsed.all("section"):
        labelled = section["aria-labelledby"]
        assert section["id"] == "details" or parsed.id(labelled)["tag"] == "h2"


def test_no_tag_comes_from_data():
    tags = [each["tag"] for each in _Page(html_page(make_content())).elements]
    assert tags == [each["tag"] for each in _Page(html_page({"tensors": [], "rows": []})).elements]
    # what it is packed into has no letter that HTML knows
    assert re.fullmatch("[A-Za-z0-9+/=]+", _Page(html_page(make_content())).id("content")["text"])


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_loaded(page):
    text = PAGES[page]()
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


@pytest.mark.parametrize("page", PAGES)
def test_names_are_only_ever_text(page):
    script = _Page(PAGES[page]()).all("script")[1]["text"]
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
    with pytest.raises(ValueError, match="not JSON compliant"):
        html_page({"tensors": [{"name": "a", "max": float("inf")}], "rows": []})


#: A page's script reads its data before it draws anything.
WHEN_READY = """
  const waiting = setInterval(() => {
    if (!document.documentElement.dataset.ready) return;
    clearInterval(waiting);
    %s
  }, 10);
"""


FRAME = """<!DOCTYPE html><html><body>
<iframe src="report.html" width="%d" height="900" style="border: 0"></iframe>
<script>addEventListener("message", (event) => Object.assign(document.body.dataset, event.data));</script>
</body></html>"""


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

    def browse(content, fragment="", script="", make=html_page, width=None):
        path = folder / "report.html"
        text = make(content)
        if script:
            text = re.sub("script-src '[^']*'", "script-src 'unsafe-inline'", text)
            text = text.replace("</body>", f"<script>{WHEN_READY % script}</script></body>")
        path.write_text(text, "utf-8")
        if width is not None:
            # narrower than a browser's window can be
            path = folder / "frame.html"
            path.write_text(FRAME % width, "utf-8")
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
    after = [each for each in parsed.elements[start:] if each["tag"] in ("section", "script")]
    end = parsed.elements.index(after[0])
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
    assert [each for each in parsed.all("th") if each["text"] == "a new measure"]


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
    _, curves, exponents = [
        each for each in parsed.all("div") if "readout" in each.get("class", "")
    ]
    texts = [each["text"] for each in parsed.elements]
    assert "bias 3" in texts
    assert "CFloat8_1_4_3 32.3 dB" in texts
    assert "element" in exponents["text"]
    assert "Point at" not in curves["text"]


def test_large_and_empty_reports(browse):
    _ready(browse({"tensors": [], "rows": []}))
    names = [f"layer.{index}.weight" for index in range(1000)]
    content = make_content(names)
    for key in ("granularity", "comparisons", "matmul", "skipped", "conclusion"):
        del content[key]
    parsed = _ready(browse(content, "sort=-name&page=2"))
    assert _names(parsed)[:2] == ["layer.900.weight", "layer.899.weight"]
    assert len(_names(parsed)) == 100
    assert parsed.id("tensor-count")["text"] == "101 to 200 of 1,003 tensors"
    assert "Beside other formats" not in [each["text"] for each in parsed.elements]
    assert "hidden" in parsed.id("conclusion")


@pytest.mark.slow
def test_five_thousand_tensors(browse):
    text = html_page(make_large())
    assert len(text.encode()) <= 3e6
    parsed = _ready(browse(text, make=str))
    assert len(_names(parsed)) == 100
    assert len(parsed.elements) < 10_000
    texts = [each["text"] for each in parsed.elements]
    assert "1 to 100 of 5,000 tensors" in texts
    # by kind, and the columns of one tensor that is far down
    fragment = "kind=norm+or+bias&tensor=model.layers.700.mlp.up_proj.weight&sort=name"
    parsed = _ready(browse(text, fragment, make=str))
    assert parsed.id("tensor-count")["text"] == "1 to 100 of 1,666 tensors"
    assert len([each for each in parsed.all("span") if each.get("class") == "meter"]) == 24 + 4


def _close(one, other, key=""):
    """Whether a page has a value as a report has it: rounded, and null where it has none."""
    if isinstance(other, dict):
        return all(_close(one.get(name), value, name) for name, value in other.items())
    if isinstance(other, list):
        step = 0.005 if key == "sqnr_db" else 0
        return len(one) == len(other) and all(
            _close(a, b, key) or (b is not None and abs(a - b) <= step)
            for a, b in zip(one, other, strict=True)
        )
    if isinstance(other, float):
        places = 0.005 if key.endswith("_db") else 0
        return math.isclose(one, other, rel_tol=0.005, abs_tol=places + 1e-9)
    return one == other


def test_the_data_comes_back(browse):
    content = make_content()
    content["rows"][0] |= {"mse": 1.23456e-7, "cosine": 0.99987654, "theory": None, "later": "word"}
    content["rows"][1]["curve"]["sqnr_db"] = [20.07, None, -0.36, 1.0]
    script = """
      unpacked().then(([content]) => {
        const plain = (each) => Object.fromEntries(figuresOf(each).map((key) => [key, each[key]]));
        for (const key of ["tensors", "rows", "granularity", "comparisons", "matmul"]) {
          content[key] = content[key].map(plain);
        }
        document.body.dataset.content = JSON.stringify(content);
      });
    """
    found = json.loads(browse(content, script=script).all("body")[0]["data-content"])
    for key in ("shape", "dtype", "size", "nonfinite", "gain_db"):  # the tensor's, or said twice
        for each in content["rows"]:
            del each[key]
    order = list(dict.fromkeys(each["format"] for each in content["rows"]))
    content["rows"].sort(key=lambda each: order.index(each["format"]))
    for scheme in found["conclusion"]["schemes"]:
        assert scheme.pop("headline") == (not scheme["scheme"].startswith("<"))
    assert found.keys() == content.keys()
    for key, value in content.items():
        assert len(found[key]) == len(value), key
        for one, other in zip(found[key], value, strict=True):
            assert _close(one, other), (key, one, other)
    assert found["conclusion"] == content["conclusion"]
    assert found["skipped"] == content["skipped"]


def _inside(parsed, name):
    """All text inside the element of an id, in order."""
    start = parsed.elements.index(parsed.id(name))
    depth = len(parsed.elements[start]["inside"])
    texts = [parsed.elements[start]["text"]]
    for each in parsed.elements[start + 1 :]:
        if len(each["inside"]) <= depth:
            break
        texts.append(each["text"])
    return " ".join(texts)


def test_the_first_screen(browse):
    parsed = _ready(browse(make_content()))
    answer = _inside(parsed, "answer")
    assert "CFloat8_1_4_3" in answer
    assert "one bias a tensor" in answer
    assert "31.50 dB" in answer
    assert "28.50 dB" in answer
    assert "4 kB" in answer
    assert "(0.251\u00d7)" in answer
    commands = [each["text"] for each in parsed.all("code")]
    assert commands == make_conclusion()["commands"]
    choices = _inside(parsed, "choices")
    for text in (
        "next cheaper",
        "next better",
        "one bias a block of 32",
        "1.1 kB",
        "E4M3, real scale a tensor",
        "INT8, tensor",
    ):
        assert text in choices
    assert "<u>own</u>" not in choices  # not in the headline, but among all
    assert "<u>own</u>" in _inside(parsed, "everything")
    remarks = _inside(parsed, "remarks")
    assert (
        "INT8 with one scale a tensor has less error than every float of 8 bits on 6 of 10 tensors"
        in remarks
    )
    assert "(weighted 20.00 dB, CFloat8_1_4_3, one bias a tensor 31.50 dB)." in remarks
    assert "9.50 dB" in remarks
    assert "Left out: 4 tensors" in remarks
    # nothing that a file said became an element
    for tag in ("img", "i", "u"):
        assert not parsed.all(tag)
    marks = [each["text"] for each in parsed.all("text") if each.get("class") == "mark"]
    assert sorted(marks) == ["plan", "recommended"]


def test_nothing_is_recommended(browse):
    content = make_content()
    content["conclusion"] |= {
        "recommended": None,
        "better": None,
        "plan": None,
        "curve": [],
        "commands": [],
    }
    parsed = _ready(browse(content))
    assert "30 dB" in _inside(parsed, "answer")
    assert not parsed.all("code")
    exact = make_content()
    exact["conclusion"] |= {"configurations": [], "schemes": [], "plan": None, "curve": []}
    _ready(browse(exact))


WALK = """
  const chart = document.querySelector("#frontier svg[tabindex]");
  const readout = chart.parentElement.querySelector(".readout");
  const seen = [];
  const press = (key) => {
    chart.dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true }));
    seen.push(readout.textContent);
  };
  for (const key of %s) press(key);
  document.body.dataset.seen = JSON.stringify(seen);
"""


def test_the_curve_by_keyboard_and_pointer(browse):
    keys = [
        "ArrowRight",
        "ArrowDown",
        "End",
        "ArrowRight",
        "ArrowUp",
        "ArrowUp",
        "Home",
        "PageDown",
    ]
    point = """
      const edge = chart.getBoundingClientRect();
      const mark = [...chart.querySelectorAll("circle.chosen")].at(-1).getBoundingClientRect();
      chart.dispatchEvent(new PointerEvent("pointermove", {
        clientX: mark.left + mark.width / 2 + 1, clientY: mark.top + mark.height / 2 }));
      document.body.dataset.pointed = readout.textContent;
    """
    script = WALK % json.dumps(keys) + point
    body = _ready(browse(make_content(), script=script)).all("body")[0]
    seen = json.loads(body["data-seen"])
    assert "CFloat8_1_5_2, one bias a tensor" in seen[0]
    assert "1,000 bytes (0.250\u00d7)" in seen[0]
    assert "CFloat8_1_4_3, one bias a tensor" in seen[1]
    assert "CFloat8_1_4_3, one bias a block of 32" in seen[2]
    assert seen[3] == seen[2]
    assert seen[4] == seen[0]
    assert "plan" in seen[5]
    assert "1,000 bytes" in seen[6]
    assert "2,000 bytes" in seen[7]  # that which is exact is on no axis
    assert "CFloat8_1_4_3, one bias a tensor" in body["data-pointed"]
    assert HOSTILE[0] in body["data-pointed"]


def test_kinds(browse):
    content = make_content()
    parsed = _ready(browse(content, "kind=embedding"))
    wanted = [each["name"] for each in content["tensors"] if each["kind"] == "embedding"]
    assert len(_names(parsed)) == len(wanted) < len(content["tensors"])
    options = [each["text"] for each in parsed.all("option")]
    assert f"embedding ({len(wanted)})" in options
    assert any(each.startswith("<b>kind</b>\\u{202e}") for each in options)
    assert not [each for each in parsed.all("b") if each["text"] == "kind"]
    script = """

        const kind = document.getElementById("kind");
        kind.value = [...kind.options].at(-1).value;
        kind.dispatchEvent(new Event("change"));
        document.body.dataset.address = location.hash;
      """
    parsed = _ready(browse(content, script=script))
    address = dict(parse_qsl(parsed.all("body")[0]["data-address"].lstrip("#")))
    assert address["kind"] in KINDS
    assert len(_names(parsed)) == len(
        [each for each in content["tensors"] if each["kind"] == address["kind"]]
    )


def test_a_tensor_has_each_figure_once_and_in_words(browse):
    content = make_content(("first",))
    parsed = _ready(browse(content, "tensor=plain.weight"))
    start = parsed.elements.index(parsed.id("details"))
    end = parsed.elements.index(parsed.id("worst"))
    headings = [each["text"] for each in parsed.elements[start:end] if each["tag"] == "th"]
    rows = headings[headings.index("measure") :]
    assert not [each for each in rows if "_" in each and not each.startswith(("CFloat", "float"))]
    for word in ("bias, ieee", "SQNR, ieee, dB", "ieee gain, dB", "a new measure", "entropy, bits"):
        assert rows.count(word) == 1
    for word in ("shape", "dtype", "size", "nonfinite", "gain_db"):
        assert word not in rows


def test_outputs_are_shown_where_they_were_measured(browse):
    """Of a report of one weight, as it makes its page: the weight's figures, in words and as numbers."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((300, 12)) @ rng.standard_normal((12, 12))
    weights = {"w": rng.standard_normal((6, 12))}
    for moments in (None, cf.Sensitivity({"w": (cf.SecondMoment.of(inputs),)})):
        made = cf.report(weights, sensitivity=moments)
        parsed = _ready(browse(made.to_html(), "tensor=w", make=str))
        words = [each["text"] for each in parsed.all("th")]
        cells = [each["text"] for each in parsed.all("td")]
        for word in ("output, dB", "output, compensated, dB"):
            assert words.count(word) == (moments is not None)
        if moments is not None:
            row = next(each for each in made.rows if each.format == "CFloat8_1_4_3")
            assert row.compensated_db > row.output_db
            for value in (row.output_db, row.compensated_db):
                assert f"{value:.2f}" in cells or f"{value:.1f}" in cells, (value, cells)


def test_constants_and_zeros_do_not_count(browse):
    content = make_content(("zero", "constant"))
    for each in content["tensors"]:
        each["signal"] = 0.0 if each["name"] in ("zero", "hopeless") else 400.0
        each["is_constant"] = each["name"] == "constant"
    parsed = _ready(browse(content))
    assert parsed.id("still")["text"].startswith("3 tensors")
    worst = _inside(parsed, "summary-table")
    assert "plain.weight" in worst
    assert "hopeless" not in worst
    assert "\u2212\u221e" not in worst


def test_several_reports(browse):
    first, second, third = make_content(), make_content(("other",)), make_content(())
    second["conclusion"] = make_conclusion(("b.safetensors", "c.safetensors"))
    third["conclusion"] = None
    second["rows"][-3]["sqnr_db"] = 22.0  # plain.weight in 1_4_3
    contents = [first, second, third]
    parsed = _ready(browse(contents, "report=2&order=-apart", make=compare_page))
    compare = _inside(parsed, "compare-table")
    for text in (
        "A ",
        HOSTILE[0].rsplit("/", 1)[-1],
        "b.safetensors and 1 other",
        "C ",
        "Shown below",
    ):
        assert text in compare
    for tag in ("img", "i", "u"):
        assert not parsed.all(tag)
    assert parsed.id("conclusion-title")["text"] == "b.safetensors and 1 other"
    # the other tensors of the three are there once
    assert parsed.id("side-count")["text"] == f"{len(HOSTILE) + 4} tensors"
    start = parsed.elements.index(parsed.id("side-table"))
    found = [each["text"] for each in parsed.elements[start:] if each["tag"] == "bdi"]
    assert found[0] == "plain.weight"
    script = """

        const buttons = [...document.querySelectorAll("#compare-table button")];
        buttons.filter((each) => each.textContent === "Show")[1].click();
        document.body.dataset.address = location.hash;
      """
    parsed = _ready(browse(contents, "report=2", script, make=compare_page))
    assert "report=3" in parsed.all("body")[0]["data-address"]
    assert "hidden" in parsed.id("conclusion")
    assert sorted(_names(parsed)) == ["exact", "hopeless", "plain.weight"]


def test_a_plan(browse):
    parsed = _ready(browse(make_plan(), make=plan_page))
    assert len(_names(parsed)) == len(HOSTILE)
    assert HOSTILE[0] in _names(parsed)
    assert not parsed.all("img")
    assert [each["text"] for each in parsed.all("code")] == [make_plan()["command"]]
    assert "32.50 dB" in _inside(parsed, "answer")
    assert "0.02 dB below the optimum" in parsed.id("asked")["text"]
    choices = _inside(parsed, "choices")
    assert "CFloat8_1_4_3, one bias a block of 32" in choices
    assert "Unchanged: 1 tensor, has <infinities>." in _inside(parsed, "remarks")
    assert [each["text"] for each in parsed.all("text") if each.get("class") == "mark"] == [
        "this plan"
    ]
    parsed = _ready(browse(make_plan(), "kind=unchanged", make=plan_page))
    assert _names(parsed) == [HOSTILE[2]]
    parsed = _ready(browse(make_plan(), "sort=-db", make=plan_page))
    assert _names(parsed)[0] == HOSTILE[2]  # unchanged is exact
    script = WALK % '["Home", "End"]'
    seen = json.loads(
        _ready(browse(make_plan(), script=script, make=plan_page)).all("body")[0]["data-seen"]
    )
    assert "700 bytes" in seen[0]
    assert "2,000 bytes" in seen[1]


@pytest.mark.parametrize("compensate", [False, True])
def test_a_plan_says_what_its_errors_are_of(browse, tmp_path, compensate):
    """Of outputs, to nearest or compensated: the line of its screen, and the measure beside a figure."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((300, 12)) @ rng.standard_normal((12, 12))
    path = tmp_path / "model.safetensors"
    cf.save(path, {"b": rng.standard_normal(64), "w": rng.standard_normal((6, 12))})
    known = cf.Sensitivity({"w": (cf.SecondMoment.of(inputs),)}, notes=("left out: <img src=x>",))
    made = cf.plan(path, size=0.3, sensitivity=known, compensate=compensate)
    parsed = _ready(browse(made.to_html(), make=str))
    remarks = _inside(parsed, "remarks")
    assert "errors of the outputs of 1 tensors' products, by their inputs; of 1 tensors'" in remarks
    assert "note: left out: <img src=x>" in remarks
    assert ("1 of these are rounded for their outputs, by moments" in remarks) == compensate
    measure = "output, compensated" if compensate else "output"
    assert [each["text"] for each in parsed.all("small")] == [measure]
    assert not parsed.all("img")
    by_elements = cf.plan(path, size=0.3).to_html()
    assert "outputs" not in _inside(_ready(browse(by_elements, make=str)), "remarks")


def test_a_plan_of_an_export(browse):
    """It has scales, and says who knew what it takes; names in that are inert, too."""
    content = make_plan() | {"export": "fp8", "exported_by": "by <img src=x> of a library"}
    for each in content["tensors"]:
        each["granularity"] = each["granularity"] and "block 128x128"
    parsed = _ready(browse(content, make=plan_page))
    assert "CFloat8_1_4_3, one scale a block of 128x128" in _inside(parsed, "choices")
    assert "An export, fp8: linear layers by <img src=x> of a library." in _inside(
        parsed, "remarks"
    )
    assert not parsed.all("img")
    assert "An export" not in _inside(_ready(browse(make_plan(), make=plan_page)), "remarks")


def test_a_command_that_cannot_be_seen_is_not_to_be_copied(browse):
    content = make_content()
    content["conclusion"]["commands"] = ["cfloat convert a\u202eb", "cfloat convert a b"]
    parsed = _ready(browse(content))
    commands = [each for each in parsed.all("div") if each.get("class") == "command"]
    assert len(commands) == 2
    assert [each["text"] for each in parsed.all("code")] == [
        "cfloat convert a\\u{202e}b",
        "cfloat convert a b",
    ]
    assert len([each for each in parsed.all("button") if each["text"] == "Copy"]) == 1


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_wider_than_a_phone(browse, page):
    make, content = {
        "report": (html_page, make_content(("a." * 60, "b" * 120))),
        "several": (compare_page, [make_content(("a." * 60, "b" * 120))] * 3),
        "plan": (plan_page, make_plan(("a." * 60, "b" * 120, "c"))),
    }[page]
    script = """

        // names stay in their column
        const over = [...document.querySelectorAll("tbody th.name")]
          .filter((each) => each.scrollWidth > each.clientWidth + 1).length;
        const { scrollWidth: width, dataset } = document.documentElement;
        parent.postMessage({ width, over, inner: innerWidth, error: dataset.error ?? "" }, "*");
    """
    body = browse(content, script=script, make=make, width=400).all("body")[0]
    assert body["data-error"] == ""
    assert body["data-inner"] == "400"
    assert int(body["data-width"]) <= 400
    assert body["data-over"] == "0"
