"""What dies, and what goes on: engines killed at work, the server killed at work, clients that vanish, damaged files."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from adbc_driver_flightsql import dbapi

from serving import ROOT, Server

TINY = ROOT / "testdata" / "tiny.gguf"
PROMPTS = "SELECT i AS id, 'Once upon a time there was a number ' || i AS prompt FROM range({}) r(i)"


def query(server, sql, *params):
    with dbapi.connect(server.flight, autocommit=True) as conn, conn.cursor() as cur:
        cur.execute(sql, params or None)
        return cur.fetchall()


def engine(server, model):
    """Process id and restarts of a model's engine."""
    return query(server, f"SELECT pid, restarts FROM ai.engines WHERE model = '{model}'")[0]


def wait_for(what, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        got = what()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError("waited too long")


def busy(server):
    return query(server, "SELECT coalesce(sum(busy), 0) FROM ai.engines")[0][0] > 0


@pytest.fixture()
def tiny(tmp_path):
    """A server with the tiny random model."""
    server = Server(tmp_path).start("--allow-dir", ROOT, "--allow-dir", tmp_path)
    try:
        query(server, f"CREATE MODEL tiny FROM '{TINY}' WITH (slots = 8)")
        yield server
    finally:
        server.stop()


def run_in_thread(server, sql):
    out = {}

    def go():
        try:
            out["rows"] = query(server, sql)
        except Exception as e:
            out["error"] = str(e)

    t = threading.Thread(target=go)
    t.start()
    return t, out


def test_engine_killed_once_loses_no_row(server):
    query(server, "ALTER MODEL gemma LOAD")
    pid, restarts = engine(server, "gemma")
    thread, out = run_in_thread(
        server, f"SELECT id, generate('gemma', prompt, max_tokens := 16, ignore_eos := true) FROM ({PROMPTS.format(100)})")
    wait_for(lambda: busy(server))
    time.sleep(1)
    os.kill(pid, signal.SIGKILL)
    thread.join(240)
    assert "error" not in out, out
    assert len(out["rows"]) == 100 and all(text for _, text in out["rows"])
    after = engine(server, "gemma")
    assert after[0] != pid and after[1] == restarts + 1


def test_engine_killed_twice_fails_the_statement_only(tiny):
    query(tiny, "ALTER MODEL tiny LOAD")
    thread, out = run_in_thread(
        tiny, f"SELECT generate('tiny', prompt, max_tokens := 1900, ignore_eos := true) FROM ({PROMPTS.format(100)})")
    for _ in range(2):
        wait_for(lambda: busy(tiny))
        os.kill(engine(tiny, "tiny")[0], signal.SIGKILL)
        time.sleep(0.5)
    thread.join(60)
    assert "ENGINE_DIED" in out.get("error", ""), out
    assert query(tiny, "SELECT generate('tiny', 'hello', max_tokens := 4, ignore_eos := true)")[0][0]


def test_engines_end_with_a_killed_server(tmp_path):
    server = Server(tmp_path).start("--allow-dir", ROOT)
    query(server, f"CREATE MODEL tiny FROM '{TINY}'")
    query(server, "ALTER MODEL tiny LOAD")
    pid, _ = engine(server, "tiny")
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])
    server.start("--allow-dir", ROOT)
    try:
        assert query(server, "SELECT name FROM ai.models") == [("tiny",)]
        assert query(server, "SELECT generate('tiny', 'hello', max_tokens := 4, ignore_eos := true)")[0][0]
    finally:
        server.stop()


@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_server_killed_during_create_model(tmp_path, spaced_model, after):
    """Whatever the moment, the next start finds the model whole or not at all, and can make it."""
    server = Server(tmp_path).start("--allow-dir", spaced_model.parent)
    thread, _ = run_in_thread(server, f"CREATE MODEL gemma FROM '{spaced_model}'")
    time.sleep(after)
    server.process.kill()
    server.process.wait()
    thread.join(30)
    server.start("--allow-dir", spaced_model.parent)
    try:
        if not query(server, "SELECT name FROM ai.models"):
            query(server, f"CREATE MODEL gemma FROM '{spaced_model}'")
        assert query(server, "SELECT name, bytes FROM ai.models") == [("gemma", spaced_model.stat().st_size)]
        assert query(server, "SELECT count_tokens('gemma', 'one two three')")[0][0] > 0
    finally:
        server.stop()


VANISH = """
import os, sys
from adbc_driver_flightsql import dbapi
conn = dbapi.connect(sys.argv[1])
cur = conn.cursor()
cur.execute("SELECT text FROM generate_stream('gemma', 'Once upon a time', max_tokens := 2000, ignore_eos := true)")
reader = cur.fetch_record_batch()
reader.read_next_batch()
os.kill(os.getpid(), 9)
"""


def test_client_that_vanishes_in_mid_stream(server):
    query(server, "ALTER MODEL gemma LOAD")
    for _ in range(3):
        gone = subprocess.run([sys.executable, "-c", VANISH, server.flight], capture_output=True, timeout=120)
        assert gone.returncode == -signal.SIGKILL, gone.stderr
        wait_for(lambda: not busy(server), 10)
    assert query(server, "SELECT generate('gemma', 'The capital of France is', max_tokens := 4)")[0][0]


def test_damaged_files(tiny, tmp_path):
    """Each is refused with words, or whatever it does to its engine, the server lives."""
    folder = tmp_path / "damaged"
    listing = subprocess.run([sys.executable, ROOT / "testdata" / "damaged.py", folder], capture_output=True, text=True, check=True)
    cases = [line.split("\t") for line in listing.stdout.splitlines()]
    assert len(cases) >= 20
    for name, verdict, how in cases:
        outcome = "worked"
        try:
            query(tiny, f"CREATE MODEL broken FROM '{folder / name}.gguf'")
            query(tiny, "SELECT generate('broken', 'hello', max_tokens := 4, on_error := 'fail')")
        except dbapi.Error as e:
            outcome = str(e)
        print(f"{name}: {how}: {outcome[:200]}")
        if verdict == "refuse":
            assert "INVALID_MODEL_FILE" in outcome, (name, how, outcome)
        query(tiny, "DROP MODEL IF EXISTS broken")
        assert query(tiny, "SELECT generate('tiny', 'hello', max_tokens := 4, ignore_eos := true)")[0][0], name


def test_cache_survives_a_killed_server(tmp_path):
    """What a statement had computed a second before the kill is not computed again."""
    server = Server(tmp_path).start("--allow-dir", ROOT)
    query(server, f"CREATE MODEL tiny FROM '{TINY}' WITH (slots = 4, context_length = 256)")
    sql = f"SELECT id, generate('tiny', prompt, max_tokens := 150, ignore_eos := true, cache := 'persistent') FROM ({PROMPTS.format(800)})"
    thread, out = run_in_thread(server, sql)
    kept = wait_for(lambda: query(server, "SELECT entries FROM ai.cache")[0][0])
    server.process.kill()
    server.process.wait()
    thread.join(30)
    assert "error" in out and kept < 800, "the statement was over before the kill"
    server.start("--allow-dir", ROOT)
    try:
        rows = query(server, sql)
        assert len(rows) == 800 and all(text for _, text in rows)
        asked, cached, failed, computed = query(server, "SELECT rows, cached_rows, failed_rows, completion_tokens FROM ai.usage ORDER BY finished_at DESC LIMIT 1")[0]
        assert (asked, failed) == (800, 0) and kept <= cached < 800
        assert computed == 150 * (800 - cached)
        assert sorted(query(server, sql)) == sorted(rows)
        assert query(server, "SELECT cached_rows, completion_tokens FROM ai.usage ORDER BY finished_at DESC LIMIT 1") == [(800, 0)]
    finally:
        server.stop()
    assert "damaged" not in (tmp_path / "server.log").read_text()


def test_damaged_cache_does_not_stop_the_server(tmp_path):
    server = Server(tmp_path).start("--allow-dir", ROOT)
    sql = "SELECT generate('tiny', 'hello', max_tokens := 4, ignore_eos := true, cache := 'persistent')"
    query(server, f"CREATE MODEL tiny FROM '{TINY}'")
    answer = query(server, sql)
    server.stop()
    (tmp_path / "cache.db").write_bytes(os.urandom(100_000))
    server.start("--allow-dir", ROOT)
    try:
        assert query(server, sql) == answer
        assert "the cache is damaged" in (tmp_path / "server.log").read_text()
    finally:
        server.stop()


def test_dialogues_survive_a_killed_server(tmp_path):
    """A turn whose answer has come is there after the kill, and the dialogue goes on from it."""
    server = Server(tmp_path).start("--allow-dir", ROOT)
    query(server, f"CREATE MODEL tiny FROM '{TINY}' WITH (slots = 4)")
    answers = [query(server, f"SELECT chat('s', 'turn {i}', max_tokens := 8)")[0][0] for i in range(3)]
    server.process.kill()
    server.process.wait()
    server.start("--allow-dir", ROOT)
    try:
        said = query(server, "SELECT role, content FROM ai.messages WHERE session = 's' ORDER BY seq")
        assert said == [m for i, a in enumerate(answers) for m in (("user", f"turn {i}"), ("assistant", a))]
        assert query(server, "SELECT chat('s', 'and now?', max_tokens := 8)")[0][0]
        assert query(server, "SELECT model, messages FROM ai.sessions") == [("tiny", 8)]
    finally:
        server.stop()


LONG = "Tell me, in a few words, about the sea and the ships that sail on it, and about the harbours where they rest."
SHARED = "SELECT shared_tokens FROM ai.usage WHERE function = 'chat' ORDER BY started_at DESC LIMIT 1"


def test_computed_dialogues_over_stop_and_kill(tmp_path):
    """What was computed outlives an orderly stop; a kill loses what is newer, and one in the midst of the saving harms nothing."""
    server = Server(tmp_path).start("--allow-dir", ROOT)
    try:
        query(server, f"CREATE MODEL tiny FROM '{TINY}' WITH (slots = 4)")
        ask = "SELECT count(chat('s' || i, ? || i, max_tokens := 8)) FROM range(20) r(i)"
        kept = "SELECT kept, count(*), min(tokens) > 60, min(kept_bytes) > 0 FROM ai.sessions GROUP BY ALL"
        query(server, ask, LONG)
        assert query(server, kept) == [("memory", 20, True, True)]
        server.stop()
        files = list((tmp_path / "sessions").iterdir())
        assert len(files) == 20 and all(f.stat().st_mode & 0o777 == 0o600 for f in files)
        server.start("--allow-dir", ROOT)
        assert query(server, kept) == [("disk", 20, True, True)]
        query(server, "SELECT chat('s0', 'and then?', max_tokens := 8)")
        assert query(server, SHARED)[0][0] > 60
        assert sorted(query(server, kept)) == [("disk", 19, True, True), ("memory", 1, True, True)]
        server.process.kill()
        server.process.wait()
        for delay in (None, 0, 0.005, 0.02, 0.05):
            server.start("--allow-dir", ROOT)
            query(server, "SELECT chat('s0', 'and now?', max_tokens := 8)")
            assert query(server, SHARED)[0][0] > 60, "the state of a turn before the kill"
            assert query(server, ask, "and you, number ") == [(20,)]
            if delay is not None:
                server.process.send_signal(signal.SIGTERM)
                time.sleep(delay)
            server.process.kill()
            server.process.wait()
        server.start("--allow-dir", ROOT, "--sessions-size", "0")
        assert query(server, kept) == [("none", 20, False, False)]
        assert query(server, ask, "and you, number ") == [(20,)]
        server.stop()
        assert not list((tmp_path / "sessions").iterdir())
        assert "no use" not in (tmp_path / "server.log").read_text()
    finally:
        server.process.kill()
        server.process.wait()
