"""Addresses, firewall rules, attribute checks and list queries of Neutron."""

from __future__ import annotations

from typing import Any

import pytest

from trove_ng.standalone.minicloud import (
    neutron_address,
    neutron_firewall,
    neutron_query,
    neutron_schema,
)
from trove_ng.standalone.minicloud.hypervisor import FirewallRule

ID = "0c0ffee0-0000-4000-8000-000000000001"


def _rule(**values: Any) -> dict[str, Any]:
    return {"direction": "ingress", "ethertype": "IPv4", "protocol": None,
            "port_range_min": None, "port_range_max": None, "remote_ip_prefix": None,
            "remote_group_id": None, **values}


def test_pools_leave_the_gateway_out() -> None:
    assert neutron_address.default_pools("10.0.0.0/29", "10.0.0.1") == [
        {"start": "10.0.0.2", "end": "10.0.0.6"}]
    assert neutron_address.default_pools("10.0.0.0/29", "10.0.0.3") == [
        {"start": "10.0.0.1", "end": "10.0.0.2"}, {"start": "10.0.0.4", "end": "10.0.0.6"}]
    assert neutron_address.default_pools("10.0.0.0/29", None) == [
        {"start": "10.0.0.1", "end": "10.0.0.6"}]


def test_the_first_free_address_of_the_pools_is_given() -> None:
    subnet = {"id": "s", "cidr": "10.0.0.0/29",
              "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.3"},
                                   {"start": "10.0.0.5", "end": "10.0.0.5"}]}
    assert neutron_address.free_address(subnet, []) == "10.0.0.2"
    assert neutron_address.free_address(subnet, ["10.0.0.2", "10.0.0.3"]) == "10.0.0.5"
    with pytest.raises(neutron_address.AddressesUsedUp):
        neutron_address.free_address(subnet, ["10.0.0.2", "10.0.0.3", "10.0.0.5"])


@pytest.mark.parametrize(("pools", "part"), [
    ([{"start": "10.0.1.1", "end": "10.0.1.2"}], "spans beyond"),
    ([{"start": "10.0.0.5", "end": "10.0.0.4"}], "spans beyond"),
    ([{"start": "10.0.0.2", "end": "10.0.0.4"}, {"start": "10.0.0.4", "end": "10.0.0.5"}],
     "overlapping"),
    ([{"start": "10.0.0.1", "end": "10.0.0.4"}], "Gateway"),
    ([{"start": "no"}], "Invalid"),
    ([{"start": "10.0.0.2", "end": "10.0.0.6"}], ""),
])
def test_bad_pools_are_named(pools: list[dict[str, str]], part: str) -> None:
    fault = neutron_address.pools_fault("10.0.0.0/29", "10.0.0.1", pools)
    assert part in fault and bool(part) == bool(fault)


def test_edges_of_a_subnet_are_not_host_addresses() -> None:
    assert neutron_address.in_cidr("10.0.0.9", "10.0.0.0/24")
    for address in ("10.0.0.0", "10.0.0.255", "10.0.1.1", "x", "::1"):
        assert not neutron_address.in_cidr(address, "10.0.0.0/24")


def test_overlap_is_seen_in_both_directions() -> None:
    assert neutron_address.overlaps("10.0.0.0/24", ["10.0.0.128/25"])
    assert neutron_address.overlaps("10.0.0.128/25", ["10.0.0.0/24"])
    assert not neutron_address.overlaps("10.0.1.0/24", ["10.0.0.0/24", "fd00::/64"])


def test_a_mac_has_the_form_of_one() -> None:
    assert neutron_address.MAC_FORM.match(neutron_address.new_mac([]))


def test_a_remote_group_becomes_its_members() -> None:
    rules = [_rule(protocol="6", port_range_min=3306, port_range_max=3306, remote_group_id="g")]
    made = neutron_firewall.compile_rules(rules, {"g": ["10.0.0.5", "10.0.0.6"]})
    assert made == [FirewallRule("ingress", "tcp", 3306, 3306, "10.0.0.5/32"),
                    FirewallRule("ingress", "tcp", 3306, 3306, "10.0.0.6/32")]
    assert neutron_firewall.compile_rules(rules, {}) == []


def test_doubles_and_ipv6_rules_are_left_out() -> None:
    rules = [_rule(), _rule(), _rule(ethertype="IPv6"), _rule(direction="egress")]
    assert neutron_firewall.compile_rules(rules, {}) == [
        FirewallRule("egress", None, None, None, None),
        FirewallRule("ingress", None, None, None, None)]


@pytest.mark.parametrize(("resource", "body", "part"), [
    ("network", {"nmae": "x"}, "Unrecognized attribute(s) 'nmae'"),
    ("port", {}, "Required attribute 'network_id' not specified"),
    ("port", {"network_id": "x"}, "not a valid UUID"),
    ("port", {"network_id": ID, "mac_address": "zz"}, "not a valid MAC"),
    ("port", {"network_id": ID, "fixed_ips": [{"ip": "x"}]}, "Invalid data format"),
    ("port", {"network_id": ID, "security_groups": [ID, ID]}, "Duplicate items"),
    ("subnet", {"network_id": ID, "ip_version": 4, "cidr": "10.0.0.1/24"}, "not a valid IP"),
    ("subnet", {"network_id": ID, "ip_version": 9, "cidr": "10.0.0.0/24"}, "ip_version"),
    ("security_group_rule", {"security_group_id": ID, "direction": "up"}, "direction"),
    ("security_group_rule", {"security_group_id": ID, "direction": "ingress",
                             "protocol": "tpc"}, "not supported"),
    ("network", {"name": "x" * 256}, "exceeds maximum length"),
    ("network", [], "Resource body required"),
])
def test_a_bad_attribute_is_named(resource: str, body: Any, part: str) -> None:
    with pytest.raises(neutron_schema.BadAttribute, match=part.replace("(", r"\(")
                       .replace(")", r"\)")):
        neutron_schema.check(resource, body, creating=True, admin=True)


def test_defaults_are_filled_in_on_create_only() -> None:
    made, project = neutron_schema.check("network", {"tenant_id": "p"}, True, False)
    assert made["admin_state_up"] is True and made["name"] == "" and project == "p"
    assert neutron_schema.check("network", {"name": "n"}, False, False) == ({"name": "n"}, None)


def test_what_cannot_change_is_refused_on_update() -> None:
    with pytest.raises(neutron_schema.BadAttribute, match="read-only attribute network_id"):
        neutron_schema.check("port", {"network_id": ID}, creating=False, admin=True)


def test_a_user_may_not_share_a_network() -> None:
    with pytest.raises(PermissionError):
        neutron_schema.check("network", {"shared": True}, creating=True, admin=False)
    assert neutron_schema.check("network", {"shared": False}, True, False)[0]["shared"] is False


DOCS = [{"id": str(number), "name": f"n{number % 2}", "up": number > 1, "project_id": "p",
         "fixed_ips": [{"ip_address": f"10.0.0.{number}", "subnet_id": "s"}],
         "security_groups": ["g"] if number else [], "tags": ["a"] if number == 2 else []}
        for number in range(4)]


@pytest.mark.parametrize(("query", "ids"), [
    ({}, "0123"),
    ({"name": ["n0"]}, "02"),
    ({"name": ["n0", "n1"]}, "0123"),
    ({"up": ["True"]}, "23"),
    ({"tenant_id": ["q"]}, ""),
    ({"fixed_ips": ["ip_address=10.0.0.3"]}, "3"),
    ({"fixed_ips": ["ip_address=10.0.0.3", "subnet_id=s"]}, "3"),
    ({"security_groups": ["g"]}, "123"),
    ({"tags": ["a"]}, "2"),
    ({"not-tags": ["a"]}, "013"),
    ({"unknown": ["x"]}, "0123"),
    ({"limit": ["2"]}, "01"),
    ({"limit": ["2"], "marker": ["1"]}, "23"),
    ({"limit": ["2"], "marker": ["3"], "page_reverse": ["True"]}, "12"),
    ({"sort_key": ["id"], "sort_dir": ["desc"]}, "3210"),
])
def test_a_list_is_filtered_ordered_and_cut(query: dict[str, list[str]], ids: str) -> None:
    found, _before, _after = neutron_query.select(DOCS, query)
    assert "".join(doc["id"] for doc in found) == ids


def test_a_page_knows_its_neighbours() -> None:
    assert neutron_query.select(DOCS, {"limit": ["2"]})[1:] == (False, True)
    assert neutron_query.select(DOCS, {"limit": ["2"], "marker": ["1"]})[1:] == (True, False)
    for query in ({"limit": ["x"]}, {"marker": ["nope"]}):
        with pytest.raises(neutron_query.BadQuery):
            neutron_query.select(DOCS, query)


def test_only_the_asked_fields_are_shown() -> None:
    assert neutron_query.fields({"id": "1", "name": "x"}, {"fields": ["id"]}) == {"id": "1"}
