"""Places the boxes of one graph in rows from top to bottom (Sugiyama's method), so that edges go down and cross little.

Pure geometry: sizes and pairs in, places and paths out. Called by `flowchart.py`, from the innermost graph outwards.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

GAP_X = 26.0
GAP_Y = 40.0
SWEEPS = 6
MOST_PASSING = 4_000  # places that are kept free in rows for edges that pass; more edges go straight
LOOSE_ROW = 4  # boxes in a row where nothing connects them

Point = tuple[float, float]
Key = int | str


@dataclass(frozen=True)
class Placed:
    """`corners`: the upper left one of each box. `paths`: the points of each edge, in the order given."""

    width: float
    height: float
    corners: Mapping[str, Point]
    paths: Sequence[tuple[Point, ...]]


def place(sizes: Mapping[str, Point], edges: Sequence[tuple[str, str]], late: Iterable[str] = ()) -> Placed:
    """Places boxes of these sizes, in the order of `sizes` where nothing else decides; edges must make no circle.

    `late` boxes stand just above what they lead to, not at the top.
    """
    rank = _ranks(list(sizes), edges, frozenset(late))
    rows, chains = _rows(sizes, edges, rank)
    widths: dict[Key, float] = {name: size[0] for name, size in sizes.items()}
    _order(rows, chains)
    center = _centers(rows, chains, widths)
    lines: list[tuple[float, float]] = []
    bottom = -GAP_Y
    for row in rows:
        top = bottom + GAP_Y
        bottom = top + max((sizes[key][1] for key in row if isinstance(key, str)), default=0.0)
        lines.append((top, bottom))
    left = min((center[name] - widths[name] / 2 for name in sizes), default=0.0)
    left = min([left, *(center[key] for row in rows for key in row)])
    boxes: dict[str, tuple[Point, Point]] = {}
    for name, size in sizes.items():
        top, bottom = lines[rank[name]]
        boxes[name] = (center[name] - widths[name] / 2 - left, (top + bottom - size[1]) / 2), size
    paths = [_path(chain, [center[key] - left for key in chain], rank, boxes, lines) for chain in chains]
    right = max([0.0, *(x + width for (x, _), (width, _) in boxes.values()), *(x for path in paths for x, _ in path)])
    height = lines[-1][1] if lines else 0.0
    return Placed(right, height, {name: corner for name, (corner, _) in boxes.items()}, paths)


def _ranks(names: Sequence[str], edges: Sequence[tuple[str, str]], late: frozenset[str]) -> dict[str, int]:
    """The row of each box: one below the lowest that leads to it."""
    if not edges:
        return {name: number // LOOSE_ROW for number, name in enumerate(names)}
    targets: dict[str, list[str]] = {name: [] for name in names}
    waits = dict.fromkeys(names, 0)
    for source, target in edges:
        targets[source].append(target)
        waits[target] += 1
    rank = dict.fromkeys(names, 0)
    ready = [name for name in names if not waits[name]]
    for name in ready:  # grows while it is walked
        for target in targets[name]:
            rank[target] = max(rank[target], rank[name] + 1)
            waits[target] -= 1
            if not waits[target]:
                ready.append(target)
    lowest = max(rank.values(), default=0)
    for name in late:
        rank[name] = max(0, min((rank[target] for target in targets[name]), default=lowest + 1) - 1)
    return rank


def _rows(
    sizes: Mapping[str, Point], edges: Sequence[tuple[str, str]], rank: Mapping[str, int]
) -> tuple[list[list[Key]], list[list[Key]]]:
    """Rows of boxes, and of a number for each row that an edge passes; each edge as the chain of these."""
    rows: list[list[Key]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for name in sizes:
        rows[rank[name]].append(name)
    chains: list[list[Key]] = []
    fresh = 0
    for source, target in edges:
        chain: list[Key] = [source]
        between = range(rank[source] + 1, rank[target])
        for row in between if fresh + len(between) <= MOST_PASSING else ():
            rows[row].append(fresh)
            chain.append(fresh)
            fresh += 1
        chains.append([*chain, target])
    return rows, chains


def _neighbours(chains: Sequence[Sequence[Key]]) -> tuple[dict[Key, list[Key]], dict[Key, list[Key]]]:
    above: dict[Key, list[Key]] = {}
    below: dict[Key, list[Key]] = {}
    for chain in chains:
        for upper, lower in pairwise(chain):
            below.setdefault(upper, []).append(lower)
            above.setdefault(lower, []).append(upper)
    return above, below


def _order(rows: list[list[Key]], chains: Sequence[Sequence[Key]]) -> None:
    """Sorts each row by where its neighbours stand, down and up by turns."""
    above, below = _neighbours(chains)
    place = {key: float(number) for row in rows for number, key in enumerate(row)}
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            near = above if down else below
            wanted = {
                key: sum(place[other] for other in near[key]) / len(near[key]) if key in near else place[key]
                for key in row
            }
            row.sort(key=wanted.__getitem__)
            place |= {key: float(number) for number, key in enumerate(row)}


def _centers(
    rows: Sequence[Sequence[Key]], chains: Sequence[Sequence[Key]], widths: Mapping[Key, float]
) -> dict[Key, float]:
    """Where the middle of each box and each passing edge stands: near its neighbours, and apart from its row."""
    above, below = _neighbours(chains)
    center: dict[Key, float] = {}
    for row in rows:
        center |= dict(zip(row, _apart(row, [0.0] * len(row), widths), strict=True))
    for sweep in range(2 * SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        for row in rows if down else reversed(rows):
            wanted = [
                sum(center[other] for other in near[key]) / len(near[key]) if key in near else center[key]
                for key in row
            ]
            center |= dict(zip(row, _apart(row, wanted, widths), strict=True))
    return center


def _apart(row: Sequence[Key], wanted: Sequence[float], widths: Mapping[Key, float]) -> list[float]:
    """The places nearest to `wanted` (least squares) that keep the row's order and gaps."""
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (widths.get(left, 0.0) + widths.get(right, 0.0)) / 2 + GAP_X)
    pools: list[tuple[float, int]] = []  # mean and number of neighbours that touch
    for target, offset in zip(wanted, offsets, strict=False):
        mean, count = target - offset, 1
        while pools and pools[-1][0] > mean:
            other, others = pools.pop()
            mean, count = (mean * count + other * others) / (count + others), count + others
        pools.append((mean, count))
    means = [mean for mean, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]


def _path(
    chain: Sequence[Key],
    centers: Sequence[float],
    rank: Mapping[str, int],
    boxes: Mapping[str, tuple[Point, Point]],
    rows: Sequence[tuple[float, float]],
) -> tuple[Point, ...]:
    """From the lower edge of the first box to the upper edge of the last; straight down wherever it is in a row.

    `boxes` are corners and sizes, `rows` the upper and lower edge of each row.
    """
    source, target = str(chain[0]), str(chain[-1])
    (_, top), (_, height) = boxes[source]
    points = [(centers[0], top + height), (centers[0], rows[rank[source]][1])]
    for row, x in enumerate(centers[1:-1], start=rank[source] + 1):
        points += [(x, rows[row][0]), (x, rows[row][1])]
    points += [(centers[-1], rows[rank[target]][0]), (centers[-1], boxes[target][0][1])]
    return tuple(point for number, point in enumerate(points) if not number or point != points[number - 1])
