"""One server on the real model, started from the built binary, that all client tests share."""

import os
import shutil
from types import SimpleNamespace

import pytest

from serving import BINARY, CLI, MODEL, ROOT, Server


@pytest.fixture(scope="session")
def files():
    for path, variable, make in ((BINARY, "HYPRSTREAM_BIN", "make build"), (MODEL, "HYPRSTREAM_MODEL", "make deps")):
        if not path.exists():
            pytest.fail(f"{path} is not there: run `{make}`, or name another one in {variable}", pytrace=False)
    return SimpleNamespace(root=ROOT, binary=BINARY, model=MODEL)


@pytest.fixture(scope="session")
def spaced_model(tmp_path_factory, files):
    """The model under a path with spaces."""
    folder = tmp_path_factory.mktemp("my models")
    path = folder / "Gemma 3 270m-Q4_K_M.gguf"
    try:
        os.link(files.model, path)
    except OSError:
        shutil.copy(files.model, path)
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory, spaced_model):
    """A server with the real model as its default model, named gemma."""
    s = Server(tmp_path_factory.mktemp("data")).start("--allow-dir", spaced_model.parent)
    try:
        s.loaded = s("model", "load", spaced_model, "--name", "gemma")
        yield s
    finally:
        s.stop()


@pytest.fixture
def embedded(tmp_path, files):
    """Commands on a fresh data directory, without a server."""
    return CLI(tmp_path)
