"""Clients generated from the OpenAPI document, for Python and TypeScript: they compile, and take a tour."""

import compileall
import os
import shutil
import subprocess
from pathlib import Path

import httpx

HERE = Path(__file__).parent


def test_a_generated_python_client_compiles_and_takes_the_tour(service: httpx.Client, clients: Path, tmp_path) -> None:
    document = tmp_path / "openapi.json"
    document.write_bytes(service.get("/openapi.json").content)
    command = [clients / "openapi-python-client", "generate", "--path", document, "--meta", "none"]
    command += ["--output-path", tmp_path / "generated", "--config", HERE / "generator.yaml"]
    made = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={**os.environ, "PATH": f"{clients}:{os.environ['PATH']}"},
    )
    told = made.stdout + made.stderr
    assert made.returncode == 0, told
    assert "WARNING" not in told, told
    assert "Unable" not in told, told
    assert compileall.compile_dir(tmp_path / "generated", quiet=1)
    toured = subprocess.run(
        [clients / "python", HERE / "take_tour.py", str(service.base_url).rstrip("/")],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]},
    )
    assert toured.returncode == 0, toured.stderr[-3000:]
    assert "the tour is over" in toured.stdout


def test_a_generated_typescript_client_compiles_and_takes_the_tour(
    service: httpx.Client, node_modules: Path, tmp_path: Path
) -> None:
    (tmp_path / "openapi.json").write_bytes(service.get("/openapi.json").content)
    (tmp_path / "node_modules").symlink_to(node_modules)
    for name in ("package.json", "tsconfig.json", "take_tour.ts"):
        shutil.copy(HERE / "typescript" / name, tmp_path)
    generate = ["openapi-typescript", "openapi.json", "--default-non-nullable=false", "-o", "schema.d.ts"]
    for command in (generate, ["tsc", "-p", "."], ["node", "built/take_tour.js", str(service.base_url).rstrip("/")]):
        path = f"{node_modules / '.bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            [shutil.which(command[0], path=path) or command[0], *command[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "the tour is over" in done.stdout
