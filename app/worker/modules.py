"""Looking at a network's modules: the tree as JSON, or as `print(net)` shows it. Called by the handlers."""

import orjson

from app.architecture.describe import describe_modules, find_module, print_tree
from app.messages import Encoded, ListModules
from app.worker.context import Worker


def list_modules(worker: Worker, task: ListModules) -> Encoded:
    """Describes the module at `task.path` and those below it.

    Raises: NotFound for a path that leads nowhere.
    """
    net = worker.residents.find(task.network).module
    if task.accept == "text/plain":
        _, module = find_module(net, task.path)
        return Encoded(media_type="text/plain; charset=utf-8", body=print_tree(module).encode() + b"\n")
    return Encoded(media_type="application/json", body=orjson.dumps(describe_modules(net, task.path)))
