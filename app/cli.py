"""The `model-lab` command: `serve` and `migrate`.

Turns options into `Settings` and what can go wrong at the start (a taken port, a folder that cannot be written, a
database that does not answer) into one line and an exit status. Options win over the environment.
"""

import contextlib
import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated, NoReturn

import pydantic
import typer
import uvicorn

from app.db.migrations import migrate as migrate_database
from app.errors import LabError
from app.main import create_app
from app.observability import configure_logging
from app.pool.devices import chosen_devices
from app.settings import Settings, unknown_variables

cli = typer.Typer(
    help="Model Lab: create, run, inspect, change and keep neural networks over HTTP, from JSON.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

LOOPBACK_HOSTS = "localhost,127.0.0.1,::1"
BACKLOG = 2048

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
