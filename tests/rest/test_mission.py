"""The commands of the README, on a path with spaces, with a server and without one."""

import json
import subprocess


def test_model_load_told_what_it_loaded(server):
    assert "gemma is loaded: gemma3, 268M parameters, Q4_K_M" in server.loaded.stdout
    assert "Next: hyprstream chat" in server.loaded.stdout


def test_chat_about_itself(server):
    assert len(server("chat", "Hello, tell me about yourself").stdout.strip()) > 10


def test_two_and_two(server):
    assert "4" in server("chat", stdin="What is 2+2?\n").stdout


def test_capital(server):
    assert "Paris" in server("chat", "What is the capital of France?").stdout


def test_curl(server):
    done = subprocess.run(["curl", "-sS", "-X", "POST", server.http + "/v1/chat/completions", "-d",
                           '{"messages":[{"role":"user","content":"What is the capital of France?"}]}'],
                          capture_output=True, text=True, timeout=120, check=True)
    assert "Paris" in json.loads(done.stdout)["choices"][0]["message"]["content"]


def test_loading_again_is_friendly(server, spaced_model):
    assert "It was imported before" in server("model", "load", spaced_model, "--name", "gemma").stdout


def test_argument_and_pipe(server):
    """The argument, a blank line, then stdin."""
    both = server("chat", "Who wrote this?", stdin="To be, or not to be.\n").stdout
    assert both and both == server("chat", "Who wrote this?\n\nTo be, or not to be.").stdout


def test_prompt_with_a_pipe_nobody_writes_to(server):
    """A program that starts the command may leave a pipe open."""
    p = subprocess.Popen([server.process.args[0], "chat", "What is the capital of France?"], env=server.env,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out = p.stdout.read()
        assert p.wait(60) == 0 and "Paris" in out and "nothing came on stdin" in p.stderr.read()
    finally:
        p.stdin.close()
        p.stdout.close()
        p.stderr.close()


def test_options(server):
    assert server("chat", "--max-tokens", "3", "Count to a hundred").stderr.startswith("(cut off at 3 tokens")
    done = server("chat", "--model", "nosuch", "hi", check=False)
    assert done.returncode == 1 and "[MODEL_NOT_FOUND]" in done.stderr and "nosuch" in done.stderr


def test_session_is_continued(server):
    server("chat", "--session", "trip", "What is the capital of France?")
    server("chat", "--session", "trip", "And of Italy?")
    kept = json.loads(server("sql", "SELECT role, content FROM ai.messages WHERE session = 'trip' ORDER BY seq", "--format", "json").stdout)
    assert [m["role"] for m in kept] == ["user", "assistant", "user", "assistant"] and "Paris" in kept[1]["content"]


def test_embedded(embedded, spaced_model):
    """All of it without a server; the name comes from the file's."""
    done = embedded("chat", "hi", check=False)
    assert done.returncode == 1 and "[MODEL_NOT_FOUND]" in done.stderr and "model load" in done.stderr
    assert "gemma-3-270m is loaded" in embedded("model", "load", spaced_model).stdout
    assert "Paris" in embedded("chat", "What is the capital of France?").stdout
    assert "4" in embedded("chat", stdin="What is 2+2?").stdout
    out = embedded("sql", "--format", "csv", "SELECT generate('gemma-3-270m', 'The opposite of hot is', max_tokens := 4) AS a").stdout
    assert "cold" in out
    listed = json.loads(embedded("model", "list", "--format", "json").stdout)
    assert [m["name"] for m in listed] == ["gemma-3-270m"] and listed[0]["default"] == "default"
    assert "sha256" in embedded("model", "show", "gemma-3-270m").stdout
    embedded("model", "rm", "gemma-3-270m")
    assert embedded("model", "list").stderr.startswith("There are no models yet")
    missing = embedded("model", "rm", "gemma-3-270m", check=False)
    assert missing.returncode == 1 and "[MODEL_NOT_FOUND]" in missing.stderr
    wrong = embedded("model", "load", "/no/such file.gguf", check=False)
    assert wrong.returncode == 1 and "there is no file /no/such file.gguf" in wrong.stderr
