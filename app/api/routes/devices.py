"""Devices and the workers that own them."""

from collections.abc import Sequence
from typing import Literal, cast

from fastapi import APIRouter, Request, Response

from app.api.deps import BoundedPageDep, LabDep
from app.api.documentation import ok, problems
from app.api.json_route import JsonRoute
from app.api.replies import reply_of_counted_page, reply_of_model
from app.api.schemas.devices import Device, Devices, Memory, ResidentNetwork, ResidentTensor, Worker, Workers
from app.pool.base import WorkerInfo
from app.services.devices import DeviceReport, report_devices

router = APIRouter(prefix="/v1", tags=["Devices"], route_class=JsonRoute)

EXAMPLE = {
    "items": [
        {
            "name": "cpu:0",
            "type": "cpu",
            "index": 0,
            "model": "AMD EPYC 7763",
            "memory": {
                "total_bytes": 17179869184,
                "used_bytes": 4294967296,
                "worker_bytes": 398458880,
                "resident_bytes": 43072,
                "budget_bytes": 6442450944,
            },
            "utilization": 0.12,
            "temperature_celsius": None,
            "power_watts": None,
            "networks": [{"name": "mlp", "revision": 1, "bytes": 42024}],
            "tensors": [{"name": "X", "bytes": 1048}],
            "queue": 0,
            "state": "ready",
        }
    ],
    "next_page_token": None,
    "default": "cpu:0",
    "cuda_count": 0,
}


@router.get(
    "/devices",
    operation_id="list_devices",
    summary="List the devices",
    response_model=Devices,
    responses={200: ok("The devices.", EXAMPLE, headers=("Link",)), **problems("malformed", "invalid-request")},
)
async def list_devices(lab: LabDep, page: BoundedPageDep, request: Request) -> Response:
    """What the service computes on, as `nvidia-smi` would tell it: each device with its memory, how busy it is, and the
    networks and tensors that are there. What is not used for a while may leave the device, and comes back when it is
    used again."""
    reports = await report_devices(lab)
    devices = lab.pool.devices

    def make(shown: Sequence[DeviceReport], token: str | None) -> Response:
        found = Devices(
            items=[_device(report) for report in shown],
            next_page_token=token,
            default=devices[0],
            cuda_count=sum(device.startswith("cuda:") for device in devices),
        )
        return reply_of_model(found)

    return reply_of_counted_page(request, page, page.cut(reports), make)


def _device(report: DeviceReport) -> Device:
    kind, _, index = report.worker.device.partition(":")
    measured = report.measured
    return Device(
        name=report.worker.device,
        type=cast("Literal['cpu', 'cuda']", kind),
        index=int(index),
        model=measured.model,
        memory=Memory(
            total_bytes=measured.total_bytes,
            used_bytes=measured.used_bytes,
            worker_bytes=measured.worker_bytes,
            resident_bytes=report.resident_bytes,
            budget_bytes=report.budget_bytes,
        ),
        utilization=measured.utilization,
        temperature_celsius=measured.temperature_celsius,
        power_watts=measured.power_watts,
        networks=[
            ResidentNetwork(name=network.name, revision=network.revision, bytes=network.byte_count)
            for network in report.networks
        ],
        tensors=[ResidentTensor(name=tensor.name, bytes=tensor.byte_count) for tensor in report.tensors],
        queue=report.queue,
        state=report.worker.state,
    )


@router.get(
    "/workers",
    operation_id="list_workers",
    summary="List the workers",
    response_model=Workers,
    responses={
        200: ok(
            "The workers.",
            {
                "items": [
                    {
                        "name": "worker-0",
                        "device": "cpu:0",
                        "lane": "requests",
                        "state": "ready",
                        "pid": 4711,
                        "queue": 0,
                        "restarts": 0,
                        "tasks_done": 42,
                    }
                ],
                "next_page_token": None,
            },
            headers=("Link",),
        ),
        **problems("malformed", "invalid-request"),
    },
)
async def list_workers(lab: LabDep, page: BoundedPageDep, request: Request) -> Response:
    """The processes that own the devices: one for the requests of each, and those for jobs, which come and go with
    them. One that dies is replaced; `restarts` counts that."""

    def make(shown: Sequence[WorkerInfo], token: str | None) -> Response:
        return reply_of_model(Workers(items=[_worker(worker) for worker in shown], next_page_token=token))

    return reply_of_counted_page(request, page, page.cut(await lab.pool.workers()), make)


def _worker(worker: WorkerInfo) -> Worker:
    return Worker(
        name=worker.name,
        device=worker.device,
        lane=worker.lane,
        state=worker.state,
        pid=worker.pid,
        queue=worker.queue,
        restarts=worker.restarts,
        tasks_done=worker.tasks_done,
    )
