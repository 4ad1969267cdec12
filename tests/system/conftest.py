import pytest

from serving import MODEL, Server


@pytest.fixture(scope="session")
def spaced_model():
    return MODEL


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("data")).start("--allow-dir", MODEL.parent)
    try:
        s("model", "load", MODEL, "--name", "gemma")
        yield s
    finally:
        s.stop()
