"""Volumes at the command line."""

from __future__ import annotations

from tests.functional.api.conftest import OWN
from tests.functional.osc.conftest import OpenStack

CONFIGURATION = ("database", "volume", "configuration")


def test_volume_configurations(openstack: OpenStack) -> None:
    assert {"Name": "small"} in openstack(*CONFIGURATION, "list")
    shown, = openstack(*CONFIGURATION, "show", "small")
    assert (shown["Volume Kind"], shown["Size"], shown["Provider Type"]) == ("data", 2, "lvm")
    assert "HTTP 404" in openstack.fails(*CONFIGURATION, "show", "none/such")


def test_volumes_of_an_instance(openstack: OpenStack) -> None:
    shown, = openstack("database", "instance", "volume", "list", f"{OWN}1")
    assert (shown["Volume Kind"], shown["Provider"]) == ("data", "cinder")
    assert shown["Size"] >= 1
    assert "no instance" in openstack.fails(
        "database", "instance", "volume", "list", "another")
