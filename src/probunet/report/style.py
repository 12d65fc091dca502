"""How charts look: each model has the same colour and marker in all of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from probunet.report.labels import degenerate, deterministic

_X = "M-1,-.55L-.55,-1L0,-.45L.55,-1L1,-.55L.45,0L1,.55L.55,1L0,.45L-.55,1L-1,.55L-.45,0Z"
_PENTAGON = "M0,-1L.95,-.31L.59,.81L-.59,.81L-.95,-.31Z"
_HEXAGON = "M0,-1L.87,-.5L.87,.5L0,1L-.87,.5L-.87,-.5Z"
_STAR = "M0,-1L.22,-.31L.95,-.31L.36,.12L.59,.81L0,.38L-.59,.81L-.36,.12L-.95,-.31L-.22,-.31Z"
_HOURGLASS = "M-.9,-1L.9,-1L.2,0L.9,1L-.9,1L-.2,0Z"
_BOW = "M-1,-.9L0,-.2L1,-.9L1,.9L0,.2L-1,.9Z"
# Okabe and Ito's colours, distinct with any colour vision; wine instead of their yellow, which is
# hard to see on white. The marker, a symbol of Vega's or a path, is distinct too.
MODELS = {
    "probabilistic_unet": ("#0072B2", "circle"),
    "unet": ("#000000", "square"),
    "dropout_unet": ("#E69F00", "triangle-up"),
    "unet_ensemble": ("#D55E00", "diamond"),
    "m_heads": ("#009E73", "triangle-down"),
    "image2image_vae": ("#CC79A7", "cross"),
    "stochastic_segmentation_network": ("#56B4E9", _X),
    "phiseg": ("#332288", _HOURGLASS),
    "hierarchical_probabilistic_unet": ("#882255", _PENTAGON),
    "mose": ("#117733", _BOW),
    "ccdm": ("#661100", _STAR),
}
OTHERS = (  # for models that are added
    ("#6A51A3", "triangle-left"),
    ("#8C6D31", "triangle-right"),
    ("#637939", _HEXAGON),
)
# dashes and gaps by beta, from the smallest one
DASHES: tuple[tuple[float, ...], ...] = ((1, 0), (6, 3), (7, 2, 1.5, 2), (1.5, 2))
GREY = "#767676"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # all have the same widths
CONFIG: dict[str, Any] = {
    "font": FONT,
    "background": "white",
    "view": {"stroke": None},
    "axis": {
        "domainColor": "#333333",
        "gridColor": "#e4e4e4",
        "gridWidth": 0.6,
        "labelColor": "#1d2329",
        "labelFontSize": 11,
        "labelSeparation": 6,
        "tickColor": "#333333",
        "titleColor": "#1d2329",
        "titleFontSize": 11.5,
        "titleFontWeight": "normal",
    },
    "legend": {
        "labelColor": "#1d2329",
        "labelFontSize": 11,
        "labelLimit": 320,
        "symbolOpacity": 1,
        "symbolSize": 60,
        "title": None,
    },
    "title": {
        "anchor": "start",
        "color": "#1d2329",
        "fontSize": 13,
        "fontWeight": "normal",  # one font in a file: the order of several differs between runs
        "offset": 8,
    },
}


@dataclass(frozen=True)
class Look:
    """How a model and beta is drawn."""

    colour: str
    marker: str
    dash: tuple[float, ...]


Looks = dict[tuple[str, float], Look]  # by model and beta


def looks(pairs: Iterable[tuple[str, float]]) -> Looks:
    """Return how models and betas are drawn, and each one's deterministic rows with it.

    A beta has the same dashes for each model that was run with several; others' lines are solid.
    """
    known = sorted({pair for pair in pairs if degenerate(pair[0]) is None})
    several = several_betas(known)
    betas = sorted({beta for model, beta in known if model in several})
    own = sorted({model for model, _ in known if model not in MODELS})
    chosen = {}
    for model, beta in known:
        colour, marker = MODELS.get(model) or OTHERS[own.index(model) % len(OTHERS)]
        dash = DASHES[betas.index(beta) % len(DASHES) if model in several else 0]
        chosen[model, beta] = chosen[deterministic(model), beta] = Look(colour, marker, dash)
    return chosen


def several_betas(pairs: Iterable[tuple[str, float]]) -> set[str]:
    """Return the models that were run with more than one beta."""
    models = [model for model, _ in set(pairs)]
    return {model for model in models if models.count(model) > 1}
