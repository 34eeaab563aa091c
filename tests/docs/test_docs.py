"""Every block of the documentation runs; tests/support/markdown_examples.py says how."""

import re

import pytest
from markdown_examples import (
    EXECUTED,
    ROOT,
    NotAnExampleError,
    Runner,
    parse_page,
    read_page,
    run_page,
)

import cfloat as cf

DOCS = ROOT / "docs"
FILES = [
    path.relative_to(DOCS)
    for path in sorted(DOCS.rglob("*"))
    if path.is_file() and "_build" not in path.relative_to(DOCS).parts
]
PAGES = [path.as_posix() for path in FILES if path.suffix == ".md"]

#: What is in docs/ beside pages: nothing that could hold an example.
OTHER_SUFFIXES = (".css", ".png", ".py", ".svg")


def test_all_pages_are_found():
    """Pages of another kind would not be run, and the pages that there must be are there."""
    assert {path.suffix for path in FILES} <= {".md", *OTHER_SUFFIXES}
    assert {"index.md", "tutorial.md", "formats.md", "how-to/convert.md"} <= set(PAGES)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_page(name, tmp_path, monkeypatch):
    page = read_page(DOCS / name)
    if page.missing:
        pytest.skip(f"{page.missing[0]} is not installed")
    monkeypatch.chdir(tmp_path)
    runner = run_page(page, tmp_path)
    assert not runner.failures, "\n".join(runner.failures)
    there = [block.language for block in page.blocks if block.language in EXECUTED]
    assert sorted(runner.ran.elements()) == sorted(there)


def test_every_public_name_is_in_the_reference():
    """And once: under one heading, where a reader finds all of its kind."""
    directive = re.compile(r"^\.\. (?:autofunction|autoclass|autoexception|py:data):: (\w+)$", re.M)
    names = [
        name
        for page in sorted((DOCS / "reference").glob("*.md"))
        if page.name not in ("torch.md", "dask.md")
        for name in directive.findall(page.read_text(encoding="utf-8"))
    ]
    assert len(names) == len(set(names))
    assert set(cf.__all__) <= set(names)


def test_every_clause_that_is_cited_is_there():
    """Code, tests and pages cite docs/spec.md by clause or section, and no document that readers lack."""
    spec = (DOCS / "spec.md").read_text(encoding="utf-8")
    clauses = {
        ".".join(pair) for pair in re.findall(r"^\(spec-(\d+)-(\d+)\)=$", spec, re.MULTILINE)
    }
    known = clauses | {clause.partition(".")[0] for clause in clauses}
    citation = re.compile(r"\bdocs/spec\.md\W+((?:\d+(?:\.\d+)*(?:, | and | to )?)+)")
    cited, strangers = set(), []
    for folder in ("cfloat", "csrc", "tests", "benchmarks", "docs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix not in (".py", ".c", ".h", ".md") or "_build" in path.parts:
                continue
            text = path.read_text(encoding="utf-8")
            for said in citation.findall(text):
                cited |= {(clause, path) for clause in re.findall(r"\d+(?:\.\d+)*", said)}
            strangers += [path] if re.search(r"\bSPEC (?:section|\d)", text) else []
    assert cited, "no citation was found"
    assert [(clause, path.name) for clause, path in cited if clause not in known] == []
    assert strangers == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```rust\nfn\n```\n", "a block of 'rust'"),
        ("```\nnothing\n```\n", "a block of 'no language'"),
        ("~~~bash\nls\n~~~\n", "a block of 'bash'"),
        ("Text.\n\n    >>> 1\n    2\n", "a block without a fence"),
        ("- item\n\n      indented code\n", "a block without a fence"),
        ("```python\nx = 1\n```\n", "has no prompt"),
        ("```python\n>>> x = 1\n\nx = 2\n```\n", "has no prompt"),
        ("```python\n>>> 1  # doctest: +SKIP\n2\n```\n", "changes how it is checked"),
        ("```console\ncfloat info x\n```\n", "without a prompt"),
        ("```{eval-rst}\n>>> 1\n2\n```\n", "would not run"),
        ("```{code-block} python\n>>> 1\n2\n```\n", "a block of '{code-block} python'"),
        ("---\nrequires: torch\n---\n", "requires is not as in"),
    ],
)
def test_what_would_not_run_is_refused(text, message):
    with pytest.raises(NotAnExampleError, match=re.escape(message)):
        parse_page("page.md", text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python\n>>> 1 + 1\n3\n```\n", "Got:\n    2"),
        ("```python\n>>> x = 1\n```\n\n```python\n>>> x\n2\n```\n", "Got:\n    1"),
        ("```python\n>>> undefined\n```\n", "NameError"),
        ("```console\n$ cfloat --version\ncfloat 9\n```\n", "Got:\ncfloat 0."),
        ("```console\n$ cfloat info none.npy\n```\n", "exit status 1"),
        ("```console\n$ cfloat --version\ncfloat: error: none\n```\n", "exit status 0"),
        ("```sh\ncfloat info none.npy\n```\n", "exit status 1"),
        ("```sh\nls\n```\n", "is nothing that is run here"),
        ("```sh\npip install '.[unknown]'\n```\n", "is nothing that is run here"),
        ("```sh\npython examples/make_carried_tensors.py\n```\n", "is nothing that is run here"),
        ("```sh\npython examples/none.py --quick\n```\n", "No such file"),
        ("```console\n$ pip install . && cfloat report\n```\n", "is nothing that is run here"),
    ],
)
def test_what_is_wrong_is_found(text, message):
    runner = Runner(parse_page("page.md", text)).run()
    assert len(runner.failures) == 1
    assert "No module named" not in runner.failures[0]
    assert message in runner.failures[0]


def test_what_sets_up_is_known():
    text = "```sh\npip install . && cfloat report\npip install '.[test,torch]'  # both\nnox -s lint\n```\n"
    assert not Runner(parse_page("page.md", text)).run().failures


def test_a_page_says_what_it_requires():
    page = parse_page("page.md", "---\nrequires: [json, not_there_at_all]\n---\n\nText.\n")
    assert page.requires == ("json", "not_there_at_all")
    assert page.missing == ["not_there_at_all"]


#: Where somebody looks who does not know the tree yet.
GUIDES = ["docs/architecture.md", "docs/design.md", "CONTRIBUTING.md", "csrc/README.md"]


@pytest.mark.parametrize("guide", GUIDES)
def test_files_that_guides_name_are_there(guide):
    """Each by its path from the root, or by the end of it."""
    named = set(re.findall(r"`([\w./-]*[\w-]+\.(?:py|c|h|js|css|toml|yaml))`", read(guide))) - {
        "-inl.h"
    }
    skipped = {".git", "build", "__pycache__", "_build"}
    tree = [
        f"/{path.relative_to(ROOT).as_posix()}"
        for path in ROOT.rglob("*.*")
        if not skipped & set(path.parts)
    ]
    assert len(named) > 3
    assert [
        name for name in sorted(named) if not any(one.endswith(f"/{name}") for one in tree)
    ] == []


def test_what_runs_the_package_runs_the_installed_one():
    """`python -m` finds a `cfloat/` in the current folder first: in a clone, one that is not built."""
    folders = ("benchmarks", "docs", "examples", "tests")
    found = [
        (path.relative_to(ROOT).as_posix(), line.strip())
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in {".py", ".md"} and "_build" not in path.parts
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"-m\W+cfloat\b(?!`)", line)
    ]
    assert len(found) > 5
    assert [each for each in found if not re.search(r"-P\W+-m\W+cfloat\b", each[1])] == []


def read(guide):
    return (ROOT / guide).read_text(encoding="utf-8")
