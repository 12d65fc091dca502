"""All of a page: what is folded away, and what is drawn only when it comes into view."""

from playwright.sync_api import Page, expect

# scrolls by half a window at a time, two frames each, so that what waits to be seen is drawn
SCROLL = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => done()));
  for (let y = 0; y < document.documentElement.scrollHeight; y += innerHeight / 2) {
    scrollTo(0, y);
    await frame();
    await frame();
  }
  scrollTo(0, 0);
  await frame();
  return true;
}"""
DRAWN = """() => new Promise((done) => requestAnimationFrame(
  () => requestAnimationFrame(() => done(true)),
))"""


def open_all(page: Page) -> None:
    """Open all that is folded away."""
    page.eval_on_selector_all("details", "all => all.forEach((one) => { one.open = true; })")


def see_all(page: Page) -> None:
    """Scroll through the page."""
    page.wait_for_function(SCROLL)


def wait_until_drawn(page: Page) -> None:
    """Wait until what was done to the page can be seen.

    Chromium on a busy machine now and then draws a page no more, for good, while its scripts go
    on. Then this raises a TimeoutError, upon which `make test-browser` tries the test again;
    `page.evaluate` would wait for ever.
    """
    page.wait_for_function(DRAWN, timeout=10_000)


def wait_for_charts(page: Page) -> None:
    """Scroll through the page and wait until each chart answers to the pointer."""
    see_all(page)
    charts = page.locator("figure.chart .drawn")
    expect(page.locator("figure.chart .drawn.live")).to_have_count(charts.count())
