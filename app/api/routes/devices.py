"""Devices and the workers that own them."""

from typing import Literal, cast

from fastapi import APIRouter

from app.api.deps import LabDep
from app.api.documentation import ok, problems
from app.api.json_route import JsonRoute
from app.api.schemas.devices import Device, Devices, Memory, ResidentNetwork, Worker, Workers
from app.services.devices import DeviceReport, report_devices

router = APIRouter(prefix="/v1", tags=["Devices"], route_class=JsonRoute)

EXAMPLE = {
    "items": [
        {
            "name": "cpu:0",
            "type": "cpu",
            "index": 0,
            "model": "AMD EPYC 7763",
            "memory": {"total_bytes": 17179869184, "used_bytes": 4294967296},
            "utilization": 0.12,
            "networks": [{"name": "mlp", "revision": 1, "bytes": 31784}],
            "queue": 0,
            "state": "ready",
        }
    ],
    "default": "cpu:0",
    "cuda_count": 0,
}


@router.get(
    "/devices",
    operation_id="list_devices",
    summary="List the devices",
    response_model=Devices,
    responses={200: ok("The devices.", EXAMPLE), **problems()},
)
async def list_devices(lab: LabDep) -> Devices:
    """What the service computes on: each device with its memory, how busy it is, and the networks on it."""
    reports = await report_devices(lab)
    devices = lab.pool.devices
    return Devices(
        items=[_device(report) for report in reports],
        default=devices[0],
        cuda_count=sum(device.startswith("cuda:") for device in devices),
    )


def _device(report: DeviceReport) -> Device:
    kind, _, index = report.worker.device.partition(":")
    status = report.status
    return Device(
        name=report.worker.device,
        type=cast("Literal['cpu', 'cuda']", kind),
        index=int(index),
        model=status.device_name if status else None,
        memory=Memory(total_bytes=status.memory_total_bytes, used_bytes=status.memory_used_bytes) if status else None,
        utilization=report.utilization,
        networks=[
            ResidentNetwork(name=network.name, revision=network.revision, bytes=network.byte_count)
            for network in report.networks
        ],
        queue=report.worker.queue,
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
                        "state": "ready",
                        "pid": 4711,
                        "queue": 0,
                        "restarts": 0,
                        "tasks_done": 42,
                    }
                ]
            },
        ),
        **problems(),
    },
)
async def list_workers(lab: LabDep) -> Workers:
    """The processes that own the devices. One that dies is replaced; `restarts` counts that."""
    return Workers(
        items=[
            Worker(
                name=worker.name,
                device=worker.device,
                state=worker.state,
                pid=worker.pid,
                queue=worker.queue,
                restarts=worker.restarts,
                tasks_done=worker.tasks_done,
            )
            for worker in lab.pool.workers()
        ]
    )
