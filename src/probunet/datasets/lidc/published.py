"""Published figures of LIDC-IDRI.

The original paper prints its GED as plots, and no numbers. The figures are those that follow-up
papers tabulate. They are of two versions of the data that compare neither with each other nor with
crops made by protocol kohl2018 and divided by patient:

- v1: 15,096 crops of 128x128, divided by series or by slice, so that patients can be on both sides;
- v2: the released 180x180 crops of the paper's protocol, in the split that was released with them.
"""

from probunet.datasets.base import Method, Published

PUBLISHED = Published(
    heads=("v1, GED, n = 16", "v1, GED, n = 100", "v1, HM-IoU", "v2, GED, n = 16", "v2, HM-IoU"),
    methods=(
        Method(
            "Probabilistic U-Net",
            "Kohl et al., 2018, arXiv 1806.05034",
            "0.310±0.01  0.252  0.552  0.320±0.03  0.500±0.03",
        ),
        Method(
            "Hierarchical Probabilistic U-Net",
            "Kohl et al., 2019, arXiv 1905.13077",
            "0.270  -  0.530  0.270±0.01  0.530±0.01",
        ),
        Method("PHiSeg", "Baumgartner et al., 2019, arXiv 1906.04045", "0.262  0.224  0.586  -  -"),
        Method(
            "Stochastic Segmentation Network",
            "Monteiro et al., 2020, arXiv 2006.06015",
            "0.259  0.225  0.558  -  -",
        ),
        Method("CAR", "Kassapis et al., 2021, arXiv 2006.13144", "-  0.228  -  0.264  0.592"),
        Method("Joint Probabilistic U-Net", "Zhang et al., 2022", "-  -  -  0.262  0.585"),
        Method("MoSE", "Gao et al., 2023, arXiv 2212.07328", "0.218  0.189  0.624  -  -"),
        Method(
            "CCDM", "Zbinden et al., 2023, arXiv 2303.08888", "0.212  0.183  0.623  0.239  0.598"
        ),
    ),
    caption="Published figures of LIDC-IDRI, mean ± standard deviation if one is published, as "
    "follow-up papers tabulate them; HM-IoU at n = 16. Columns of v1 compare with columns of v1 "
    "only, those of v2 with those of v2, and neither with the table above: its crops are made by "
    "the same protocol as those of v2, but from the original images, and divided by patient into "
    "folds.",
)
