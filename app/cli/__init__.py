"""The `model-lab` command: `serve`, `keys`, `migrate`, and what keeps the store in order: `gc` and `fsck`.

Turns options into `Settings`, and what can go wrong (a taken port, a folder that cannot be written, a database that
does not answer) into one line and an exit status. Options win over the environment. One file per group of commands;
`starting.py` has what they share.
"""

import typer

from app.cli import keys, maintenance, serve

cli = typer.Typer(
    help="Model Lab: create, run, inspect, change and keep neural networks over HTTP, from JSON.",
    epilog="Examples:  model-lab serve   |   model-lab keys create --name laptop   |   model-lab fsck",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cli.command(epilog=serve.EXAMPLES)(serve.serve)
cli.add_typer(keys.commands)
for command, examples in maintenance.COMMANDS:
    cli.command(epilog=examples)(command)


def main() -> None:
    """Runs the command line."""
    cli()
