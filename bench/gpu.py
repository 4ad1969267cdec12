"""A build with a GPU backend: does it give what the processor gives, and how fast is it?

    HYPRSTREAM_BIN=bin/portable/hyprstream python3 bench/gpu.py [--parts same,work,speed,peers] [--runs 3] [--json FILE]

same   the same statements with gpu_layers = 0 and gpu_layers = -1: texts, streams, vectors, probabilities, grammars, adapters
work   shared beginnings, cancelling, an engine that is killed, memory that is given back, memory that is not enough
speed  rows/s of 1,000 prompts of 32 tokens, 32 tokens out, at several numbers of slots; where the time goes; embed, ai_classify
peers  llama-batched-bench and llama-server on the same GPU, for the same prompts: --peers FOLDER says where they are

Needs Python alone, and nvidia-smi for memory. HYPRSTREAM_MODEL names another model than Gemma 3 270M.
"""

import argparse
import http.client
import json
import os
import queue
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import workloads  # noqa: E402
from serving import BINARY, MODEL, ROOT, Server  # noqa: E402
from timing import spread  # noqa: E402

PROMPTS = """The capital of France is
The opposite of hot is
Once upon a time there was
The quick brown fox
Water boils at a temperature of
The best way to learn a language is
My favourite colour is
In the year 1969, humans first
A recipe for bread needs flour, water,
The three primary colours are
To be or not to be, that is
The president of the United States lives in
Dear Sir or Madam, I am writing to
The sun rises in the
Photosynthesis is the process by which
def fibonacci(n):
The largest planet in the solar system is
She opened the door and saw
One, two, three, four,
The hotel was clean and quiet, but the""".splitlines()
TEXTS = """The room was clean and the staff were friendly.
Breakfast was cold and the coffee tasted of soap.
Late deliveries, three times in a row.
Best coffee in town!
The screen broke after two days.
A wonderful evening, we will come back.
It is a chair. It stands.
They answered my question within an hour.
The app crashes whenever I open a photo.
Too loud to sleep, and nobody cared.""".splitlines()
LABELS = "['positive', 'negative', 'neutral']"


class Database:
    """SQL over HTTP."""

    def __init__(self, server):
        self.address = server.http.removeprefix("http://")

    def __call__(self, statement, *params):
        """The rows of a statement."""
        conn = http.client.HTTPConnection(self.address, timeout=600)
        try:
            conn.request("POST", "/v1/sql", json.dumps({"sql": statement, "params": params}), {"Content-Type": "application/json"})
            answer = json.loads(conn.getresponse().read())
        finally:
            conn.close()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["rows"]

    def one(self, statement, *params):
        [[value]] = self(statement, *params)
        return value

    def model(self, name, path=MODEL, **options):
        given = ", ".join(f"{k} = {v}" for k, v in options.items())
        self(f"CREATE OR REPLACE MODEL {name} FROM '{path}' WITH ({given})")

    def table(self, name, texts):
        self(f"CREATE OR REPLACE TABLE {name} AS SELECT row_number() OVER () AS i, text FROM (SELECT unnest(string_split($1, chr(10))) AS text)",
             "\n".join(texts))

    def used(self):
        return dict(zip(("prompt", "shared", "completion"), self(
            "SELECT prompt_tokens, shared_tokens, completion_tokens FROM ai.usage ORDER BY finished_at DESC LIMIT 1")[0]))

    def counters(self, model):
        names = "steps, decoded_tokens, step_seconds, sample_seconds, overhead_seconds"
        return dict(zip(names.split(", "), self(f"SELECT {names} FROM ai.engines WHERE model = '{model}'")[0]))


def gpu_memory():
    """MiB in use on the first GPU; None where nvidia-smi is not there."""
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=60)
        return int(done.stdout.split()[0])
    except (OSError, ValueError, IndexError):
        return None


def say(what, found):
    print(f"{what:44} {found}", flush=True)
    SAID[what] = found


SAID = {}


def attempt(part, *args):
    """Runs one check. One that breaks says so, and the others run."""
    try:
        part(*args)
    except Exception as e:
        say(f"{part.__name__} FAILED", f"{type(e).__name__}: {e}"[:600])


# --- same ---

def texts_same(db, names):
    got = {n: [r[0] for r in db(f"SELECT generate('{n}', text, max_tokens := 32, raw := true) FROM ask ORDER BY i")] for n in names}
    again = [r[0] for r in db(f"SELECT generate('gpu', text, max_tokens := 32, raw := true, cache := 'off') FROM ask ORDER BY i")]
    alone = [db.one("SELECT generate('gpu', $1, max_tokens := 32, raw := true)", p) for p in PROMPTS]
    streamed = [db.one("SELECT string_agg(text, '' ORDER BY seq) FROM generate_stream('gpu', $1, max_tokens := 32, raw := true)", p) for p in PROMPTS]
    assert all(got["gpu"]) and len(got["gpu"]) == len(PROMPTS)
    equal = lambda a, b: f"{sum(x == y for x, y in zip(a, b))} of {len(a)} equal"
    for n in names:
        if n != "gpu":
            say(f"greedy texts of 32 tokens, gpu and {n}", equal(got["gpu"], got[n]))
    say("gpu, the same statement again", equal(got["gpu"], again))
    say("gpu, row by row", equal(got["gpu"], alone))
    say("gpu, generate_stream row by row", equal(alone, streamed))
    shown = [(p, a, b) for p, a, b in zip(PROMPTS, got["gpu"], got[names[0]]) if a != b]
    for p, a, b in shown[:3]:
        same = len(os.path.commonprefix([a, b]))
        print(f"    {p!r}: after {a[:same]!r} gpu {a[same:same + 30]!r}, {names[0]} {b[same:same + 30]!r}")
    print(f"    {PROMPTS[0]!r} -> {got['gpu'][0]!r}")


def vectors_same(db, names):
    got = {n: [r[0] for r in db(f"SELECT embed('{n}', text) FROM texts ORDER BY i")] for n in names}
    for n in names:
        if n != "gpu":
            cosines = [sum(x * y for x, y in zip(a, b)) for a, b in zip(got["gpu"], got[n])]
            say(f"embed: least cosine, gpu and {n}", f"{min(cosines):.6f} of {len(cosines)}")


def scores_same(db, names):
    classified = {n: [r[0] for r in db(f"SELECT CAST(ai_classify_probs(text, {LABELS}, model := '{n}') AS JSON)::VARCHAR FROM texts ORDER BY i")] for n in names}
    classified = {n: [json.loads(x) for x in v] for n, v in classified.items()}
    filtered = {n: [r[0] for r in db(f"SELECT ai_filter_prob(text, 'Is the writer content?', model := '{n}') FROM texts ORDER BY i")] for n in names}
    logprobs = {n: [r[0] for r in db(f"SELECT logprob('{n}', 'A text: ', text) FROM texts ORDER BY i")] for n in names}
    for n in names:
        if n == "gpu":
            continue
        far = max(abs(a[k] - b[k]) for a, b in zip(classified["gpu"], classified[n]) for k in a)
        best = sum(max(a, key=a.get) == max(b, key=b.get) for a, b in zip(classified["gpu"], classified[n]))
        say(f"ai_classify_probs, gpu and {n}", f"apart by at most {far:.4f}; {best} of {len(TEXTS)} labels equal")
        say(f"ai_filter_prob, gpu and {n}", f"apart by at most {max(abs(a - b) for a, b in zip(filtered['gpu'], filtered[n])):.4f}")
        far = max(abs(a - b) / abs(b) for a, b in zip(logprobs["gpu"], logprobs[n]))
        say(f"logprob, gpu and {n}", f"apart by at most {far:.2%} of {min(logprobs[n]):.1f} to {max(logprobs[n]):.1f}")


def grammars_same(db, names):
    words = 'root ::= "yes" | "no" | "perhaps"'
    objects = r'root ::= "{\"stars\": " [1-5] ", \"good\": " ("true" | "false") "}"'
    for n in names:
        ask = lambda grammar: [r[0] for r in db(f"SELECT generate('{n}', text, grammar := $1, max_tokens := 24) FROM texts ORDER BY i", grammar)]
        say(f"grammar, {n}", f"{sum(w in ('yes', 'no', 'perhaps') for w in ask(words))} of {len(TEXTS)} of it; "
            f"JSON {sum(map(holds, ask(objects)))} of {len(TEXTS)}")


def holds(text):
    try:
        return set(json.loads(text)) == {"stars", "good"}
    except ValueError:
        return False


def sampled(db, names):
    rows = [r[0] for r in db("SELECT generate('gpu', text, max_tokens := 16, temperature := 0.8, top_p := 0.95, seed := 7, raw := true) FROM ask ORDER BY i")]
    rows2 = [r[0] for r in db("SELECT generate('gpu', text, max_tokens := 16, temperature := 0.8, top_p := 0.95, seed := 7, raw := true) FROM ask ORDER BY i")]
    say("gpu, temperature 0.8 with a seed, twice", f"{sum(a == b for a, b in zip(rows, rows2))} of {len(rows)} equal, {sum(map(bool, rows))} not empty")


def adapters_same(db, adapter):
    tiny, lora = ROOT / "testdata" / "tiny.gguf", ROOT / "testdata" / "tiny-lora.gguf"
    for name, layers in (("tinycpu", 0), ("tinygpu", -1)):
        db.model(name, tiny, gpu_layers=layers, slots=4)
        db(f"CREATE OR REPLACE ADAPTER polite_{name} FOR MODEL {name} FROM '{lora}'")
    ask = lambda m, a: [db.one(f"SELECT logprob('{m}', $1, ' the end of it', adapter := {a})", p) for p in PROMPTS[:8]]
    bare, with_cpu, with_gpu = ask("tinygpu", "NULL"), ask("tinycpu", "'polite_tinycpu'"), ask("tinygpu", "'polite_tinygpu'")
    say("LoRA on tiny.gguf: logprob, gpu and cpu", f"apart by at most {max(abs(a - b) for a, b in zip(with_gpu, with_cpu)):.4f}; "
        f"the adapter itself moves it by up to {max(abs(a - b) for a, b in zip(with_gpu, bare)):.4f}")
    if not adapter:
        return
    for name in ("cpu", "gpu"):
        db(f"CREATE OR REPLACE ADAPTER small_{name} FOR MODEL {name} FROM '{adapter}'")
    texts = lambda m: [r[0] for r in db(f"SELECT generate('{m}', text, max_tokens := 32, raw := true, adapter := 'small_{m}:4') FROM ask ORDER BY i")]
    plain = [r[0] for r in db("SELECT generate('gpu', text, max_tokens := 32, raw := true) FROM ask ORDER BY i")]
    cpu, gpu = texts("cpu"), texts("gpu")
    say("LoRA on the model: texts, gpu and cpu", f"{sum(a == b for a, b in zip(cpu, gpu))} of {len(gpu)} equal; "
        f"{sum(a != b for a, b in zip(plain, gpu))} differ from those without it")


def same(db, adapter):
    idle = gpu_memory()
    db.model("cpu", gpu_layers=0, context_length=512)
    db.model("gpu", gpu_layers=-1, context_length=512)
    db.model("half", gpu_layers=9, context_length=512)
    db.table("ask", PROMPTS)
    db.table("texts", TEXTS)
    for name in ("cpu", "gpu", "half"):
        before, begun = gpu_memory(), time.perf_counter()
        db(f"ALTER MODEL {name} LOAD")
        took, after = time.perf_counter() - begun, gpu_memory()
        say(f"{name} loaded", f"{took:.1f} s, GPU memory {before} -> {after} MiB")
    names = ["cpu", "half", "gpu"]
    for part in (texts_same, vectors_same, scores_same, grammars_same, sampled):
        attempt(part, db, names)
    attempt(adapters_same, db, adapter)
    say("GPU memory before, and with all these loaded", f"{idle}, {gpu_memory()} MiB")


# --- work ---

def shares(db, writer):
    instruction = writer.text(random.Random(1), 200)
    rows = [instruction + " " + writer.text(random.Random(i), 10) for i in range(200)]
    db.table("instructed", rows)
    begun = time.perf_counter()
    texts = [r[0] for r in db("SELECT generate('gpu', text, max_tokens := 8, raw := true) FROM instructed ORDER BY i")]
    used = db.used()
    cpu = [r[0] for r in db("SELECT generate('cpu', text, max_tokens := 8, raw := true) FROM instructed ORDER BY i LIMIT 40")]
    say("200 rows with a beginning of 200 tokens", f"{time.perf_counter() - begun:.2f} s with the CPU's 40; {used['shared']} of {used['prompt']} prompt tokens shared; "
        f"{sum(a == b for a, b in zip(texts, cpu))} of {len(cpu)} texts as on the CPU")
    assert used["shared"] > 150 * len(rows), used


def cancels(db, server, writer):
    db.table("long", [writer.text(random.Random(i), 30) for i in range(4000)])
    statement = "SELECT generate('gpu', text, max_tokens := 400, raw := true, ignore_eos := true) FROM long"
    busy = lambda: db.one("SELECT busy + queued FROM ai.engines WHERE model = 'gpu'")
    child = subprocess.Popen([BINARY, "sql", statement], env=server.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not busy() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    was, begun = busy(), time.perf_counter()
    child.send_signal(signal.SIGINT)
    errors = child.communicate(timeout=60)[1]
    ended = time.perf_counter() - begun
    while busy() and time.perf_counter() - begun < 30:
        time.sleep(0.005)
    say("Ctrl-C", f"{was} rows in the engine, exit code {child.returncode} after {ended * 1000:.0f} ms, engine empty after "
        f"{(time.perf_counter() - begun) * 1000:.0f} ms; {errors.strip()[:80]!r}")
    say("the next statement", db.one("SELECT generate('gpu', 'The capital of France is', max_tokens := 4, raw := true)"))


def killed(db):
    before = gpu_memory()
    pid = db.one("SELECT pid FROM ai.engines WHERE model = 'gpu'")
    os.kill(pid, signal.SIGKILL)
    time.sleep(1)
    gone = gpu_memory()
    text = db.one("SELECT generate('gpu', 'The capital of France is', max_tokens := 4, raw := true, on_error := 'fail')")
    say("engine killed", f"GPU memory {before} -> {gone} MiB, and answers again: {text!r}, restarts {db.one('''SELECT restarts FROM ai.engines WHERE model = 'gpu' ''')}")


def given_back(db):
    before = gpu_memory()
    for name in ("gpu", "half", "cpu", "tinygpu", "tinycpu"):
        try:
            db(f"ALTER MODEL {name} UNLOAD")
        except RuntimeError:
            pass
    deadline = time.monotonic() + 5
    while (gpu_memory() or 0) > 50 and time.monotonic() < deadline:
        time.sleep(0.2)
    say("all unloaded", f"GPU memory {before} -> {gpu_memory()} MiB")


def too_large(db):
    """Models with the longest context in the most slots, until one finds no room."""
    names = []
    while len(names) < 8:
        names.append(f"large{len(names)}")
        db.model(names[-1], gpu_layers=-1, context_length=32768, slots=256)
        try:
            db(f"ALTER MODEL {names[-1]} LOAD")
        except RuntimeError as e:
            say(f"context number {len(names)} beyond the GPU's memory", str(e)[:500])
            break
        print(f"    {names[-1]} loaded, GPU memory {gpu_memory()} MiB", flush=True)
    say("after it", db.one("SELECT generate('gpu', 'The capital of France is', max_tokens := 4, raw := true)"))
    for name in names:
        db(f"DROP MODEL {name}")


def work(db, server, writer):
    db.model("cpu", gpu_layers=0, context_length=512)
    db.model("gpu", gpu_layers=-1, context_length=512)
    attempt(shares, db, writer)
    attempt(cancels, db, server, writer)
    attempt(killed, db)
    if gpu_memory() is not None:
        attempt(too_large, db)
    attempt(given_back, db)


# --- speed ---

def rate(db, model, rows, run, writer):
    """rows/s of generate, and the engine's counters for it."""
    rng = random.Random(f"{workloads.SEED} gpu {run} {model}")
    db.table("prompts", [writer.text(rng, 32 - writer.start) for _ in range(rows)])
    before, begun = db.counters(model), time.perf_counter()
    got = db(f"SELECT i, generate('{model}', text, max_tokens := 32, raw := true, ignore_eos := true) FROM prompts")
    seconds = time.perf_counter() - begun
    assert len(got) == rows and all(t is not None for _, t in got), "a row failed"
    after = db.counters(model)
    spent = {k: after[k] - before[k] for k in after}
    return rows / seconds, spent


def other_rates(db, models, writer, args):
    for name, model in models.items():
        rows = args.rows if name != "cpu" else args.cpu_rows
        for what, call in (("embed", "embed('{m}', text)"), ("ai_classify", "ai_classify(text, ['good', 'bad', 'other'], model := '{m}')"),
                           ("logprob", "logprob('{m}', text, ' the end')")):
            rates = []
            for run in range(2):
                db.table("t", [writer.text(random.Random(f"{what} {name} {run} {i}"), 64 - writer.start) for i in range(rows)])
                begun = time.perf_counter()
                got = db(f"SELECT {call.format(m=model)} FROM t")
                rates.append(rows / (time.perf_counter() - begun))
                assert all(r[0] is not None for r in got)
            say(f"{what}, {rows} texts of 64 tokens, {name}", " ".join(f"{r:.0f}" for r in rates) + " rows/s, two runs")


def speed(db, args, writer):
    sides = {"cpu": dict(gpu_layers=0, slots=32)}
    for n in args.slots:
        sides[f"gpu{n}"] = dict(gpu_layers=-1, slots=n)
    for n in args.slots:
        sides[f"gpu{n}, batch_size 2048"] = dict(gpu_layers=-1, slots=n, batch_size=2048)
    most = max(args.slots)
    sides[f"gpu{most}, threads 1"] = dict(gpu_layers=-1, slots=most, threads=1)  # one that chooses tokens, too
    sides = {n: o for n, o in sides.items() if n[:3] in args.sides.split(",")}
    rates, spent, memory, named = {n: [] for n in sides}, {}, {}, {n: f"m{i}" for i, n in enumerate(sides)}
    for name, options in sides.items():
        before = gpu_memory()
        db.model(named[name], context_length=args.row_tokens, **options)
        db(f"ALTER MODEL {named[name]} LOAD")
        memory[name] = (gpu_memory() or 0) - (before or 0)
        rate(db, named[name], 64, "warm", writer)
    for run in range(args.runs):
        for name in list(sides) if run % 2 == 0 else list(sides)[::-1]:
            got, spent[name] = rate(db, named[name], args.rows if name != "cpu" else args.cpu_rows, run, writer)
            rates[name].append(got)
    for name in sides:
        s = spent[name]
        each = lambda k: s[k] / max(1, s["steps"]) * 1000
        say(f"generate, {name}", f"{spread(rates[name], 1)} rows/s of {len(rates[name])} runs; GPU memory +{memory[name]} MiB; "
            f"a step {each('step_seconds'):.2f} ms, of it choosing {each('sample_seconds'):.2f}, else {each('overhead_seconds'):.2f}; {s['steps']} steps")
    attempt(other_rates, db, {n: named[n] for n in ("cpu", f"gpu{most}") if n in named}, writer, args)
    for name in named.values():
        db(f"ALTER MODEL {name} UNLOAD")


# --- peers ---

def batched(args):
    rates = {n: [] for n in args.slots}
    for _ in range(args.runs):
        command = [args.peers / "llama-batched-bench", "-m", MODEL, "-ngl", 99, "-c", max(args.slots) * 128, "--no-kv-unified", "-b", 2048, "-ub", 512,
                   "-npp", 32, "-ntg", 32, "-npl", ",".join(map(str, args.slots)), "--output-format", "jsonl"]
        done = subprocess.run([str(a) for a in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
        found = [json.loads(t) for t in (done.stdout + done.stderr).splitlines() if t.startswith("{")]
        assert done.returncode == 0 and found, (done.stdout + done.stderr)[-1500:]
        for f in found:
            rates[f["pl"]].append((f["pl"] / f["t"], f["t_tg"] / 32 * 1000, f["speed_pp"]))
    for n, r in rates.items():
        say(f"llama-batched-bench, {n} sequences", f"{spread([x[0] for x in r], 1)} rows/s of {len(r)} runs; a step {spread([x[1] for x in r])} ms; prefill {statistics.median(x[2] for x in r):.0f} tokens/s")


class LlamaServer:
    """llama-server with all layers on the GPU, a KV stream per slot."""

    def __init__(self, args, slots, *flags):
        self.port = 18000 + random.randrange(1000)
        command = [args.peers / "llama-server", "-m", MODEL, "-ngl", 99, "--host", "127.0.0.1", "--port", self.port, "-np", slots,
                   "-c", slots * args.row_tokens, "--no-kv-unified", "--threads-http", 2 * slots + 4, "--offline", *flags]
        self.log = tempfile.TemporaryFile()
        self.child = subprocess.Popen([str(a) for a in command], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 60
        while not self.healthy():
            if self.child.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise RuntimeError(self.log.read().decode()[-1500:])
            time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait(30)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def healthy(self):
        try:
            conn = self.connect()
            conn.request("GET", "/health")
            return conn.getresponse().status == 200
        except OSError:
            return False

    def ask(self, conn, prompt, **options):
        body = {"prompt": prompt, "temperature": 0, "samplers": ["temperature"], "n_predict": 32, **options}
        conn.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        reply = conn.getresponse()
        answer = json.loads(reply.read())
        assert reply.status == 200, answer
        return answer

    def rate(self, prompts, clients):
        """rows/s of a pool of clients."""
        left, failed = queue.SimpleQueue(), []
        for p in prompts:
            left.put(p)

        def client():
            try:
                conn = self.connect()
                while True:
                    answer = self.ask(conn, left.get_nowait(), ignore_eos=True)
                    assert answer["timings"]["predicted_n"] == 32, answer
            except queue.Empty:
                pass
            except Exception as e:  # whatever it is, the run is void and says why
                failed.append(e)

        threads, begun = [threading.Thread(target=client) for _ in range(clients)], time.perf_counter()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failed, failed[0]
        return len(prompts) / (time.perf_counter() - begun)


def as_llama_server(db, args):
    db.model("gpu", gpu_layers=-1, context_length=args.row_tokens)
    ours = [db.one("SELECT generate('gpu', $1, max_tokens := 32, raw := true)", p) for p in PROMPTS]
    with LlamaServer(args, 1) as server:
        theirs = [server.ask(server.connect(), p)["content"] for p in PROMPTS]
    say("gpu, row by row, and llama-server on it", f"{sum(a == b for a, b in zip(ours, theirs))} of {len(ours)} equal")
    db("ALTER MODEL gpu UNLOAD")


def llama_server(args, writer, slots):
    rows = min(args.rows, 256)
    with LlamaServer(args, slots, "--swa-full") as server:
        prompts = lambda key, n: [writer.text(random.Random(f"{key} {slots} {i}"), 32 - writer.start) for i in range(n)]
        server.rate(prompts("warm", 32), 2 * slots)
        rates = [server.rate(prompts(i, rows), 2 * slots) for i in range(args.runs)]
        say(f"llama-server, {slots} slots, {2 * slots} clients", f"{spread(rates, 1)} rows/s of {len(rates)} runs of {rows} rows; GPU memory {gpu_memory()} MiB in all")


def arguments():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--parts", default="same,work,speed")
    args.add_argument("--runs", type=int, default=3)
    args.add_argument("--rows", type=int, default=1000)
    args.add_argument("--cpu-rows", type=int, default=256)
    args.add_argument("--sides", default="cpu,gpu", help="of speed")
    args.add_argument("--slots", default="32,64,128,256")
    args.add_argument("--row-tokens", type=int, default=512, help="context per slot")
    args.add_argument("--adapter", type=Path, help="a LoRA for the model: bench/adapters.py writes some")
    args.add_argument("--peers", type=Path, help="folder of llama-batched-bench and llama-server, built with the same backend")
    args.add_argument("--json", type=Path)
    args = args.parse_args()
    args.slots = [int(n) for n in args.slots.split(",")]
    args.parts = args.parts.split(",")
    return args


def main():
    args = arguments()
    with tempfile.TemporaryDirectory() as folder:
        reach = {MODEL.parent, ROOT / "testdata", *([args.adapter.parent.absolute()] if args.adapter else [])}
        # The budget counts a GPU's memory as the machine's: it would refuse the context that is to fail on the GPU.
        server = Server(Path(folder)).start("--memory-budget", "4TB", *(a for path in reach for a in ("--allow-dir", path)))
        try:
            db = Database(server)
            db.model("words", gpu_layers=0, context_length=512, slots=1)
            def count(texts):
                db.table("counted", texts)
                return [n + 1 for n, in db("SELECT count_tokens('words', text) FROM counted ORDER BY i")]
            writer = workloads.Writer(count)
            db("ALTER MODEL words UNLOAD")
            if "same" in args.parts:
                same(db, args.adapter and args.adapter.absolute())
            if "work" in args.parts:
                work(db, server, writer)
            if "speed" in args.parts:
                attempt(speed, db, args, writer)
            if "peers" in args.parts:
                attempt(as_llama_server, db, args)
                for slots in args.slots[:2]:
                    attempt(llama_server, args, writer, slots)
                attempt(batched, args)
        finally:
            try:
                server.stop()
            finally:
                print((Path(folder) / "server.log").read_text()[-1500:] if any("FAILED" in k for k in SAID) else "", end="")
    if args.json:
        args.json.write_text(json.dumps(SAID, indent=1) + "\n")


if __name__ == "__main__":
    main()
