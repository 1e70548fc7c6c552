"""Switches that each take one protection away from a service before it begins, to show which test it is that would
notice. Put in by the forge, by name."""

from collections.abc import Callable

SWITCHES: dict[str, Callable[[], None]] = {}


def switch(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(function: Callable[[], None]) -> Callable[[], None]:
        SWITCHES[name] = function
        return function

    return register


@switch("bear limits")
def let_writes_past_a_limit_fail() -> None:
    """No protection: as Python does by itself, and the forge does not, so that kill points can use the signal."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


@switch("short patience")
def wait_for_locks_only_briefly() -> None:
    """No protection: a writer is told sooner that the database is held by others."""
    from app.db import sqlite

    sqlite.BUSY_SECONDS = 2
