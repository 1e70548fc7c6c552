"""The `model-lab` command: what it refuses, in one line; and how it ends."""

import contextlib
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.service import CALM, start_service


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from app.cli import main; main()", *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={**os.environ, **(env or {})},
    )


def check_refusal(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("model-lab: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0], lines[0]


def test_a_host_that_others_can_reach_is_refused_without_a_key(tmp_path):
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        done = run("serve", "--host", host, "--data-dir", str(tmp_path))
        check_refusal(done, host, "--allow-without-key")
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("serve", "--port", str(taken.getsockname()[1]), "--data-dir", str(tmp_path))
    check_refusal(done, "port", "in use")


def test_a_data_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("serve", "--data-dir", str(tmp_path / "file" / "data"))
    check_refusal(done, "data folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_folder_that_cannot_be_written_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    check_refusal(run("serve", "--data-dir", str(tmp_path)), "cannot be written")


@pytest.mark.parametrize(
    ("url", "word"), [("mysql://x", "mysql"), ("nonsense", "URL"), ("postgresql://127.0.0.1:1/x", "database")]
)
def test_a_database_that_cannot_be_used_is_one_line(url, word):
    check_refusal(run("migrate", "--database-url", url), word)


def test_a_file_that_is_no_database_is_one_line(tmp_path):
    (tmp_path / "model-lab.sqlite").write_bytes(b"this is not a database, it is a text " * 100)
    check_refusal(run("migrate", "--data-dir", str(tmp_path)), "database")


@pytest.mark.parametrize(
    ("env", "word"),
    [
        ({"MODEL_LAB_DEADLINE_SECONDS": "-1"}, "MODEL_LAB_DEADLINE_SECONDS"),
        ({"MODEL_LAB_LIMITS__NESTING": "many"}, "MODEL_LAB_LIMITS__NESTING"),
        ({"MODEL_LAB_DEVICES": "gpu0"}, "gpu0"),
        ({"MODEL_LAB_LOG_LEVEL": "loud"}, "MODEL_LAB_LOG_LEVEL"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(tmp_path, env, word):
    check_refusal(run("serve", "--data-dir", str(tmp_path), env=env), word)


def test_a_variable_that_is_no_setting_is_told_and_passed_over(tmp_path):
    done = run(
        "migrate", "--data-dir", str(tmp_path), env={"MODEL_LAB_QUEUE_LENGHT": "5", "MODEL_LAB_QUEUE_LENGTH": "6"}
    )
    assert done.returncode == 0
    said = "model-lab: MODEL_LAB_QUEUE_LENGHT is not a setting; did you mean MODEL_LAB_QUEUE_LENGTH?"
    assert [line for line in done.stderr.splitlines() if "QUEUE" in line] == [said]


def test_migrate_makes_the_tables_and_may_be_run_again(tmp_path):
    for _ in range(2):
        done = run("migrate", "--data-dir", str(tmp_path / "deep" / "data"))
        assert done.returncode == 0, done.stderr
        assert "up to date" in done.stdout
    assert (tmp_path / "deep" / "data" / "model-lab.sqlite").exists()


def test_help_shows_commands_and_an_example_on_each_line():
    told = run("--help").stdout
    assert "serve" in told
    assert "\n    model-lab fsck " in told
    assert "\n    model-lab serve --port 9000 --data-dir /srv/lab\n" in run("serve", "--help").stdout
    assert run("--version").stdout.startswith("model-lab ")


def run_at_a_terminal(*arguments: str) -> tuple[str, str]:
    """Standard output, which is piped on, and what a terminal of standard error was sent."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from app.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the other end was closed
        while part := os.read(ours, 65536):
            shown += part
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    return stdout, shown.decode()


def test_long_commands_show_a_bar_at_a_terminal_and_keep_their_output_clean(tmp_path):
    folder = ("--data-dir", str(tmp_path))
    stdout, shown = run_at_a_terminal("migrate", *folder)
    assert stdout == "The tables are up to date.\n"
    assert "100%" in shown
    stdout, shown = run_at_a_terminal("fsck", *folder)
    assert stdout.startswith("No damage; looked at ")
    assert "Traceback" not in shown
    assert "\x1b" not in stdout


ALL_IS_ROOTS = os.geteuid() == 0 and not shutil.which("setpriv")


@pytest.mark.skipif(ALL_IS_ROOTS, reason="root may write everything, and there is no setpriv to take that away")
def test_a_database_file_that_may_not_be_written_is_one_line(tmp_path):
    folder = tmp_path / "data"
    assert run("migrate", "--data-dir", str(folder)).returncode == 0
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    bounded = ("setpriv", "--bounding-set=-all") if os.geteuid() == 0 else ()
    for command in (("keys", "create"), ("gc",)):
        done = subprocess.run(
            [*bounded, sys.executable, "-c", "from app.cli import main; main()", *command, "--data-dir", str(folder)],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        check_refusal(done)


def test_sigterm_lets_a_running_request_end_and_then_ends(tmp_path):
    slow = {"inputs": ["x"], "forward": ["for i in range(20000):", "    x = x * 1.0001", "return x"]}
    with start_service(tmp_path) as service, service.client() as client:
        made = client.post("/v1/networks", json={"name": "slow", "architecture": slow})
        assert made.status_code == 201, made.text
        replies: list[httpx.Response] = []
        request = {"inputs": [1.0] * 1000}
        thread = threading.Thread(target=lambda: replies.append(client.post("/v1/networks/slow/forward", json=request)))
        client.get("/healthz")
        thread.start()
        time.sleep(0.1)
        assert service.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
        thread.join()
        assert replies[0].status_code == 200, replies[0].text
    assert "Traceback" not in service.log.read_text()


def test_ctrl_c_ends_it_without_a_word_of_alarm(tmp_path):
    with start_service(tmp_path) as service:
        assert service.stop(signal.SIGINT) == 0
    log = service.log.read_text()
    assert "Traceback" not in log
    assert "Aborted" not in log


def test_what_was_made_is_there_after_a_kill_and_a_new_start(tmp_path):
    with start_service(tmp_path) as service, service.client() as client:
        body = {"name": "kept", "architecture": "Linear(3, 2)", "seed": 1}
        assert client.post("/v1/networks", json=body).status_code == 201
        before = client.post("/v1/networks/kept/forward", json={"inputs": [[1.0, 2.0, 3.0]]}).content
        assert service.stop(signal.SIGKILL) == -signal.SIGKILL
    with start_service(tmp_path) as service, service.client() as client:
        assert client.post("/v1/networks/kept/forward", json={"inputs": [[1.0, 2.0, 3.0]]}).content == before


def test_the_application_may_be_served_by_uvicorn_itself(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, **CALM, "MODEL_LAB_DATA_DIR": str(tmp_path)}
    with Path(tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port)], env=env, stderr=log
        )
    try:
        for _ in range(300):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        else:
            pytest.fail((tmp_path / "log").read_text())
    finally:
        process.terminate()
        assert process.wait(40) in (0, -signal.SIGTERM)


def test_requests_are_logged_by_their_route_when_asked_for(tmp_path):
    with start_service(tmp_path, "--access-log") as service, service.client() as client:
        client.get("/v1/networks/a%0Ab", headers={"X-Request-ID": "the-id"})
        client.post("/v1/networks/x/forward", json={})
        client.head("/v1/networks/x")
        client.get("/no/such/place")
    lines = [line for line in service.log.read_text().splitlines() if '"app.requests"' in line]
    found = [line for line in lines if '"/v1/networks/{name}"' in line and '"GET"' in line]
    assert len(found) == 1
    assert '"request_id":"the-id"' in found[0]
    assert '"status":404' in found[0]
    assert '"duration_ms":' in found[0]
    assert any('"/v1/networks/{name}/forward"' in line for line in lines)
    assert any('"HEAD"' in line and '"/v1/networks/{name}"' in line for line in lines)
    assert any('"route":""' in line for line in lines)
    assert "no/such" not in service.log.read_text()
