"""How Sphinx builds this folder; `make docs` calls it. The pages read well on GitHub, too."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from probunet import __version__

project = "probunet"
release = __version__
html_title = "probunet"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # headings have the anchors that GitHub gives them
html_math_renderer = "mathml"


def setup(app: Sphinx) -> None:
    """Have formulas drawn by the browser itself: a built page asks no other server for anything."""
    app.add_html_math_renderer("mathml", (_within_a_line, None), (_between_lines, None))


def _within_a_line(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _between_lines(self: HTML5Translator, node: nodes.math_block) -> None:
    formula = tex2mathml(node.astext(), as_block=True)
    self.body.append(f'<div class="formula">{formula}</div>')
    raise nodes.SkipNode
