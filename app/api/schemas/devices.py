"""Devices and the workers that own them."""

from typing import Literal

from pydantic import BaseModel, Field

from app.api.schemas.pages import NextPageToken


class Memory(BaseModel):
    """The device's own memory: a GPU's, or the machine's for a CPU."""

    total_bytes: int | None = Field(description="A CPU slot has the machine's.")
    used_bytes: int | None = Field(description="By whatever runs there, of this service or not.")
    worker_bytes: int | None = Field(description="By this service's workers.")
    resident_bytes: int = Field(description="By what stays there between calls: networks and tensors.")
    budget_bytes: int | None = Field(description="What that may come to; beyond it the least recently used leaves.")


class ResidentNetwork(BaseModel):
    """A network whose tensors are on the device now."""

    name: str
    revision: int
    bytes: int


class ResidentTensor(BaseModel):
    """A tensor that is in the device's memory now."""

    name: str
    bytes: int


class Device(BaseModel):
    name: str = Field(examples=["cpu:0"])
    type: Literal["cpu", "cuda"]
    index: int
    model: str | None = Field(description="What the hardware is called.")
    memory: Memory
    utilization: float | None = Field(description="Share of time it was busy lately, 0 to 1; null where not measured.")
    temperature_celsius: int | None = Field(description="Of a GPU.")
    power_watts: float | None = Field(description="Of a GPU.")
    networks: list[ResidentNetwork] = Field(description="Networks that are loaded on it.")
    tensors: list[ResidentTensor] = Field(description="Tensors that are in its memory.")
    queue: int = Field(description="Requests and jobs that wait or run.")
    state: Literal["starting", "ready", "dead"]


class Devices(BaseModel):
    items: list[Device]
    next_page_token: NextPageToken
    default: str = Field(description="Where a network goes that names no device.")
    cuda_count: int


class Worker(BaseModel):
    """A process that owns a device."""

    name: str
    device: str
    lane: Literal["requests", "jobs", "training"] = Field(
        description="What it works on: a job never delays a request, and a training no other job."
    )
    state: Literal["starting", "ready", "dead"]
    pid: int | None
    queue: int
    restarts: int = Field(description="How often it was replaced.")
    tasks_done: int


class Workers(BaseModel):
    items: list[Worker]
    next_page_token: NextPageToken


class Health(BaseModel):
    status: Literal["ok"]


class Readiness(BaseModel):
    """Why the service is ready. Where it is not, the answer is a problem with status 503."""

    status: Literal["ready"]
    checks: dict[str, str]
