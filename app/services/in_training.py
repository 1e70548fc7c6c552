"""While a network is in training, nobody else changes it: others read its newest checkpoint, and may not write.

Asked inside the transaction of whoever would write. Called by the services that change networks.
"""

from app.db import jobs
from app.db.engine import Connection
from app.errors import Conflict

TRAIN = "train"  # the kind of its jobs


def check_not_in_training(connection: Connection, network_id: str, name: str, *, by_job: int | None = None) -> None:
    """Raises: Conflict `in-training` while a job other than `by_job` trains the network, or waits to go on with it."""
    job = jobs.find_begun(connection, network_id, TRAIN)
    if job is not None and job != by_job:
        raise in_training(name, job)


def check_free(connection: Connection, network_id: str, name: str) -> None:
    """Raises: Conflict `in-training` when a job is to train the network, or does."""
    job = jobs.find_unfinished(connection, network_id, TRAIN)
    if job is not None:
        raise in_training(name, job)


def in_training(name: str, job: int) -> Conflict:
    message = f"{name!r} is in training, by job {job}. Wait for its end, or cancel it: its newest checkpoint stays."
    return Conflict(message, code="in-training", extra={"job": str(job), "link": f"/v1/jobs/{job}"})
