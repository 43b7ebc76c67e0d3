#!/usr/bin/env python3
"""Writes the benign sessions of a folder of labelled captures, as eval/model.py reads it, into another folder, with the users' requests as a transcript has them: what the
model that comes with the program is made from.

    python3 eval/benign.py LABELLED INTO
"""

import json
import pathlib
import sys

from rules import lines, write_logs

labelled, into = map(pathlib.Path, sys.argv[1:3])
labels = map(json.loads, lines(labelled / "labels.jsonl.zst"))
into.mkdir(parents=True, exist_ok=True)
write_logs(labelled, "prompts", {label["session_id"]: label for label in labels if label["class"] == "benign"}, into)
