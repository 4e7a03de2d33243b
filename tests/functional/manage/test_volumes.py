"""Volume configurations."""

from __future__ import annotations

import pytest

from .conftest import Operator


def test_a_configuration_is_made_changed_shown_and_removed(mariadb: Operator) -> None:
    mariadb.does("volume-config-add", "fast", "data", "cinder", "ssd", "block_xfs", "true",
                 "--size", "4")
    mariadb.does("volume-config-add", "fast", "binlog", "cinder", "", "block_ext3", "false")
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
    ("nova", "ssd", "block_xfs", "true"), ("cinder", "ssd", "shared", "true"),
    ("cinder", "ssd", "block_xfs", "maybe")])
def test_what_nothing_could_make_is_refused(mariadb: Operator, wrong: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        mariadb.does("volume-config-add", "fast", "data", *wrong)
    assert "invalid choice" in mariadb.read_errors()
    assert mariadb.does("volume-config-list", "fast") == []
