#!/usr/bin/env python3
"""Compares the isolation forest of src/model/isolation.rs with scikit-learn's IsolationForest and GaussianMixture (diagonal) on the same matrix in the same run.

    pip install scikit-learn && python3 benches/isolation.py [ROWS] [COLUMNS]       # 1,000,000 x 32 unless told

Prints seconds for fit and score, and how the ranks of the two forests agree. A hundredth of the rows lies apart; AUROC says how well each finds them.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy
import sklearn
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture

HERE = pathlib.Path(__file__).resolve().parent
rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
columns = int(sys.argv[2]) if len(sys.argv) > 2 else 32

draw = numpy.random.default_rng(1)
apart = numpy.arange(rows) % 100 == 0
matrix = (draw.normal(size=(rows, columns)) + apart[:, None] * draw.normal(scale=0.7, size=(rows, columns)) * 2).astype("<f4")


def told(name, fit, score, scores):
    print(f"{name:<46} fit {fit:6.2f} s  score {score:6.2f} s  AUROC {roc_auc_score(apart, scores):.3f}", flush=True)


with tempfile.TemporaryDirectory() as folder:
    build = ["cargo", "build", "--release", "--quiet", "--manifest-path", str(HERE / "isolation/Cargo.toml"), "--target-dir", folder]
    subprocess.run(build, check=True)
    path, out = pathlib.Path(folder, "matrix"), pathlib.Path(folder, "scores")
    path.write_bytes(matrix.tobytes())
    done = subprocess.run([f"{folder}/release/isolation", path, str(columns), out], check=True, stdout=subprocess.PIPE, text=True)
    seconds, ours = json.loads(done.stdout), numpy.fromfile(out)
told("calltrail, 100 trees of 256", seconds["fit"], seconds["score"], ours)

for name, model, score in (
    (f"scikit-learn {sklearn.__version__} IsolationForest, n_jobs=-1", IsolationForest(random_state=1, n_jobs=-1), lambda m: -m.score_samples(matrix)),
    (f"scikit-learn {sklearn.__version__} GaussianMixture, 8 diagonal", GaussianMixture(8, covariance_type="diag", random_state=1), lambda m: -m.score_samples(matrix)),
):
    started = time.monotonic()
    model.fit(matrix)
    fitted = time.monotonic()
    scores = score(model)
    told(name, fitted - started, time.monotonic() - fitted, scores)
    if "Isolation" in name:
        ranks = [numpy.argsort(numpy.argsort(values)) for values in (ours, scores)]
        print(f"{'':<46} rank correlation with ours {numpy.corrcoef(*ranks)[0, 1]:.3f}")
