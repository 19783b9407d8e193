"""Settings of the site: `make docs` builds it into build/docs, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "scaling"
author = "The scaling developers"
release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]

# --- Pages --------------------------------------------------------------------------

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
highlight_language = "none"
copybutton_prompt_text = "$ "  # what a command printed is not copied with it
copybutton_line_continuation_character = "\\"

sphinx_gallery_conf = {
    "examples_dirs": "../examples/python",
    "gallery_dirs": "gallery",
    "default_thumb_file": str(Path(__file__).parent / "figures/figure3b.png"),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}

# --- Python -------------------------------------------------------------------------

default_role = "code"
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "__init__, __new__"}
autodoc_class_signature = "separated"
autodoc_typehints = "none"  # docstrings have them, in words
napoleon_google_docstring = False
napoleon_use_rtype = False
nitpick_ignore_regex = [("py:class", ".*")]  # types in docstrings are words

FIELDS: dict[str, list[str]] = {}
"""Docstrings of fields, which napoleon would cut at a colon."""


def before(_app: Sphinx, what: str, name: str, *rest: Any) -> None:
    """Give closing examples a heading, and remember what is written of fields."""
    lines = rest[-1]
    if what in ("attribute", "property"):
        FIELDS[name] = list(lines)
    first = next((i for i, line in enumerate(lines) if line.startswith(">>>")), None)
    if first is not None and any(line.startswith("---") for line in lines[:first]):
        lines[first:first] = ["Examples", "--------"]


def after(_app: Sphinx, _what: str, name: str, *rest: Any) -> None:
    """Put the docstrings of fields back."""
    rest[-1][:] = FIELDS.pop(name, rest[-1])


def setup(app: Sphinx) -> None:
    """Read docstrings before and after napoleon does."""
    app.connect("autodoc-process-docstring", before, priority=100)
    app.connect("autodoc-process-docstring", after, priority=900)


# --- Looks --------------------------------------------------------------------------

html_theme = "furo"
html_title = "scaling"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
