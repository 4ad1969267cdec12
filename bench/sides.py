"""What every side of a comparison shares, and the two small ones: llama-batched-bench, and a DuckDB UDF that asks llama-cpp-python.

The others are in hyprstream.py and llamaserver.py. A side has a name and run(work) -> Run.
"""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from serving import MODEL, ROOT

LLAMA = ROOT / ".deps" / "llama-bench" / "bin"
PYTHON = ROOT / ".deps" / "bench-venv" / "bin" / "python"
THREADS = 2
ROW_TOKENS = 512  # context per slot, on all sides: the longest row needs 416


@dataclass
class Run:
    rows: int
    seconds: float
    first: float  # seconds to the first row
    prompt: int  # tokens that rows had
    shared: int  # of these, taken from what was computed before
    completion: int
    cached: int = 0  # rows taken from an earlier statement

    @property
    def rate(self):
        return self.rows / self.seconds


@dataclass
class Speeds:
    """What llama-batched-bench measured at the number of sequences that was best."""

    sequences: int
    prefill: float  # tokens/s
    decode: float
    rows: float  # rows/s


def batched_bench(prompt, output, sequences):
    """llama_decode alone, on random tokens: no sampling, no text, no server. Speeds for each of the given numbers of sequences."""
    at_once = max(sequences)
    command = [LLAMA / "llama-batched-bench", "-m", MODEL, "-c", at_once * 2 * (prompt + output), "--no-kv-unified", "-t", THREADS,
               "-tb", THREADS, "-b", 2048, "-ub", 512, "-npp", prompt, "-ntg", output, "-npl", ",".join(map(str, sequences)),
               "--output-format", "jsonl"]
    done = subprocess.run([str(a) for a in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=1800)
    found = [json.loads(text) for text in (done.stdout + done.stderr).splitlines() if text.startswith("{")]
    assert done.returncode == 0 and len(found) == len(sequences), done.stdout + done.stderr
    return [Speeds(f["pl"], f["speed_pp"], f["speed_tg"], f["pl"] / f["t"]) for f in found]


class Udf:
    """A Python function in DuckDB that asks llama-cpp-python for each row (udf.py, in an environment of its own)."""

    name = "udf"

    def __init__(self, rows):
        """It is slow, and as slow for each row: it gets only the first rows of a table."""
        self.rows = rows
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [str(a) for a in (PYTHON, Path(__file__).with_name("udf.py"), MODEL, THREADS, ROW_TOKENS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def run(self, work):
        prompts = work.prompts[:self.rows]
        self.process.stdin.write(json.dumps({"prompts": prompts, "output": work.output}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.log.seek(0)
            raise SystemExit(f"{PYTHON} udf.py ended:\n{self.log.read().decode()[-3000:]}")
        return Run(len(prompts), **json.loads(answer))

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)
