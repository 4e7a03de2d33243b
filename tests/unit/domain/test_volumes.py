"""Which volumes an instance gets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trove_ng.common.errors import BadRequest
from trove_ng.domain.volumes import Volume, check_kinds, check_room, plan


def line(kind: str = "data", size: int | None = 4, device: str = "block_xfs",
         required: bool = True) -> Any:
    return SimpleNamespace(volume_kind=kind, size=size, provider="cinder", provider_type="fast",
                           device_type=device, required=required)


DATA = Volume("data", 4, "fast", "block_xfs")


@pytest.mark.parametrize(("lines", "volume", "listed", "found"), [
    ([], {"size": "2", "type": None}, None, [Volume("data", 2)]),
    ([], {"size": 2, "type": "slow"}, None, [Volume("data", 2, "slow")]),
    ([], None, [{"volume_kind": "data", "size": 3}], [Volume("data", 3)]),
    ([line()], None, None, [DATA]),
    ([line()], {"size": 9}, None, [Volume("data", 9, "fast", "block_xfs")]),
    ([line()], {"size": 9, "type": "slow"}, None, [Volume("data", 9, "slow", "block_xfs")]),
    ([line(size=None)], None, [{"volume_kind": "data", "size": "7"}],
     [Volume("data", 7, "fast", "block_xfs")]),
    ([line(), line("binlog", 1, "block_ext3")], {"size": 5}, None,
     [Volume("data", 5, "fast", "block_xfs"), Volume("binlog", 1, "fast", "block_ext3")]),
    ([line(), line("binlog", required=False)], None, None, [DATA]),
    ([line(), line("binlog", required=False)], None, [{"volume_kind": "binlog", "size": 2}],
     [DATA, Volume("binlog", 2, "fast", "block_xfs")])])
def test_what_the_request_says_outranks_the_configuration(
        lines: list[Any], volume: Any, listed: Any, found: list[Volume]) -> None:
    assert plan(lines, volume, listed) == found


@pytest.mark.parametrize(("lines", "volume", "listed", "why"), [
    ([], None, None, "instance.volume is required"),
    ([line("binlog")], None, None, "instance.volume is required"),
    ([line(size=None)], None, None, "size of data is required"),
    ([line()], {"size": 1}, [{"volume_kind": "data", "size": 1}], "cannot be given together"),
    ([], None, [{"volume_kind": "data", "size": 1}] * 2, "names data twice")])
def test_what_cannot_be_made_is_refused(lines: list[Any], volume: Any, listed: Any,
                                        why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        plan(lines, volume, listed)


def test_a_datastore_has_its_kinds_only() -> None:
    check_kinds([DATA], ("data",))
    with pytest.raises(BadRequest, match="no volumes of kind binlog; it has data"):
        check_kinds([DATA, Volume("binlog", 1)], ("data",))


def test_the_flavor_must_hold_what_the_server_brings_along() -> None:
    volumes = [Volume("root", 5, provider="nova"), Volume("binlog", 2, provider="nova"),
               Volume("user_log", 1, provider="nova"), Volume("data", 99)]
    check_room(volumes, 5, 3)
    with pytest.raises(BadRequest, match="need 5 GB of root disk, the flavor has 4 GB"):
        check_room(volumes, 4, 3)
    with pytest.raises(BadRequest, match="need 3 GB of ephemeral disk, the flavor has 2 GB"):
        check_room(volumes, 5, 2)


def test_a_root_disk_is_none_of_the_requests_volumes() -> None:
    check_kinds([DATA, Volume("root", 1, provider="nova")], ("data",))
    with pytest.raises(BadRequest, match="no volumes of kind root"):
        check_kinds([DATA, Volume("root", 1)], ("data",))
