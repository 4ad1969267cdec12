"""A server on the real model, started from the built binary, for the tests of this folder.

HYPRSTREAM_BIN and HYPRSTREAM_MODEL name another binary and another GGUF file.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("HYPRSTREAM_BIN", ROOT / "bin" / "hyprstream")).absolute()
MODEL = Path(os.environ.get("HYPRSTREAM_MODEL", ROOT / ".deps" / "models" / "gemma-3-270m-q4_k_m.gguf")).absolute()


class CLI:
    """Runs commands of the binary on one data directory."""

    def __init__(self, data):
        self.data = data
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("HYPRSTREAM_")}
        self.env |= {"HYPRSTREAM_DATA": str(data), "XDG_CONFIG_HOME": str(data / "config")}

    def __call__(self, *args, stdin=None, check=True, timeout=240):
        kind = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        done = subprocess.run([BINARY, *map(str, args)], env=self.env, capture_output=True, text=True, timeout=timeout, **kind)
        if check:
            assert done.returncode == 0, f"{args}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


class Server(CLI):
    def start(self, *flags):
        self.log = open(self.data / "server.log", "wb")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0", *map(str, flags)],
            env=self.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        record, deadline = self.data / "server.json", time.monotonic() + 30
        while not record.exists():
            assert self.process.poll() is None and time.monotonic() < deadline, (self.data / "server.log").read_text()
            time.sleep(0.05)
        found = json.loads(record.read_text())
        self.http, self.flight = f"http://{found['http']}", f"grpc://{found['flight']}"
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.log.close()
        assert code == 0, (self.data / "server.log").read_text()


@pytest.fixture(scope="session")
def spaced_model(tmp_path_factory):
    """The model under a path with spaces."""
    folder = tmp_path_factory.mktemp("my models")
    path = folder / "Gemma 3 270m-Q4_K_M.gguf"
    try:
        os.link(MODEL, path)
    except OSError:
        shutil.copy(MODEL, path)
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory, spaced_model):
    """A server with the real model as its default model, named gemma."""
    s = Server(tmp_path_factory.mktemp("data")).start("--allow-dir", spaced_model.parent)
    try:
        s.loaded = s("model", "load", spaced_model, "--name", "gemma")
        yield s
    finally:
        s.stop()


@pytest.fixture
def embedded(tmp_path):
    """Commands on a fresh data directory, without a server."""
    return CLI(tmp_path)


@pytest.fixture(scope="session")
def files():
    return SimpleNamespace(root=ROOT, binary=BINARY, model=MODEL)
