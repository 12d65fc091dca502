"""Published figures of Cityscapes, by the protocol of the scenes that they are of."""

from probunet.datasets.base import Method, Published

PUBLISHED = {
    "kohl2018-cityscapes": Published(
        name="Cityscapes with 32 modes",
        columns=(("ged", 1), ("ged", 4), ("ged", 8), ("ged", 16)),
        size=(256, 512),
        methods=(
            Method(
                "Probabilistic U-Net, re-implemented by its authors",
                "read off a plot: two digits at most",
                "0.84  0.32  0.24  0.20",
                split="official",
            ),
            Method(
                "MoSE",
                "Gao et al., 2023, arXiv 2212.07328",
                "-  -  -  0.178",
            ),
        ),
        about="of the photographs at 256x512, tested on the official validation cities",
        splits={"official": "the publisher's"},
    )
}
