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
import threading
import time

import duckdb
import pyarrow.parquet

# After so many failures side by side, more say nothing new.
FAILURES_MAX = 100


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
        self.add_key(table, request)
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
            self.add_key(table, request)
        return {}

    def add_key(self, table, request):
        if request.get("key"):
            self.connection.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({request['key']})")

    def append(self, request):
        """One transaction for each commit, straight from an Arrow table: the fastest durable form that was found."""
        insert = f"INSERT INTO {request['table']} SELECT * FROM rows"
        lap_ms = []
        for rows in self.commits[: request["commits"]]:
            start = time.perf_counter()
            self.connection.execute(insert)
            lap_ms.append((time.perf_counter() - start) * 1000.0)
        return {"lap_ms": lap_ms}

    def execute(self, request):
        """One statement, in a transaction of its own. DuckDB answers it with the number of rows it changed."""
        return {"rows": self.connection.execute(request["sql"]).fetchall()[0][0]}

    def upsert(self, request):
        statements = replacement(request)
        first = request["skip"]
        lap_ms = []
        for rows in self.commits[first : first + request["commits"]]:
            start = time.perf_counter()
            replace(self.connection, statements, rows)
            lap_ms.append((time.perf_counter() - start) * 1000.0)
        return {"lap_ms": lap_ms}

    def mixed(self, request):
        """A writer and its readers, each a thread with a connection of its own; DuckDB lets go of Python's lock."""
        end = time.perf_counter() + request["seconds"]
        done = {"lap_ms": [], "read_ms": [], "failures": []}
        statements = replacement(request)

        def write(connection, number):
            replace(connection, statements, self.commits[number % len(self.commits)])

        def read(connection, _number):
            connection.execute(request["sql"]).fetchall()

        acts = [(write, done["lap_ms"])] + [(read, done["read_ms"])] * request["readers"]
        threads = []
        for act, laps in acts:
            arguments = (self.connection.cursor(), act, laps, done["failures"], end)
            threads.append(threading.Thread(target=repeat, args=arguments))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return done

    def lookup(self, request):
        """One key by a statement that is parsed once, several as an IN list of literals: the fastest forms found.

        Rows become Python objects within the clock, because DuckDB may make them only then: a few microseconds a row.
        """
        select = f"SELECT * FROM {request['table']} WHERE {request['key']}"
        one = self.connection.extract_statements(f"{select} = ?")[0]
        found, lap_ms = 0, []
        for keys in request["keys"]:
            start = time.perf_counter()
            if len(keys) == 1:
                rows = self.connection.execute(one, keys).fetchall()
            else:
                rows = self.connection.execute(f"{select} IN ({', '.join(map(str, keys))})").fetchall()
            lap_ms.append((time.perf_counter() - start) * 1000.0)
            found += len(rows)
        return {"rows": found, "lap_ms": lap_ms}

    def close(self, _request):
        self.connection.close()
        return {}


def replacement(request):
    table, key = request["table"], request["key"]
    return [f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM rows)", f"INSERT INTO {table} SELECT * FROM rows"]


def replace(connection, statements, rows):
    """One transaction straight from an Arrow table: the fastest durable form of five that were tried.

    The statements find `rows`, which is looked up among the variables of this function.
    """
    connection.execute("BEGIN")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    except Exception:
        connection.execute("ROLLBACK")
        raise


def repeat(connection, act, laps, failures, end):
    """Times an act over and over; a failure is told and does not stop it, but very many do."""
    number = 0
    start = time.perf_counter()
    while start < end and len(failures) < FAILURES_MAX:
        try:
            act(connection, number)
            laps.append((time.perf_counter() - start) * 1000.0)
        except Exception as failure:
            failures.append(f"{type(failure).__name__}: {failure}")
        number += 1
        start = time.perf_counter()


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
