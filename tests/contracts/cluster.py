"""A Ray cluster of this machine's own for tests: loopback alone, a token, several nodes that can be killed.

The environment is set before Ray is imported, which reads it then; so nothing here or in its callers imports Ray, or
`app.pool.ray`, at the top.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psutil

STORE_BYTES = 80 * 2**20  # the least that Ray takes, nearly
TOKEN = secrets.token_hex(16)  # of all clusters: Ray reads it once in each process
NODE = {"num_cpus": 2, "object_store_memory": STORE_BYTES}


@dataclass(frozen=True)
class Nodes:
    """A running cluster: its address, and the environment that a service needs to join it."""

    address: str
    environment: Mapping[str, str]
    cluster: Any  # ray.cluster_utils.Cluster

    def add(self, **more: object) -> Any:
        """Starts one more node and waits until it is there."""
        return self.cluster.add_node(**(NODE | more))

    def holds(self, node: Any, pid: int) -> bool:
        """Whether a process runs on that node."""
        return any(process.pid == pid for process in _processes_of(node))

    def kill(self, node: Any) -> None:
        """Ends all processes of a node at once, as a power cut would."""
        for process in _processes_of(node):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.cluster.remove_node(node, allow_graceful=False)


def _processes_of(node: Any) -> list[psutil.Process]:
    started = [psutil.Process(info.process.pid) for kind in node.all_processes.values() for info in kind]
    return [process for first in started for process in (first, *first.children(recursive=True))]


@contextmanager
def running_cluster() -> Iterator[Nodes]:
    """A cluster of one node, whose processes end with the block."""
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # what Ray calls staying on 127.0.0.1
        "RAY_health_check_period_ms": "500",  # a machine that died is missed after two seconds, not fifteen
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "3",
        "OMP_NUM_THREADS": "1",
    }
    os.environ.update(environment)
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray-")  # short: the path of a Unix socket has at most 107 characters
    head = NODE | {"node_ip_address": "127.0.0.1", "include_dashboard": False, "temp_dir": folder}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield Nodes(cluster.address, environment, cluster)
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
