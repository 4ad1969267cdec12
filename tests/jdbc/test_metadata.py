"""Runs Metadata.java with the stock Flight SQL JDBC driver; each of its lines is a check."""

import os
import subprocess

from test_jdbc import DRIVER, HERE, classes  # noqa: F401 (a fixture)


def test_metadata(server, classes):  # noqa: F811
    subprocess.run(["javac", "-Werror", "-d", classes, "-sourcepath", HERE, HERE / "Metadata.java"], check=True)
    done = subprocess.run(
        ["java", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-Xmx1g", "-cp", f"{DRIVER}{os.pathsep}{classes}",
         "Metadata", server.flight.replace("grpc://", "jdbc:arrow-flight-sql://")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
