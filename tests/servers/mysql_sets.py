"""Replication of MySQL, in the words of each release, between servers of one test.

A replica gets what its source logged whenever it is asked something: at once, and not by threads.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.servers.mysql_wire import Refused, Table

if TYPE_CHECKING:
    from tests.servers.mysql_words import State

#: servers that take connections, by their ports
NETWORK: dict[int, State] = {}
_Q = r"'((?:[^'\\]|\\.|'')*)'"
_NEW, _END = (8, 0), (99, 0)


def text(executed: dict[str, int]) -> str:
    """Return a set as the server writes it, which begins a line for each number."""
    return ",\n".join(f"{one}:1-{last}" for one, last in sorted(executed.items()) if last)


def parse(found: str) -> dict[str, int]:
    parts = [re.fullmatch(r"([0-9a-f-]{36}):1(?:-(\d+))?", one)
             for one in "".join(found.split()).split(",") if one]
    assert all(parts), found
    return {one[1]: int(one[2] or 1) for one in parts if one}


def change(state: State, *values: str) -> None:
    """Take what a server is told of a source; all of it must be told."""
    if state.io or state.sql:
        raise Refused(3021, "This operation cannot be performed with a running replica io thread")
    names = ("host", "port", "user", "password", "retry", "heartbeat", "rest")
    told = dict(zip(names, values, strict=True))
    if state.options.get("gtid_mode") != "ON":
        raise Refused(1777, "SOURCE_AUTO_POSITION = 1 cannot be executed because GTID_MODE = OFF")
    state.data["channel"] = {**told, "port": int(told["port"])}
    state.save()


def run(state: State, verb: str, only: str | None) -> None:
    on = verb == "START"
    if on and not state.data.get("channel"):
        raise Refused(1200, "The server is not configured as replica")
    state.io = on
    state.sql = on if only is None else state.sql
    state.io_error = 0
    state.sql_error = 0 if on else state.sql_error
    pull(state)


def forget(state: State) -> None:
    if state.io or state.sql:
        raise Refused(3081, "This operation cannot be performed with running replication threads")
    state.data["channel"], state.retrieved = {}, {}
    state.save()


def empty_log(state: State) -> None:
    state.data["executed"] = {}
    state.log.clear()
    if state.binary is not None:
        state.binary.reset()
    state.save()


def purged(state: State, found: str) -> None:
    if state.data["executed"]:
        raise Refused(3546, "@@GLOBAL.GTID_PURGED cannot be changed")
    if state.options.get("gtid_mode") != "ON":
        raise Refused(1777, "GTID_MODE is off")
    state.data["executed"] = parse(found)
    state.save()


def granted(state: State, name: str, host: str) -> None:
    state.find_user(name, host)
    state.data.setdefault("replicating", []).append(f"{name}@{host}")
    state.save()


def reached(state: State, wanted: str, seconds: str) -> list[list[Any]]:
    assert int(seconds) > 0, "for ever"
    have = state.data["executed"]
    return [[int(any(have.get(one, 0) < last for one, last in parse(wanted).items()))]]


def pull(state: State) -> None:
    """Get and apply what the source has."""
    channel = state.data.get("channel")
    if not channel or not state.io:
        return
    source = NETWORK.get(channel["port"])
    state.io_error = 2003 if source is None else _refusal(state, source, channel)
    if source is None or state.io_error:
        return
    for one, number, statement in source.log:
        if number <= max(state.data["executed"].get(one, 0), state.retrieved.get(one, 0)):
            continue
        state.retrieved[one] = number
        state.relay.append((one, number, statement))
    apply(state)


def _refusal(state: State, source: State, channel: dict[str, Any]) -> int:
    """Return the error of a replica that its source refuses, or that refuses it."""
    password, plugin, locked = source.data["users"].get(f"{channel['user']}@%", ["", "", "Y"])
    if locked == "Y" or password != channel["password"] or (
            f"{channel['user']}@%" not in source.data.get("replicating", [])):
        return 1045
    encrypted = "_ssl = 1" in channel["rest"]
    if source.read_global("require_secure_transport") == [[1]] and not encrypted:
        return 3159
    if "_ssl_ca = '/" in channel["rest"] and not (encrypted and source.options.get(
            "ssl_cert")):
        # a certificate that the server made itself is no authority's
        return 2026
    if plugin == "caching_sha2_password" and not encrypted:
        return 2061
    if source.options.get("server_id") == state.options.get("server_id") or (
            source.uuid == state.uuid):
        state.io = False
        return 1593
    have: dict[str, int] = {**state.data["executed"], **state.retrieved}
    logged = {(one, number) for one, number, _ in source.log}
    for one, last in source.data["executed"].items():
        if any((one, number) not in logged for number in range(have.get(one, 0) + 1, last + 1)):
            state.io = False
            return 1236
    return 0


def apply(state: State) -> None:
    while state.sql and state.relay:
        one, number, statement = state.relay[0]
        try:
            state.replay(statement)
        except Refused as err:
            state.sql, state.sql_error = False, err.code
            return
        state.note(one, number, statement)
        state.relay.pop(0)


def show(state: State) -> Table:
    channel = state.data.get("channel")
    words = ("Replica", "Source") if state.release >= _NEW else ("Slave", "Master")
    io = "No" if not state.io else "Connecting" if state.io_error else "Yes"
    row = {"{0}_IO_State": "", "{1}_Host": "", "{1}_User": "", "{1}_Port": 0,
           "{0}_IO_Running": io, "{0}_SQL_Running": "Yes" if state.sql else "No",
           "Seconds_Behind_{1}": 0 if io == "Yes" else None,
           "Last_IO_Errno": state.io_error, "Last_SQL_Errno": state.sql_error,
           "Retrieved_Gtid_Set": text(state.retrieved),
           "Executed_Gtid_Set": text(state.data["executed"])}
    if channel:
        row |= {"{1}_Host": channel["host"], "{1}_User": channel["user"],
                "{1}_Port": channel["port"]}
    return Table([name.format(*words) for name in row], [list(row.values())] if channel else [])


def _link(source: str) -> str:
    return (rf"{source}_host = {_Q}, {source}_port = (\d+), {source}_user = {_Q}, "
            rf"{source}_password = {_Q}, {source}_connect_retry = (\d+), "
            rf"{source}_heartbeat_period = (\d+), "
            rf"({source}_ssl = [01], {source}_ssl_ca = '[^']*', "
            rf"{source}_ssl_verify_server_cert = [01], "
            rf"{source}_auto_position = 1, {source}_retry_count = \d+)")


#: form, the release since when and that before which a statement is known, what it does
STATEMENTS: tuple[tuple[str, tuple[int, int], tuple[int, int], Callable[..., Any]], ...] = (
    (rf"CHANGE MASTER TO {_link('master')}", (5, 7), (8, 4), change),
    (rf"CHANGE REPLICATION SOURCE TO {_link('source')}", _NEW, _END, change),
    (r"(START|STOP) SLAVE( IO_THREAD)?", (5, 7), (8, 4), run),
    (r"(START|STOP) REPLICA( IO_THREAD)?", _NEW, _END, run),
    (r"RESET SLAVE ALL", (5, 7), (8, 4), forget),
    (r"RESET REPLICA ALL", _NEW, _END, forget),
    (r"RESET MASTER", (5, 7), (8, 4), empty_log),
    (r"RESET BINARY LOGS AND GTIDS", (8, 4), _END, empty_log),
    (r"SHOW SLAVE STATUS", (5, 7), (8, 4), show),
    (r"SHOW REPLICA STATUS", _NEW, _END, show),
    (rf"SET GLOBAL gtid_purged = {_Q}", (5, 7), _END, purged),
    (rf"SELECT WAIT_FOR_EXECUTED_GTID_SET\({_Q}, (\d+)\)", (5, 7), _END, reached),
    (rf"GRANT REPLICATION SLAVE ON \*\.\* TO {_Q}@{_Q}", (5, 7), _END, granted),
)
