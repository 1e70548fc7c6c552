"""What the commands share: options, settings, the data folder, the tables, and how a command ends that cannot go on."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import pydantic
import typer

from app.db.engine import Database
from app.db.migrations import is_current
from app.db.migrations import migrate as migrate_database
from app.errors import LabError
from app.observability.logs import configure_logging
from app.settings import SQLITE_FILE, Settings, unknown_variables

AGE_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the SQLite database; made if it is not there. [default: data]")
]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="SQLAlchemy URL, such as postgresql://user@host/name, in place of the folder.")
]


def fail(words: str) -> NoReturn:
    """Ends the command with one line of words and status 2."""
    typer.echo(f"model-lab: {words}", err=True)
    raise typer.Exit(2)


def examples(*lines: str) -> str:
    """What stands below the help of a command: a line for each example, which are not to be wrapped."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def read_settings(chosen: dict[str, object]) -> Settings:
    """The environment's settings with the options that were given in their place."""
    for words in unknown_variables():
        typer.echo(f"model-lab: {words}", err=True)
    try:
        return Settings(**{name: value for name, value in chosen.items() if value is not None})  # type: ignore[arg-type]  # pydantic checks them
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        name = "__".join(str(part) for part in first["loc"]).upper()
        fail(f"MODEL_LAB_{name}: {first['msg']}")


def read_age(text: str, option: str) -> timedelta:
    """Reads a length of time such as `12h`. Ends the command for what is none."""
    found = re.fullmatch(r"(\d{1,9})([smhd])|0", text.strip())
    if found is None:
        fail(f"{option} {text!r}: a number and one of s, m, h, d, such as 12h")
    return timedelta(seconds=int(found[1] or 0) * AGE_UNITS[found[2] or "s"])


def has_database(settings: Settings) -> bool:
    """False where the database is a file that is not there."""
    return settings.database_url is not None or sqlite_file(settings).is_file()


def sqlite_file(settings: Settings) -> Path:
    return settings.data_dir / SQLITE_FILE


def prepare_data_dir(settings: Settings) -> None:
    """Makes the folder of the SQLite database and sees that it can be written."""
    if settings.database_url is not None:
        return
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"the data folder {folder} cannot be made: {error.strerror}")
    if not os.access(folder, os.W_OK | os.X_OK):
        fail(f"the data folder {folder} cannot be written")


def prepare_tables(settings: Settings, told: Callable[[str, float], None] = lambda _words, _share: None) -> None:
    """Brings the tables up to date now, where a failure is one line and not a traceback of the server."""
    try:
        migrate_database(settings.resolved_database_url, told)
    except (LabError, ValueError) as error:
        fail(f"the database cannot be used: {error}")


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database that is there already, with the tables of this version. What goes wrong ends the command."""
    configure_logging(settings.log_level)
    if not has_database(settings):
        fail(f"there is no database at {sqlite_file(settings)}")
    try:
        database = Database(settings.resolved_database_url)
        try:
            if not is_current(database):
                fail("the tables are not those of this version; `model-lab migrate` brings them up to date")
            yield database
        finally:
            database.close()
    except (LabError, ValueError) as error:
        fail(f"the database cannot be used: {error}")
