#!/usr/bin/env python3
"""Measures the behaviour model over a lake: training, and scoring with the model that comes with the program and with the lake's own.

    CALLTRAIL=path/to/calltrail python3 benches/model.py LAKE

`make bench` runs it on the lake of the largest capture. The lake is copied, so that its scores stay as they are.
"""

import os
import shutil

import rules

# Goals: a million calls learned from in 60 s on two cores and 1.5 GiB; calls scored per core and second.
LEAST_TRAINED, MOST_MEMORY, LEAST_SCORED = 1_000_000 / 60 / 2, 1536, 100_000


def measure(program, lake, folder, config):
    """Prints what each command takes; gives the lines that say whether the goals are met."""
    calls = rules.count(program, lake, config, "calls WHERE method = 'tools/call' AND session_id IS NOT NULL")
    scratch, stderr, model = folder / "model-lake", folder / "model-stderr", folder / "model.json"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(lake, scratch)
    cores = len(os.sched_getaffinity(0))
    print(f"\nThe model over {calls} calls\n{'wall s':>8} {'CPU s':>8} {'RSS MiB':>8}   what")

    def run(what, *arguments):
        code, wall, cpu, rss = rules.run([program, "-q", "--lake", scratch, "--config", config, *arguments], stderr)
        if code:
            raise SystemExit(f"{what}: exit {code}: {stderr.read_text(errors='replace')}")
        print(f"{wall:8.3f} {cpu:8.3f} {rss:8.0f}   {what}")
        return calls / wall / cores, rss

    try:
        trained, rss = run("train", "train", "--with-alerted", "--out", model)
        # In this order: a lake that the built-in model has scored before has nothing new for it.
        scored = {
            "the lake's own model": run("score with the lake's own model", "score", "--model", model),
            "the built-in model": run("score with the built-in model", "score"),
        }
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        model.unlink(missing_ok=True)
    verdict = lambda good, text: f"{'PASS' if good else 'MISS'}  model: {text}"
    return [
        verdict(trained >= LEAST_TRAINED, f"trains on {trained:.0f} calls per core and second, wanted {LEAST_TRAINED:.0f} or more"),
        verdict(rss < MOST_MEMORY, f"training peaks at {rss:.0f} MiB, wanted below {MOST_MEMORY}"),
        *(verdict(speed >= LEAST_SCORED, f"{which} scores {speed:.0f} calls per core and second, wanted {LEAST_SCORED} or more") for which, (speed, _) in scored.items()),
    ]


if __name__ == "__main__":
    rules.on_lake(measure)
