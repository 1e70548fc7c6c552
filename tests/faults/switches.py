"""Switches that each take one protection away from a service before it begins, to show which test it is that would
notice. Put in by the forge, by name."""

from collections.abc import Callable

SWITCHES: dict[str, Callable[[], None]] = {}
