"""Runs Types.java with the stock Flight SQL JDBC driver; each of its lines is a check."""

import os
import subprocess
from pathlib import Path

from test_jdbc import DRIVER, HERE, classes  # noqa: F401 (a fixture)

TABLE = Path(HERE).parents[1] / "docs" / "types.md"


def test_types(server, classes):
    subprocess.run(["javac", "-encoding", "UTF-8", "-Werror", "-d", classes, HERE / "Types.java"], check=True)
    done = subprocess.run(
        ["java", "-Dstdout.encoding=UTF-8", "-Dfile.encoding=UTF-8", "-Duser.timezone=UTC", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-Xmx512m",
         "-cp", f"{DRIVER}{os.pathsep}{classes}", "Types", server.flight.replace("grpc://", "jdbc:arrow-flight-sql://"), TABLE],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
