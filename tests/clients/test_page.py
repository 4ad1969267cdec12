"""Every block of docs/clients.md runs as it stands, but for the address."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serving import ROOT, Server

PAGE = (ROOT / "docs" / "clients.md").read_text()
HERE = "127.0.0.1:8815"
JDBC = Path(os.environ.get("HYPRSTREAM_JDBC", ROOT / ".deps" / "jdbc" / "flight-sql-jdbc-driver-18.3.0.jar"))


def blocks(language, token=False):
    """The blocks of a language, in the page's order: those that show a token, or the others."""
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    assert found
    return [b for b in found if ("the token" in b) == token]


def at(server, text):
    assert HERE in text
    return text.replace(HERE, server.flight.removeprefix("grpc://"))


@pytest.mark.filterwarnings("error")
def test_python(server, con):
    for block in blocks("python"):
        names = {}
        exec(at(server, block), names)
        if "engine" in names:
            names["engine"].dispose()
    with con.cursor() as cur:
        cur.execute("SELECT id, body FROM reviews ORDER BY id")
        assert [id for id, _ in cur.fetchall()] == [1, 2, 3]
        cur.execute("SELECT count(answer), (SELECT count(complaint) FROM judged), (SELECT count(v) FROM vectors) FROM answers")
        assert cur.fetchone() == (2, 2, 2)
        for table in ("reviews", "answers", "judged", "vectors"):
            cur.execute(f"DROP TABLE {table}")


def test_token(tmp_path, files):
    guarded = Server(tmp_path)
    guarded.env["HYPRSTREAM_TOKEN"] = "the token"
    guarded.start()
    try:
        block, = blocks("python", token=True)
        for line in block.splitlines():
            names = {}
            exec("from adbc_driver_flightsql import dbapi\n" + at(guarded, line), names)
            with names["con"] as con, con.cursor() as cur:
                cur.execute("SELECT 1")
                assert cur.fetchone() == (1,)
    finally:
        guarded.stop()


def test_shell(server, tmp_path):
    block, = blocks("sh")
    env = os.environ | {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(at(server, block), shell=True, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "(1 row)" in done.stdout, done.stdout + done.stderr


def test_java(server, tmp_path):
    if not JDBC.exists() or not shutil.which("java"):
        pytest.fail("the JDBC driver or Java is not there: run `make test-deps`", pytrace=False)
    block, = blocks("java")
    source = tmp_path / "Page.java"
    source.write_text(f"import java.sql.*;\nclass Page {{\n    public static void main(String[] args) throws Exception {{\n{at(server, block)}}}\n}}\n")
    done = subprocess.run(["java", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-cp", JDBC, source], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.strip(), done.stdout + done.stderr
