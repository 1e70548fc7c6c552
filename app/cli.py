"""The `model-lab` command: `serve`, `migrate`, and what keeps the store in order: `gc` and `fsck`.

Turns options into `Settings` and what can go wrong at the start (a taken port, a folder that cannot be written, a
database that does not answer) into one line and an exit status. Options win over the environment.
"""

import contextlib
import ipaddress
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn, Self

import pydantic
import typer
import uvicorn

from app.db.engine import Database
from app.db.migrations import is_current
from app.db.migrations import migrate as migrate_database
from app.errors import LabError
from app.main import create_app
from app.observability import configure_logging
from app.pool.devices import chosen_devices
from app.settings import SQLITE_FILE, Settings, unknown_variables
from app.store.collect import Collected, collect
from app.store.verify import Checked, Verifier

cli = typer.Typer(
    help="Model Lab: create, run, inspect, change and keep neural networks over HTTP, from JSON.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

LOOPBACK_HOSTS = "localhost,127.0.0.1,::1"
BACKLOG = 2048
AGE_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the SQLite database; made if it is not there. [default: data]")
]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="SQLAlchemy URL, such as postgresql://user@host/name, in place of the folder.")
]


def main() -> None:
    """Runs the command line."""
    cli()


@cli.command(
    epilog="Examples:  model-lab serve   |   model-lab serve --port 9000 --data-dir /srv/lab   |   "
    "model-lab serve --host 0.0.0.0 --allow-without-key"
)
def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")] = 8000,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    devices: Annotated[
        str | None, typer.Option(help="Such as cpu:0,cpu:1 or cuda:0. [default: every GPU, else one CPU]")
    ] = None,
    allow_without_key: Annotated[
        bool, typer.Option("--allow-without-key", help="Serve other addresses than loopback without keys.")
    ] = False,
    access_log: Annotated[bool, typer.Option("--access-log", help="Write one log line for every request.")] = False,
) -> None:
    """Serve the API. Tables are brought up to date first."""
    chosen: dict[str, object] = {"data_dir": data_dir, "database_url": database_url, "devices": devices}
    chosen |= {"allow_without_key": allow_without_key or None, "access_log": access_log or None}
    settings = guarded(read_settings(chosen), host)
    check_devices(settings)
    configure_logging(settings.log_level)
    prepare_data_dir(settings)
    prepare_tables(settings)
    listener = open_listener(host, port)
    address, bound_port = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    typer.echo(
        f"Model Lab listens at http://{shown}:{bound_port}  (reference: http://{shown}:{bound_port}/docs)", err=True
    )
    run_server(settings, listener)


@cli.command(epilog="Example:  model-lab migrate --data-dir /srv/lab")
def migrate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database's tables up to date, and end."""
    settings = read_settings({"data_dir": data_dir, "database_url": database_url})
    configure_logging(settings.log_level)
    prepare_data_dir(settings)
    prepare_tables(settings)
    typer.echo("The tables are up to date.")


@cli.command(epilog="Examples:  model-lab gc   |   model-lab gc --grace 2h --data-dir /srv/lab")
def gc(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    grace: Annotated[str, typer.Option(help="Leave what somebody kept so lately: 90s, 30m, 12h, 1d.")] = "1d",
) -> None:
    """Collect tensors that no revision and no artifact refers to any more. Safe while the service runs.

    Writers that take longer than the time of grace to store what they were sent may be told to try again; nothing
    that was acknowledged is ever taken. Room in an SQLite file is used again, and not given back to the disk.
    """
    age = read_age(grace)
    settings = read_settings({"data_dir": data_dir, "database_url": database_url})
    with opened(settings) as database, ProgressLine() as line:
        collected = collect(database, age, told=lambda so_far: line.show(words_of_collected(so_far)))
    typer.echo(f"Collected {words_of_collected(collected)}.")


@cli.command(epilog="Examples:  model-lab fsck   |   model-lab fsck --sample 1000 --database-url postgresql://host/lab")
def fsck(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Check so many chunks, tensors and manifests drawn at random. [default: all]"),
    ] = None,
) -> None:
    """Check everything stored against its digest, and name what is damaged or missing. Safe while the service runs.

    One line for each damage, with the networks and artifacts it is in. Ends with status 0 if there is none, 1 if there
    is some, 2 if it could not be found out.
    """
    settings = read_settings({"data_dir": data_dir, "database_url": database_url})
    damages = 0
    with opened(settings) as database, ProgressLine() as line:
        verifier = Verifier(database, sample=sample, told=lambda checked: line.show(words_of_checked(checked)))
        for damage in verifier.run():
            line.clear()
            typer.echo(damage)
            damages += 1
    looked_at = words_of_checked(verifier.checked)
    if damages:
        typer.echo(f"{damages} {'thing is' if damages == 1 else 'things are'} damaged; looked at {looked_at}.")
        raise typer.Exit(1)
    typer.echo(f"No damage; looked at {looked_at}.")


def read_age(text: str) -> timedelta:
    """Reads a length of time such as `12h`. Ends the command for what is none."""
    found = re.fullmatch(r"(\d{1,9})([smhd])|0", text.strip())
    if found is None:
        fail(f"--grace {text!r}: a number and one of s, m, h, d, such as 12h")
    return timedelta(seconds=int(found[1] or 0) * AGE_UNITS[found[2] or "s"])


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database that is there already, with the tables of this version. What goes wrong ends the command."""
    configure_logging(settings.log_level)
    path = settings.data_dir / SQLITE_FILE
    if settings.database_url is None and not path.is_file():
        fail(f"there is no database at {path}")
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


class ProgressLine:
    """One line on the terminal that is written over; where standard error is no terminal, a line now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._pause = 0.1 if self._terminal else 10.0
        self._last = time.monotonic()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, words: str) -> None:
        now = time.monotonic()
        if now - self._last < self._pause:
            return
        self._last = now
        self._shown = self._terminal
        typer.echo(f"\r\033[K{words}" if self._terminal else words, err=True, nl=not self._terminal)

    def clear(self) -> None:
        if self._shown:
            typer.echo("\r\033[K", err=True, nl=False)
            self._shown = False


def words_of_collected(collected: Collected) -> str:
    return (
        f"{collected.manifests} manifests, {collected.tensors} tensors and {collected.chunks} chunks of "
        f"{collected.chunk_bytes:,} bytes"
    )


def words_of_checked(checked: Checked) -> str:
    parts = [f"{done} of {checked.total[table]} {table}" for table, done in checked.done.items()]
    return f"{', '.join(parts) or 'references'} ({checked.chunk_bytes:,} bytes)"


def fail(words: str) -> NoReturn:
    """Ends the command with one line of words and status 2."""
    typer.echo(f"model-lab: {words}", err=True)
    raise typer.Exit(2)


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


def guarded(settings: Settings, host: str) -> Settings:
    """Refuses to serve the world without a key; on loopback, answers only to loopback's names.

    The latter keeps a web page whose host name was made to point here from reaching the service.
    """
    if not is_loopback(host):
        if not settings.allow_without_key:
            fail(
                f"{host} can be reached from other machines, and without a key anybody there could do anything. "
                "Serve 127.0.0.1, or say --allow-without-key where the network itself keeps others out."
            )
        return settings
    if "allowed_hosts" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"allowed_hosts": f"{LOOPBACK_HOSTS},{host}"})


def is_loopback(host: str) -> bool:
    """Tells whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_devices(settings: Settings) -> None:
    try:
        chosen_devices(settings.devices)
    except ValueError as error:
        fail(str(error))


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


def prepare_tables(settings: Settings) -> None:
    """Brings the tables up to date now, where a failure is one line and not a traceback of the server."""
    try:
        migrate_database(settings.resolved_database_url)
    except (LabError, ValueError) as error:
        fail(f"the database cannot be used: {error}")


def open_listener(host: str, port: int) -> socket.socket:
    """Binds the address, so that a taken port is one line of words."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        fail(f"cannot listen at {host} port {port}: {(error.strerror or str(error)).lower()}")
    listener.set_inheritable(True)
    return listener


def run_server(settings: Settings, listener: socket.socket) -> None:
    """Serves until SIGINT or SIGTERM, then lets running requests end."""
    config = uvicorn.Config(
        create_app(settings),
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C: the server has ended by then, and nothing went wrong
        server.run(sockets=[listener])
    if not server.started:
        fail("the service could not start; the log above says why")
