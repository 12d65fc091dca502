"""Published figures of LIDC-IDRI, by the protocol of the crops that they are of.

Follow-up papers tabulate them; the original paper prints its GED as plots, and no numbers. None is
of crops that were made by protocol kohl2018 and divided by patient.
"""

from probunet.datasets.base import Method, Published

SPLITS = {
    "series": "by CT series",
    "slices": "by slice, so that images of one patient are in training and test",
    "published": "as released with the images",
}

V1 = Published(
    name="v1",
    columns=(("ged", 16), ("ged", 32), ("ged", 100), ("hm_iou", 16), ("hm_iou", 32)),
    size=(128, 128),
    methods=(
        Method(
            "Probabilistic U-Net",
            "Kohl et al., 2018, arXiv 1806.05034",
            "0.310±0.01  0.303  0.252  0.552  -",
        ),
        Method(
            "Hierarchical Probabilistic U-Net",
            "Kohl et al., 2019, arXiv 1905.13077",
            "0.270  -  -  0.530  -",
        ),
        Method(
            "PHiSeg",
            "Baumgartner et al., 2019, arXiv 1906.04045",
            "0.262  0.247  0.224  0.586  -",
            split="series",
            weights="best",
        ),
        Method(
            "Stochastic Segmentation Network",
            "Monteiro et al., 2020, arXiv 2006.06015",
            "0.259  0.243  0.225  0.558  -",
        ),
        Method("cFlow", "as follow-up papers tabulate it", "-  0.225  -  -  0.584"),
        Method("CAR", "Kassapis et al., 2021, arXiv 2006.13144", "-  -  0.228±0.009  -  -"),
        Method("Joint Probabilistic U-Net", "Zhang et al., 2022", "-  0.206  -  -  0.647"),
        Method("PixelSeg", "as follow-up papers tabulate it", "-  0.243  -  -  0.614"),
        Method("CIMD", "as follow-up papers tabulate it", "0.234  0.218  -  0.587  -"),
        Method(
            "MoSE",
            "Gao et al., 2023, arXiv 2212.07328",
            "0.218  0.195  0.189  0.624  -",
            split="series",
        ),
        Method(
            "CCDM",
            "Zbinden et al., 2023, arXiv 2303.08888",
            "0.212±0.002  0.194  0.183  0.623  -",
            split="series",
            weights="average",
        ),
        Method("MedFM", "2025, as follow-up papers tabulate it", "0.202  -  -  0.610  -"),
        Method("ATFM", "2026", "0.206  0.188  0.162  -  0.667", split="slices"),
    ),
    about="of the 15,096 crops “v1”, which have no margin. PHiSeg, CCDM and MoSE divide them by "
    "series, 64, 16 and 20 %; only MoSE says which, and source knegt draws the same",
    splits=SPLITS,
)

V2 = Published(
    name="v2",
    columns=(("ged", 16), ("ged", 50), ("ged", 100), ("hm_iou", 16)),
    size=(128, 128),
    methods=tuple(
        Method(*row, split="published")
        for row in (
            (
                "Probabilistic U-Net",
                "Kohl et al., 2018, arXiv 1806.05034",
                "0.320±0.03  -  0.252  0.500±0.03",
            ),
            (
                "Hierarchical Probabilistic U-Net",
                "Kohl et al., 2019, arXiv 1905.13077; a reproduction of 2025 got 0.394 at n = 16",
                "0.270±0.01  -  -  0.530±0.01",
            ),
            ("CAR", "Kassapis et al., 2021, arXiv 2006.13144", "0.264  0.248  0.243  0.592"),
            ("Joint Probabilistic U-Net", "Zhang et al., 2022", "0.262  -  -  0.585"),
            ("PixelSeg", "as follow-up papers tabulate it", "0.260  -  -  0.587"),
            (
                "CCDM",
                "Zbinden et al., 2023, arXiv 2303.08888; trained on the central 128x128",
                "0.239±0.003  0.216  0.210  0.598",
            ),
        )
    ),
    about="of the crops “v2”, in the split that was released with them, scored on the central "
    "128x128",
    splits=SPLITS,
)

PUBLISHED = {"knegt": V1, "hpunet": V2}
