from __future__ import annotations

import msgspec
import pytest

from trove_ng.common.secret import Secret
from trove_ng.common.states import ServiceStatus
from trove_ng.rpc import messages


def _prepare() -> messages.PrepareRequest:
    return messages.PrepareRequest(
        operation_id="op", step="prepare", datastore="mariadb", datastore_version="10.11",
        memory_mb=512, users=[messages.UserSpec(name="u", password=Secret("hunter2"))],
        volume=messages.VolumeSpec(device="/dev/vdb", mount_point="/var/lib/mysql"))


def test_a_message_comes_back_as_it_was_sent() -> None:
    sent = _prepare()
    assert messages.decode(messages.encode(sent), messages.PrepareRequest) == sent


def test_a_message_does_not_show_its_secrets() -> None:
    assert "hunter2" not in repr(_prepare())
    assert b"hunter2" in messages.encode(_prepare())


def test_a_field_of_a_newer_peer_is_ignored() -> None:
    data = b'{"status": "HEALTHY", "sequence": 3, "sent_at": 1.5, "later": {"a": 1}}'
    read = messages.decode(data, messages.Heartbeat)
    assert (read.status, read.sequence) == (ServiceStatus.HEALTHY, 3)


@pytest.mark.parametrize("data", [
    b"{}", b"[]", b"x", b'{"status": "NO", "sequence": 1, "sent_at": 1}',
    b'{"status": "NEW", "sequence": "1", "sent_at": 1}'])
def test_what_does_not_fit_the_type_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.decode(data, messages.Heartbeat)


def test_only_known_types_are_sent() -> None:
    with pytest.raises(TypeError, match="cannot send a object"):
        messages.encode({"a": object()})
