"""Rows of the library: who changes it takes turns."""

import threading

from app.db import blocks
from app.db.engine import Database


def test_who_changes_a_workspaces_library_waits_for_the_other_and_sees_what_it_did(database: Database):
    seen: list[list[str]] = []

    def look() -> None:
        with database.transaction() as connection:
            blocks.lock_library(connection, "main")
            seen.append([row.name for row in blocks.list_page(connection, "main")])

    other = threading.Thread(target=look)
    with database.transaction() as connection:
        blocks.lock_library(connection, "main")
        other.start()
        other.join(0.3)
        assert other.is_alive()
        blocks.insert(connection, "main", "Block", b"{}", [])
    other.join(20)
    assert seen == [["Block"]]
