"""The sides of a comparison: hyprstream through SQL over Flight, llama-server through HTTP, llama-batched-bench."""

import http.client
import json
import queue
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from adbc_driver_flightsql import dbapi

from serving import MODEL, ROOT, Server

LLAMA = ROOT / ".deps" / "llama-bench" / "bin"
THREADS = 2
ROW_TOKENS = 512  # context per slot, on both sides: the longest row needs 416


@dataclass
class Run:
    seconds: float
    first: float  # seconds to the first row
    prompt: int  # tokens that rows had
    shared: int  # of these, taken from what was computed before
    completion: int


class Hyprstream:
    name = "hyprstream"

    def __init__(self, folder, slots):
        self.server = Server(Path(folder)).start("--allow-dir", MODEL.parent)
        try:
            self.server("model", "load", MODEL, "--name", "gemma", "--with", f"slots={slots}",
                        "--with", f"context_length={ROW_TOKENS}", "--with", f"threads={THREADS}")
            self.conn = dbapi.connect(self.server.flight, autocommit=True)
        except BaseException:
            self.server.stop()
            raise

    def count_tokens(self, texts):
        """Tokens of prompts with these texts: count_tokens, and what the engine puts in front, such as BOS."""
        with self.conn.cursor() as cur:
            cur.execute("SELECT prompt_tokens - count_tokens('gemma', 'ten') FROM generate('gemma', 'ten', max_tokens := 1, raw := true)")
            [(front,)] = cur.fetchall()
            cur.adbc_ingest("texts", pa.table({"i": range(len(texts)), "text": texts}), mode="replace")
            cur.execute("SELECT count_tokens('gemma', text) FROM texts ORDER BY i")
            return [front + n for n, in cur.fetchall()]

    def run(self, work):
        with self.conn.cursor() as cur:
            cur.adbc_ingest("prompts", pa.table({"i": range(work.rows), "prompt": work.prompts}), mode="replace")
            begun, first, rows = time.perf_counter(), None, 0
            cur.execute(f"""SELECT i, generate('gemma', prompt, max_tokens := {work.output}, ignore_eos := true, raw := true)
                            FROM prompts""")
            for batch in cur.fetch_record_batch():
                first = first or time.perf_counter() - begun
                rows += batch.num_rows
                assert batch.column(1).null_count == 0, "a row failed"
            seconds = time.perf_counter() - begun
            assert rows == work.rows, (rows, work.rows)
            cur.execute("SELECT prompt_tokens, shared_tokens, completion_tokens FROM ai.usage ORDER BY finished_at DESC LIMIT 1")
            return Run(seconds, first, *cur.fetchone())

    def stop(self):
        self.conn.close()
        self.server.stop()


class LlamaServer:
    """llama-server as fast as found: a KV stream per slot, full-size sliding-window cache, twice as many clients as slots."""

    name = "llama-server"

    def __init__(self, slots):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.clients = 2 * slots
        self.command = [LLAMA / "llama-server", "-m", MODEL, "--host", "127.0.0.1", "--port", self.port, "-np", slots,
                        "-c", slots * ROW_TOKENS, "--no-kv-unified", "--swa-full", "-t", THREADS, "-tb", THREADS,
                        "--threads-http", self.clients + 4, "--offline"]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(a) for a in self.command], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 120
        while not self.healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                self.log.seek(0)
                raise SystemExit(f"llama-server did not start:\n{self.log.read().decode()[-3000:]}")
            time.sleep(0.2)

    def healthy(self):
        try:
            conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            conn.request("GET", "/health")
            return conn.getresponse().status == 200
        except OSError:
            return False

    def run(self, work):
        left, answers, failed = queue.SimpleQueue(), [], []
        for prompt in work.prompts:
            left.put(prompt)

        def client():
            conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
            try:
                while not failed:
                    prompt = left.get_nowait()
                    body = {"prompt": prompt, "n_predict": work.output, "temperature": 0, "ignore_eos": True,
                            "cache_prompt": True, "samplers": ["temperature"]}
                    conn.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
                    reply = conn.getresponse()
                    answer = json.loads(reply.read())
                    assert reply.status == 200, answer
                    answers.append((time.perf_counter() - begun, answer["timings"]))
            except queue.Empty:
                pass
            except Exception as e:  # whatever it is, the run is void and says why
                failed.append(e)
            finally:
                conn.close()

        threads = [threading.Thread(target=client) for _ in range(self.clients)]
        begun = time.perf_counter()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        seconds = time.perf_counter() - begun
        if failed:
            raise failed[0]
        timings = [t for _, t in answers]
        shared = sum(t["cache_n"] for t in timings)
        return Run(seconds, answers[0][0], shared + sum(t["prompt_n"] for t in timings), shared, sum(t["predicted_n"] for t in timings))

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass
class Speeds:
    """What llama-batched-bench measured at the number of sequences that was best."""

    sequences: int
    prefill: float  # tokens/s
    decode: float
    rows: float  # rows/s


def batched_bench(prompt, output, sequences):
    """llama_decode alone, on random tokens: no sampling, no text, no server. The best of the given numbers of sequences."""
    at_once = max(sequences)
    command = [LLAMA / "llama-batched-bench", "-m", MODEL, "-c", at_once * 2 * (prompt + output), "--no-kv-unified", "-t", THREADS,
               "-tb", THREADS, "-b", 2048, "-ub", 512, "-npp", prompt, "-ntg", output, "-npl", ",".join(map(str, sequences)),
               "--output-format", "jsonl"]
    done = subprocess.run([str(a) for a in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=1800)
    found = [json.loads(text) for text in (done.stdout + done.stderr).splitlines() if text.startswith("{")]
    assert done.returncode == 0 and len(found) == len(sequences), done.stdout + done.stderr
    return max((Speeds(f["pl"], f["speed_pp"], f["speed_tg"], f["pl"] / f["t"]) for f in found), key=lambda s: s.rows)

