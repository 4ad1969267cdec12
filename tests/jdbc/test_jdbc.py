"""Runs Conformance.java with the stock Flight SQL JDBC driver; each of its lines is a check."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
DRIVER = Path(os.environ.get("HYPRSTREAM_JDBC", HERE.parents[1] / ".deps" / "jdbc" / "flight-sql-jdbc-driver-18.3.0.jar"))


@pytest.fixture(scope="session")
def classes(tmp_path_factory):
    if not DRIVER.exists():
        pytest.fail(f"{DRIVER} is not there: run `make test-deps`, or name another one in HYPRSTREAM_JDBC", pytrace=False)
    for tool in ("javac", "java"):
        if not shutil.which(tool):
            pytest.fail(f"{tool} is not installed: run `make test-deps`, or install a JDK (17 or later)", pytrace=False)
    out = tmp_path_factory.mktemp("classes")
    subprocess.run(["javac", "-Werror", "-d", out, HERE / "Conformance.java"], check=True)
    return out


def test_conformance(server, classes):
    done = subprocess.run(
        ["java", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-Xmx512m", "-cp", f"{DRIVER}{os.pathsep}{classes}",
         "Conformance", server.flight.replace("grpc://", "jdbc:arrow-flight-sql://")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
