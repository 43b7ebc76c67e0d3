#!/usr/bin/env python3
"""Measures the behaviour model on labelled sessions of agents: does it tell obeyed orders from honest work?

    CALLTRAIL=path/to/calltrail python3 eval/model.py [FOLDER]      # LABELLED=FOLDER does the same

FOLDER and VARIANTS are those of rules.py; here also `bare`: the orders without their common frame, in logs without payloads. A session scores as `calltrail score` says.
`succeeded` stands against `benign`, and against `resisted` (the order was read and not obeyed); `attempted` is reported apart. The score is not trained, so there is
nothing to keep apart: each session is as new to it as any other. Intervals are 95 % by resampling user tasks within suites. It reports and does not fail.
"""

import collections
import json
import os
import pathlib
import random
import shutil
import sys

from rules import CLASSES, FOLDER, HERE, calltrail, lines, write_logs


def auroc(positive, negative):
    """The chance that a positive scores higher than a negative; ties count half."""
    if not positive or not negative:
        return float("nan")
    order = sorted([(score, 1) for score in positive] + [(score, 0) for score in negative])
    rank, at = 0.0, 0
    while at < len(order):
        end = at
        while end < len(order) and order[end][0] == order[at][0]:
            end += 1
        rank += sum(kind for _, kind in order[at:end]) * (at + end + 1) / 2
        at = end
    n = len(positive)
    return (rank - n * (n + 1) / 2) / n / len(negative)


def recall(positive, negative, rate):
    """The share of positives above the score that at most `rate` of the negatives exceed."""
    if not positive or not negative:
        return float("nan")
    threshold = sorted(negative)[len(negative) - int(rate * len(negative)) - 1]
    return sum(score > threshold for score in positive) / len(positive)


def measure(sessions, scores, ranked, labels):
    of = {kind: [scores.get(s, 0.0) for s in sessions if labels[s]["class"] == kind] for kind in CLASSES}
    named = [(ranked.get(s, []), {c["call_index"] for c in labels[s]["malicious_calls"]}) for s in sessions if labels[s]["class"] == "succeeded"]
    first = lambda most: sum(bool(set(calls[:most]) & bad) for calls, bad in named) / len(named) if named else float("nan")
    good = of["succeeded"]
    return {
        "AUROC": auroc(good, of["benign"]), "R@1%": recall(good, of["benign"], 0.01), "R@5%": recall(good, of["benign"], 0.05),
        "vs resisted": auroc(good, of["resisted"]), "top-1": first(1), "top-3": first(3), "attempted AUROC": auroc(of["attempted"], of["benign"]),
    }


def report(name, sessions, scores, ranked, labels, resamples=200):
    values = measure(sessions, scores, ranked, labels)
    suites = collections.defaultdict(lambda: collections.defaultdict(list))
    for session in sessions:
        suites[labels[session]["suite"]][labels[session]["user_task"]].append(session)
    draw = random.Random(1)
    drawn = []
    for _ in range(resamples):
        sample = [s for tasks in suites.values() for task in draw.choices(sorted(tasks), k=len(tasks)) for s in tasks[task]]
        drawn.append(measure(sample, scores, ranked, labels))
    count = collections.Counter(labels[s]["class"] for s in sessions)
    print(f"{name}: " + ", ".join(f"{count[kind]} {kind}" for kind in CLASSES))
    for key, value in values.items():
        known = sorted(d[key] for d in drawn if d[key] == d[key])
        if value == value and known:
            print(f"  {key:<16} {value:.3f} [{known[len(known) // 40]:.3f}, {known[-1 - len(known) // 40]:.3f}]")


def strip(logs):
    """Takes the payloads out of the captures."""
    for path in logs.glob("*.jsonl"):
        records = [json.loads(line) for line in open(path)]
        with open(path, "w") as out:
            for record in records:
                message = record.get("message", {})
                if message.get("method") == "tools/call":
                    message["params"].pop("arguments", None)
                elif isinstance(message.get("result"), dict) and "content" in message["result"]:
                    message["result"]["content"] = []
                out.write(json.dumps(record) + "\n")


def main():
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LABELLED")
    folder = pathlib.Path(given) if given else HERE.parent.parent / "shared" / "datasets" / "labelled"
    if not (folder / "labels.jsonl.zst").is_file():
        print(f"no labelled sessions in {folder}: nothing measured. Name a folder with labels.jsonl.zst, or set LABELLED.")
        return
    labels = {label["session_id"]: label for label in map(json.loads, lines(folder / "labels.jsonl.zst"))}
    for variant in os.environ.get("MODEL_VARIANTS", "as-is unframed prompts bare").split():
        shutil.rmtree(FOLDER, ignore_errors=True)
        logs = FOLDER / "logs"
        logs.mkdir(parents=True)
        write_logs(folder, "unframed" if variant == "bare" else variant, labels, logs)
        if variant == "bare":
            strip(logs)
        lake = str(FOLDER / "lake")
        calltrail("-q", "--lake", lake, "ingest", str(logs), "--format", "json")
        summary = calltrail("-q", "--lake", lake, "score", "--format", "json")[0]
        print(f"== {variant}: {summary['sessions']} sessions, {summary['calls']} calls, {summary['seconds']:.1f} s")
        rows = calltrail("-q", "--lake", lake, "query", "SELECT subject, session_id, call_id, score FROM scores", "--format", "jsonl")
        number = {}
        count = collections.Counter()
        order = "SELECT session_id, call_id FROM calls WHERE method = 'tools/call' ORDER BY session_id, time, source_offset"
        for row in calltrail("-q", "--lake", lake, "query", order, "--format", "jsonl"):
            number[row["call_id"]] = count[row["session_id"]]
            count[row["session_id"]] += 1
        scores = {row["session_id"]: row["score"] for row in rows if row["subject"] == "session"}
        calls = collections.defaultdict(list)
        for row in rows:
            if row["subject"] == "call":
                calls[row["session_id"]].append((-row["score"], number.get(row["call_id"], -1)))
        ranked = {session: [at for _, at in sorted(found)] for session, found in calls.items()}
        every = sorted(labels)
        for suite in sorted({label["suite"] for label in labels.values()}):
            inside = [s for s in every if labels[s]["suite"] == suite]
            if any(labels[s]["class"] == "succeeded" for s in inside):
                report(f" within {suite}", inside, scores, ranked, labels)
        report(" all suites", every, scores, ranked, labels)
        for line in calltrail("-q", "--lake", lake, "score", "--check", "--format", "jsonl"):
            print(f"  promised {line['promised']:.0%}, realised {line['realised']:.2%} (all sessions, attacks included)")
    shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    main()
