"""Reads the pages for people: their fenced examples, what the text announces of each, their tables, links and titles.

An example is a fence; the line after it may announce what it is answered with:

    → 422 `shape-mismatch` at `/inputs`
    → `output` of shape `[2, 10]`

Called by the tests beside it. Knows nothing of a service.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n(?:\n?→ ([^\n]+)\n)?", re.DOTALL | re.MULTILINE)
_PROBLEM = re.compile(r"(\d{3}) `([a-z-]+)`(?: at `([^`]*)`)?")
_OUTPUT = re.compile(r"`(\w+)` of shape `(\[[\d, ]*\])`")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_TITLE = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """One fence. `problem` is (status, code, pointer) where the text announces one, `outputs` shapes by name."""

    page: Path
    line: int
    language: str
    text: str
    problem: tuple[int, str, str | None] | None
    outputs: dict[str, list[int]]

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def examples_of(page: Path, language: str) -> list[Example]:
    """The fences of one language, in order."""
    text = page.read_text()
    found = []
    for fence in _FENCE.finditer(text):
        if fence.group(1) != language:
            continue
        announced = fence.group(3) or ""
        problem = _PROBLEM.match(announced)
        outputs = {name: json.loads(shape) for name, shape in _OUTPUT.findall(announced)}
        assert not announced or problem or outputs, f"{page.name}: `→ {announced}` announces nothing that is known"
        found.append(
            Example(
                page,
                text.count("\n", 0, fence.start()) + 1,
                language,
                fence.group(2),
                (int(problem[1]), problem[2], problem[3]) if problem else None,
                outputs,
            )
        )
    return found


def prose_of(page: Path) -> str:
    """The page without its fences and code, where a bracket is no link."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text()))


def links_of(page: Path) -> list[str]:
    """Links to files of this repository: without those to other sites."""
    return [link for link in _LINK.findall(prose_of(page)) if "://" not in link and not link.startswith("mailto:")]


def anchors_of(page: Path) -> set[str]:
    """What `#...` may follow a link to this page: its titles, as GitHub makes anchors of them."""
    titles = _TITLE.findall(re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def rows_under(page: Path, title: str) -> list[list[str]]:
    """The cells of the first table under a title, without its head; code marks are taken off."""
    section = page.read_text().split(f"# {title}\n", 1)[1]
    lines = section[section.index("\n|") + 1 :].splitlines()
    rows = []
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        rows.append([cell.strip("`") if cell.startswith("`") and cell.count("`") == 2 else cell for cell in cells])
    return rows
