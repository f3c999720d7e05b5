"""DuckDB as a reference: one statement as a JSON string per line on stdin, its rows or its error per line on stdout."""

import datetime
import decimal
import json
import sys

import duckdb


def cell(value):
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value


def answer(connection, text):
    try:
        rows = connection.execute(text).fetchall()
        return [[cell(value) for value in row] for row in rows]
    except duckdb.Error as error:
        return str(error)


def main():
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    for line in sys.stdin:
        print(json.dumps(answer(connection, json.loads(line))), flush=True)


main()
