"""How Sphinx builds this folder; `make docs` calls it. The pages read well on GitHub, too."""

from probunet import __version__

project = "probunet"
release = __version__
html_title = "probunet"
extensions = ["myst_parser", "sphinx.ext.mathjax"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # headings have the anchors that GitHub gives them

# The one thing that a built page asks another server for, and only pages with formulas do.
mathjax_path = "https://cdn.jsdelivr.net/npm/mathjax@4.0.0/tex-mml-chtml.js"
