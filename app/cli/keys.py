"""`model-lab keys`: making keys, listing them, ending them. On the machine that has the database, not over HTTP.

A new key is the one line on standard output, so that a script can take it; words about it go to standard error.
"""

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.cli.starting import (
    DatabaseUrl,
    DataDir,
    examples,
    fail,
    opened,
    prepare_data_dir,
    prepare_tables,
    read_age,
    read_settings,
)
from app.db.keys import ROLES, KeyRow
from app.errors import Conflict, NotFound
from app.observability.logs import configure_logging
from app.services.keys import KeyRequest, draw_key, keep_key, list_keys, revoke_key
from app.services.lab import DEFAULT_WORKSPACE
from app.services.naming import NAME_RULE, is_name

commands = typer.Typer(
    name="keys",
    help="Make, list and revoke the keys that requests carry. As soon as one was made, every request needs one.",
    epilog=examples(
        "model-lab keys create --name laptop --role write", "model-lab keys list", "model-lab keys revoke 4f1a20b9c3d7"
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)
LONGEST_NAME = 128


@commands.command(
    epilog=examples(
        "KEY=$(model-lab keys create)",
        "model-lab keys create --name dashboard --role read --expires 90d",
        "model-lab keys create --workspace team-b --requests-per-second 50",
    )
)
def create(
    role: Annotated[
        str, typer.Option(help="read: look and run; write: make and change as well; admin: see the keys as well.")
    ] = "write",
    workspace: Annotated[
        str, typer.Option(help="Whose networks, tensors and jobs the key sees; it sees no others.")
    ] = DEFAULT_WORKSPACE,
    name: Annotated[
        str | None, typer.Option(help="What it is for; stands beside what it changes. [default: its id]")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="How long it holds: 12h, 90d. [default: until revoked]")] = None,
    requests_per_second: Annotated[
        float | None, typer.Option(min=0.001, help="Most requests it may send. [default: the setting's]")
    ] = None,
    body_bytes: Annotated[
        int | None, typer.Option(min=1, help="Largest body it may send. [default: the setting's]")
    ] = None,
    unless_any: Annotated[
        bool, typer.Option("--unless-any", help="Make it only if no key was ever made; else end quietly.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option(help="Write it there, for the owner alone to read, and not to standard output.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a key and show it, once: it is not kept, only what proves it."""
    request = read_request(role, workspace, name, expires)
    request = replace(request, requests_per_second=requests_per_second, body_bytes=body_bytes)
    key, new = draw_key(request)
    settings = read_settings({"data_dir": data_dir, "database_url": database_url})
    configure_logging(settings.log_level)
    prepare_data_dir(settings)
    prepare_tables(settings)
    with opened(settings) as database:
        beside = None if file is None else write_privately(file, key)
        try:
            row = keep_key(database, new, request.lifetime, only_first=unless_any)
        except Conflict:
            typer.echo("There is a key already; none was made.", err=True)
            if beside is not None:
                beside.unlink()
            return
    if file is not None and beside is not None:
        beside.replace(file)
    typer.echo(f"Key {row.id} has the role {row.role} in the workspace {row.workspace}{until(row)}.", err=True)
    if file is None:
        typer.echo(key)
        typer.echo("It is not shown again. Send it as `Authorization: Bearer <key>`.", err=True)


@commands.command("list", epilog=examples("model-lab keys list --database-url postgresql://host/lab"))
def list_(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List every key that was ever made, oldest first. The keys themselves are not known any more."""
    with opened(read_settings({"data_dir": data_dir, "database_url": database_url})) as database:
        rows = list_keys(database)
    lines = [("ID", "ROLE", "WORKSPACE", "NAME", "MADE", "STATE"), *(cells_of(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@commands.command(epilog=examples("model-lab keys revoke 4f1a20b9c3d7"))
def revoke(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, as `model-lab keys list` shows them.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """End keys, for good. Running services hear of it at once; on PostgreSQL within a second."""
    with opened(read_settings({"data_dir": data_dir, "database_url": database_url})) as database:
        for key_id in ids:
            try:
                row = revoke_key(database, key_id)
            except NotFound as error:
                fail(f"{error} `model-lab keys list` shows those there are.")
            typer.echo(f"Key {row.id} is revoked.")


def read_request(role: str, workspace: str, name: str | None, expires: str | None) -> KeyRequest:
    """What the options ask for. Ends the command for what makes no sense."""
    found = next((known for known in ROLES if known == role), None)
    if found is None:
        fail(f"--role {role!r}: it is one of {', '.join(ROLES)}")
    if not is_name(workspace):
        fail(f"--workspace {workspace!r}: {NAME_RULE}")
    if name is not None and not (0 < len(name) <= LONGEST_NAME and name.isprintable()):
        fail(f"--name: it has 1 to {LONGEST_NAME} printable characters")
    lifetime = None if expires is None else read_age(expires, "--expires")
    if lifetime is not None and not lifetime:
        fail("--expires 0: it would never hold")
    return KeyRequest(role=found, workspace=workspace, name=name, lifetime=lifetime)


def until(row: KeyRow) -> str:
    return "" if row.expires_at is None else f", until {moment(row.expires_at)}"


def moment(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC")


def cells_of(row: KeyRow) -> tuple[str, ...]:
    return (row.id, row.role, row.workspace, row.name or "-", moment(row.created_at), state_of(row))


def state_of(row: KeyRow) -> str:
    if row.revoked_at is not None:
        return f"revoked {moment(row.revoked_at)}"
    if row.expires_at is None:
        return "holds"
    return f"expired {moment(row.expires_at)}" if row.expires_at < datetime.now(UTC) else f"holds{until(row)}"


def write_privately(file: Path, text: str) -> Path:
    """Writes a file beside `file` that its owner alone may read; putting it in place is one step, for later."""
    beside = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened_file:
            opened_file.write(f"{text}\n")
    except OSError as error:
        fail(f"--file {file}: {(error.strerror or str(error)).lower()}")
    return beside
