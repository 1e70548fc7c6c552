"""What the pages point at is there, and what an operator may set is told."""

import pytest

from tests.docs.pages import PAGES, ROOT, anchors_of, examples_of, links_of, prose_of
from tests.docs.settings_page import PAGE, render

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
LANGUAGES = {"bash", "json", "jsonc", "text", "python", "yaml"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_to_files_and_titles_that_are_there(page):
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors_of(target), f"{page.name} links to {link}"


def test_every_page_of_the_documentation_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links_of(page)]
        waiting += [target for target in targets if target.is_file()]
        waiting += [file for target in targets if target.is_dir() for file in target.glob("*.md")]
    assert set(PAGES) - reached == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fence_says_its_language(page):
    assert not examples_of(page, "")
    fences = sum(line.startswith("```") for line in page.read_text().splitlines())
    assert fences == 2 * sum(len(examples_of(page, language)) for language in LANGUAGES)


def test_the_page_of_settings_is_the_one_that_the_settings_give():
    assert PAGE.read_text() == render(), "run `python -m tests.docs.settings_page`"


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem[:4])
def test_decisions_are_numbered_in_order_and_short(page):
    lines = page.read_text().splitlines()
    number = DECISIONS.index(page) + 1
    assert page.name.startswith(f"{number:04}-")
    assert lines[0].startswith(f"# {number}. ")
    assert len(lines) <= 24
    assert "**Decided.**" in prose_of(page)
