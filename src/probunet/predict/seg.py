"""Write label maps of a CT series as DICOM SEG, which viewers show on the series.

It needs the package highdicom, the extra `seg` of this package.
"""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

from probunet import __version__
from probunet.errors import ProbunetError
from probunet.files import written_whole
from probunet.predict.base import DISCLAIMER
from probunet.truth.labels import objects

_CATEGORY = ("309825002", "SCT", "Spatial and Relational Concept")  # what a class is, its name says
_TYPE = ("111099", "DCM", "Selected region")
_FAMILY = ("123110", "DCM", "Artificial Intelligence")
# elements of the series that a SEG repeats, and that may be blank (type 2 of DICOM's part 3); who
# removes patients' names from files often removes these
_MAY_BE_BLANK = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "PositionReferenceIndicator"),
)


def check_installed() -> None:
    """Raise ProbunetError if the package is missing."""
    if find_spec("highdicom") is None:
        raise ProbunetError(
            "--dicom-seg: needs the package highdicom, which is not installed; install it with "
            "`pip install highdicom`, or leave out --dicom-seg."
        )


def write_seg(
    slices: Sequence[Path], path: Path, maps: NDArray[np.uint8], classes: Sequence[str]
) -> None:
    """Write class ids (slices, H, W) as one DICOM SEG, a segment for each class but background.

    Parameters
    ----------
    slices
        The files of the series, in the order of `maps`.
    path
        The file to write.
    classes
        Names of the classes by id.

    Raises
    ------
    ProbunetError
        If highdicom is not installed, or the series lacks an element that every SEG needs.
    """
    check_installed()
    import highdicom

    sources = [pydicom.dcmread(one, stop_before_pixels=True) for one in slices]
    for source in sources:
        for keyword in _MAY_BE_BLANK:
            setattr(source, keyword, source.get(keyword))
    names = {k: classes[k] for k in objects(classes)}
    numbers = np.zeros(256, np.uint8)
    numbers[list(names)] = range(1, len(names) + 1)
    about = highdicom.AlgorithmIdentificationSequence(
        name="probunet",
        version=__version__,
        family=highdicom.sr.CodedConcept(*_FAMILY),
    )
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=highdicom.sr.CodedConcept(*_CATEGORY),
            segmented_property_type=highdicom.sr.CodedConcept(*_TYPE),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=about,
        )
        for number, name in enumerate(names.values(), start=1)
    ]
    digest = hashlib.sha256(maps.tobytes()).hexdigest()
    unique = [str(sources[0].SeriesInstanceUID), path.name, digest]
    try:
        made = highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=numbers[maps],
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=pydicom.uid.generate_uid(entropy_srcs=[*unique, "series"]),
            series_number=1,
            sop_instance_uid=pydicom.uid.generate_uid(entropy_srcs=unique),
            instance_number=1,
            manufacturer="probunet",
            manufacturer_model_name="probunet",
            software_versions=__version__,
            device_serial_number="0",
            content_description=DISCLAIMER,
            content_label="SAMPLE",
            series_description=path.stem,
        )
    except AttributeError as error:
        raise ProbunetError(
            f"{slices[0]}: lacks an element that DICOM SEG needs ({error}); export the series "
            "with it, or leave out --dicom-seg."
        ) from None
    with written_whole(path) as aside:
        made.save_as(aside)
