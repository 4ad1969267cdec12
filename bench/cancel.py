"""How long it takes to stop a statement, from each client: from its cancel until the server has ended it.

    .deps/venv/bin/python bench/cancel.py [--runs 20]

Starts bin/hyprstream on a data directory of its own with the real model. Ended means that the statement has left ai.queries and, for a
generation, that no slot of the engine is busy; another connection looks every few milliseconds, which is in the times. The JDBC driver can
cancel a statement once its first row has come: its statements give rows at once.
"""

import argparse
import http.client
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlparse

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import pyarrow.flight as flight  # noqa: E402
from adbc_driver_flightsql import dbapi  # noqa: E402

from serving import BINARY, MODEL, ROOT, Server  # noqa: E402

SCAN = "SELECT count(*) AS marked FROM range(1000000) a(i), range(1000000) b(j) WHERE (i * j) % 7 = 3"
GENERATE = "SELECT generate('gemma', 'Once upon a time', max_tokens := 2000, ignore_eos := true) AS marked"
SCAN_ROWS = "SELECT i AS marked, md5(i::VARCHAR) AS s FROM range(100000000000) r(i)"
GENERATE_ROWS = "SELECT text AS marked FROM generate_stream('gemma', 'Once upon a time', max_tokens := 2000, ignore_eos := true)"
JDBC = ROOT / ".deps" / "jdbc" / "flight-sql-jdbc-driver-18.3.0.jar"


def in_thread(work):
    """work, whose error is that of the cancel."""

    def quietly():
        try:
            work()
        except Exception:
            pass

    thread = threading.Thread(target=quietly)
    thread.start()
    return thread


class Adbc:
    """Python's ADBC cursor: adbc_cancel."""

    def __init__(self, server, folder):
        self.conn = dbapi.connect(server.flight, autocommit=True)

    def start(self, sql):
        self.cur = self.conn.cursor()
        self.thread = in_thread(lambda: self.cur.execute(sql) or self.cur.fetchall())

    def cancel(self):
        self.cur.adbc_cancel()

    def finish(self):
        self.thread.join()
        self.cur.close()

    def stop(self):
        self.conn.close()


def field(number, data):
    """A protobuf field of bytes."""
    size, out = len(data), bytes([number << 3 | 2])
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size]) + data


class Action:
    """The CancelFlightInfo action, from another call of the connection."""

    def __init__(self, server, folder):
        self.client = flight.connect(server.flight)

    def start(self, sql):
        name = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
        command = field(1, name) + field(2, field(1, sql.encode()))
        self.info = self.client.get_flight_info(flight.FlightDescriptor.for_command(command))
        # Not read_all: that takes a cancelled call for Ctrl-C, and interrupts the main thread.
        self.thread = in_thread(lambda: [chunk for chunk in self.client.do_get(self.info.endpoints[0].ticket)])

    def cancel(self):
        list(self.client.do_action(flight.Action("CancelFlightInfo", field(1, self.info.serialize()))))

    def finish(self):
        self.thread.join()

    def stop(self):
        self.client.close()


class Rest:
    """A client of /v1/sql that closes its connection."""

    def __init__(self, server, folder):
        self.at = urlparse(server.http)

    def start(self, sql):
        self.http = http.client.HTTPConnection(self.at.hostname, self.at.port)
        self.http.request("POST", "/v1/sql", json.dumps({"sql": sql}), {"Content-Type": "application/json"})

    def cancel(self):
        self.http.close()

    def finish(self):
        pass

    stop = finish


class Terminal:
    """`hyprstream sql`, which is Go's Flight SQL client: Ctrl-C."""

    def __init__(self, server, folder):
        self.env = server.env

    def start(self, sql):
        self.process = subprocess.Popen([BINARY, "sql", sql], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def cancel(self):
        self.process.send_signal(signal.SIGINT)

    def finish(self):
        self.process.wait(30)

    def stop(self):
        pass


class Jdbc:
    """Statement.cancel."""

    def __init__(self, server, folder):
        subprocess.run(["javac", "-d", folder, Path(__file__).with_name("Cancel.java")], check=True)
        self.process = subprocess.Popen(
            ["java", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-cp", f"{JDBC}{os.pathsep}{folder}", "Cancel",
             server.flight.replace("grpc://", "jdbc:arrow-flight-sql://")], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)

    def start(self, sql):
        self.say(sql)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def cancel(self):
        self.say("cancel")

    def finish(self):
        pass

    def stop(self):
        self.process.kill()  # a driver whose cancel has failed may wait for ever
        self.process.wait()


CLIENTS = (("Python ADBC, adbc_cancel", Adbc), ("CancelFlightInfo", Action), ("REST, connection closed", Rest),
           ("hyprstream sql, Ctrl-C", Terminal), ("JDBC, Statement.cancel", Jdbc))


class Watch:
    """The connection that sees what runs."""

    def __init__(self, server):
        self.conn = dbapi.connect(server.flight, autocommit=True)

    def count(self, sql):
        with self.conn.cursor() as cur:
            cur.execute(sql)
            return cur.fetchone()[0] or 0

    def runs(self):
        return self.count("SELECT count(*) FROM ai.queries WHERE contains(statement, 'marked') AND NOT contains(statement, 'ai.queries')")

    def busy(self):
        return self.count("SELECT sum(busy) FROM ai.engines")

    def until(self, what, seconds=30):
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "waited too long"
            time.sleep(0.003)


def measure(client, watch, sql, generates):
    """Milliseconds from the cancel to the statement's end on the server."""
    client.start(sql)
    watch.until(lambda: watch.runs() and (not generates or watch.busy()))
    time.sleep(0.2)  # in the middle of its work, a first row read where there is one
    begun = time.perf_counter()
    client.cancel()
    watch.until(lambda: not watch.runs() and not (generates and watch.busy()))
    took = (time.perf_counter() - begun) * 1000
    client.finish()
    return took


def line(name, what, took):
    took = sorted(took)
    p95 = took[math.ceil(.95 * len(took)) - 1]
    print(f"{name:26} {what:10} n={len(took):3}  min {took[0]:7.1f}  median {statistics.median(took):7.1f}  p95 {p95:7.1f}"
          f"  max {took[-1]:7.1f} ms", flush=True)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--runs", type=int, default=20)
    args = args.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder)).start("--allow-dir", MODEL.parent)
        try:
            server("model", "load", MODEL, "--name", "gemma")
            watch = Watch(server)
            for name, make in CLIENTS:
                client = make(server, folder)
                scan, generate = (SCAN_ROWS, GENERATE_ROWS) if make is Jdbc else (SCAN, GENERATE)
                for what, sql in (("scan", scan), ("generation", generate)):
                    line(name, what, [measure(client, watch, sql, what == "generation") for _ in range(args.runs)])
                client.stop()
            watch.conn.close()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
