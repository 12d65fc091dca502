"""What is missing is said in words, where it would have been."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from .explorer import Explorer
from .opened import opened
from .whole import open_all

pytestmark = pytest.mark.browser


def test_a_run_that_failed_is_told_beside_the_image(
    browser: Browser, report_of: Callable[[str], Path]
) -> None:
    with opened(browser, report_of("failed_runs")) as seen:
        explorer = Explorer(seen.page)
        missing = explorer.part("missing")
        for beta, fold in (("1", 0), ("10", 1)):
            explorer.choose("beta", beta)
            for place in range(len(explorer.listed)):
                explorer.choose_image(place)
                if explorer.item["fold"] != fold:
                    expect(missing).to_be_hidden()
                    assert seen.page.locator("[data-layer^=sample]").count() == 16
                    continue
                expect(missing).to_contain_text(f"fold {fold}")
                expect(missing).to_contain_text("no samples")
                assert seen.page.locator("[data-layer^=sample]").count() == 0
                assert len(set(explorer.picture().ravel().tolist())) > 10
        seen.assert_calm()


def test_runs_that_failed_are_listed_with_what_they_lack(
    browser: Browser, report_of: Callable[[str], Path]
) -> None:
    with opened(browser, report_of("failed_runs")) as seen:
        training = seen.page.locator("section[aria-labelledby=training]")
        for beta, fold in ((1, 0), (10, 1)):
            line = training.locator("li", has_text=f"beta-{beta}/fold-{fold}")
            expect(line).to_contain_text("no samples")
            expect(line).to_contain_text("log")


def test_the_overview_tells_which_runs_have_no_part_in_it(
    browser: Browser, report_of: Callable[[str], Path]
) -> None:
    with opened(browser, report_of("failed_runs")) as seen:
        overview = seen.page.locator("section[aria-labelledby=overview]")
        expect(overview.locator("div.missing li")).to_have_text(
            ["lidc/probabilistic_unet/beta-1/fold-0/seed-0"]
        )
        row = overview.locator("table").first.locator("tr", has_text="β\u00a0=\u00a01")
        expect(row.locator("small", has_text="1 of 2 folds").first).to_be_visible()
        overview.get_by_role("link", name="Training").click()
        expect(seen.page.locator("section[aria-labelledby=training]")).to_be_in_viewport()


def test_a_training_that_stopped_early_is_marked(
    browser: Browser, report_of: Callable[[str], Path]
) -> None:
    with opened(browser, report_of("failed_runs")) as seen:
        open_all(seen.page)
        training = seen.page.locator("section[aria-labelledby=training]")
        row = training.locator("tr", has_text="stopped early")
        expect(row).to_have_count(1)
        expect(row).to_contain_text("600")
        expect(training.locator("li", has_text="beta-10/fold-0")).to_contain_text("step 600")
        chart = training.locator("figure.chart")
        chart.scroll_into_view_if_needed()
        expect(chart.locator(".drawn")).to_have_class("drawn live")
        assert chart.locator("g[class*=_stopped_] path").count() == 3  # one a panel


@pytest.mark.parametrize("study", ["without_latent", "bare"])
def test_without_a_latent_space_there_are_words(
    browser: Browser, report_of: Callable[[str], Path], study: str
) -> None:
    with opened(browser, report_of(study)) as seen:
        section = seen.page.locator("section[aria-labelledby=latent]")
        expect(section.locator(".missing")).to_be_visible()
        assert section.locator("figure").count() == 0


def test_without_samples_there_is_no_explorer(
    browser: Browser, report_of: Callable[[str], Path]
) -> None:
    with opened(browser, report_of("bare")) as seen:
        section = seen.page.locator("section[aria-labelledby=explorer-section]")
        expect(section.locator(".missing")).to_contain_text("no test images are shown")
        assert section.locator("canvas").count() == 0
        seen.assert_calm()


def test_a_single_grader_disagrees_with_no_one(
    browser: Browser, report_of: Callable[[str], Path]
) -> None:
    with opened(browser, report_of("one_grader")) as seen:
        explorer = Explorer(seen.page)
        assert explorer.item["disagreement"] is None
        expect(explorer.part("numbers").locator("[data-number=disagreement]")).to_have_text(
            "\u2013"
        )
        assert explorer.part("truths").locator("input").count() == 1
        before = explorer.picture()
        explorer.press("ArrowRight")
        assert explorer.status.startswith("Image 2 of ")
        assert (explorer.picture() != before).any()
        seen.assert_calm()


def test_each_image_has_the_graders_who_looked_at_it(
    browser: Browser, report_of: Callable[[str], Path]
) -> None:
    with opened(browser, report_of("own")) as seen:
        explorer = Explorer(seen.page)
        counts = set()
        for place in range(len(explorer.listed)):
            explorer.choose_image(place)
            names = explorer.part("truths").locator("label").count()
            assert names == len(explorer.item["given"])
            counts.add(names)
        assert counts == {1, 2, 3}
        seen.assert_calm()
