#!/usr/bin/env python3
"""Runs benches/duckdb_ingest.sql on a capture: the same bare job in DuckDB, to compare `calltrail ingest` with.

    python benches/duckdb_ingest.py CAPTURE OUT.parquet [ZSTD_LEVEL [THREADS]]
"""

import pathlib
import sys

import duckdb

capture, parquet, *rest = sys.argv[1:]
level, threads = [*rest, "1", "0"][:2] if len(rest) < 2 else rest
sql = pathlib.Path(__file__).with_suffix(".sql").read_text()
for name, value in (("capture", capture), ("parquet", parquet), ("level", level)):
    sql = sql.replace("{" + name + "}", str(value).replace("'", "''"))
connection = duckdb.connect()
if int(threads):
    connection.execute(f"SET threads = {int(threads)}")
connection.execute("SET preserve_insertion_order = false")
connection.execute(sql)
print(f'{{"duckdb":"{duckdb.__version__}","rows":{connection.sql(f"SELECT count(*) FROM {chr(39)}{parquet}{chr(39)}").fetchone()[0]}}}')
