"""What the report says of scenes whose aspect ratio is not that of the store."""

from types import SimpleNamespace

import pytest

from probunet.report.build import _environment
from support.streets import scenes_of


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        (
            {},
            "scenes of another aspect ratio than the stored size, if there are any, were stretched",
        ),
        ({"other_ratio": 0}, "all scenes have that of the stored size (<code>fit: stretch</code>)"),
        ({"other_ratio": 2}, "2 of 3 scenes have another aspect ratio than the stored size; they"),
        ({"other_ratio": 2, "fit": "pad"}, "black and not scored (<code>fit: pad</code>)"),
        ({"other_ratio": 1, "fit": "crop"}, "cropped to their middle (<code>fit: crop</code>)"),
    ],
)
def test_the_report_says_what_was_done_with_other_aspect_ratios(attributes, says):
    data = scenes_of(["ulm"] * 3, **attributes)
    section = SimpleNamespace(data=data, folds=1, split="official", tested={}, size=(8, 16))
    words = _environment().get_template("cityscapes/report.html.j2").module
    assert says in words.described(section)
