"""Settings: what an operator can choose. The only reader of the environment (`MODEL_LAB_*`).

Made once, by `app.main` or `app.cli`, and handed down; workers get theirs from the process that starts them.
"""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 2**20
GIB = 2**30
SPOOL_PREFIX = "model-lab-upload-"  # of the names of files in the spool folder, which others may use too
SQLITE_FILE = "model-lab.sqlite"  # in `data_dir`


class Limits(BaseModel):
    """What one request may ask for. Past any of these the answer is a `limit-exceeded` problem."""

    model_config = ConfigDict(frozen=True)

    expression_characters: int = Field(4_096, description="longest single expression or line")
    program_characters: int = Field(65_536, description="longest forward of one block")
    program_nodes: int = Field(20_000, description="syntax nodes of one expression or forward")
    nesting: int = Field(64, description="depth of blocks inside blocks, and of an expression")
    layers: int = Field(20_000, description="modules of one network, repeats expanded")
    expansion: int = Field(20_000, description="children that the repeats of one network may make")
    loop_steps: int = Field(100_000, description="steps of all loops in one forward")
    list_length: int = Field(10_000, description="elements of a local list or a literal")
    parameter_bytes: int = Field(4 * GIB, description="parameters and buffers of one network")
    tensor_bytes: int = Field(2 * GIB, description="one tensor made by an expression or in forward")
    tensor_rank: int = Field(32, description="dimensions of one tensor")
    argument_integer: int = Field(2**31 - 1, description="largest integer given to a layer")
    stacked_layers: int = Field(256, description="layers that one layer makes inside itself (num_layers)")
    architecture_bytes: int = Field(4 * MIB, description="JSON text of one architecture")


class Settings(BaseSettings):
    """Everything an operator may set, each as `MODEL_LAB_<NAME>`; limits as `MODEL_LAB_LIMITS__<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="MODEL_LAB_", env_nested_delimiter="__", frozen=True, extra="ignore")

    data_dir: Path = Field(Path("data"), description="where SQLite lives when no database URL is given")
    database_url: str | None = Field(None, description="SQLAlchemy URL; default: SQLite in data_dir")
    pool: Literal["local", "ray"] = Field(
        "local", description="where the workers are: `local`, on this machine; `ray`, on a cluster (the extra `ray`)"
    )
    ray_address: str = Field(
        "auto", description="of the Ray cluster: `host:port`, `auto` for that of this machine, `local` to start one"
    )
    ray_namespace: str = Field("model-lab", description="services that say the same share their workers on a cluster")
    ray_lost_seconds: float = Field(
        30.0, gt=0, description="after so long without a word of a cluster that no longer knows it the service ends"
    )
    devices: str | None = Field(
        None,
        description="comma-separated devices, as in `cuda:0,cuda:1` or `cpu:0,cpu:1`; default: what is there",
    )
    worker_threads: int | None = Field(None, description="PyTorch threads of one worker; default: cores / workers")
    worker_memory_bytes: int | None = Field(
        None, description="address space of a CPU worker beyond what it starts with"
    )
    job_workers: int = Field(
        1, ge=1, description="processes for jobs on each device, and as many for trainings, started when there is one"
    )
    spare_workers: int = Field(1, ge=0, description="processes that wait with PyTorch loaded to replace one that dies")
    job_idle_seconds: float = Field(60.0, gt=0, description="how long a process for jobs waits for the next one")
    resident_bytes: int | None = Field(
        None,
        description="networks and tensors that one worker keeps on its device, the least recently used leaving; "
        "default: 60 % of a GPU, shared with the workers for jobs; at most 6 GiB of a CPU worker's memory",
    )
    deadline_seconds: float = Field(30.0, gt=0, description="longest time one request may run in a worker")
    drain_seconds: float = Field(30.0, ge=0, description="how long running requests may finish when the service stops")
    job_lease_seconds: float = Field(
        30.0, gt=0, description="how long a job is taken for alive after the last sign of the service that runs it"
    )
    job_poll_seconds: float = Field(
        1.0, gt=0, description="how often a service looks for jobs of other processes; its own it sees at once"
    )
    job_deadline_seconds: float = Field(86_400.0, gt=0, description="longest time one task of a job may run")
    training_seconds: float = Field(
        2_592_000.0, gt=0, description="longest time one attempt of a training may run; it goes on from its checkpoints"
    )
    job_result_seconds: float = Field(
        604_800.0, ge=0, description="how long a job that has ended is kept with its result"
    )
    queue_length: int = Field(512, ge=1, description="requests that may wait for one worker")
    body_bytes: int = Field(1 * GIB, description="largest request body of tensors")
    upload_bytes: int = Field(5 * GIB, description="largest state_dict or artifact that is sent; it streams")
    spool_dir: Path | None = Field(
        None,
        description="where large `.pt` and `.npz` uploads wait for a worker; default: the system's temporary folder",
    )
    pt_files: bool = Field(
        True, description="read and write `.pt` files; where not, one that is sent is 415 and one that is asked for 406"
    )
    reply_bytes: int = Field(1 * GIB, description="largest reply of tensors to one forward")
    json_body_bytes: int = Field(256 * MIB, description="largest JSON body")
    allowed_hosts: str = Field("*", description="comma-separated Host names that are answered")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least grave lines of the log")
    access_log: bool = Field(False, description="one log line for every request")
    traces: bool = Field(
        False, description="send OpenTelemetry traces; its own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`) say where"
    )
    allow_without_key: bool = Field(
        False, description="serve other addresses than loopback although anybody who reaches them may do anything"
    )
    key_requests_per_second: float | None = Field(
        None,
        gt=0,
        description="requests that one key may send to one process, unless the key says otherwise; default: any number",
    )
    key_body_bytes: int | None = Field(
        None,
        gt=0,
        description="largest body that one key may send, unless the key says otherwise; default: any allowed",
    )
    limits: Limits = Limits()

    @property
    def workers_per_device(self) -> int:
        """Processes that may share a device: for requests, for jobs, for trainings."""
        return 1 + 2 * self.job_workers

    @property
    def resolved_database_url(self) -> str:
        """The database that is meant: the one named, else SQLite in `data_dir`."""
        return self.database_url or f"sqlite:///{(self.data_dir / SQLITE_FILE).absolute()}"


def unknown_variables() -> list[str]:
    """Words on each variable of the environment that is named as a setting and is none: a typing slip, most likely."""
    known = {f"MODEL_LAB_{name.upper()}" for name in Settings.model_fields}
    known |= {f"MODEL_LAB_LIMITS__{name.upper()}" for name in Limits.model_fields}
    found = []
    for name in sorted(os.environ):
        if name.upper().startswith("MODEL_LAB_") and name.upper() not in known:
            near = get_close_matches(name.upper(), known, n=1)
            found.append(f"{name} is not a setting{f'; did you mean {near[0]}?' if near else ''}")
    return found
