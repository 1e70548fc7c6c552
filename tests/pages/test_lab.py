"""The lab in a real browser: at a desk, on a phone, by keyboard alone, by night, with a key, with names that bite."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.pages.demonstration import fill, train, wait_for
from tests.pages.test_pages import policy_of
from tests.service import Service, start_service
from tests.test_keys import make_key

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
NASTY = "<img src=x onerror=alert(1)>"
VIEWS = ("networks", "networks/two-towers", "networks/two-towers/parameters", "networks/two-towers/revisions",
         "networks/two-towers/training", "jobs", "devices")  # fmt: skip

expect.set_options(timeout=45_000)


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Iterator[Service]:
    """A service with a few networks, one of them changed and trained, one with names that would be markup."""
    with start_service(tmp_path_factory.mktemp("lab")) as service, service.client() as client:
        fill(client)
        nasty = {
            "name": "nasty",
            "architecture": {"type": "Sequential", "layers": {NASTY: "Linear(3, 3)"}},
            "labels": {"note": "<b>bold</b><script>alert(2)</script>"},
        }
        client.post("/v1/networks", json=nasty).raise_for_status()
        wait_for(client, "/v1/jobs/1")
        yield service


def ready(page: Page) -> Page:
    page.locator("main:not([aria-busy])").wait_for()
    return page


def test_a_network_is_found_drawn_with_shapes_and_looked_into(filled, look):
    page = ready(look(f"{filled.base_url}/lab"))
    with page.expect_request(lambda request: "/diagram" in request.url) as drawn:
        page.get_by_role("link", name="two-towers").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("two-towers")
    drawing = httpx.get(drawn.value.url).text  # what the picture is
    assert "[2, 32]" in drawing  # on an edge
    assert re.search('stroke="#b7791f"[^>]*dasharray', drawing)  # a dashed amber edge: the shared layer, again
    image = ready(page).get_by_role("img", name="Diagram of two-towers")
    assert image.evaluate("image => image.naturalWidth") > 500
    page.get_by_label("Depth").select_option("1")
    expect(page.locator("#said")).to_have_text("Diagram of two-towers drawn.")
    page.get_by_text("Printed, as in PyTorch").click()
    expect(page.get_by_text("(read): Linear(in_features=16, out_features=32, bias=True)")).to_be_visible()

    page.get_by_role("link", name="Parameters").click()
    page.get_by_role("button", name="answer.weight").click()
    image = page.get_by_role("img", name="Histogram of answer.weight")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.naturalWidth") > 100
    expect(page.get_by_role("button", name="answer.weight")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("figcaption dt")).to_have_text(["Mean", "Std", "Min", "Max", "Zeros", "Not finite"])
    expect(page.get_by_text("also second.0.weight")).to_be_visible()


def test_shapes_that_do_not_fit_are_told_and_the_drawing_stays(filled, look):
    page = ready(look(f"{filled.base_url}/lab#/networks/mlp", allowed=("422",)))
    page.get_by_label("Shapes of inputs").fill("[2, 19]")
    page.get_by_role("button", name="Draw").click()
    expect(page.locator(".note")).to_contain_text("Drawn without shapes: ")
    expect(page.get_by_role("img", name="Diagram of mlp")).to_be_visible()


def test_an_image_is_guessed_for_a_network_of_convolutions(filled, look):
    page = ready(look(f"{filled.base_url}/lab#/networks/lenet"))
    expect(page.get_by_label("Shapes of inputs")).to_have_value("[2,1,28,28]")
    expect(page.locator(".note")).to_be_empty()


def test_revisions_are_listed_and_two_of_them_compared(filled, look):
    page = ready(look(f"{filled.base_url}/lab#/networks/two-towers/revisions"))
    revisions = page.get_by_role("table", name="Revisions").locator("tbody tr")
    expect(revisions).to_have_count(4)
    expect(revisions.nth(1)).to_contain_text("best")
    page.get_by_role("button", name="Compare revision 2 with the one before").click()
    expect(page.get_by_role("heading", level=2)).to_have_text("From 1 to 2: 1 changed, 17 the same")
    expect(page.get_by_role("table", name="Differences").locator("tbody tr")).to_contain_text("16 of 512")
    page.get_by_label("From revision").fill("3")
    page.get_by_label("to", exact=True).fill("3")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_role("heading", level=2)).to_have_text("From 3 to 3: 0 changed, 18 the same")


def test_a_job_goes_on_before_ones_eyes_and_can_be_cancelled(filled, look):
    page = ready(look(f"{filled.base_url}/lab#/jobs"))
    with filled.client() as client:
        make(client, "mlp-long")
        job = train(client, "mlp-long", 20, steps=100_000)
    card = page.locator(f"[data-job='{job.rsplit('/', 1)[1]}']")
    expect(card.locator(".state")).to_have_text("running")
    seen = set()
    while len(seen) < 3:
        page.wait_for_timeout(200)
        seen.add(card.locator(".words").inner_text())
    assert 0 < card.get_by_role("progressbar").evaluate("bar => bar.value") < 1
    card.get_by_role("button", name="Cancel").click()
    expect(card.locator(".state")).to_have_text("cancelled")
    expect(page.locator("#said")).to_contain_text("cancelled")


def make(client: httpx.Client, name: str) -> None:
    body = {"name": name, "architecture": ["Linear(20, 8)", "Tanh()", "Linear(8, 4)"], "seed": 7}
    client.post("/v1/networks", json=body).raise_for_status()


def test_a_curve_grows_while_a_network_is_trained(filled, look):
    with filled.client() as client:
        make(client, "mlp-short")
        page = ready(look(f"{filled.base_url}/lab#/networks/mlp-short/training", allowed=("404",)))
        expect(page.get_by_text("No job yet.")).to_be_visible()
        train(client, "mlp-short", 20, steps=300)
    expect(page.locator(".state")).to_have_text("succeeded")
    expect(page.get_by_role("img", name="Loss of mlp-short")).to_be_visible()


def test_devices_tell_how_full_they_are_and_what_is_on_them(filled, look):
    page = ready(look(f"{filled.base_url}/lab#/devices"))
    card = page.get_by_role("article", name="cpu:0")
    expect(card).to_contain_text("ready")
    expect(card.get_by_role("meter").first).to_have_attribute("aria-label", re.compile("Memory: .* of .*"))
    expect(card.get_by_role("link", name="two-towers")).to_be_visible()


def test_names_are_words_whatever_they_hold(filled, look):
    page = ready(look(f"{filled.base_url}/lab"))
    expect(page.get_by_text("note: <b>bold</b><script>alert(2)</script>")).to_be_visible()
    page.get_by_role("link", name="nasty").click()
    ready(page).get_by_text("Printed, as in PyTorch").click()
    expect(page.locator("pre")).to_contain_text(f"({NASTY}): Linear")
    page.get_by_role("link", name="Parameters").click()
    page.get_by_role("button", name=f"{NASTY}.bias").click()
    expect(page.get_by_role("img", name=f"Histogram of {NASTY}.bias")).to_be_visible()
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("main b, main script").count() == 0


def test_every_view_fits_a_phone_and_is_reached_by_touch(filled, look):
    page = ready(look(f"{filled.base_url}/lab", **PHONE))
    page.get_by_role("link", name="mlp", exact=True).tap()
    expect(page.get_by_role("heading", level=1)).to_have_text("mlp")
    for view in VIEWS:
        page.goto(f"{filled.base_url}/lab#/{view}")
        ready(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        small = page.locator("main button, main select, main input, nav a").evaluate_all(
            "all => all.filter(one => one.checkVisibility() && one.getBoundingClientRect().height < 32).length"
        )
        assert small == 0, view


def test_the_keyboard_is_enough_and_shows_where_it_is(filled, look):
    page = ready(look(f"{filled.base_url}/lab"))
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    tab_to(page, "two-towers")
    page.keyboard.press("Enter")
    expect(page).to_have_title("two-towers · Model Lab")
    assert focused(ready(page)) == "two-towers"  # its heading, from where reading goes on
    tab_to(page, "Parameters")
    page.keyboard.press("Enter")
    expect(page.get_by_text("read.bias")).to_be_visible()
    ready(page)
    tab_to(page, "read.bias")
    page.keyboard.press("Space")
    expect(page.get_by_role("img", name="Histogram of read.bias")).to_be_visible()


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.textContent")


def tab_to(page: Page, words: str) -> None:
    """Presses Tab until that is focused; whatever is on the way can be seen to be."""
    for _ in range(40):
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", focused(page)
        if focused(page) == words:
            return
    raise AssertionError(f"{words} is not reached")


def test_it_is_dark_where_the_reader_wants_it_dark(filled, look):
    for scheme, bright in (("light", True), ("dark", False)):
        page = ready(look(f"{filled.base_url}/lab", color_scheme=scheme))
        paper, ink = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        assert (luminance(paper) > 0.5) is bright
        lighter, darker = sorted((luminance(paper), luminance(ink)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) > 7  # WCAG's contrast of level AAA


def luminance(color: str) -> float:
    """Relative luminance of `rgb(…)`, as WCAG defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_key_is_asked_for_kept_in_the_tab_and_forgotten(tmp_path, look):
    with start_service(tmp_path) as service, service.client() as client:
        client.post("/v1/networks", json={"name": "kept", "architecture": "Linear(4, 2)"}).raise_for_status()
        key = make_key(("--data-dir", str(tmp_path / "data")))
        page = look(f"{service.base_url}/lab#/networks/kept", allowed=("401",))
        for given, words in (("lab_0_wrong", "takes a key"), (key, "does not take that key")):
            expect(page.get_by_role("dialog")).to_contain_text(words)
            page.get_by_role("textbox", name="Key").fill(given)
            page.get_by_role("textbox", name="Key").press("Enter")
        image = ready(page).get_by_role("img", name="Diagram of kept")
        assert image.evaluate("image => image.naturalWidth") > 100
        page.reload()
        expect(ready(page).get_by_role("dialog")).to_have_count(0)
        assert key not in page.content()
        page.get_by_role("button", name="Forget the key").click()
        expect(page.get_by_role("dialog")).to_contain_text("takes a key")


def test_a_service_that_is_away_is_told_and_tried_again(filled, look):
    page = ready(look(f"{filled.base_url}/lab#/networks/mlp", allowed=("ERR_", "Failed to fetch")))
    page.context.set_offline(True)
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.get_by_role("link", name="Devices").click()
    expect(page.get_by_role("alert")).to_have_count(1)
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("article", name="cpu:0")).to_be_visible()


def test_the_lab_runs_nothing_but_its_own_files(service):
    page = service.get("/lab")
    policy = policy_of(page)
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' blob:"
    main = re.search(r'src="([^"]+/lab/main\.js)"', page.text)[1]
    waiting, read = {main}, {}
    while waiting:
        address = waiting.pop()
        reply = service.get(address)
        assert reply.headers["content-type"].startswith("text/javascript"), address
        assert "immutable" in reply.headers["cache-control"]
        read[address] = reply.text
        found = {address.rpartition("/")[0] + name[1:] for name in re.findall(r'from "(\./[a-z]+\.js)"', reply.text)}
        waiting |= found - set(read)
    assert len(read) > 10
    for address, text in read.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|https?:", text), address
