"""The commands on a terminal: Ctrl-C cancels a statement or an answer and not the shell, Ctrl-D leaves."""

import os
import pty
import select
import struct
import fcntl
import termios
import time

import pytest

SLOW = "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range * b.range % 7 = 3;\r"


class Terminal:
    """A command on a pseudo terminal that answers no queries, as under expect."""

    def __init__(self, cli, *args, binary):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(binary, [str(binary), *args], {**cli.env, "TERM": "xterm"})
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.seen = ""

    def expect(self, text, seconds=60):
        """Waits for text in what came since the last call."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} did not come; this did:\n{self.seen}"
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    assert text in self.seen, f"it ended without {text!r}:\n{self.seen}"
        before, self.seen = self.seen.split(text, 1)
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def code(self):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("it did not end")

    def close(self):
        if self.pid:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def terminal(files):
    opened = []

    def start(cli, *args):
        opened.append(Terminal(cli, *args, binary=files.binary))
        return opened[-1]

    yield start
    for t in opened:
        t.close()


@pytest.mark.parametrize("where", ["embedded", "server"])
def test_sql_shell(terminal, request, where):
    t = terminal(request.getfixturevalue(where), "sql")
    t.expect("hyprstream> ")
    t.type("SELECT 40\r + 2 AS answer;\r")
    t.expect("│     42 │")
    t.expect("hyprstream> ")
    t.type(SLOW)
    t.expect("= 3;")
    time.sleep(1)
    t.type("\x03")
    t.expect("cancelled", 10)
    t.expect("hyprstream> ")
    t.type("SELECT 'half a state\x03")
    t.expect("^C")
    t.type("SELECT 'still' || ' here' AS s;\r")
    t.expect("│ still here │")
    t.expect("hyprstream> ")
    t.type("\x1b[A\r")  # the last statement again
    t.expect("│ still here │")
    t.expect("hyprstream> ")
    t.type("\x04")
    assert t.code() == 0


def test_sql_statement_interrupted(terminal, embedded):
    t = terminal(embedded, "sql", SLOW)
    time.sleep(1.5)
    t.type("\x03")
    t.expect("hyprstream: interrupted", 10)
    assert t.code() == 130


def test_chat(terminal, server):
    t = terminal(server, "chat")
    t.expect("> ")
    t.type("What is the capital of France?\r")
    t.expect("Paris")
    t.expect("> ")
    t.type("/help\r")
    t.expect("/reset")
    t.expect("> ")
    t.type("\x04")
    assert t.code() == 0


def test_chat_answer_cancelled(terminal, server):
    t = terminal(server, "chat", "--max-tokens", "2000", "--temperature", "1", "--seed", "3")
    t.expect("> ")
    t.type("Tell me a very long story.\r")
    t.expect("\n")
    time.sleep(0.3)
    t.type("\x03")
    t.expect("> ", 10)
    t.type("/quit\r")
    assert t.code() == 0


def test_progress_line(terminal, embedded, spaced_model):
    t = terminal(embedded, "model", "load", str(spaced_model))
    t.expect("importing Gemma 3 270m-Q4_K_M.gguf")
    t.expect("loading gemma-3-270m")
    t.expect("gemma-3-270m is loaded")
    assert t.code() == 0


def test_progress_of_a_query(terminal, server):
    t = terminal(server, "sql", "SELECT generate('gemma', 'Once upon a time ' || range, max_tokens := 64, ignore_eos := true) AS a FROM range(24)")
    t.expect(" of 24 rows", 120)
    t.expect("(24 rows)", 300)
    assert t.code() == 0
