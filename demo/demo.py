"""The demo: a server on the real model, asked by the stock ADBC driver. Run it with `make demo`.

Starts bin/hyprstream on free ports with a data directory of its own, loads the model, makes a table and prints the
rows of SELECT id, generate('gemma', prompt) FROM prompts as they arrive. Everything it started is gone at the end.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path

from adbc_driver_flightsql import dbapi

ROOT = Path(__file__).resolve().parent.parent
BINARY = ROOT / "bin" / "hyprstream"
MODEL = ROOT / ".deps" / "models" / "gemma-3-270m-q4_k_m.gguf"

# The model is a base model: it continues text. Prompts that begin something suit it.
PROMPTS = [
    "Q: What is the capital of France?\nA:",
    "The chemical symbol for gold is",
    "France: Paris\nItaly: Rome\nJapan:",
    "cheese => queso\nhouse => casa\nwater =>",
    "The three primary colors are",
    "Water boils at a temperature of",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "Once upon a time there was a little database that",
]
STATEMENT = "SELECT id, generate('gemma', prompt) FROM prompts"


def say(text):
    print(f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until_healthy(server, http, log, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{http}/healthz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit(f"the server did not come up; its log:\n{log.read_text()}")


def stop(server):
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def shorten(text):
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:100].rsplit(" ", 1)[0] + " …"


def query(flight):
    with dbapi.connect(f"grpc://127.0.0.1:{flight}", autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE prompts (id INTEGER, prompt VARCHAR)")
        cursor.executemany("INSERT INTO prompts VALUES (?, ?)", list(enumerate(PROMPTS, 1)))
        say(f"\n{STATEMENT};")
        print(f"({len(PROMPTS)} prompts, one batch, up to 256 tokens each: about 10 seconds on 2 cores)", flush=True)
        start = time.monotonic()
        cursor.execute(STATEMENT)
        rows, empty = 0, 0
        for batch in cursor.fetch_record_batch():
            for id, text in zip(*(column.to_pylist() for column in batch.columns)):
                rows += 1
                empty += not text
                prompt = PROMPTS[id - 1].replace("\n", "⏎ ")
                print(f"\n{time.monotonic() - start:6.2f} s  id {id}  {prompt}")
                print(textwrap.indent(textwrap.fill(shorten(text or "NULL"), 96), " " * 10), flush=True)
        say(f"\n{rows} rows in {time.monotonic() - start:.1f} s (each text shortened to its first 100 characters)")
    if rows != len(PROMPTS) or empty:
        sys.exit(f"expected {len(PROMPTS)} rows with text, got {rows}, {empty} of them empty")


def main():
    data = Path(tempfile.mkdtemp(prefix="hyprstream-demo-"))
    log = data / "server.log"
    flight, http = free_port(), free_port()
    env = {**os.environ, "HYPRSTREAM_DATA": str(data)}
    command = [BINARY, "serve", "--flight", f"127.0.0.1:{flight}", "--http", f"127.0.0.1:{http}",
               "--allow-dir", str(MODEL.parent)]
    say(f"hyprstream serve --flight 127.0.0.1:{flight} --http 127.0.0.1:{http}")
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        wait_until_healthy(server, http, log)
        say(f"hyprstream model load {MODEL.name} --name gemma")
        subprocess.run([BINARY, "model", "load", str(MODEL), "--name", "gemma"], env=env, check=True)
        query(flight)
    except subprocess.CalledProcessError as err:
        sys.exit(f"model load ended with {err.returncode}; the server's log:\n{log.read_text()}")
    except dbapi.Error as err:
        sys.exit(f"the query failed: {err}\nthe server's log:\n{log.read_text()}")
    finally:
        stop(server)
        shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    main()
