"""The registry of scores: an entry of `SCORES` puts a score into each table and into the report.

A score is a function of one of three inputs:

- `masks`: the masks of a class, see `metrics.seen`;
- `votes`: numbers of pixels by the samples' mean, see `metrics.votes`; Cityscapes' modes have them,
  too, with exact probabilities in place of graders;
- `dice`: the Dice (images, n, G) of each sample and grader, and the samples' weights, if any.

Of several classes, scores of `masks` and `votes` are means over the classes: over all, or with
`absent: left_out` over those that a sample or a grader of the image marks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from probunet.config import Absent
from probunet.metrics.adaptive_calibration import adaptive_calibration_error
from probunet.metrics.area_crps import area_crps
from probunet.metrics.calibration import calibration_columns, total
from probunet.metrics.entropy import entropy
from probunet.metrics.mean_dice import grader_dice, mean_dice, soft_dice
from probunet.metrics.presence import presence_brier, presence_reliability
from probunet.metrics.proper import brier, nll
from probunet.metrics.risk_coverage import aurc, excess_aurc
from probunet.metrics.seen import Seen, Values, mean_over_classes
from probunet.metrics.set_dice import match_dice, match_dice_of_samples, max_dice_of_samples
from probunet.metrics.votes import Votes

GRADER = "grader_dice"  # begins the names of columns, one per grader: `grader_dice:grader 1`


@dataclass(frozen=True)
class Column:
    """A column of the tables; the report explains it below its topic's table."""

    name: str
    topic: Literal["overlap", "calibration", "uncertainty", "selection"]
    head: str
    about: str


@dataclass(frozen=True)
class Score(Column):
    """A score of each image: a function of masks, votes or dice that returns (images,)."""

    sees: Literal["masks", "votes", "dice"]
    of: Callable[..., Values]


SCORES = (
    Score(
        "mean_dice", "overlap", "Dice of the mean",
        "what more than half of the samples mark against each grader, averaged (higher is better)",
        "masks", mean_dice,
    ),
    Score(
        "soft_dice", "overlap", "Soft Dice",
        "the samples' mean against the graders', each above .1, .3, .5, .7 and .9, averaged "
        "(higher is better)",
        "masks", soft_dice,
    ),
    Score(
        "max_dice_of_samples", "overlap", "Max Dice of samples",
        "the best grader of each sample, averaged over samples (higher is better)",
        "dice", max_dice_of_samples,
    ),
    Score(
        "match_dice", "overlap", "Match Dice",
        "each grader and a sample of its own, averaged over graders (higher is better)",
        "dice", match_dice,
    ),
    Score(
        "match_dice_of_samples", "overlap", "Match Dice of samples",
        "each sample and a grader, all graders equally often, averaged over samples (higher is "
        "better)",
        "dice", match_dice_of_samples,
    ),
    Score(
        "area_crps", "overlap", "CRPS of the area",
        "the samples' areas against each grader's, in pixels, averaged (lower is better)",
        "masks", area_crps,
    ),
    Score(
        "brier", "calibration", "Brier score",
        "mean squared difference of the samples' mean and the ground truth, over pixels (lower "
        "is better)",
        "votes", brier,
    ),
    Score(
        "nll", "calibration", "NLL",
        "mean negative log-likelihood of the ground truth under the samples' mean, which is "
        "clipped to .001 and .999, in nats (lower is better)",
        "votes", nll,
    ),
    Score(
        "ace", "calibration", "ACE",
        "calibration error in ten bins of equally many pixels, mean over images (lower is better)",
        "votes", adaptive_calibration_error,
    ),
    Score(
        "presence_brier", "calibration", "Brier score of presence",
        "mean squared difference of the share of samples that mark anything and whether each "
        "grader does (lower is better)",
        "masks", presence_brier,
    ),
    Score(
        "entropy", "uncertainty", "Entropy",
        "of the samples' mean, averaged over pixels, in nats",
        "votes", entropy,
    ),
)  # fmt: skip
# of the softmax, computed while samples are drawn: see `sample.entropy`
SOFTMAX = (
    Column(
        "softmax_entropy", "uncertainty", "Softmax entropy",
        "of the mean of the samples' softmaxes, averaged over pixels, in nats",
    ),
    Column(
        "expected_entropy", "uncertainty", "Expected entropy",
        "mean entropy of the softmax of each sample: what a sample leaves open, in nats",
    ),
    Column(
        "mutual_information", "uncertainty", "Mutual information",
        "the entropy of the softmax less the expected one: what differs between samples, in nats",
    ),
)  # fmt: skip
PRESENCE = Column(
    "presence_ece", "calibration", "ECE of presence",
    "do graders mark anything as often as samples do? Over the images of a fold, in ten bins "
    "(lower is better)",
)  # fmt: skip
# lists, as those of `metrics.calibration.Reliability`: graders of images in place of pixels
PRESENCE_BINS = ["presence_graders", "presence_predicted", "presence_marked"]
UNCERTAINTIES = tuple(column for column in (*SCORES, *SOFTMAX) if column.topic == "uncertainty")
OF_IMAGES = [column.name for column in (*SCORES, PRESENCE, *SOFTMAX)]
# of all images of a run together
CURVES = tuple(
    Column(f"{name}_{of.name}", "selection", f"{head}, {of.head.lower()}", about)
    for name, head, about in (
        ("aurc", "AURC", "mean risk of the most certain images, risk being 1 - Dice of the mean"),
        ("e_aurc", "E-AURC", "AURC less that of the best order of the images"),
    )
    for of in UNCERTAINTIES
)
COLUMNS = (*SCORES, PRESENCE, *SOFTMAX, *CURVES)


def of_masks(
    classes: Sequence[Seen], dice: NDArray[np.float64], graders: Sequence[str], absent: Absent
) -> dict[str, Any]:
    """Return the columns of some images: `SCORES`, the bins of presence, and Dice by grader.

    Parameters
    ----------
    classes
        The masks of each class; without a pixel to score, an image has no score.
    dice : (images, n, G)
        Of each sample and grader.
    graders
        Names of the graders.
    absent
        What a class counts that neither samples nor graders mark.
    """
    counted = np.array([absent == "equal"]) | np.stack([one.present for one in classes])
    scored = classes[0].votes.pixels.sum(axis=1) > 0

    def mean(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        found = mean_over_classes(values, counted)
        found[~scored] = np.nan
        return found

    columns: dict[str, Any] = {}
    for score in SCORES:
        if score.sees == "dice":
            columns[score.name] = score.of(dice, classes[0].weights)
        else:
            seen = classes if score.sees == "masks" else [one.votes for one in classes]
            columns[score.name] = mean([score.of(one) for one in seen])
    bins = total([presence_reliability(one) for one in classes])
    by_grader = mean([grader_dice(one) for one in classes])
    return (
        columns
        | calibration_columns(bins, PRESENCE.name, PRESENCE_BINS)
        | {f"{GRADER}:{name}": values for name, values in zip(graders, by_grader.T, strict=True)}
    )


def of_votes(classes: Sequence[Votes]) -> dict[str, Values]:
    """Return the columns of `SCORES` of Cityscapes' modes; those that need masks are NaN."""
    nothing = np.full(len(classes[0].pixels), np.nan)
    return {
        score.name: np.mean([score.of(one) for one in classes], axis=0)
        if score.sees == "votes"
        else nothing
        for score in SCORES
    }


def of_run(images: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Return `CURVES` of the images of a run, from their columns."""
    risk = 1 - images["mean_dice"]
    return {
        f"{name}_{of.name}": curve(risk, images[of.name])
        for name, curve in (("aurc", aurc), ("e_aurc", excess_aurc))
        for of in UNCERTAINTIES
    }
