"""What names the MySQL family takes."""

from __future__ import annotations

import pytest

from trove_ng.common.errors import BadRequest
from trove_ng.datastores import base
from trove_ng.datastores.mysql.rules import MySqlRules

RULES = MySqlRules(user_length=80)


@pytest.mark.parametrize("name", ["shop", "a b", "ünïcode", "x" * 64, "100%", "under_score",
                                  "back`tick", "quote'd", "select"])
def test_good_database_names(name: str) -> None:
    RULES.check_database("name", name)


@pytest.mark.parametrize("name", [
    "", "x" * 65, "a/b", "a\\b", "a.b", "tab\t", " lead", "trail ", "mysql", "MySQL",
    "information_schema", "performance_schema", "sys", "nul\0", "emoji\U0001f600"])
def test_bad_database_names_name_the_field(name: str) -> None:
    with pytest.raises(BadRequest, match=r"databases\[0\]\.name"):
        RULES.check_database("databases[0].name", name)


def test_names_that_the_operator_keeps_are_refused() -> None:
    with pytest.raises(BadRequest, match="reserved"):
        RULES.check_database("name", "Backup", ["backup"])


@pytest.mark.parametrize(("name", "host"), [
    ("app", None), ("app", "%"), ("app", "10.0.0.1"), ("app", "10.0.0.0/24"),
    ("app", "10.0.0.0/255.255.255.0"), ("app", "db.example.org"), ("a-b.c", "10.77.%"),
    ("app", "::1"), ("x" * 80, None)])
def test_good_users(name: str, host: str | None) -> None:
    RULES.check_user("user", name, host)


@pytest.mark.parametrize(("name", "host", "field"), [
    ("", None, "user.name"), ("x" * 81, None, "user.name"), ("root", None, "user.name"),
    ("ROOT", None, "user.name"), ("os_admin", None, "user.name"),
    ("a'b", None, "user.name"), ("a@b", None, "user.name"), (" a", None, "user.name"),
    ("app", "", "user.host"), ("app", "a b", "user.host"), ("app", "10.0.0.0/33", "user.host"),
    ("app", "x" * 61, "user.host"), ("app", "10.0.0.0/24' OR 1", "user.host")])
def test_bad_users_name_the_field(name: str, host: str | None, field: str) -> None:
    with pytest.raises(BadRequest, match=field):
        RULES.check_user("user", name, host)


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(BadRequest) as caught:
        RULES.check_password("user.password", "s3cret\n")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("charset", "collate"), [
    ("utf8mb4", None), (None, "utf8mb4_bin"), ("utf8mb4", "utf8mb4_general_ci"),
    ("latin1", "latin1_swedish_ci"), ("utf8mb4", "uca1400_ai_ci"), ("binary", "binary")])
def test_good_character_sets(charset: str | None, collate: str | None) -> None:
    RULES.check_charset("database", charset, collate)


@pytest.mark.parametrize(("charset", "collate"), [
    ("utf8mb4", "latin1_swedish_ci"), ("utf8;", None), (None, "x y"), ("x" * 33, None)])
def test_bad_character_sets(charset: str | None, collate: str | None) -> None:
    with pytest.raises(BadRequest, match="database"):
        RULES.check_charset("database", charset, collate)


def test_mariadb_is_declared() -> None:
    mariadb = base.get("mariadb")
    assert mariadb.capabilities.backups
    assert mariadb.ports == (("tcp", 3306, 3306),)
    names = [one.name for one in mariadb.parameters("10.11")]
    assert "max_connections" in names
    assert len(names) == len(set(names)) > 100


def test_an_unknown_manager_is_refused() -> None:
    with pytest.raises(BadRequest, match="cobol"):
        base.get("cobol")


@pytest.mark.parametrize("memory", [256, 512, 2048, 16384, 262144])
def test_the_settings_leave_memory_for_the_rest(memory: int) -> None:
    settings = base.get("mariadb").config(memory)["mysqld"]
    pool = int(settings["innodb_buffer_pool_size"].removesuffix("M"))
    assert 64 <= pool <= memory * 0.7
    assert int(settings["max_connections"]) >= 50
