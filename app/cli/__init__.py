"""The `model-lab` command: `serve`, `keys`, `migrate`, and what keeps the store in order: `gc` and `fsck`.

Turns options into `Settings`, and what can go wrong (a taken port, a folder that cannot be written, a database that
does not answer) into one line and an exit status. Options win over the environment. One file per group of commands;
`starting.py` has what they share.
"""

from importlib.metadata import version
from typing import Annotated

import typer

from app.cli import keys, maintenance, serve
from app.cli.starting import examples

cli = typer.Typer(
    epilog=examples(
        "model-lab serve                          and open http://127.0.0.1:8000/docs",
        "model-lab keys create --name laptop      and every request needs a key",
        "model-lab serve --host 0.0.0.0           for other machines, once there is a key",
        "model-lab gc                             now and then, to free what nobody needs",
        "model-lab fsck                           to be sure of what is stored",
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cli.command(epilog=serve.EXAMPLES)(serve.serve)
cli.add_typer(keys.commands)
for command, shown in maintenance.COMMANDS:
    cli.command(epilog=shown)(command)


def tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"model-lab {version('model-lab')}")
        raise typer.Exit


@cli.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=tell_version, is_eager=True, help="Tell the version, and end.")
    ] = False,
) -> None:
    """Model Lab: create, run, inspect, change and keep neural networks over HTTP, from JSON.

    Every command reads the settings of the service (MODEL_LAB_DATA_DIR, MODEL_LAB_DATABASE_URL, ...) from the
    environment; docs/settings.md lists them. Options win over them.
    """


def main() -> None:
    """Runs the command line."""
    cli()
