"""A server of the built binary, on a data directory of its own, for tests and benchmarks.

HYPRSTREAM_BIN and HYPRSTREAM_MODEL name another binary and another GGUF file.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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
        record, deadline = self.data / "server.json", time.monotonic() + 30
        record.unlink(missing_ok=True)  # a killed server leaves its own
        self.log = open(self.data / "server.log", "ab")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0", *map(str, flags)],
            env=self.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
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
