"""The pages in a real browser: what it shows, how it is used by keyboard and mouse, and what it must never do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Route, expect, sync_playwright

from exporter.client.errors import FailedCall
from exporter.snapshot import FeedStatus, Outage
from exporter.tasks import Cause, Observation, Reason, State
from tests.harness import Rig

from . import chromium, png
from .pictures import PICTURES, named, scene, take
from .serving import served, studio

PATIENCE = 30_000
"""Milliseconds that a test waits for something that must come."""

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'"


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    path = chromium.on_path()
    if path is None and os.environ.get("CI") == "true":
        pytest.fail("chromium is not on PATH, and CI skips no test; run scripts/install-chromium")
    if path is None:
        pytest.skip("chromium is not on PATH; scripts/install-chromium installs it")
    with chromium.launched(playwright, path) as browser:
        yield browser


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@dataclass
class Site:
    """The exporter's pages at an address, and the rig behind them."""

    rig: Rig
    url: str
    portal: BlockingPortal
    complaints: list[str] = field(default_factory=list)
    """What a browser complained of, or asked other hosts for."""

    def do(self, step: Callable[..., Coroutine[Any, Any, object]], *arguments: object, **named: object) -> None:
        async def done() -> None:
            await step(*arguments, **named)

        self.portal.call(done)

    def show(self, *observations: Observation, feed: int = 0) -> None:
        self.do(self.rig.show, *observations, feed=feed)


@pytest.fixture
def site(portal: BlockingPortal) -> Iterator[Site]:
    with (
        portal.wrap_async_context_manager(studio()) as rig,
        portal.wrap_async_context_manager(served(rig.app())) as client,
    ):
        site = Site(rig, str(client.base_url), portal)
        site.show()
        site.show(feed=1)
        yield site
    assert site.complaints == []


@contextmanager
def visit(browser: Browser, site: Site, **how: Any) -> Iterator[Page]:
    context: BrowserContext = browser.new_context(base_url=site.url, **how)
    context.set_default_timeout(PATIENCE)

    def request(route: Route) -> None:
        if not route.request.url.startswith(site.url):
            site.complaints.append(f"asks for {route.request.url}")
        route.continue_()

    context.route("**/*", request)
    context.on("console", lambda said: site.complaints.append(f"{said.type}: {said.text}"))
    context.on("weberror", lambda error: site.complaints.append(str(error.error)))
    page = context.new_page()
    page.on("dialog", lambda dialog: site.complaints.append(f"dialog: {dialog.message}"))
    yield page
    context.close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page whose clock a test moves."""
    with visit(browser, site) as page:
        page.clock.install()
        yield page


def tasks_of(site: Site) -> None:
    """Seven tasks, some of each kind of state."""
    now = site.rig.clock.now
    site.show(
        Observation("alpha", State.RUNNING, progress=0.4, submitted=now - 60),
        Observation("beta", State.QUEUED, submitted=now - 20),
        Observation("gamma", State.FAILED, Reason.TIMEOUT, submitted=now - 300, ended=now - 100, said="too slow"),
        Observation("delta", State.SUCCEEDED, submitted=now - 200, ended=now - 50, progress=1.0),
        Observation("zeta", State.SUCCEEDED, submitted=now - 210, ended=now - 60, progress=1.0),
    )
    site.show(
        Observation("alpha", State.RUNNING, progress=0.9, submitted=now - 90),
        Observation("epsilon", State.FAILED, Reason.MODERATION, submitted=now - 70, ended=now - 10),
        feed=1,
    )


def troubles_of(site: Site) -> None:
    """Both feeds are down, and calls have failed."""
    site.do(site.rig.sweep)


def shows(page: Page, *ids: str) -> None:
    """Waits until the table of tasks has these rows, in this order."""
    expect(page.locator("tbody th")).to_have_text(list(ids))


# What is shown


def test_the_status_page_leads_to_tasks_and_from_there_to_one(site: Site, page: Page) -> None:
    tasks_of(site)
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("All is well")
    expect(page).to_have_title("All is well – video-task exporter")
    feed = page.get_by_role("article", name="Feed studio/lip_sync")
    expect(feed.get_by_role("list", name="Tasks of studio/lip_sync in flight by state")).to_contain_text("running 1")
    feed.get_by_role("link", name="failed 1").click()
    expect(page).to_have_url(re.compile(r"/tasks\?provider=studio&kind=lip_sync&state=failed$"))
    page.get_by_role("link", name="gamma").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("gamma")
    expect(page.get_by_role("blockquote")).to_have_text("too slow")
    page.get_by_role("navigation", name="Where this is").get_by_role("link", name="lip_sync").click()
    shows(page, "zeta", "gamma", "delta", "beta", "alpha")


def test_a_bar_shows_shares_of_the_right_length_and_colour(site: Site, page: Page) -> None:
    site.show(*(Observation(f"r{n}", State.RUNNING) for n in range(3)), Observation("q", State.QUEUED))
    page.goto("/")
    parts = page.locator("article").first.locator("svg.bar").first.locator("rect")
    whole = page.locator("article").first.locator("svg.bar").first.evaluate("it => it.getBoundingClientRect().width")
    lengths = [part.evaluate("it => it.getBoundingClientRect().width") / whole for part in parts.all()]
    assert lengths == pytest.approx([0.25, 0.75], abs=0.02)
    assert [part.evaluate("it => getComputedStyle(it).fill") for part in parts.all()] == [
        "rgb(158, 134, 21)",
        "rgb(74, 98, 215)",
    ]


def test_what_is_wrong_comes_first_and_failed_calls_can_be_opened(site: Site, page: Page) -> None:
    troubles_of(site)
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("2 of 2 feeds cannot be read")
    main = page.locator("main").inner_text()
    assert main.index("Caused by the network") < main.index("Feeds")
    calls = page.get_by_role("article", name="Feed studio/video").locator("details")
    expect(calls.get_by_role("table")).to_be_hidden()
    calls.locator("summary").click()
    expect(calls.get_by_role("table")).to_contain_text("connection")


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_tasks_are_filtered_searched_sorted_and_paged(browser: Browser, site: Site, script: bool) -> None:
    tasks_of(site)
    with visit(browser, site, java_script_enabled=script) as page:
        page.goto("/tasks?per_page=3&sort=id&direction=asc")
        shows(page, "alpha", "alpha", "beta")
        page.get_by_role("link", name="Next").click()
        shows(page, "delta", "epsilon", "gamma")
        expect(page.locator("#count")).to_have_text("7 tasks, page 2 of 3")
        page.get_by_role("link", name="Id", exact=True).click()
        shows(page, "zeta", "gamma", "epsilon")
        expect(page.get_by_role("columnheader", name="Id", exact=True)).to_have_attribute("aria-sort", "descending")
        page.get_by_label("Kind").select_option("lip_sync")
        page.get_by_label("failed", exact=True).check()
        page.get_by_label("running", exact=True).check()
        page.get_by_role("button", name="Show").click()
        shows(page, "gamma", "alpha")
        expect(page.get_by_label("failed", exact=True)).to_be_checked()
        page.get_by_role("searchbox", name="Id contains").fill("LPH")
        page.keyboard.press("Enter")
        shows(page, "alpha")
        page.get_by_role("link", name="Show all").click()
        expect(page.locator("#count")).to_have_text("7 tasks")
        page.get_by_text("Reasons of failure").click()
        page.get_by_label("moderation").check()
        page.get_by_role("searchbox", name="Id contains").fill("nobody")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
        page.get_by_role("link", name="any id").click()
        shows(page, "epsilon")


def test_a_bad_question_is_answered_with_the_reason(browser: Browser, site: Site) -> None:
    with visit(browser, site) as page:
        answer = page.goto("/tasks?state=done")
        assert answer is not None
        assert answer.status == 400
        expect(page.locator("main")).to_contain_text("state: unknown; allowed: queued, running")
    site.complaints = [one for one in site.complaints if "status of 400" not in one]  # the browser's own remark


def test_hostile_texts_are_only_texts(site: Site, page: Page) -> None:
    site.show(Observation(HOSTILE, State.FAILED, Reason.UNKNOWN, ended=site.rig.clock.now, said=HOSTILE))
    call = FailedCall(1.7e9, HOSTILE, 500, HOSTILE, HOSTILE, HOSTILE, Cause.VENDOR)
    outage = Outage("bug", HOSTILE, Cause.BUG, HOSTILE, 1.7e9)
    site.rig.loops[1].status = FeedStatus(up=False, outage=outage, failed_calls=(call,))
    page.goto("/")
    expect(page.locator(".troubles")).to_contain_text(HOSTILE)
    page.locator("summary").click()
    expect(page.locator(".calls tbody td").nth(1)).to_have_text(HOSTILE)
    page.goto("/tasks")
    page.get_by_role("searchbox").fill(HOSTILE)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("id="))
    expect(page.get_by_role("searchbox")).to_have_value(HOSTILE)
    page.get_by_role("link", name=HOSTILE).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(page.get_by_role("blockquote")).to_have_text(HOSTILE)
    assert page.locator("main img, main script").count() == 0


LEFT_TO_RIGHT = """(it) => {
  const text = document.createTreeWalker(it, NodeFilter.SHOW_TEXT).nextNode(), range = document.createRange();
  return [0, text.length - 1].map((at) => {
    range.setStart(text, at);
    range.setEnd(text, at + 1);
    return range.getBoundingClientRect().left;
  });
}"""


@pytest.mark.parametrize(("task_id", "is_turned"), [("abc-1", False), ("שלום-a", True)])
def test_an_id_is_written_in_its_own_direction(site: Site, page: Page, task_id: str, is_turned: bool) -> None:
    site.show(Observation(task_id, State.RUNNING))
    for path, where in (("/tasks", "tbody th"), (f"/tasks/studio/lip_sync/{task_id}", "h1")):
        page.goto(path)
        expect(page.locator(where)).to_have_text(task_id)
        first, last = page.locator(where).evaluate(LEFT_TO_RIGHT)
        assert (first > last) is is_turned


# Refreshing in place


def test_a_page_takes_over_what_has_changed_and_keeps_its_place(site: Site, page: Page) -> None:
    tasks_of(site)
    troubles_of(site)
    page.set_viewport_size({"width": 900, "height": 400})
    page.goto("/")
    details = page.get_by_role("article", name="Feed studio/lip_sync").locator("details")
    details.locator("summary").click()
    link = page.get_by_role("article", name="Feed studio/video").get_by_role("link", name="running 1")
    link.focus()
    place = page.evaluate("scrollY")
    assert place > 0
    page.evaluate("document.querySelector('main').setAttribute('data-mine', 'kept')")
    site.rig.clock.now += 5
    site.show(*(Observation(f"new{n}", State.RUNNING) for n in range(3)), Observation("alpha", State.RUNNING))
    page.clock.fast_forward(10_000)
    expect(page.get_by_role("article", name="Feed studio/lip_sync")).to_contain_text("running 4")
    expect(details).to_have_attribute("open", "")
    expect(link).to_be_focused()
    assert page.evaluate("scrollY") == place


def test_rows_stay_what_they_are_when_others_come_before_them(site: Site, page: Page) -> None:
    site.show(Observation("old", State.RUNNING))
    page.goto("/tasks")
    page.get_by_role("link", name="old").focus()
    site.rig.clock.now += 5
    site.show(Observation("old", State.RUNNING), Observation("new", State.RUNNING))
    page.clock.fast_forward(10_000)
    shows(page, "new", "old")
    expect(page.get_by_role("link", name="old")).to_be_focused()


def test_what_is_being_filled_in_is_left_alone(site: Site, page: Page) -> None:
    page.goto("/tasks")
    page.get_by_label("queued").check()
    page.get_by_role("searchbox").fill("half an i")
    site.show(Observation("new", State.RUNNING))
    page.clock.fast_forward(10_000)
    expect(page.locator("#refresh")).to_have_text("Paused while you fill in")
    assert page.locator("tbody th").count() == 0
    page.evaluate("document.activeElement.blur()")
    page.clock.fast_forward(10_000)
    shows(page, "new")
    expect(page.locator("#refresh")).to_have_text("Refreshes every 10 s")
    expect(page.get_by_role("searchbox")).to_have_value("half an i")
    expect(page.get_by_label("queued")).to_be_checked()


def test_a_lost_connection_is_told_calmly_and_mends_itself(site: Site, page: Page) -> None:
    page.goto("/")
    page.context.set_offline(True)
    page.clock.fast_forward(10_000)
    expect(page.locator("#refresh")).to_have_text(
        re.compile(r"Connection lost\. Shown is \d\d:\d\d:\d\d UTC; trying again")
    )
    expect(page.get_by_role("heading", level=1)).to_have_text("All is well")
    page.context.set_offline(False)
    page.clock.fast_forward(10_000)
    expect(page.locator("#refresh")).to_have_text("Refreshes every 10 s")
    site.complaints = [one for one in site.complaints if "ERR_INTERNET_DISCONNECTED" not in one]


def test_a_page_that_cannot_be_made_now_stays_as_it_is(site: Site, page: Page) -> None:
    site.show(Observation("one", State.RUNNING))
    page.goto("/tasks/studio/lip_sync/one")
    site.portal.call(site.rig.ledger.store.close)
    page.clock.fast_forward(10_000)
    expect(page.locator("#refresh")).to_have_text(re.compile("Not refreshed: the exporter answers 503"))
    expect(page.get_by_role("heading", level=1)).to_have_text("one")
    site.complaints = [one for one in site.complaints if "status of 503" not in one]


# For everybody

CONTRAST = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = (top, below) => top.slice(0, 3).map((value, i) => value * top[3] + below[i] * (1 - top[3]));
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const background = (element) => {
    if (!element) return [255, 255, 255];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, background(element.parentElement));
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("option")) continue;
    const below = background(element);
    const above = over(parse(getComputedStyle(element).color), below);
    const [dark, bright] = [light(above), light(below)].sort((one, other) => one - other);
    const contrast = (bright + 0.05) / (dark + 0.05);
    found.push([walker.currentNode.data.trim(), Math.round(contrast * 100) / 100]);
  }
  return found;
}"""

WHERE = ["/", "/tasks", "/tasks?id=nothing", "/tasks/studio/lip_sync/gamma", "/tasks/studio/lip_sync/alpha"]


@pytest.fixture
def full(site: Site) -> Site:
    """With something of everything on its pages."""
    tasks_of(site)
    site.do(site.rig.loops[1].sweep)
    return site


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(browser: Browser, full: Site, scheme: str) -> None:
    with visit(browser, full, color_scheme=scheme) as page:
        backgrounds = set()
        for path in WHERE:
            page.goto(path)
            page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            found = page.evaluate(CONTRAST)
            assert len(found) > 20
            assert [one for one in found if one[1] < 4.5] == []
            backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert backgrounds == {"rgb(247, 247, 248)" if scheme == "light" else "rgb(17, 19, 22)"}


CUT_OFF = """() => [...document.querySelectorAll("h1, h2:not(.unseen), h3, main p, main li, dd")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.innerText)"""


@pytest.mark.parametrize("width", [360, 1280, 1920])
def test_no_page_is_wider_than_the_screen(browser: Browser, full: Site, width: int) -> None:
    full.show(Observation("x" * 128, State.FAILED, Reason.UNKNOWN, said="y" * 300))
    with visit(browser, full, viewport={"width": width, "height": 800}) as page:
        for path in (*WHERE, f"/tasks/studio/lip_sync/{'x' * 128}"):
            page.goto(path)
            page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.evaluate(CUT_OFF) == []


def test_a_long_name_of_a_model_leaves_the_other_columns_in_view(browser: Browser, full: Site) -> None:
    model = "fal-ai/kling-video/v2.1/master/image-to-video"
    full.show(Observation("7f5a97ef-14cb-b506-ccbd-185b5505565f", State.RUNNING, model=model, progress=0.5))
    with visit(browser, full, viewport={"width": 1280, "height": 800}) as page:
        page.goto("/tasks")
        expect(page.locator("tbody")).to_contain_text(model)
        assert page.evaluate(
            "[...document.querySelectorAll('.scroll')].every((one) => one.scrollWidth <= one.clientWidth)"
        )


STRUCTURE = """() => ({
  lang: document.documentElement.lang,
  title: document.title,
  headings: [...document.querySelectorAll("h1, h2, h3, h4")].map((one) => Number(one.localName[1])),
  landmarks: [...document.querySelectorAll("header, nav, main, footer")].map((one) => one.localName),
  unnamedNavigation: [...document.querySelectorAll("nav:not([aria-label])")].length,
  unlabelled: [...document.querySelectorAll("input:not([type=hidden]), select")]
    .filter((one) => !one.labels.length).length,
  unscoped: [...document.querySelectorAll("th:not([scope])")].length,
  tables: [...document.querySelectorAll("table")].filter((one) => !one.querySelector("thead th")).length,
  unnamedImages: [...document.querySelectorAll("svg:not([aria-hidden]), img:not([alt])")]
    .filter((one) => one.getAttribute("role") !== "img" || !one.getAttribute("aria-label")).length,
  unnamedBars: [...document.querySelectorAll("progress:not([aria-label])")].length,
  emptyLinks: [...document.querySelectorAll("a, button, summary")].filter((one) => !one.innerText.trim()).length,
  doubleIds: [...document.querySelectorAll("[id]")].map((one) => one.id).filter((id, i, all) => all.indexOf(id) !== i),
  danglingNames: [...document.querySelectorAll("[aria-labelledby]")]
    .filter((one) => !document.getElementById(one.getAttribute("aria-labelledby"))).length,
  live: [...document.querySelectorAll("[aria-live], [role=status], [role=alert]")].map((one) => one.id),
  badTimes: [...document.querySelectorAll("time")]
    .filter((one) => isNaN(Date.parse(one.dateTime)) || !one.title).length,
})"""


@pytest.mark.parametrize("path", [*WHERE, "/tasks/studio/lip_sync/nobody"])
def test_a_page_is_built_for_those_who_do_not_see_it(browser: Browser, full: Site, path: str) -> None:
    with visit(browser, full) as page:
        page.goto(path)
        found = page.evaluate(STRUCTURE)
    assert found.pop("lang") == "en"
    assert re.fullmatch(r".+ – video-task exporter", found.pop("title"))
    headings = found.pop("headings")
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert found.pop("live") == ["refresh"]  # nothing else is read aloud each time that it changes
    landmarks = found.pop("landmarks")
    assert [landmarks.count(one) for one in ("header", "main", "footer")] == [1, 1, 1]
    assert {name: value for name, value in found.items() if value} == {}
    full.complaints = [one for one in full.complaints if "status of 404" not in one]


FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  return {
    at: [...document.querySelectorAll("*")].indexOf(one),
    shown: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    inside: box.bottom > 0 && box.top < innerHeight,
  };
}"""

REACHABLE = """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
  .filter((one) => one.type !== "hidden" && one.checkVisibility())
  .map((one) => [...document.querySelectorAll("*")].indexOf(one))"""


@pytest.mark.parametrize("path", ["/", "/tasks", "/tasks/studio/lip_sync/gamma"])
def test_everything_is_reached_by_keyboard_in_order_and_seen_to_be(browser: Browser, full: Site, path: str) -> None:
    with visit(browser, full) as page:
        page.goto(path)
        reachable = page.evaluate(REACHABLE)
        stops = []
        for _ in reachable:
            page.keyboard.press("Tab")
            stops.append(page.evaluate(FOCUSED))
    assert [stop["at"] for stop in stops] == reachable
    assert all(stop["shown"] and stop["inside"] for stop in stops)


def test_the_first_key_leads_past_the_navigation(site: Site, page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


# For the documents


def test_a_picture_is_taken_and_says_of_which_page(browser: Browser, portal: BlockingPortal) -> None:
    picture = min(PICTURES, key=lambda one: one.width)
    with portal.wrap_async_context_manager(scene()) as client:
        taken = take(browser, str(client.base_url), picture)
        page = portal.call(client.get, picture.path).text
    assert png.size(taken) == (picture.width, picture.height)
    assert png.texts(taken) == {"Source": named(page)}
    assert len(taken) > 10_000  # there is something on it


BOXES = """() => [...document.querySelectorAll(".rows .spark")].map((one) => one.getBoundingClientRect())
  .map((one) => [one.width, one.right])"""
MANY = 20
"""Feeds beside the two of the studio: too many for cards."""


@pytest.fixture
def many(site: Site) -> Site:
    async def connect(name: str) -> None:
        site.rig.connect("kling", name=name)

    for number in range(MANY):
        site.do(connect, f"team-{number}")
    for feed in range(2, MANY + 2):
        site.show(Observation("a", State.RUNNING, submitted=site.rig.clock.now - 600), feed=feed)
    return site


@pytest.mark.parametrize("width", [360, 1280])
def test_rows_of_feeds_fit_the_screen(browser: Browser, many: Site, width: int) -> None:
    with visit(browser, many, viewport={"width": width, "height": 800}) as page:
        page.goto("/")
        expect(page.locator("table.rows tbody th[scope=row]")).to_have_count(MANY + 2)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        boxes = page.evaluate(BOXES)
        assert boxes
        assert all(drawn >= 60 and right <= width for drawn, right in boxes)


def test_feeds_are_found_while_one_types(browser: Browser, many: Site) -> None:
    with visit(browser, many) as page:
        page.goto("/")
        page.get_by_label("Name or type contains").press_sequentially("team-13")
        expect(page.locator("article.feed h3")).to_have_text([re.compile("team-13/task")])
        expect(page.get_by_label("Name or type contains")).to_be_focused()
        assert page.url.endswith("/?q=team-13")
        page.get_by_label("Name or type contains").fill("")
        expect(page.locator("table.rows tbody th[scope=row]")).to_have_count(MANY + 2)


def test_feeds_are_found_without_a_script(browser: Browser, many: Site) -> None:
    with visit(browser, many, java_script_enabled=False) as page:
        page.goto("/")
        page.get_by_label("Name or type contains").fill("team-13")
        page.get_by_role("button", name="Show").click()
        assert page.locator("article.feed").count() == 1
