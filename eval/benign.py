#!/usr/bin/env python3
"""Writes the benign sessions of a folder of labelled captures, as eval/model.py reads it, into another folder: what the model that comes with the program is made from.

    python3 eval/benign.py LABELLED INTO
"""

import json
import pathlib
import sys

from rules import lines

labelled, into = map(pathlib.Path, sys.argv[1:3])
benign = {label["session_id"] for label in map(json.loads, lines(labelled / "labels.jsonl.zst")) if label["class"] == "benign"}
into.mkdir(parents=True, exist_ok=True)
for path in sorted(labelled.glob("*.jsonl.zst")):
    if path.name != "labels.jsonl.zst":
        with open(into / path.name.removesuffix(".zst"), "w") as out:
            out.writelines(line for line in lines(path) if json.loads(line)["session_id"] in benign)
