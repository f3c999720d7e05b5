"""DuckDB as a measured engine: one JSON request per line on stdin, one JSON reply per line on stdout.

The file format, the threads and the durability are those of the other engines: a persistent database, `SET threads`,
and a CHECKPOINT before a load counts as done, so that its bytes are on disk.
Every other setting is DuckDB's default.
"""

import datetime
import decimal
import json
import os
import resource
import sys
import time

import duckdb
import pyarrow.parquet


def peak_rss_bytes():
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cell(value):
    """The form in which all engines report a value: null, whole number, real number, or text."""
    if value is None or isinstance(value, (bool, int)):
        return value if not isinstance(value, bool) else str(value).lower()
    if isinstance(value, (float, decimal.Decimal)):
        return float(value)
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    return str(value)


class Engine:
    def __init__(self):
        self.connection = None
        self.commits = []

    def open(self, request):
        path = os.path.join(request["dir"], "bench.duckdb")
        self.connection = duckdb.connect(path)
        self.connection.execute(f"SET threads = {int(request['threads'])}")
        return {"version": duckdb.__version__}

    def load(self, request):
        source = request["source"].replace("'", "''")
        table = request["table"]
        self.connection.execute(f"CREATE TABLE {table} AS SELECT * FROM read_parquet('{source}')")
        self.connection.execute("CHECKPOINT")
        return {}

    def query(self, request):
        return {"result": collect(self.connection, request["sql"])}

    def prepare(self, request):
        rows = pyarrow.parquet.read_table(request["source"])
        step = request["rows_per_commit"]
        self.commits = [rows.slice(first, step).combine_chunks() for first in range(0, rows.num_rows, step)]
        for table in request["tables"]:
            self.connection.execute(f"CREATE TABLE {table} AS SELECT * FROM rows LIMIT 0")
        return {}

    def append(self, request):
        """One transaction for each commit, straight from an Arrow table: the fastest durable form that was found."""
        insert = f"INSERT INTO {request['table']} SELECT * FROM rows"
        commit_ms = []
        for rows in self.commits[: request["commits"]]:
            start = time.perf_counter()
            self.connection.execute(insert)
            commit_ms.append((time.perf_counter() - start) * 1000.0)
        return {"commit_ms": commit_ms}

    def close(self, _request):
        self.connection.close()
        return {}


def collect(connection, sql):
    """Runs the query to its last row and keeps the rows in DuckDB's own columns.

    Turning rows into Python objects is not the engine's work, so it happens after the clock has stopped, as the
    conversion of record batches does on the other side.
    """
    relation = connection.sql(sql)
    if hasattr(relation, "materialize"):
        return relation.materialize()
    return relation.execute()


def finish(request, outcome):
    """Takes the rows out of the result, outside the measured time."""
    result = outcome.pop("result", None)
    if result is None:
        return outcome
    rows = result.fetchall()
    outcome["rows"] = len(rows)
    if request.get("answer"):
        outcome["answer"] = {"rows": [[cell(value) for value in row] for row in rows]}
    return outcome


def measure(engine, request):
    operation = getattr(engine, request["op"])
    wall, cpu = time.perf_counter(), cpu_seconds()
    outcome = operation(request)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    reply = finish(request, outcome)
    reply["wall_ms"] = wall * 1000.0
    reply["cpu_ms"] = cpu * 1000.0
    reply["peak_rss_bytes"] = peak_rss_bytes()
    return reply


def main():
    engine = Engine()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = measure(engine, request)
        except Exception as failure:  # the other side decides what a failure means
            reply = {"error": f"{type(failure).__name__}: {failure}"}
        print(json.dumps(reply), flush=True)
        if request["op"] == "close":
            break


if __name__ == "__main__":
    main()
