"""scripts/compatibility.py, which makes the table of docs/compatibility.md from what the suites report."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("compatibility", ROOT / "scripts" / "compatibility.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["compatibility"] = module
    spec.loader.exec_module(module)
    return module


def go_run(path, *events):
    path.write_text("\n".join(json.dumps({"Package": "hyprstream/tests/x"} | e) for e in events))
    return path


def test_go_leaves_are_counted(script, tmp_path):
    run = go_run(
        tmp_path / "go.json",
        {"Action": "output", "Test": "TestA/two", "Output": "    x_test.go:1: expected failure: not there\n"},
        {"Action": "pass", "Test": "TestA/one"}, {"Action": "pass", "Test": "TestA/two"}, {"Action": "pass", "Test": "TestA"},
        {"Action": "skip", "Test": "TestB"}, {"Action": "fail", "Test": "TestC"}, {"Action": "fail"})
    have = {(c.name, c.outcome, c.reason) for c in script.go_cases(run)}
    assert have == {("go tests/x TestA/one", "pass", ""), ("go tests/x TestA/two", "xfail", "not there"),
                    ("go tests/x TestB", "skip", ""), ("go tests/x TestC", "fail", "")}


def test_a_package_that_did_not_build_is_a_failure(script, tmp_path):
    assert [c.outcome for c in script.go_cases(go_run(tmp_path / "go.json", {"Action": "fail"}))] == ["fail"]


def test_python_outcomes_and_jdbc_lines(script, tmp_path):
    junit = tmp_path / "python.xml"
    junit.write_text("""<testsuites><testsuite>
        <testcase classname="python.test_a" name="test_one"/>
        <testcase classname="python.test_a" name="test_two"><skipped type="pytest.xfail" message="the driver's"/></testcase>
        <testcase classname="python.test_a" name="test_three"><failure>no</failure></testcase>
        <testcase classname="python.test_a" name="test_four"><skipped type="pytest.skip" message="not here"/></testcase>
        <testcase classname="jdbc.test_jdbc" name="test_x"><system-out>ok    tables (3 ms)\nxfail driver: cancel (null)\n      more\n</system-out></testcase>
        <testcase classname="jdbc.test_jdbc" name="test_y"><failure>java is gone</failure></testcase>
        </testsuite></testsuites>""")
    have = [(c.name.split(" ")[0], c.outcome) for c in script.python_cases(junit)]
    assert have == [("py", "pass"), ("py", "xfail"), ("py", "fail"), ("py", "skip"), ("jdbc", "pass"), ("jdbc", "xfail"), ("jdbc", "fail")]


def test_reasons_name_their_tests(script):
    row = script.Row("s", "c 1", [
        script.Case("py clients.test_a.TestA.test_x[VALUES (1)-Err]", "xfail", "the driver's"), script.Case("py clients.test_a.test_x[b.c]", "xfail", "the driver's"),
        script.Case("py clients.test_a.test_y", "pass"), script.Case("py clients.test_a.test_z", "fail")])
    out = script.table([row]).splitlines()
    assert out[2] == "| s | c 1 | 1 | 0 | 3 (2) | 1 reason, below |"
    assert out[-1] == "- `test_x`: the driver's"


def test_a_new_version_leaves_the_old_tables(script):
    page = script.write("# Page\n", "0.1", "first")
    page = script.write(page, "0.2", "second")
    page = script.write(page, "0.1", "again")
    assert page.index("second") < page.index("again") and "first" not in page
    assert page == script.write(page, "0.2", "second")


def test_the_page_has_this_version(script):
    version = re.search(r'^var version = "(.*)"', (ROOT / "cmd/hyprstream/version.go").read_text(), re.M)[1]
    page = script.PAGE.read_text()
    assert f"## hyprstream {version}\n" in page, "run `make conformance`"
    for suite, _, _ in script.ROWS:
        assert f"| {suite} |" in page, "run `make conformance`"
    assert "| did not run |" not in page
