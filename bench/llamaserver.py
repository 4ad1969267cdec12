"""llama-server as a side of a comparison: as fast as found for each kind of work, a pool of HTTP clients in front."""

import http.client
import json
import queue
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

from serving import MODEL
from sides import LLAMA, ROW_TOKENS, THREADS, Run
from timing import Stopwatch
from workloads import LABELS

GRAMMAR = "root ::= " + " | ".join(f'" {label}"' for label in LABELS)


@dataclass
class Setting:
    slots: int
    clients: int
    batch: int  # rows per request
    flags: tuple


class LlamaServer:
    """A server for each kind of work, started when it is first needed. All have a KV stream per slot."""

    name = "llama-server"

    def __init__(self, slots=32):
        self.settings = {
            "generate": Setting(slots, 2 * slots, 1, ("--swa-full",)),
            "classify": Setting(16, 32, 1, ("--swa-full",)),
            "embed": Setting(16, 4, 32, ("--embedding", "--pooling", "mean", "-b", 2048, "-ub", 2048)),
        }
        self.processes = {}

    def process(self, kind):
        if kind not in self.processes:
            self.processes[kind] = Process(self.settings[kind])
        return self.processes[kind]

    def vectors(self, texts):
        body = {"input": texts}
        return [d["embedding"] for d in self.process("embed").ask(self.process("embed").connect(), "/v1/embeddings", body)["data"]]

    def run(self, work):
        process = self.process(work.kind)
        batch = process.setting.batch
        left, answers, failed = queue.SimpleQueue(), [], []
        for at in range(0, work.rows, batch):
            left.put(work.prompts[at:at + batch])
        watch = Stopwatch()

        def client():
            conn = process.connect()
            try:
                while not failed:
                    answers.append(one(process, conn, work, left.get_nowait()))
                    watch.row()
            except queue.Empty:
                pass
            except Exception as e:  # whatever it is, the run is void and says why
                failed.append(e)
            finally:
                conn.close()

        threads = [threading.Thread(target=client) for _ in range(process.setting.clients)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        watch.stop()
        if failed:
            raise failed[0]
        rows, prompt, shared, completion = map(sum, zip(*answers))
        assert rows == work.rows, (rows, work.rows)
        return Run(rows, watch.seconds, watch.first, prompt, shared, completion)

    def stop(self):
        for process in self.processes.values():
            process.stop()


def one(process, conn, work, prompts):
    """Sends one request; gives its rows, and prompt, shared and completion tokens."""
    if work.kind == "embed":
        answer = process.ask(conn, "/v1/embeddings", {"input": prompts})
        return len(answer["data"]), answer["usage"]["prompt_tokens"], 0, 0
    body = {"prompt": prompts[0], "temperature": 0, "cache_prompt": True, "samplers": ["temperature"]}
    if work.kind == "classify":
        body |= {"n_predict": 4, "grammar": GRAMMAR}
    else:
        body |= {"n_predict": work.output, "ignore_eos": True}
    answer = process.ask(conn, "/completion", body)
    assert work.kind != "classify" or answer["content"].strip() in LABELS, answer["content"]
    t = answer["timings"]
    return 1, t["cache_n"] + t["prompt_n"], t["cache_n"], t["predicted_n"]


class Process:
    def __init__(self, setting):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.setting = setting
        command = [LLAMA / "llama-server", "-m", MODEL, "--host", "127.0.0.1", "--port", self.port, "-np", setting.slots,
                   "-c", setting.slots * ROW_TOKENS, "--no-kv-unified", "-t", THREADS, "-tb", THREADS,
                   "--threads-http", setting.clients + 4, "--offline", *setting.flags]
        self.log = tempfile.TemporaryFile()
        self.child = subprocess.Popen([str(a) for a in command], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 120
        while not self.healthy():
            if self.child.poll() is not None or time.monotonic() > deadline:
                self.stop()
                self.log.seek(0)
                raise SystemExit(f"llama-server did not start:\n{self.log.read().decode()[-3000:]}")
            time.sleep(0.2)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def healthy(self):
        conn = self.connect()
        try:
            conn.request("GET", "/health")
            return conn.getresponse().status == 200
        except OSError:
            return False
        finally:
            conn.close()

    def ask(self, conn, path, body):
        conn.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        reply = conn.getresponse()
        answer = json.loads(reply.read())
        assert reply.status == 200, answer
        return answer

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(30)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
