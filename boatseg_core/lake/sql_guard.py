"""What SQL may be run: one statement that only reads tables of the lake.

DuckDB's own settings already refuse files, network and extensions. This guard stands before them,
because some of DuckDB's table functions take raw memory addresses (``arrow_scan``), run a string
as SQL (``query``) or change the process (``enable_logging``): the statement is parsed by DuckDB
itself, and every table and table function in the tree has to be on a list.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator
from typing import Any

import duckdb

from boatseg_core.errors import InputError

TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
"""Table functions that compute from their arguments alone."""

_EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+)?", re.IGNORECASE)
_ALLOWED = "only one SELECT, WITH, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN statement can be run"


def check(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    *,
    tables: Collection[str],
) -> str:
    """Refuse SQL that does anything but read tables.

    Args:
        connection: Used to parse; nothing is run on it but the parser.
        sql: The text a user gave.
        tables: Names of the lake's tables.

    Returns:
        The statement to run: exactly what was looked at.

    Raises:
        InputError: It is not one statement, not a reading one, or names something else than the
            lake's tables.
    """
    prefix = ""
    statement = _single(connection, sql)
    if statement.type == duckdb.StatementType.EXPLAIN:
        match = _EXPLAIN.match(statement.query)
        if match is None:
            raise InputError(f"write EXPLAIN or EXPLAIN ANALYZE without options: {_ALLOWED}")
        prefix = "EXPLAIN ANALYZE " if match[1] else "EXPLAIN "
        statement = _single(connection, statement.query[match.end() :])
    if statement.type != duckdb.StatementType.SELECT:
        kind = statement.type.name.replace("_", " ")
        raise InputError(f"{kind} is not allowed: {_ALLOWED}, and tables can only be read")
    text = statement.query.strip().rstrip(";")
    tree = _tree(connection, text)
    known = {name.lower() for name in tables} | set(_cte_names(tree))
    for node in _nodes(tree):
        match node.get("type"):
            case "TABLE_FUNCTION":
                _check_function(str(node.get("function", {}).get("function_name", "")))
            case "BASE_TABLE":
                _check_table(node, known, tables)
            case _:
                pass
    return prefix + text


def _single(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    if not sql.isascii() and sql.encode("utf-8", "replace").decode("utf-8") != sql:
        raise InputError("the query holds characters that are not valid text (lone surrogates)")
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise InputError(f"this is not SQL: {first_words(error)}") from error
    if len(statements) != 1:
        raise InputError(f"{len(statements) or 'no'} statements were given: {_ALLOWED}")
    return statements[0]


def _tree(connection: duckdb.DuckDBPyConnection, text: str) -> dict[str, Any]:
    try:
        ((answer,),) = connection.execute("SELECT json_serialize_sql($1)", [text]).fetchall()
    except duckdb.OutOfMemoryException as error:
        raise InputError("the memory limit is too small to read the query: raise it") from error
    tree: dict[str, Any] = json.loads(answer)
    # What the parser cannot put into a tree (PIVOT with its temporary types) cannot be looked at.
    if tree.get("error") or len(tree.get("statements", [])) != 1:
        raise InputError(f"this kind of statement is not supported: {_ALLOWED}")
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def _cte_names(tree: dict[str, Any]) -> Iterator[str]:
    for node in _nodes(tree):
        for entry in node.get("map") or [] if isinstance(node.get("map"), list) else []:
            if isinstance(entry, dict) and "key" in entry:
                yield str(entry["key"]).lower()


def _check_function(name: str) -> None:
    if name.lower() not in TABLE_FUNCTIONS:
        raise InputError(
            f"the table function {name} is not allowed: files, memory and settings cannot be "
            f"read from SQL, only the lake's tables and {', '.join(sorted(TABLE_FUNCTIONS))}"
        )


def _check_table(node: dict[str, Any], known: set[str], tables: Collection[str]) -> None:
    name, schema = str(node.get("table_name", "")), str(node.get("schema_name", "")).lower()
    if node.get("at_clause"):
        raise InputError(
            f"AT is not supported on {name}: pin a table's version outside of the SQL instead"
        )
    if schema == "information_schema" or (name.lower() in known and schema in ("", "main")):
        return
    near = difflib.get_close_matches(name.lower(), tables, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(tables)}"
    raise InputError(f"there is no table {'.'.join(filter(None, (schema, name)))!r}: {hint}")


def first_words(error: Exception) -> str:
    """Reduce DuckDB's message to one line: no error class, no excerpt with a caret."""
    lines = []
    for line in str(error).splitlines():
        if line.startswith("LINE "):
            break
        lines.append(line.strip())
    text = re.sub(r"^(?:[A-Z][A-Za-z ]*Error: )+", "", " ".join(filter(None, lines)))
    return text.replace("! ", ": ", 1).strip()
