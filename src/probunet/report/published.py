"""Published figures to stand beside one's own: which ones, of which data, and where they are from.

The original paper prints its GED as plots, and no numbers. The figures of LIDC-IDRI are those that
follow-up papers tabulate; they are of two versions of the data that compare neither with each other
nor with crops made by protocol kohl2018 and divided by patient:

- v1: 15,096 crops of 128x128, divided by slice, so that patients stand on both sides;
- v2: the released 180x180 crops of the paper's protocol, in the split that was released with them.
"""

from dataclasses import dataclass

from probunet.report.labels import number
from probunet.report.tables import Cell, Row, Table


@dataclass(frozen=True)
class Published:
    """A method's figures on one data set; None: not published, or not known to us."""

    method: str
    source: str
    figures: tuple[float | None, ...]
    deviations: tuple[float | None, ...] = ()


HEADS = {
    "lidc": ("v1, GED, n = 16", "v1, GED, n = 100", "v1, HM-IoU", "v2, GED, n = 16", "v2, HM-IoU"),
    "cityscapes": ("GED, n = 1", "GED, n = 4", "GED, n = 8", "GED, n = 16"),
}
FIGURES = {
    "lidc": (
        Published(
            "Probabilistic U-Net",
            "Kohl et al., 2018, arXiv 1806.05034",
            (0.310, 0.252, 0.552, 0.320, 0.500),
            (0.01, None, None, 0.03, 0.03),
        ),
        Published(
            "Hierarchical Probabilistic U-Net",
            "Kohl et al., 2019, arXiv 1905.13077",
            (0.270, None, 0.530, 0.270, 0.530),
            (None, None, None, 0.01, 0.01),
        ),
        Published(
            "PHiSeg",
            "Baumgartner et al., 2019, arXiv 1906.04045",
            (0.262, 0.224, 0.586, None, None),
        ),
        Published(
            "Stochastic Segmentation Network",
            "Monteiro et al., 2020, arXiv 2006.06015",
            (0.259, 0.225, 0.558, None, None),
        ),
        Published(
            "CAR",
            "Kassapis et al., 2021, arXiv 2006.13144",
            (None, 0.228, None, 0.264, 0.592),
        ),
        Published(
            "Joint Probabilistic U-Net", "Zhang et al., 2022", (None, None, None, 0.262, 0.585)
        ),
        Published("MoSE", "Gao et al., 2023, arXiv 2212.07328", (0.218, 0.189, 0.624, None, None)),
        Published(
            "CCDM",
            "Zbinden et al., 2023, arXiv 2303.08888",
            (0.212, 0.183, 0.623, 0.239, 0.598),
        ),
    ),
    "cityscapes": (
        Published(
            "Probabilistic U-Net, re-implemented by its authors",
            "read off a plot: two digits at most",
            (0.84, 0.32, 0.24, 0.20),
        ),
        Published("MoSE", "Gao et al., 2023, arXiv 2212.07328", (None, None, None, 0.178)),
    ),
}
CAPTION = {
    "lidc": "Published figures of LIDC-IDRI, mean ± standard deviation where one is given, as "
    "follow-up papers tabulate them; HM-IoU at n = 16. Columns of v1 compare with columns of v1 "
    "only, those of v2 with those of v2, and neither with the table above: its crops are made by "
    "the same protocol as those of v2, but from the images anew, and divided by patient into "
    "folds.",
    "cityscapes": "Published figures of the real photographs at 256x512, tested on the "
    "official validation cities with 32 modes. They compare with figures of that split and size "
    "only.",
}


def published(dataset: str) -> Table | None:
    """Return the published figures of a data set, or None where there are none.

    >>> published("mine") is None
    True
    """
    if dataset not in FIGURES:
        return None
    digits = 3 if dataset == "lidc" else 2
    rows = []
    for one in FIGURES[dataset]:
        deviations = one.deviations or (None,) * len(one.figures)
        cells = [
            Cell("\N{EN DASH}")
            if value is None
            else Cell(
                number(value, 3 if one.method == "MoSE" else digits),
                spread="" if deviation is None else f"± {number(deviation, 2)}",
                value=value,
            )
            for value, deviation in zip(one.figures, deviations, strict=True)
        ]
        rows.append(Row(one.method, cells, False, note=one.source))
    return Table(list(HEADS[dataset]), rows)
