"""100,000 networks in one database: a page of the list, a look-up and a create, beside the same where there are 100.

The networks are rows written straight into the database; what is measured goes over HTTP. Both services run at once and
take turns.
"""

import random
import statistics
import tempfile
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import sqlalchemy as sa

from app.api.paging import token_of
from app.db.engine import Database
from app.db.migrations import migrate
from app.db.tables import networks, revisions
from app.settings import SQLITE_FILE
from app.store.store import TensorStore
from benchmarks import service
from benchmarks.wire import Client, Stopwatch

COUNTS = (100, 100_000)
ROWS_AT_ONCE = 2_000
ROUNDS = 60
ARCHITECTURE = b'{"type":"Linear","args":[2,2]}'


def measure() -> list[str]:
    """Returns the lines of a Markdown section."""
    works: dict[str, Callable[[Client, int, int], object]] = {
        "first page of 50": lambda client, _count, _round: client.json("GET", "/v1/networks?page_size=50"),
        "page of 50 in the middle": lambda client, count, _round: client.json("GET", _middle(count)),
        "look-up": lambda client, count, _round: client.json("GET", f"/v1/networks/{_name(random.randrange(count))}"),
        "create": _create,
    }
    seconds: dict[tuple[str, int], list[float]] = {(work, count): [] for work in works for count in COUNTS}
    with ExitStack() as stack:
        clients = {}
        for count in COUNTS:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            _fill(folder, count)
            clients[count] = Client(stack.enter_context(service.running(folder)).port)
        for work, run in works.items():
            for round_ in range(ROUNDS + 3):
                for count, client in clients.items():
                    with Stopwatch() as watch:
                        run(client, count, round_)
                    if round_ >= 3:
                        seconds[work, count].append(watch.seconds)
    return _table(list(works), seconds)


def _name(number: int) -> str:
    return f"net{number:06}"


def _middle(count: int) -> str:
    return f"/v1/networks?page_size=50&page_token={token_of(_name(count // 2))}"


def _create(client: Client, _count: int, round_: int) -> object:
    return client.json("POST", "/v1/networks", {"name": f"made{round_}", "architecture": "Linear(2, 2)", "seed": 1})


def _fill(folder: Path, count: int) -> None:
    url = f"sqlite:///{folder / SQLITE_FILE}"
    migrate(url)
    database = Database(url)
    manifest = TensorStore(database).put([])
    for start in range(0, count, ROWS_AT_ONCE):
        made = [_network(number) for number in range(start, min(start + ROWS_AT_ONCE, count))]
        first = {"number": 1, "manifest": manifest, "operation": "create", "detail": {}}
        with database.transaction() as connection:
            connection.execute(sa.insert(networks), made)
            connection.execute(sa.insert(revisions), [{**first, "network_id": network["id"]} for network in made])
    database.close()


def _network(number: int) -> dict[str, object]:
    return {
        "id": str(uuid.uuid4()),
        "workspace": "default",
        "name": _name(number),
        "original": ARCHITECTURE,
        "resolved": ARCHITECTURE,
        "dtype": "float32",
        "device": "cpu:0",
        "seed": number,
        "labels": {"number": str(number)},
        "inputs": ["input"],
        "head_revision": 1,
        "parameter_count": 6,
        "parameter_bytes": 24,
    }


def _table(works: list[str], seconds: dict[tuple[str, int], list[float]]) -> list[str]:
    few, many = COUNTS
    lines = [
        "## Networks: 100,000 of them in one database",
        "",
        f"| work | of {few:,}: p50, ms | of {many:,}: p50, ms | ratio |",
        "|---|---|---|---|",
    ]
    for work in works:
        small, large = (statistics.median(seconds[work, count]) for count in COUNTS)
        lines.append(f"| {work} | {1e3 * small:.2f} | {1e3 * large:.2f} | {large / small:.2f} |")
    return [*lines, ""]
