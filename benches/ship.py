#!/usr/bin/env python3
"""Ships alerts to receivers on this machine and measures how fast and with how much memory.

    CALLTRAIL=target/release/calltrail python3 benches/ship.py [ALERTS]     (100000, or what the variable ALERTS says)

Makes a lake with that many alerts, then ships them by syslog over TCP and to a receiver that answers as Splunk's HTTP Event Collector does. The
receivers count what arrives and keep nothing. Prints one line for each: alerts a second by the clock, alerts a second of CPU time, peak memory.
Needs the Python of tests/install.sh (deltalake, polars).
"""
import datetime
import gzip
import hashlib
import http.server
import json
import multiprocessing
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

BINARY = os.path.abspath(os.environ.get("CALLTRAIL", "target/release/calltrail"))
ALERTS = int(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("ALERTS", 100_000))
ROWS = 50_000


def rows(first, count):
    """Alerts of about 2 KB, with two calls each, as rules make them."""
    start = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)
    out = []
    for n in range(first, first + count):
        at = start + datetime.timedelta(seconds=n)
        session = f"session-{n // 5}"
        call = lambda m: {
            "call_id": f"{n:016x}{m:016x}", "time": int(at.timestamp() * 1e6) + m, "session_id": session, "agent": "notes-agent",
            "server": "web", "tool": "http_post", "method": "tools/call",
            "arguments": json.dumps({"url": f"https://paste.example/{n}", "body": "pallet " * 30}), "result_text": "ok " * 40,
            "outcome": "success", "approval": "auto_allowed", "source_file": "logs/a.jsonl", "source_line": n,
        }
        out.append({
            "alert_id": hashlib.sha256(str(n).encode()).hexdigest()[:32], "time": at, "kind": "rule", "rule_id": "secret_then_egress",
            "rule_title": "Secret read, then data sent out in the same session", "rule_version": "0f3a", "level": "high",
            "status": "stable", "tags": ["owasp.mcp10", "attack.t1567"], "description": "A credential was read and then data left.",
            "falsepositives": [], "session_id": session, "agent": "notes-agent", "user_id": None, "server": None, "tool": None,
            "first_seen": at, "last_seen": at, "call_ids": [f"{n:016x}{m:016x}" for m in (0, 1)], "calls_total": 2, "score": None,
            "message": f"4312 bytes sent to paste.example/{n}", "evidence": json.dumps({"bytes": 4312}),
            "calls": json.dumps([call(0), call(1)]), "observables": json.dumps([{"type": "domain", "value": "paste.example"}]),
            "observables_total": 1, "lake_versions": "{}", "suppressed_by": None, "delivery": "{}", "rule_group": "exfiltration",
            "settings": "{}", "incident_id": None, "superseded_by": None, "resolved": None,
        })
    return out


class Counting(socketserver.BaseRequestHandler):
    """Syslog over TCP: counts bytes."""

    def handle(self):
        while part := self.request.recv(1 << 20):
            self.server.bytes += len(part)


class Collector(http.server.BaseHTTPRequestHandler):
    """Splunk's HTTP Event Collector: counts events."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.bytes += len(body)
        self.server.events += body.count(b"\n")
        answer = b'{"text":"Success","code":0}'
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def receiver(kind, handler):
    kind.daemon_threads = True
    server = kind(("127.0.0.1", 0), handler)
    server.bytes = server.events = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def ship(folder, config):
    with open(os.path.join(folder, "calltrail.toml"), "w") as file:
        file.write(config)
    started = time.monotonic()
    process = subprocess.Popen([BINARY, "ship", "--format", "json"], cwd=folder, stdout=subprocess.PIPE,
                               env={**os.environ, "TOKEN": "token", "CALLTRAIL_LAKE": os.path.join(folder, "lake")})
    answer = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    report = json.loads(answer)
    assert status == 0 and report["delivered"] == ALERTS, report
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": round(seconds, 2), "per_second": round(ALERTS / seconds), "per_cpu_second": round(ALERTS / cpu),
            "peak_mib": round(usage.ru_maxrss / 1024), "bytes": report["bytes"]}


def fill(folder):
    """Appends the alerts to the lake."""
    import polars
    from deltalake import write_deltalake

    table = os.path.join(folder, "lake", "alerts")
    for first in range(0, ALERTS, ROWS):
        frame = polars.DataFrame(rows(first, min(ROWS, ALERTS - first)), infer_schema_length=None, schema_overrides={
            name: polars.String for name in ("user_id", "server", "tool", "suppressed_by", "incident_id", "superseded_by", "resolved")
        } | {"score": polars.Float64, "falsepositives": polars.List(polars.String)})
        write_deltalake(table, frame, mode="append")


def main():
    with tempfile.TemporaryDirectory() as folder:
        empty = os.path.join(folder, "empty.txt")
        with open(empty, "w") as file:
            file.write("no log\n")
        subprocess.run([BINARY, "-q", "ingest", "--lake", os.path.join(folder, "lake"), empty], stderr=subprocess.DEVNULL)
        # In a process of its own: the kernel counts what the parent held when it started a process as that process's peak.
        filling = multiprocessing.get_context("spawn").Process(target=fill, args=(folder,))
        filling.start()
        filling.join()
        assert filling.exitcode == 0
        syslog = receiver(socketserver.ThreadingTCPServer, Counting)
        found = ship(folder, f'[[sinks]]\nname = "syslog"\ntype = "syslog"\ntransport = "tcp"\naddress = "127.0.0.1:{syslog.server_address[1]}"\n')
        print("syslog TCP, CEF", json.dumps(found | {"received_bytes": syslog.bytes}))
        hec = receiver(http.server.ThreadingHTTPServer, Collector)
        found = ship(folder, f'[[sinks]]\nname = "hec"\ntype = "splunk_hec"\nurl = "http://127.0.0.1:{hec.server_address[1]}"\ntoken = {{ env = "TOKEN" }}\n')
        assert hec.events == ALERTS, hec.events
        print("Splunk HEC, gzip", json.dumps(found | {"received_bytes": hec.bytes}))


if __name__ == "__main__":
    main()
