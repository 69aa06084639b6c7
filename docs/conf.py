"""How Sphinx builds the site: `make docs`. It needs no network, and what it builds asks for none."""

import sys
from pathlib import Path

# The packages, and the extension beside this file.
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

project = "Capstone"
author = "The authors of Capstone"
extensions = [
    "from_code",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["from_code", "**/.ipynb_checkpoints"]

# ----------------------------------------------------------------- pages

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
nitpicky = True
# Annotations name types of many libraries, whose documents cannot be looked into without a network.
nitpick_ignore_regex = [("py:.*", ".*")]
# Quotation marks and dashes in keys and values stay what they are.
smartquotes = False
# A docstring's single backticks are code.
default_role = "literal"
# Our transcripts are shortened with `…`, which is no value in JSON.
suppress_warnings = ["misc.highlighting_failure"]

# ----------------------------------------------------------------- the API

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
# Types of these are of libraries that need seconds to import, and of our models, whose keys have a page of their own.
autodoc_mock_imports = ["tensorflow", "keras", "gensim", "mlflow"]

# ----------------------------------------------------------------- HTML

html_theme = "furo"
html_title = "Capstone"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_search_scorer = str(Path(__file__).with_name("_static") / "scorer.js")
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
# No address of the author's machine, and nothing of somebody else's.
html_theme_options = {"footer_icons": []}
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
