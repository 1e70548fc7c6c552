"""Functions that could grow without bound or change a tensor they are given, with a check before.

Called by compiled code through the catalogue.
"""

from collections.abc import Callable
from typing import Any

BOUNDED: dict[str, Callable[..., Any]] = {}
BOUNDED_METHODS: dict[str, Callable[..., Any]] = {}
