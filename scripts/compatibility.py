"""Writes the table of docs/compatibility.md from what the suites reported: `make conformance` runs them and this.

Argument: a folder with the outputs of `go test -json` (*.json) and of pytest's --junitxml (*.xml). Exit code 1 where a
test failed that is not expected to, or a suite of the table did not run.
"""

import ast
import json
import re
import sys
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "compatibility.md"

# Suite, client, tests: a pattern of what Case.name begins with. "{x}" is the version of x.
ROWS = [
    ("arrow-adbc's validation suite", "Go ADBC driver {github.com/apache/arrow-adbc/go/adbc}", r"go tests/adbc TestValidation/"),
    ("Flight SQL, as Go's clients use it", "arrow-go {github.com/apache/arrow-go/v18}, Go ADBC driver {github.com/apache/arrow-adbc/go/adbc}",
     r"go flightsql Test"),
    ("sqllogictest, in process", "none, a session of the database", r"go tests/sql TestLogic/[^/]+/process/"),
    ("sqllogictest, over Flight", "arrow-go {github.com/apache/arrow-go/v18}", r"go tests/sql TestLogic/[^/]+/flight/"),
    ("Python ADBC driver", "adbc-driver-flightsql {adbc-driver-flightsql}", r"py python\."),
    ("JDBC", "flight-sql-jdbc-driver {jdbc}", r"jdbc "),
    ("OpenAI's client", "openai {openai}", r"py rest\.test_openai\."),
    ("greedy output beside llama.cpp's own", "llama.cpp {llama.cpp}", r"go runtime/worker TestGreedyEqualsLlamaCpp"),
]

# Files of tests/clients, which are a row each: title and packages. Of others the first words and the imports are taken.
CLIENTS = {
    "test_dbapi": ("DB-API 2.0 (PEP 249)", ["adbc-driver-flightsql", "dbapi-compliance"]),
    "test_frames": ("pandas and Polars", ["pandas", "polars", "adbc-driver-flightsql"]),
    "test_sqlalchemy": ("SQLAlchemy", ["SQLAlchemy", "sqlalchemy-adbc"]),
    "test_harlequin": ("Harlequin", ["harlequin", "harlequin-adbc"]),
}


@dataclass
class Case:
    """A test that ran: outcome is pass, skip, fail or xfail, which is an expected failure."""

    name: str
    outcome: str
    reason: str = ""


@dataclass
class Row:
    suite: str
    client: str
    cases: list[Case] = field(default_factory=list)

    def cells(self) -> list[str]:
        n = Counter(c.outcome for c in self.cases)
        failed = n["fail"] + n["xfail"]
        reasons = len({c.reason for c in self.cases if c.outcome in ("xfail", "skip")})
        note = "" if self.cases else "did not run"
        if reasons:
            note = f"{reasons} reason{'s' if reasons > 1 else ''}, below"
        return [self.suite, self.client, str(n["pass"]), str(n["skip"]), f"{failed} ({n['xfail']})" if failed else "0", note]


def go_cases(path: Path) -> list[Case]:
    """The leaves of a `go test -json` run: tests that have no parts of their own."""
    ended, output, broken = {}, defaultdict(list), []
    for line in path.read_text().splitlines():
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        package = event.get("Package", "").partition("/")[2]
        key = (package, event.get("Test", ""))
        if event["Action"] in ("pass", "fail", "skip"):
            ended[key] = event["Action"]
        elif event["Action"] == "output":
            output[key].append(event["Output"])
    parents = {(p, t.rpartition("/")[0]) for p, t in ended if "/" in t}
    cases = []
    for (package, test), outcome in ended.items():
        if test and (package, test) not in parents:
            expected = re.search(r"expected failure: (.*)", "".join(output[package, test]))
            if expected and outcome == "pass":
                outcome = "xfail"
            cases.append(Case(f"go {package} {test}", outcome, expected.group(1) if expected else ""))
        elif not test and outcome == "fail" and not any(p == package and t and o == "fail" for (p, t), o in ended.items()):
            broken.append(Case(f"go {package} Test", "fail", "the package did not build, or ended early"))
    return cases + broken


def python_cases(path: Path) -> list[Case]:
    """The tests of a junit file. Those of tests/jdbc stand for the lines they print, one a check."""
    cases = []
    for test in ET.parse(path).getroot().iter("testcase"):
        name = f"{test.get('classname')}.{test.get('name')}"
        skipped = test.find("skipped")
        failed = test.find("failure") is not None or test.find("error") is not None
        if name.startswith("jdbc."):
            checks = jdbc_cases(test.findtext("system-out") or "")
            if failed and not any(c.outcome == "fail" for c in checks):
                checks.append(Case(f"jdbc {name}", "fail", "it ended early"))
            cases += checks
        elif failed:
            cases.append(Case(f"py {name}", "fail"))
        elif skipped is not None:
            cases.append(Case(f"py {name}", "xfail" if skipped.get("type") == "pytest.xfail" else "skip", skipped.get("message", "")))
        else:
            cases.append(Case(f"py {name}", "pass"))
    return cases


def jdbc_cases(out: str) -> list[Case]:
    """Lines as "ok    name (12 ms)", "FAIL  name" and "xfail name (reason)"."""
    cases = []
    for line in out.splitlines():
        if m := re.match(r"(ok|FAIL|xfail) +(.*)", line):
            outcome = {"ok": "pass", "FAIL": "fail", "xfail": "xfail"}[m[1]]
            cases.append(Case(f"jdbc {m[2]}", outcome, m[2] if outcome == "xfail" else ""))
    return cases


def versions() -> dict[str, str]:
    """Versions of everything in go.mod, requirements.txt and the Makefile, by name."""
    found = dict(re.findall(r"^\s*(?:require )?([\w./-]+) v([\w.-]+)", (ROOT / "go.mod").read_text(), re.M))
    for listed in (ROOT / "tests").glob("**/requirements.txt"):
        found |= dict(re.findall(r"^([\w.-]+)==(\S+)", listed.read_text(), re.M))
    makefile = (ROOT / "Makefile").read_text()
    found["jdbc"] = re.search(r"flight-sql-jdbc-driver-([\d.]+)\.jar", makefile)[1]
    found["llama.cpp"] = re.search(r"llama\.cpp (\w+) and", makefile)[1]
    return found


def client_rows(names: dict[str, str], folder: Path) -> list[tuple[str, str, str]]:
    """A row for each file of tests/clients."""
    rows = []
    for path in sorted(folder.glob("test_*.py")):
        title, packages = CLIENTS.get(path.stem, (None, None))
        if title is None:
            tree = ast.parse(path.read_text())
            title = re.split(r"[,:;\n]|\.(?:\s|$)", ast.get_docstring(tree) or path.stem)[0]
            imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
            imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            tops = {i.partition(".")[0].lower() for i in imported} - {"pytest"}
            packages = [n for n in names if n.lower().replace("-", "_") in tops]
        rows.append((title, ", ".join(f"{p} {{{p}}}" for p in packages if p in names) or "none", rf"py clients\.{path.stem}\."))
    return rows


def table(rows: list[Row]) -> str:
    """The table, and under it the reasons of what is expected to fail or was skipped."""
    lines = ["| suite | client and version | pass | skip | fail (expected) | note |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    for row in rows:
        reasons = defaultdict(list)
        for c in row.cases:
            if c.outcome in ("xfail", "skip"):
                reasons[c.reason].append(re.split(r"[ ./]", c.name.partition("[")[0])[-1])  # without parameters
        if reasons:
            lines += ["", f"{row.suite}:", ""]
        for reason, tests in reasons.items():
            told = row.suite != "JDBC"  # there the line has both
            lines.append(f"- {', '.join(f'`{t}`' for t in sorted(set(tests))) + ': ' if told else ''}{' '.join(reason.split())}")
    return "\n".join(lines)


def write(page: str, version: str, body: str) -> str:
    """The page with the version's block replaced, or put before the other versions' where it is new."""
    begin, end = f"<!-- conformance {version} -->", f"<!-- end {version} -->"
    block = f"{begin}\n## hyprstream {version}\n\n{body}\n{end}"
    if begin in page:
        before, rest = page.split(begin, 1)
        return before + block + rest.split(end, 1)[1]
    at = page.find("<!-- conformance ")
    if at < 0:
        return page.rstrip("\n") + "\n\n" + block + "\n"
    return page[:at] + block + "\n\n" + page[at:]


def main(folder: Path) -> int:
    cases = [c for f in sorted(folder.glob("*.json")) for c in go_cases(f)]
    cases += [c for f in sorted(folder.glob("*.xml")) for c in python_cases(f)]
    names = versions()
    defined = ROWS[:5] + client_rows(names, ROOT / "tests" / "clients") + ROWS[5:]
    rows, wrong = [], []
    for suite, client, pattern in defined:
        row = Row(suite, re.sub(r"\{([^}]+)\}", lambda m: names[m[1]], client), [c for c in cases if re.match(pattern, c.name)])
        rows.append(row)
        if not row.cases:
            wrong.append(f"{suite}: nothing ran")
    wrong += [f"{c.name} fails {c.reason}".rstrip() for row in rows for c in row.cases if c.outcome == "fail"]
    version = re.search(r'^var version = "(.*)"', (ROOT / "cmd/hyprstream/version.go").read_text(), re.M)[1]
    PAGE.write_text(write(PAGE.read_text(), version, table(rows)))
    for row in rows:
        print("[conformance]", " | ".join(row.cells()))
    for line in wrong:
        print("[conformance]", line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
