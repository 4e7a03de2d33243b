"""Volume configurations."""

from __future__ import annotations

import pytest

from .conftest import Operator


def test_a_configuration_is_made_changed_shown_and_removed(mariadb: Operator) -> None:
    mariadb.does("volume-config-add", "fast", "data", "cinder", "ssd", "block_xfs", "true",
                 "--size", "4")
    # as the spec prints it
    mariadb.does("volume-config-add", "fast", "binlog", "cinder", "", "block_ext3", "False")
    assert mariadb.does("volume-config-list", "fast") == [
        "binlog: no size, cinder default type, block_ext3",
        "data: 4 GB, cinder ssd, block_xfs, required"]
    mariadb.does("volume-config-add", "fast", "data", "cinder", "ssd", "block_ext4", "false",
                 "--size", "8")
    assert "data: 8 GB, cinder ssd, block_ext4" in mariadb.does("volume-config-list", "fast")
    mariadb.does("volume-config-delete", "fast", "data")
    assert len(mariadb.does("volume-config-list", "fast")) == 1
    assert "cannot be found" in mariadb.fails("volume-config-delete", "fast", "data")


@pytest.mark.parametrize("wrong", [
    ("manila", "ssd", "block_xfs", "true"), ("cinder", "ssd", "tape", "true"),
    ("cinder", "ssd", "block_xfs", "maybe")])
def test_what_nothing_could_make_is_refused(mariadb: Operator, wrong: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        mariadb.does("volume-config-add", "fast", "data", *wrong)
    assert "invalid choice" in mariadb.read_errors()
    assert mariadb.does("volume-config-list", "fast") == []


@pytest.mark.parametrize(("wrong", "why"), [
    (("data", "nova", "ssd", "block_xfs"), "provider nova have no type"),
    (("data", "nova", "", "root"), "which nothing else is"),
    (("root", "cinder", "", "root"), "of provider nova and device type root"),
    (("root", "nova", "", "block_ext4"), "of provider nova and device type root"),
    (("data", "cinder", "", "shared"), "of device type shared"),
    (("data", "external", "nas:/x", "block_ext4"), "of device type shared"),
    (("data", "external", "nas", "shared"), "server:/directory"),
    (("data", "external", "nas:/a b", "shared"), "server:/directory")])
def test_what_does_not_fit_together_is_refused(mariadb: Operator, wrong: tuple[str, ...],
                                               why: str) -> None:
    assert why in mariadb.fails("volume-config-add", "fast", *wrong, "true")
    assert mariadb.does("volume-config-list", "fast") == []


def test_disks_of_servers_and_shares_are_told_too(mariadb: Operator) -> None:
    for line in (("root", "nova", "", "root"), ("binlog", "nova", "", "block_ext4"),
                 ("data", "external", "nas:/exports", "shared")):
        mariadb.does("volume-config-add", "far", *line, "true", "--size", "2")
    assert mariadb.does("volume-config-list", "far") == [
        "binlog: 2 GB, nova default type, block_ext4, required",
        "data: 2 GB, external nas:/exports, shared, required",
        "root: 2 GB, nova default type, root, required"]
