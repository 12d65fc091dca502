"""How figures look: a colour and a marker for each model, the same in all of them."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.figure import Figure

from probunet.report.labels import degenerate, deterministic

# Okabe and Ito's colours, told apart with any colour vision; wine instead of their yellow, which
# is hard to see on white. The marker tells a model apart once more.
MODELS = {
    "probabilistic_unet": ("#0072B2", "o"),
    "unet": ("#000000", "s"),
    "dropout_unet": ("#E69F00", "^"),
    "unet_ensemble": ("#D55E00", "D"),
    "m_heads": ("#009E73", "v"),
    "image2image_vae": ("#CC79A7", "P"),
    "stochastic_segmentation_network": ("#56B4E9", "X"),
    "hierarchical_probabilistic_unet": ("#882255", "p"),
}
OTHERS = (("#6A51A3", "<"), ("#8C6D31", ">"), ("#637939", "h"))  # for models of one's own
LINES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")  # by beta, from the least
GREY = "#767676"
STYLE: Any = {
    "svg.hashsalt": "probunet",
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Look:
    """How a model and beta is drawn."""

    colour: str
    marker: str
    line: Literal["-", "--", "-.", ":"]


Looks = dict[tuple[str, float], Look]  # by model and beta


def looks(pairs: Iterable[tuple[str, float]]) -> Looks:
    """Return how models and betas are drawn, and each one's deterministic rows with it."""
    known = sorted({pair for pair in pairs if degenerate(pair[0]) is None})
    betas = {model: [beta for other, beta in known if other == model] for model, _ in known}
    own = [model for model in betas if model not in MODELS]
    chosen = {}
    for model, beta in known:
        colour, marker = MODELS.get(model) or OTHERS[own.index(model) % len(OTHERS)]
        line = LINES[betas[model].index(beta) % len(LINES)]
        chosen[model, beta] = chosen[deterministic(model), beta] = Look(colour, marker, line)
    return chosen


def data_uri(figure: Figure) -> str:
    """Return a figure as SVG that is the same whenever it is drawn."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
