"""`model-lab migrate`, `gc` and `fsck`: what keeps the database in order, also beside a running service."""

from datetime import timedelta
from typing import Annotated

import typer

from app.cli.progress import ProgressBar
from app.cli.starting import (
    DatabaseUrl,
    DataDir,
    examples,
    opened,
    prepare_data_dir,
    prepare_tables,
    read_age,
    read_settings,
)
from app.db.engine import Database
from app.db.space import find_room, rewrite, shrink
from app.observability.logs import configure_logging
from app.services.jobs import forget_ended_jobs
from app.store.collect import Collected, collect
from app.store.verify import Checked, Verifier


def migrate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database's tables up to date, and end."""
    settings = read_settings({"data_dir": data_dir, "database_url": database_url})
    configure_logging(settings.log_level)
    prepare_data_dir(settings)
    with ProgressBar() as bar:
        prepare_tables(settings, told=bar.show)
    typer.echo("The tables are up to date.")


def gc(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    grace: Annotated[str, typer.Option(help="Leave what somebody kept so lately: 90s, 30m, 12h, 1d.")] = "1d",
    vacuum: Annotated[
        bool,
        typer.Option("--vacuum", help="Write the SQLite file anew: shrinks files that earlier versions made, too."),
    ] = False,
) -> None:
    """Collect tensors that no revision, artifact or job refers to any more. Safe while the service runs.

    Jobs that ended longer ago than MODEL_LAB_JOB_RESULT_SECONDS are forgotten first, with their results.
    Writers that take longer than the time of grace to store what they were sent may be told to try again; nothing
    that was acknowledged is ever taken. Free room in an SQLite file is given back to the disk, a little at a time; in a
    file of an earlier version only with --vacuum, for which writers wait and the disk needs as much room again.
    """
    age = read_age(grace, "--grace")
    settings = read_settings({"data_dir": data_dir, "database_url": database_url})
    with opened(settings) as database, ProgressBar() as bar:
        forget_ended_jobs(database, timedelta(seconds=settings.job_result_seconds))
        collected = collect(database, age, told=lambda so_far: bar.show(words_of_collected(so_far)))
        bar.clear()
        typer.echo(f"Collected {words_of_collected(collected)}.")
        give_room_back(database, bar, vacuum=vacuum)


def give_room_back(database: Database, bar: ProgressBar, *, vacuum: bool) -> None:
    """Shrinks an SQLite file, and says by how much or what would do it."""
    room = find_room(database)
    if room is None:
        return
    if vacuum:
        bar.show("writing the file anew")
        rewrite(database)
    elif room.can_shrink:
        shrink(database, told=lambda given: bar.show(f"{given:,} bytes given back"))
    elif room.free_bytes:
        typer.echo(f"{room.free_bytes:,} bytes in the file are free and will be used again; --vacuum shrinks it.")
        return
    left = find_room(database)
    bar.clear()
    typer.echo(f"Gave {room.free_bytes - (left.free_bytes if left else 0):,} bytes back to the disk.")


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
    with opened(settings) as database, ProgressBar() as bar:
        verifier = Verifier(
            database, sample=sample, told=lambda checked: bar.show(words_of_checked(checked), share_of(checked))
        )
        for damage in verifier.run():
            bar.clear()
            typer.echo(damage)
            damages += 1
    looked_at = words_of_checked(verifier.checked)
    if damages:
        typer.echo(f"{damages} {'thing is' if damages == 1 else 'things are'} damaged; looked at {looked_at}.")
        raise typer.Exit(1)
    typer.echo(f"No damage; looked at {looked_at}.")


COMMANDS = (
    (migrate, examples("model-lab migrate --data-dir /srv/lab")),
    (gc, examples("model-lab gc", "model-lab gc --grace 2h --data-dir /srv/lab", "model-lab gc --vacuum")),
    (fsck, examples("model-lab fsck", "model-lab fsck --sample 1000 --database-url postgresql://host/lab")),
)


def words_of_collected(collected: Collected) -> str:
    return (
        f"{collected.manifests} manifests, {collected.tensors} tensors and {collected.chunks} chunks of "
        f"{collected.chunk_bytes:,} bytes"
    )


def words_of_checked(checked: Checked) -> str:
    parts = [f"{done} of {checked.total[table]} {table}" for table, done in checked.done.items()]
    return f"{', '.join(parts) or 'references'} ({checked.chunk_bytes:,} bytes)"


def share_of(checked: Checked) -> float | None:
    """How much of what there is to check has been looked at."""
    total = sum(checked.total.values())
    return sum(checked.done.values()) / total if total else None
