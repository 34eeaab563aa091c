"""Configuration of the documentation; `sphinx-build -W --keep-going -b html docs OUT` builds it.

Nothing is fetched: no intersphinx, no fonts.
"""

import sys
from importlib.util import find_spec
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

import cfloat

project = "cfloat"
author = "The cfloat authors"
copyright = "2026, The cfloat authors"  # noqa: A001 - Sphinx's name
version = release = cfloat.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# the reference of what takes an optional package is left out where that is not installed
optional = [name for name in ("dask", "torch") if find_spec(name) is None]
exclude_patterns = ["_build", *(f"reference/{name}.md" for name in optional)]

smartquotes = False  # what is in quotes is typed so
default_role = "name"
autodoc_typehints = "none"  # the docstrings say what is taken and given
autodoc_member_order = "alphabetical"
autodoc_inherit_docstrings = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
numpydoc_class_members_toctree = False

nitpicky = True  # every reference leads somewhere; what is out of these pages is not made one

html_theme = "furo"
html_title = f"cfloat {release}"
html_static_path = ["_static"]
html_css_files = ["cfloat.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}


class NameRole(SphinxRole):
    """What docstrings have in single backticks: a link to a public name, or else code."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the link, or the code."""
        name = self.text.removeprefix("cfloat.")
        modules = ["cfloat"]
        if name == self.text:  # of the module whose names are documented, or else of the package
            modules.insert(0, self.env.ref_context.get("py:module") or "cfloat")
        for module in modules:
            if name.partition(".")[0] in getattr(sys.modules.get(module), "__all__", ()):
                role = self.env.domains.python_domain.role("obj")
                assert role is not None
                target = f"{self.text} <{module}.{name}>"
                return role("py:obj", self.rawtext, target, self.lineno, self.inliner, {}, [])
        return [nodes.literal(self.rawtext, self.text)], []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role."""
    app.add_role("name", NameRole())
    return {"parallel_read_safe": True}
