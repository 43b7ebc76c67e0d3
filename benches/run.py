#!/usr/bin/env python3
"""Measures ingest, rules, model and query on generated captures, beside DuckDB's bare job and on one core.

    CALLTRAIL=path/to/calltrail python3 benches/run.py [MB...]      # sizes, 100 and 1000 unless named
    RUNS=1 ...                                                      # for a quick look

It reports and does not fail: docs/benchmarks.md says how to read the figures. Where the Python that runs it has DuckDB, the two
programs take turns run by run, so that both meet the same machine.
"""

import importlib.util
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import model
import rules

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = pathlib.Path(tempfile.gettempdir()) / "calltrail-bench"
# Linux counts ru_maxrss in KiB, macOS in bytes.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024

# Goals.
LEAST_SPEED = 60  # MB per CPU second
MOST_MEMORY = 512  # MiB, at 1000 MB and above
LEAST_LEAD = 1.4  # DuckDB's time divided by ours, wall and CPU, at the largest size
LEAST_LINEAR = 0.9  # MB per CPU second of the largest size, of the smallest's
LEAST_SCALING = 1.8  # wall time on one core divided by that on two


class Figures:
    """Medians of some runs of one command."""

    def __init__(self):
        self.runs = []

    def add(self, run):
        self.runs.append(run)

    def median(self, at):
        return statistics.median(run[at] for run in self.runs)

    wall = property(lambda self: self.median(0))
    cpu = property(lambda self: self.median(1))
    rss = property(lambda self: self.median(2) / 2**20)


def run(command, stdout, cores=None):
    """Runs a command once: wall seconds, CPU seconds of it and the children it waited for, peak RSS in bytes."""
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    with open(stdout, "wb") as out:
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stdin=subprocess.DEVNULL, preexec_fn=pin)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"exit {process.returncode}: {' '.join(map(str, command))}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * RSS_UNIT


class Bench:
    def __init__(self, program, runs):
        self.program = program
        self.runs = runs
        self.stdout = FOLDER / "stdout"
        # A user's configuration must not change what is measured.
        os.environ.pop("CALLTRAIL_LAKE", None)
        self.config = FOLDER / "empty.toml"
        self.config.write_text("")
        self.verdicts = []

    def calltrail(self, lake, *arguments):
        return [self.program, "--lake", lake, "--config", self.config, "--quiet", "--color", "never", *arguments]

    def summary(self):
        return json.loads(self.stdout.read_text())

    def verdict(self, good, text):
        self.verdicts.append(f"{'PASS' if good else 'MISS'}  {text}")

    def capture(self, mb):
        path = FOLDER / f"capture-{mb}.jsonl"
        generator = HERE / "generate.py"
        if not path.exists() or path.stat().st_mtime < generator.stat().st_mtime:
            subprocess.run([sys.executable, generator, "--mb", str(mb), "--out", path], check=True)
        with open(path, "rb") as capture:  # into the page cache: the disk is not what is measured
            while capture.read(1 << 24):
                pass
        return path

    def ingest(self, mb, duckdb):
        capture, lake, parquet = self.capture(mb), FOLDER / f"lake-{mb}", FOLDER / "duckdb.parquet"
        ours, theirs = Figures(), Figures()
        for _ in range(self.runs):
            shutil.rmtree(lake, ignore_errors=True)
            ours.add(run(self.calltrail(lake, "--format", "json", "ingest", capture), self.stdout))
            if duckdb:
                theirs.add(run([sys.executable, HERE / "duckdb_ingest.py", capture, parquet], os.devnull))
        calls = self.summary()["calls"]
        size = sum(file.stat().st_size for file in lake.rglob("*") if file.is_file()) / 1e6
        each = ",".join(f"{cpu:.2f}" for _, cpu, _ in ours.runs)
        print(f"{mb:8} {ours.wall:8.2f} {ours.cpu:8.2f} {mb / ours.wall:9.1f} {mb / ours.cpu:9.1f} {ours.rss:9.0f} "
              f"{calls:9} {size:8.0f}   {each}")
        if duckdb:
            print(f"  DuckDB {theirs.wall:8.2f} {theirs.cpu:8.2f} {mb / theirs.wall:9.1f} {mb / theirs.cpu:9.1f} "
                  f"{theirs.rss:9.0f} {'':9} {parquet.stat().st_size / 1e6:8.0f}   "
                  f"{','.join(f'{cpu:.2f}' for _, cpu, _ in theirs.runs)}")
            parquet.unlink()
        speed = mb / ours.cpu
        self.verdict(speed >= LEAST_SPEED, f"ingest of {mb} MB: {speed:.1f} MB per CPU second, wanted {LEAST_SPEED} or more")
        if mb >= 1000:
            self.verdict(ours.rss < MOST_MEMORY, f"ingest of {mb} MB: peak {ours.rss:.0f} MiB, wanted below {MOST_MEMORY}")
        return ours, theirs if duckdb else None

    def one_core(self, mb, ours):
        """The same ingest on one core."""
        lake, one = FOLDER / "scratch", Figures()
        core = {min(os.sched_getaffinity(0))}
        for _ in range(self.runs):
            shutil.rmtree(lake, ignore_errors=True)
            one.add(run(self.calltrail(lake, "ingest", self.capture(mb)), os.devnull, core))
        shutil.rmtree(lake, ignore_errors=True)
        cores = len(os.sched_getaffinity(0))
        scaling = one.wall / ours.wall
        print(f"\n{mb} MB on one core: {one.wall:.2f} s, {one.cpu:.2f} CPU s; {cores} cores are {scaling:.2f} times as fast")
        if cores == 2:
            self.verdict(scaling >= LEAST_SCALING, f"two cores: {scaling:.2f} times one, wanted {LEAST_SCALING} or more")

    def questions(self, mb):
        """Detect, and some queries, on the lake of one size; whole processes."""
        print(f"\nOn the lake of {mb} MB\n{'wall s':>8} {'CPU s':>8} {'RSS MiB':>8}   what")
        lake, scratch = FOLDER / f"lake-{mb}", FOLDER / "scratch"

        def report(what, command, before=lambda: None):
            figures = Figures()
            for _ in range(self.runs):
                before()
                figures.add(run(command, self.stdout))
            print(f"{figures.wall:8.3f} {figures.cpu:8.3f} {figures.rss:8.0f}   {what}")

        def copy():  # detect writes alerts: each run gets the lake as ingest left it
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.copytree(lake, scratch)

        flows = "SELECT count(*) AS flows FROM flows"
        report("flows of all calls", self.calltrail(scratch, "--format", "csv", "query", flows), copy)
        print(f"{'':29}({self.stdout.read_text().split()[-1]} flows)")
        report("flows, nothing new", self.calltrail(scratch, "--format", "csv", "query", flows))
        report("detect, all rules and the model", self.calltrail(scratch, "--format", "json", "detect"), copy)
        found = self.summary()
        print(f"{'':29}({found['rules']} rules, {found['failed_rules']} failed, {found['findings']} findings)")
        for sql in (
            "SELECT count(*) FROM calls",
            "SELECT server, tool, count(*) AS calls, avg(result_bytes) AS bytes FROM calls GROUP BY server, tool",
            "SELECT count(*) FROM calls WHERE result ILIKE '%rollback incident%'",
        ):
            report(sql, self.calltrail(lake, "--format", "csv", "query", sql))
        for part in (rules, model):
            self.verdicts += part.measure(self.program, lake, FOLDER, self.config)


def main():
    program = shutil.which(os.environ.get("CALLTRAIL", "calltrail"))
    if not program:
        raise SystemExit("no calltrail to measure: name it in CALLTRAIL")
    try:
        sizes = sorted({int(mb) for mb in sys.argv[1:]} or {100, 1000})
    except ValueError:
        sizes = [0]
    if sizes[0] < 1:
        raise SystemExit("sizes are whole MB")
    FOLDER.mkdir(exist_ok=True)
    bench = Bench(str(pathlib.Path(program).resolve()), int(os.environ.get("RUNS", "3")))
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    cores = len(os.sched_getaffinity(0))
    print(f"{version}, {platform.system()} {platform.machine()}, {cores} cores, medians of {bench.runs}")
    if "/debug/" in program:
        print("This is a debug build: its figures say nothing about speed.")
    duckdb = importlib.util.find_spec("duckdb") is not None
    if not duckdb:
        print("This Python has no DuckDB: nothing is compared with it.")
    print(f"\nIngest into a new lake\n{'size MB':>8} {'wall s':>8} {'CPU s':>8} {'MB/s':>9} {'MB/CPU s':>9} {'RSS MiB':>9} "
          f"{'calls':>9} {'lake MB':>8}   CPU s of each run")
    try:
        measured = {mb: bench.ingest(mb, duckdb) for mb in sizes}
        small, large = sizes[0], sizes[-1]
        ours, theirs = measured[large]
        if theirs:
            for what, lead in (("wall", theirs.wall / ours.wall), ("CPU", theirs.cpu / ours.cpu)):
                bench.verdict(lead >= LEAST_LEAD, f"ingest of {large} MB: {lead:.2f} times as fast as DuckDB's bare job in {what} "
                              f"time, wanted {LEAST_LEAD} or more")
        if small < large:
            linear = (large / ours.cpu) / (small / measured[small][0].cpu)
            bench.verdict(linear >= LEAST_LINEAR, f"from {small} to {large} MB: {linear:.2f} of the speed, "
                          f"wanted {LEAST_LINEAR} or more")
        middle = max((mb for mb in sizes if mb <= 1000), default=small)
        bench.one_core(middle, measured[middle][0])
        bench.questions(large)
    finally:
        for lake in [*FOLDER.glob("lake-*"), FOLDER / "scratch"]:
            shutil.rmtree(lake, ignore_errors=True)
    print("\n" + "\n".join(bench.verdicts))
    print(f"The captures stay in {FOLDER}.")


if __name__ == "__main__":
    main()
