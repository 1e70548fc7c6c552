"""Careful clients in a storm: each sends a change until it is acknowledged, and counts what it was told.

Afterwards the laboratory must hold every change that was acknowledged, each once, and none besides. What each client
changes is its own, so the sum is known however their requests mixed.
"""

import itertools
import threading
import time
from collections import Counter

import httpx

from tests.chapter.nets import create
from tests.faults.operations import NET

GIVE_UP_SECONDS = 120.0
PAUSE_SECONDS = 0.02
COME_BACK = {409, 429, 503}  # still running, too much at once, or away: the same request again


HISTOGRAMS: dict[str, Counter[str]] = {}  # what clients were told in storms that are over, by the storm's name


class Client(threading.Thread):
    """Adds 1 to one element of its own, again and again, and now and then makes a network whose name is made up."""

    def __init__(self, number: int, address: list[str]) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.address = address  # its only element changes when the service starts anew
        self.edits = 0
        self.networks: list[str] = []
        self.refusals: list[str] = []
        self.told: Counter[str] = Counter()  # by request, and by how a change came to be acknowledged
        self.stopping = threading.Event()
        self._keys = (f"client{number}-{count}" for count in itertools.count())
        self._connection = httpx.Client()
        self._base_url = ""

    @property
    def acknowledged(self) -> int:
        return self.edits + len(self.networks)

    def run(self) -> None:
        edit = {"edits": [{"index": str(self.number), "expression": "param + 1"}]}
        while not self.stopping.is_set() and not self.refusals:
            for _ in range(4):
                if self.send("PATCH", f"{NET}/parameters/bias", edit) is not None:
                    self.edits += 1
            made = self.send("POST", "/v1/networks", {"architecture": "Linear(1, 1)"})
            if made is not None:
                self.networks.append(made.json()["name"])

    def send(self, method: str, path: str, body: object) -> httpx.Response | None:
        """Sends one request until it is acknowledged; None if it was refused or the time is over."""
        headers = {"Idempotency-Key": next(self._keys)}
        give_up = time.monotonic() + GIVE_UP_SECONDS
        heard_nothing = tries = 0
        while time.monotonic() < give_up:
            tries += 1
            try:
                reply = self._connect().request(method, path, json=body, headers=headers)
            except httpx.ConnectError:  # nobody is there yet
                time.sleep(PAUSE_SECONDS)
                continue
            except httpx.TransportError as error:
                self.told[f"request: {type(error).__name__}"] += 1
                heard_nothing += 1
                time.sleep(PAUSE_SECONDS)
                continue
            self.told[f"request: {reply.status_code}"] += 1
            if reply.is_success:
                self.told[f"change: {_history(tries, heard_nothing)}"] += 1
                return reply
            if reply.status_code not in COME_BACK:
                self.refusals.append(reply.text)
                return None
            time.sleep(PAUSE_SECONDS)
        self.refusals.append(f"not acknowledged within {GIVE_UP_SECONDS} s")
        return None

    def _connect(self) -> httpx.Client:
        if self._base_url != self.address[0]:
            self._connection.close()
            self._base_url = self.address[0]
            self._connection = httpx.Client(base_url=self._base_url, timeout=30)
        return self._connection


def _history(tries: int, heard_nothing: int) -> str:
    """How a change came to be acknowledged; after a break nobody knows but the database whether it was done."""
    if tries == 1:
        return "acknowledged at once"
    return "acknowledged after a break in the middle" if heard_nothing else "acknowledged when sent again"


class Storm:
    """Some clients of one service, which may come back at another address."""

    def __init__(self, count: int, name: str) -> None:
        self.name = name
        self.address = [""]
        self.clients = [Client(number, self.address) for number in range(count)]

    @property
    def acknowledged(self) -> int:
        return sum(client.acknowledged for client in self.clients)

    def come_to(self, client: httpx.Client) -> None:
        """Sends the clients to this service; they begin at the first one."""
        self.address[0] = str(client.base_url)
        if self.clients[0].is_alive():
            return
        create(client, "net", "Linear(4, 4)", init=[{"parameters": {"*": "zeros_()"}}])
        for one in self.clients:
            one.start()

    def wait_for(self, changes: int, seconds: float = 60.0) -> None:
        """Waits until so many more changes are acknowledged."""
        wanted, give_up = self.acknowledged + changes, time.monotonic() + seconds
        while self.acknowledged < wanted and time.monotonic() < give_up:
            assert not any(client.refusals for client in self.clients), [client.refusals for client in self.clients]
            time.sleep(0.005)

    def end(self, client: httpx.Client) -> None:
        """Lets every client have its last acknowledgement, then compares what they were told with what is there."""
        for one in self.clients:
            one.stopping.set()
        for one in self.clients:
            one.join(GIVE_UP_SECONDS)
            assert not one.is_alive()
            assert one.refusals == []
        self.check(client)
        HISTOGRAMS[self.name] = sum((one.told for one in self.clients), Counter())

    def check(self, client: httpx.Client) -> None:
        edits = [one.edits for one in self.clients]
        reply = client.post(f"{NET}/forward", json={"inputs": [0.0] * 4}).json()
        assert reply["outputs"]["output"]["data"][: len(edits)] == edits
        assert reply["revision"] == client.get(NET).json()["revision"] == 1 + sum(edits)
        made = {"net"}.union(*(one.networks for one in self.clients))
        assert len(made) == 1 + sum(len(one.networks) for one in self.clients)
        assert set(all_names(client)) == made


def all_names(client: httpx.Client) -> list[str]:
    names: list[str] = []
    path = "/v1/networks?page_size=500"
    while path:
        page = client.get(path).json()
        names += [item["name"] for item in page["items"]]
        token = page["next_page_token"]
        path = f"/v1/networks?page_size=500&page_token={token}" if token else ""
    return names
