"""The command line of ``trove-manage``."""

from __future__ import annotations

import pytest

from trove_ng.manage import parser
from trove_ng.manage.command import at_least, words


def test_every_command_has_a_name_and_a_help_of_its_own() -> None:
    names = [command.name for command in parser.COMMANDS]
    assert len(set(names)) == len(names)
    assert all(command.help for command in parser.COMMANDS)


@pytest.mark.parametrize("name", [
    "db_sync", "db_upgrade", "db_version", "db_wipe", "datastore_update",
    "datastore_version_update", "db_load_datastore_config_parameters",
    "datastore_version_flavor_add", "datastore_version_flavor_delete",
    "datastore_version_flavor_list", "datastore_version_volume_type_add",
    "datastore_version_list", "datastore_version_delete", "datastore_delete",
    "datastore_version_visibility", "datastore_version_member_add",
    "datastore_version_member_delete", "datastore_version_member_list", "capability_list",
    "capability_switch", "capability_override",
    "datastore_version_volume_type_delete", "datastore_version_volume_type_list",
    "quota_show", "quota_update", "quota_recount", "generate_keys",
    "instance_keys_reseal",
    "operation_list", "operation_show", "event_list", "event_purge", "reconcile"])
def test_a_command_shows_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        parser.make().parse_args([name, "--help"])
    assert ending.value.code == 0
    assert f"trove-manage {name}" in capsys.readouterr().out


def test_the_order_of_a_versions_arguments() -> None:
    options = parser.make().parse_args([
        "datastore_version_update", "mariadb", "10.11", "mariadb", "", "a,b", "1",
        "--image-tags", "trove, mariadb", "--version", "10.11.6"])
    assert (options.datastore, options.version_name, options.manager) == (
        "mariadb", "10.11", "mariadb")
    assert (options.image_id, options.packages, options.active) == ("", "a,b", "1")
    assert (options.image_tags, options.number) == (["trove", "mariadb"], "10.11.6")


@pytest.mark.parametrize("argv", [
    [],
    ["no_such_command"],
    ["datastore_update", "mariadb"],
    ["datastore_version_update", "mariadb", "10.11", "mariadb", "image", "", "yes"],
    ["datastore_version_flavor_add", "mariadb", "10.11", " , "],
    ["quota_update", "project", "instances", "-2"],
    ["quota_update", "project", "instances", "many"],
    ["operation_list", "--limit", "0"],
])
def test_a_wrong_command_line_ends_with_2(
        argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        parser.make().parse_args(argv)
    assert ending.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_configuration_files_may_be_several() -> None:
    options = parser.make().parse_args(
        ["--config-file", "a", "--config-file", "b", "--config-dir", "c", "db_sync"])
    assert (options.config_file, options.config_dir) == (["a", "b"], ["c"])


def test_minus_one_is_a_limit() -> None:
    options = parser.make().parse_args(["quota_update", "project", "instances", "-1"])
    assert options.limit == -1


def test_types_of_arguments() -> None:
    assert at_least(1)("1") == 1
    assert words(" a,,b ") == ["a", "b"]
