"""A server on the real model, started from the built binary, for the tests of the Flight SQL clients.

HYPRSTREAM_BIN and HYPRSTREAM_MODEL name another binary and another GGUF file.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from adbc_driver_flightsql import dbapi

ROOT = Path(__file__).resolve().parent.parent


def required(variable, default, make):
    path = Path(os.environ.get(variable, default)).absolute()
    if not path.exists():
        pytest.fail(f"{path} is not there: run `{make}`, or name another one in {variable}", pytrace=False)
    return path


def stop(process, log):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert process.returncode == 0, log.read_text()


@pytest.fixture(scope="session")
def flight(tmp_path_factory):
    """A running server that knows the model as gemma: uri, pid, data."""
    binary = required("HYPRSTREAM_BIN", ROOT / "bin" / "hyprstream", "make build")
    model = required("HYPRSTREAM_MODEL", ROOT / ".deps" / "models" / "gemma-3-270m-q4_k_m.gguf", "make deps")
    data = tmp_path_factory.mktemp("data")
    log, record = data / "server.log", data / "server.json"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [binary, "serve", "--data", data, "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0", "--allow-dir", model.parent],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env={k: v for k, v in os.environ.items() if not k.startswith("HYPRSTREAM_")})
    try:
        deadline = time.monotonic() + 30
        while not record.exists():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        server = SimpleNamespace(uri="grpc://" + json.loads(record.read_text())["flight"], pid=process.pid, data=data)
        with dbapi.connect(server.uri, autocommit=True) as con, con.cursor() as cur:
            quoted = str(model).replace("'", "''")
            cur.execute(f"CREATE MODEL gemma FROM '{quoted}'")
        yield server
    finally:
        stop(process, log)
