import base64
import hashlib
import re
from typing import Any

import vl_convert

from probunet.report.scripts import policy, text
from support.report.build import report
from support.report.page import Page


def test_the_policy_names_each_script_of_the_page_and_allows_no_other(study: Any) -> None:
    page = report(study)
    [content] = [one["content"] for one in Page(page).all("meta") if "http-equiv" in one]
    rules = dict(rule.strip().split(" ", 1) for rule in content.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in rules["script-src"]
    code = re.findall(r'<script(?: type="text/plain" id="vega")?>(.*?)</script>', page, re.DOTALL)
    hashed = {
        f"'sha256-{base64.b64encode(hashlib.sha256(c.encode()).digest()).decode()}'" for c in code
    }
    assert len(hashed) == 6
    assert set(rules["script-src"].split()) == hashed


def test_the_policy_does_not_depend_on_the_study(study: Any) -> None:
    assert str(policy()) in report(study)


def test_the_licences_are_those_of_the_versions_in_the_page(study: Any) -> None:
    head = text("vega-licenses.txt").split("\n\n")[0]
    assert f"Vega {vl_convert.get_vega_version()}," in head
    assert f"Vega-Lite {vl_convert.get_vegalite_versions()[-1]}." in head
    assert f"vega-embed {vl_convert.get_vega_embed_version()}," in head
    page = report(study)
    for owner in ("University of Washington Interactive Data Lab", "Mike Bostock", "Mapbox"):
        assert owner in page
