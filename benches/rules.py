#!/usr/bin/env python3
"""Measures the rules over a lake: each rule, the pack, a run over nothing new, and the same SQL on DuckDB.

    CALLTRAIL=path/to/calltrail python3 benches/rules.py LAKE       # needs duckdb and deltalake for the comparison

`make bench` runs it on the lake of the largest capture. The lake is copied, so that its alerts stay as they are. A rule is compared if it
uses no function of ours (docs/sql.md has them all); names that DuckDB merely spells otherwise are replaced.
"""

import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
from rules_table import header  # noqa: E402

# Goals for the pack: calls per core and second, and memory.
LEAST_CALLS, MOST_MEMORY = 50_000, 1024
TABLES = "calls", "observables", "flows", "prompts", "tool_definitions", "connections", "sources", "rejects"
SPELLED = {"regexp_like": "regexp_matches", "make_array": "list_value", "date_bin": "time_bucket", "octet_length": "strlen"}


def ours():
    """Names of our functions, and what only they compute."""
    page = (ROOT / "docs" / "sql.md").read_text().split("## Functions", 1)[1]
    return {*re.findall(r"^\| `(\w+)\(", page, re.M), "json_get_str", "json_get_int", "json_contains", "json_length"}


def literal(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def statement(path):
    """A rule's query with its parameters' defaults."""
    sql = re.sub(r"\A(--.*\n)*", "", path.read_text())
    params = header(path).get("params", {})
    return re.sub(r"\$([a-z_]+)", lambda name: literal(params[name[1]]) if name[1] in params else name[0], sql)


def run(command, stderr):
    start = time.monotonic()
    with open(stderr, "wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return process.returncode, time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20


class Duck:
    """The lake's tables and views in DuckDB, as far as it accepts them."""

    def __init__(self, lake, folder):
        import duckdb
        from deltalake import DeltaTable

        self.database = duckdb.connect(config={"threads": len(os.sched_getaffinity(0)), "memory_limit": "4GB", "temp_directory": str(folder / "duckdb")})
        self.database.execute("SET TimeZone = 'UTC'")
        self.database.execute("CREATE SCHEMA stored")
        for table in TABLES:
            files = DeltaTable(str(lake / table)).file_uris()
            if files:
                self.database.execute(f"CREATE VIEW stored.{table} AS SELECT * FROM read_parquet({files!r}, hive_partitioning = true, union_by_name = true)")
                self.database.execute(f"CREATE VIEW {table} AS SELECT * FROM stored.{table}")
        for view in (ROOT / "queries" / "views").glob("*.sql"):
            try:
                self.database.execute(f"CREATE OR REPLACE VIEW {view.stem} AS {view.read_text()}")
            except duckdb.Error:  # a view that uses a function of ours: rules that read it do too
                pass

    def seconds(self, sql):
        """Wall and CPU time of a statement, or why it did not run."""
        for name, other in SPELLED.items():
            sql = re.sub(rf"\b{name}\(", f"{other}(", sql)
        wall, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        try:
            rows = len(self.database.execute(sql).fetchall())
        except Exception as error:  # noqa: BLE001 - whatever it says goes into the table
            return "not accepted: " + str(error).splitlines()[0][:70]
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return f"{time.monotonic() - wall:8.3f} {cpu:8.3f} {rows:8}"


def count(program, lake, config, rows):
    sql = f"SELECT count(*) FROM {rows}"
    found = subprocess.run([program, "--lake", lake, "--config", config, "--format", "csv", "query", sql], capture_output=True, text=True, check=True)
    return int(found.stdout.split()[-1])


def measure(program, lake, folder, config):
    """Prints the tables; gives the lines that say whether the goals are met."""
    calls = count(program, lake, config, "calls")
    scratch, stderr = folder / "rules-lake", folder / "rules-stderr"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(lake, scratch)
    command = [program, "--lake", scratch, "--config", config, "--color", "never"]
    try:
        # Flows belong to the lake, not to the rules that read them first.
        run([*command, "query", "SELECT count(*) FROM flows"], stderr)
        code, wall, cpu, rss = run([*command, "detect", "--full", "--no-model", "--profile"], stderr)
        profile = [line.split() for line in stderr.read_text(errors="replace").splitlines()]
        paths = {path.stem: path for path in (ROOT / "queries").glob("*/*.sql")}
        rules = {words[0]: words[1:] for words in profile if len(words) == 6 and words[0] in paths}
        if not rules:
            raise SystemExit(f"detect gave no profile: {stderr.read_text(errors='replace')}")
        print(f"\nRules over {calls} calls, all in one process\n{'seconds':>9} {'compute':>8} {'rows read':>10} {'MiB':>7} {'findings':>9}"
              f"   {'DuckDB s':>8} {'CPU s':>8} {'findings':>8}   rule")
        try:
            duck = Duck(scratch, folder)
        except ImportError:
            duck = None
            print("This Python has no DuckDB or no deltalake: nothing is compared.")
        names = re.compile(rf"\b({'|'.join(sorted(ours()))}|result_text)\b")
        for rule, (seconds, compute, rows, mib, findings) in sorted(rules.items(), key=lambda rule: -float(rule[1][0])):
            theirs = ""
            if duck:
                sql = statement(paths[rule])
                used = names.search(sql)
                theirs = f"uses {used[0]}" if used else duck.seconds(sql)
            print(f"{seconds:>9} {compute:>8} {rows:>10} {mib:>7} {findings:>9}   {theirs:26}   {rule}")
        print(f"{wall:9.3f} s, {cpu:.3f} CPU s, {rss:.0f} MiB: the whole command, with reading the columns, evidence and alerts; {len(rules)} rules"
              + ("" if code == 0 else f", exit code {code}"))
        _, again, again_cpu, _ = run([*command, "detect", "--no-model"], stderr)
        print(f"{again:9.3f} s, {again_cpu:.3f} CPU s: again, with nothing new")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    speed = calls / wall / len(os.sched_getaffinity(0))
    return [
        f"{'PASS' if speed >= LEAST_CALLS and code == 0 else 'MISS'}  rules: {speed:.0f} calls per core and second, wanted {LEAST_CALLS} or more",
        f"{'PASS' if rss < MOST_MEMORY else 'MISS'}  rules: peak {rss:.0f} MiB, wanted below {MOST_MEMORY}",
        f"{'PASS' if again < 1 else 'MISS'}  rules: {again:.2f} s with nothing new, wanted below 1",
    ]


def on_lake(measure):
    """Measures the lake that the command line names."""
    program = shutil.which(os.environ.get("CALLTRAIL", "calltrail"))
    if not program or len(sys.argv) != 2:
        raise SystemExit(f"usage: CALLTRAIL=path/to/calltrail {sys.argv[0]} LAKE")
    with tempfile.TemporaryDirectory() as folder:
        folder, lake = pathlib.Path(folder), pathlib.Path(sys.argv[1])
        config = folder / "empty.toml"
        config.write_text("")
        print("\n".join(measure(program, lake, folder, config)))


if __name__ == "__main__":
    on_lake(measure)
