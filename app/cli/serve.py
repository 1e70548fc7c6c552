"""`model-lab serve`: from options and settings to a server that listens, or to one line that says why not."""

import contextlib
import gc
import ipaddress
import socket
from typing import Annotated, NoReturn

import typer
import uvicorn

from app.api.edge import Edge
from app.cli.starting import (
    DatabaseUrl,
    DataDir,
    examples,
    fail,
    has_database,
    opened,
    prepare_data_dir,
    prepare_tables,
    read_settings,
)
from app.main import create_app
from app.observability.logs import configure_logging
from app.pool.devices import chosen_devices
from app.services.keys import any_made
from app.settings import Settings

EXAMPLES = examples(
    "model-lab serve",
    "model-lab serve --port 9000 --data-dir /srv/lab",
    "model-lab serve --host 0.0.0.0 --database-url postgresql://lab@db.example/lab",
)
LOOPBACK_HOSTS = "localhost,127.0.0.1,::1"
BACKLOG = 2048


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
    settings = with_loopback_names(read_settings(chosen), host)
    check_devices(settings)
    configure_logging(settings.log_level)
    if needs_key(settings, host) and not has_database(settings):
        refuse_without_key(host)
    prepare_data_dir(settings)
    prepare_tables(settings)
    if needs_key(settings, host):
        with opened(settings) as database:
            if not any_made(database):
                refuse_without_key(host)
    listener = open_listener(host, port)
    address, bound_port = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    typer.echo(
        f"Model Lab listens at http://{shown}:{bound_port}  (reference: http://{shown}:{bound_port}/docs)", err=True
    )
    run_server(settings, listener)


def with_loopback_names(settings: Settings, host: str) -> Settings:
    """On a loopback address, answers only to loopback's names unless the operator names others.

    This keeps a web page whose host name was made to point here from reaching the service.
    """
    if not is_loopback(host) or "allowed_hosts" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"allowed_hosts": f"{LOOPBACK_HOSTS},{host}"})


def needs_key(settings: Settings, host: str) -> bool:
    return not (is_loopback(host) or settings.allow_without_key)


def refuse_without_key(host: str) -> NoReturn:
    """Refuses to serve the world without a key."""
    fail(
        f"{host} can be reached from other machines, and no key was made yet: anybody there could do anything. "
        "Make one with `model-lab keys create`, or serve 127.0.0.1, or say --allow-without-key where the network "
        "itself keeps others out."
    )


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


class Server(uvicorn.Server):
    """Tells the application as soon as it is to end, so that it begins nothing new while the last requests end."""

    def __init__(self, config: uvicorn.Config, app: Edge) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.begin_stopping()
        await super().shutdown(sockets)


def run_server(settings: Settings, listener: socket.socket) -> None:
    """Serves until SIGINT or SIGTERM, then lets running requests and jobs end."""
    try:
        app = create_app(settings)
    except ModuleNotFoundError as error:
        extra, setting = ("ray", "MODEL_LAB_POOL=ray") if error.name == "ray" else ("otel", "MODEL_LAB_TRACES")
        fail(f"{error.name} is not installed, which {setting} needs: pip install 'model-lab[{extra}]'")
    config = uvicorn.Config(
        app,
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
    server = Server(config, app)
    gc.collect()
    gc.freeze()  # what is loaded now stays: later collections need not walk all of it while requests wait
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C: the server has ended by then, and nothing went wrong
        server.run(sockets=[listener])
    if not server.started:
        fail("the service could not start; the log above says why")
