"""The documentation site: `make docs` builds it into docs/_build/html, with every warning as an error."""

import configparser
import os
from pathlib import Path

import galaxy_vision

REPOSITORY = Path(__file__).resolve().parent.parent
_metadata = configparser.ConfigParser()
_metadata.read(REPOSITORY / "setup.cfg")
address = _metadata["metadata"]["url"]

project = "galaxy_vision"
author = "The galaxy_vision developers"
copyright = "the galaxy_vision developers"
version = release = galaxy_vision.__version__

extensions = [
    "myst_nb",  # Markdown and notebooks
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",  # docstrings in Google's style
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_templates", "images/ATTRIBUTION.md"]
suppress_warnings = ["myst.header"]  # lab_notes.md has jumps of level

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Notebooks are in git without outputs, and are run here: one that fails is an error. GALAXY_VISION_NOTEBOOKS=off builds
# the pages alone.
nb_execution_mode = os.environ.get("GALAXY_VISION_NOTEBOOKS", "force")
nb_execution_raise_on_error = True
nb_execution_timeout = 900  # seconds a cell; on two quiet cores a whole notebook takes less than 40
nb_render_markdown_format = "myst"  # tables in the outputs of cells
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

templates_path = ["_templates"]
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # methods of transformers have theirs there
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = f"galaxy_vision {version}"
html_static_path = ["_static"]
html_css_files = ["galaxy.css"]
html_favicon = "_static/mark.svg"
html_logo = "_static/mark.svg"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "galaxy_vision"},
    "icon_links": [{"name": "Source", "url": address, "icon": "fa-solid fa-code-branch"}],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "show_prev_next": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def write_cards(app) -> None:
    """Write docs/cards from the cards of the shipped models, without what the Hub alone reads."""
    for folder in (REPOSITORY / "checkpoints").iterdir():
        _, _, text = (folder / "README.md").read_text().split("---\n", 2)
        target = REPOSITORY / "docs" / "cards" / f"{folder.name}.md"
        target.parent.mkdir(exist_ok=True)
        target.write_text(text.replace("](", f"](../../checkpoints/{folder.name}/"))


def setup(app) -> None:
    """Make what is not in git before Sphinx lists the pages."""
    write_cards(app)
