"""What is said of MariaDB's settings, held against the server itself."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests import programs
from tests.servers import mariadb
from trove_ng.datastores import base
from trove_ng.datastores.base import Parameter
from trove_ng.datastores.mariadb.reserved import LEFT_OUT
from trove_ng.guestagent.datastores.experimental.mariadb.dialect import MariaDbDialect
from trove_ng.guestagent.datastores.mysql_family.config import Configuration
from trove_ng.guestagent.datastores.mysql_family.paths import Paths

pytestmark = [pytest.mark.integration, pytest.mark.skipif(
    os.geteuid() != 0, reason="the server runs as its own user, which only root can do")]

PARAMETERS = base.get("mariadb").parameters("10.11")
#: the server takes it at run time only if it was not off at the start
STRICTER = {"query_cache_type"}
TEXTS = {
    "aria_recover_options": "BACKUP,FORCE", "character_set_filesystem": "latin1",
    "character_set_server": "latin1", "collation_server": "latin1_bin",
    "default_regex_flags": "DOTALL", "default_tmp_storage_engine": "Aria",
    "ft_boolean_syntax": "+ -><()~*:\"\"&!", "init_connect": "SET @a=1",
    "lc_time_names": "de_DE", "log_disabled_statements": "slave",
    "log_slow_disabled_statements": "admin,call", "log_slow_filter": "filesort",
    "log_slow_verbosity": "query_plan", "note_verbosity": "basic",
    "old_mode": "NO_PROGRESS_INFO", "optimizer_switch": "mrr=on",
    "optimizer_adjust_secondary_key_costs": "adjust_secondary_key_cost",
    "optimizer_trace": "enabled=on", "session_track_system_variables": "autocommit",
    "sql_mode": "ANSI", "time_zone": "+02:00"}

Variable = tuple[str, str, str, str]


@pytest.fixture(scope="module")
def database() -> Iterator[mariadb.Server]:
    with mariadb.server() as server:
        yield server


@pytest.fixture(scope="module")
def variables(database: mariadb.Server) -> dict[str, Variable]:
    """The server's variables: type, smallest and largest value, whether read-only."""
    rows: list[tuple[Any, ...]] = database.execute(
        "SELECT VARIABLE_NAME, VARIABLE_TYPE, NUMERIC_MIN_VALUE, NUMERIC_MAX_VALUE, "
        "READ_ONLY FROM information_schema.SYSTEM_VARIABLES")
    return {str(row[0]).lower(): (row[1], row[2], row[3], row[4]) for row in rows}


def test_the_list_is_that_of_the_server(database: mariadb.Server) -> None:
    assert programs.listed("mariadb") == programs.tool("mariadb-parameters").described(database), (
        "run tools/mariadb-parameters.py")


def test_what_is_left_out_is_there(variables: dict[str, Variable]) -> None:
    # "old" and others have no other way to be noticed when they are renamed
    assert set() == LEFT_OUT - set(variables)


@pytest.mark.parametrize("one", PARAMETERS, ids=lambda one: one.name)
def test_a_setting_is_what_the_server_says(variables: dict[str, Variable],
                                           one: Parameter) -> None:
    kind, low, high, read_only = variables[one.name]
    if one.name not in STRICTER:
        assert one.restart_required == (read_only == "YES")
    if kind.startswith(("BIGINT", "INT", "DOUBLE")):
        assert one.kind in ("integer", "float")
        assert one.low is not None
        assert one.high is not None
        assert float(low) <= one.low <= one.high <= float(high)
    elif kind == "BOOLEAN":
        assert one.kind == "boolean"


def _values(one: Parameter) -> list[Any]:
    if one.kind == "boolean":
        return [True, False]
    if one.kind == "string":
        return [*one.choices] or [TEXTS[one.name]]
    return [one.low, one.high]


@pytest.mark.parametrize("one", PARAMETERS, ids=lambda one: one.name)
def test_the_server_takes_every_setting_from_its_file(tmp_path: pathlib.Path,
                                                      one: Parameter) -> None:
    paths = Paths(mount=str(tmp_path / "mount"), base_config=str(tmp_path / "90.cnf"),
                  include_config=str(tmp_path / "99.cnf"), changes=str(tmp_path / "changes"))
    for value in _values(one):
        Configuration(paths, MariaDbDialect(), "mysql").write(
            base.get("mariadb").config(512), {one.name: value})
        main = tmp_path / "my.cnf"
        main.write_text(f"!include {paths.include_config}\n")
        # reads all settings as a start does, and shows them
        done = subprocess.run(["mariadbd", f"--defaults-file={main}", "--help", "--verbose"],
                              capture_output=True, text=True, timeout=60)
        said = [line for line in done.stderr.splitlines()
                if "[ERROR]" in line or "unknown" in line or (
                    one.name.replace("_", "-") in line.replace("_", "-")
                    and "adjusted" in line)]
        assert done.returncode == 0, said
        assert said == []
