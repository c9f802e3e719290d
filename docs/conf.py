"""Sphinx, as `nox -s docs` runs it."""

from importlib.metadata import version as installed

from sphinx.application import Sphinx

project = "alsim"
author = "The alsim developers"
copyright = "2026, The alsim developers"
version = release = installed("alsim")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.viewcode", "sphinx_design"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
nb_execution_mode = "off"  # `nox -s notebooks` executes them; the pages show the stored outputs
html_theme = "furo"
html_title = f"alsim {release}"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_mock_imports = ["stable_baselines3", "torch"]  # extras, which the documentation is built without


def as_written(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Show a docstring below its first sentence as it stands in the source, where formulas and units are lined up."""
    if any(lines[1:]):
        lines[1:] = ["", ".. code-block:: none", "", *(f"    {line}" for line in lines[1:])]


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", as_written)
