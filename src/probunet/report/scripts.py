"""The report's scripts, and the policy that lets a browser run these alone."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

from markupsafe import Markup

# the files of each script; several share one scope
SCRIPTS = {
    "tables": ["tables.js"],
    "latent": ["latent.js"],
    "provenance": ["provenance.js"],
    "charts": ["charts.js"],
    "explorer": [
        "explorer-pictures.js",
        "explorer-outline.js",
        "explorer-layers.js",
        "explorer-drawing.js",
        "explorer-words.js",
        "explorer-controls.js",
        "explorer.js",
    ],
}


def text(name: str) -> str:
    """Return a file of this package."""
    return files("probunet.report").joinpath(name).read_text(encoding="utf-8")


def script(name: str) -> Markup:
    """Return one of the scripts as an element of the page."""
    return Markup(f"<script>{_code(name)}</script>")


@cache
def vega() -> Markup:
    """Return Vega, Vega-Lite and vega-embed as one script."""
    from probunet.report.vega import bundle

    return Markup(bundle())


@cache
def policy() -> Markup:
    """Return the element that forbids the page everything but what the report itself brings.

    Scripts are named by their hashes: whatever else gets into the page, it does not run. Nothing is
    loaded from elsewhere; images are data in the page. Styles may stand anywhere, since Vega sets
    them and they run nothing.
    """
    hashes = " ".join(_hash(code) for code in [*map(_code, SCRIPTS), vega()])
    content = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return Markup(f'<meta http-equiv="Content-Security-Policy" content="{content}">')


def _code(name: str) -> str:
    """Return the code of one script."""
    code = "\n".join(text(file) for file in SCRIPTS[name])
    return code if len(SCRIPTS[name]) == 1 else f'"use strict";\n(() => {{\n{code}}})();\n'


def _hash(code: str) -> str:
    """Return the name of a script in a policy."""
    digest = hashlib.sha256(code.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
