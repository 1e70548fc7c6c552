"""How far a command has come, told to whoever waits at a terminal: a bar where the end is known, else a spinner.

On standard error, so that what a command finds out can be piped on; where that is no terminal, a line now and then.
"""

import sys
import time
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

LINE_SECONDS = 10.0  # between two lines where there is no terminal


class ProgressBar:
    """One bar at a time. Others write between `clear` and the next `show`."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last_line = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, words: str, share: float | None = None) -> None:
        """Tells what is done, and which share of all that there is to do (0 to 1; None: nobody knows)."""
        if self._terminal:
            self._bar.update(self._task, description=words, total=None if share is None else 1.0, completed=share or 0)
            self._bar.start()
        elif time.monotonic() - self._last_line >= LINE_SECONDS:
            self._last_line = time.monotonic()
            typer.echo(words, err=True)

    def clear(self) -> None:
        """Takes the bar away."""
        if self._bar.live.is_started:
            self._bar.stop()
