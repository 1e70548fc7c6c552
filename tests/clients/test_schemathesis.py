"""Schemathesis makes up requests from the OpenAPI document, and finds no reply that the document does not tell of."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service import start_service

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
# These last as long as a job, a training or the exporter's library: their own tests run them.
LONG = (
    "/v1/jobs/{id}/events",
    "/v1/networks/{name}/train",
    "/v1/networks/{name}/export",
)


@pytest.mark.parametrize("seconds", [40, pytest.param(600, marks=pytest.mark.slow)])
def test_no_made_up_request_meets_a_reply_that_the_document_does_not_tell_of(tmp_path: Path, seconds: int) -> None:
    with start_service(tmp_path / "data") as service:
        command = [Path(sys.executable).with_name("schemathesis"), "run", f"{service.base_url}/openapi.json"]
        command += ["--phases", "fuzzing", "--max-time", str(seconds), "--checks", ",".join(CHECKS)]
        command += ["--generation-deterministic", "--suppress-health-check", "all", "--no-color"]
        for path in LONG:
            command += ["--exclude-path", path]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=seconds + 240, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    generated, passed = map(int, re.findall(r"(\d+) generated, (\d+) passed", done.stdout)[-1])
    assert generated == passed > 100
