"""Metadata of instances at the command line."""

from __future__ import annotations

from tests.functional.api.conftest import FOREIGN, OWN
from tests.functional.osc.conftest import OpenStack

METADATA = ("database", "instance", "metadata")
ONE = f"{OWN}2"


def test_a_key_from_its_making_to_its_end(openstack: OpenStack) -> None:
    assert openstack(*METADATA, "list", ONE) == []
    assert openstack(*METADATA, "create", ONE, "team", "shop") == {
        "key": "team", "value": "shop"}
    # what is JSON is kept as what it stands for
    racks = '{"racks": [1, 2.5, null, true]}'
    assert openstack(*METADATA, "create", "db2", "place", racks)["value"] == racks
    assert openstack(*METADATA, "set", ONE, "team", "wiki")["value"] == "wiki"
    assert openstack(*METADATA, "set", ONE, "team", "alice", "--name", "owner") == {
        "key": "owner", "value": "alice"}
    assert openstack(*METADATA, "list", ONE) == [
        {"Key": "owner", "Value": "alice"}, {"Key": "place", "Value": racks}]
    openstack.does(*METADATA, "delete", ONE, "place")
    assert openstack(*METADATA, "show", ONE, "owner") == {"key": "owner", "value": "alice"}
    assert "HTTP 404" in openstack.fails(*METADATA, "show", ONE, "place")


def test_what_cannot_be_is_told(openstack: OpenStack) -> None:
    assert "HTTP 409" in openstack.fails(*METADATA, "create", f"{OWN}1", "team", "x")
    assert "HTTP 400" in openstack.fails(*METADATA, "create", ONE, "a b", "x")
    for words in (("set", ONE, "none", "x"), ("delete", ONE, "none")):
        assert "HTTP 404" in openstack.fails(*METADATA, *words)
    assert "no instance" in openstack.fails(*METADATA, "list", f"{FOREIGN}1")
