"""Harlequin, the SQL shell for terminals, with its stock ADBC adapter: the application itself, headless, and its command hsql.

duckdb is pinned to a version before 1.4: harlequin-adbc (0.1.2) makes its catalog with it, and takes what a later one gives for a table.
"""

import asyncio
import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harlequin import Harlequin
from harlequin_adbc import HarlequinAdbcAdapter

# The adapter closes none of its cursors, so the driver complains of each that is collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PROMPT = "SELECT generate('gemma', 'Q: What is the capital of France?' || chr(10) || 'A:', max_tokens := 12) AS answer"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Its settings, caches and logs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for kind in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))


class Shell:
    """What a user does at the keyboard and sees, after what the application does meanwhile."""

    def __init__(self, app, pilot):
        self.app, self.pilot = app, pilot

    async def until(self, look, timeout=60):
        deadline = time.monotonic() + timeout
        while not (seen := look()):
            assert time.monotonic() < deadline, "never came"
            await self.pilot.pause()
        return seen

    async def open(self, *path):
        """The labels below a node of the catalog; a path is of names."""
        node = self.app.data_catalog.database_tree.root
        for name in path:
            node.expand()
            node = await self.until(lambda: next((n for n in node.children if str(n.label).split()[0] == name), None))
        node.expand()
        await self.until(lambda: node.children)
        return [str(n.label).split()[0] for n in node.children]

    async def query(self, sql, columns):
        """The rows that the results pane shows under these columns."""
        def shown():
            table = self.app.results_viewer.get_visible_table()
            if table and [str(c.label).split()[0] for c in table.ordered_columns] == columns and table.row_count:
                return [tuple(table.get_row_at(n)) for n in range(table.row_count)]
        await self.run(sql)
        return await self.until(shown)

    async def run(self, sql):
        self.app.editor.text = sql
        self.app.editor.focus()
        await self.pilot.press("ctrl+j")


def use(server, steps):
    async def session():
        adapter = HarlequinAdbcAdapter((server.flight,), driver_type="flightsql")
        app = Harlequin(adapter, record_history=False)
        async with app.run_test(size=(160, 50)) as pilot:
            shell = Shell(app, pilot)
            await shell.until(lambda: app.editor and app.connection and app.data_catalog.database_tree.root.children)
            await steps(shell)
    asyncio.run(session())
    gc.collect()  # while the server is there


def test_catalog(server, cur):
    async def steps(shell):
        assert await shell.open() == ["hyprstream"]
        assert {"ai", "main"} <= set(await shell.open("hyprstream"))
        assert {"models", "prompts", "usage"} <= set(await shell.open("hyprstream", "ai"))
        assert "shelf" in await shell.open("hyprstream", "main")
        assert await shell.open("hyprstream", "main", "shelf") == ["id", "title"]

    cur.execute("CREATE OR REPLACE TABLE shelf (id INTEGER, title VARCHAR)")
    use(server, steps)
    cur.execute("DROP TABLE shelf")


def test_rows(server):
    async def steps(shell):
        assert await shell.query("SELECT range AS n, 'row ' || range AS s FROM range(3)", ["n", "s"]) == [(n, f"row {n}") for n in range(3)]
        (answer,), = await shell.query(PROMPT, ["answer"])
        assert "Paris" in answer
        (name,), = await shell.query("SELECT name FROM ai.models WHERE name = 'gemma'", ["name"])
        assert name == "gemma"

    use(server, steps)


def test_errors_are_shown(server):
    async def steps(shell):
        await shell.run("SELECT * FROM nowhere")
        await shell.until(lambda: len(shell.app.screen_stack) > 1)
        assert any("nowhere does not exist" in str(w.render()) for w in shell.app.screen.query("*"))
        await shell.pilot.press("escape")
        assert await shell.query("SELECT 42 AS n", ["n"]) == [(42,)]

    use(server, steps)


def hsql(server, *args):
    command = Path(sys.executable).with_name("hsql")
    done = subprocess.run([command, "-a", "adbc", "--driver-type", "flightsql", server.flight, *args],
                          env=os.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_command(server):
    code, out, err = hsql(server, "-c", PROMPT)
    assert code == 0 and "Paris" in out and "(1 row)" in out, (out, err)
    code, out, err = hsql(server, "--catalog", "--path", "hyprstream.ai")
    assert code == 0 and "models" in out, (out, err)


def test_command_tells_errors(server):
    code, _, err = hsql(server, "-c", "SELECT generate('no such model', 'x')")
    assert code == 1 and "[MODEL_NOT_FOUND]" in err, err
