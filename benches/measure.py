#!/usr/bin/env python3
"""Runs a command several times and prints its medians as one line: wall s, CPU s, peak RSS in MiB, CPU s of each run.

CPU is user + system time of the process and of the children it waited for; peak RSS is the kernel's high-water mark. A
command that fails gives `-` for each figure and its exit code on standard error: a benchmark reports, it does not stop.

    python3 benches/measure.py --runs 3 --before 'rm -rf lake' --stdout last.json -- calltrail --lake lake ingest x.jsonl
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

# Linux counts ru_maxrss in KiB, macOS in bytes.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def run(command, stdout):
    """Runs the command once: exit code, wall seconds, CPU seconds, peak RSS in bytes."""
    with open(stdout, "wb") as out:
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * RSS_UNIT


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--before", help="shell command to run before each run, not measured")
    parser.add_argument("--stdout", default=os.devnull, help="file for the command's standard output (the last run's stays)")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    runs = []
    for _ in range(options.runs):
        if options.before:
            subprocess.run(options.before, shell=True, check=True)
        code, *figures = run(options.command, options.stdout)
        if code != 0:
            print(f"exit {code}: {' '.join(options.command)}", file=sys.stderr)
            print("- - - -")
            return
        runs.append(figures)
    walls, cpus, peaks = zip(*runs)
    print(f"{statistics.median(walls):.3f} {statistics.median(cpus):.3f} {statistics.median(peaks) / 2**20:.0f} "
          f"{','.join(f'{cpu:.2f}' for cpu in cpus)}")


if __name__ == "__main__":
    main()
