"""Security groups become nft rulesets."""

from __future__ import annotations

import pytest

from trove_ng.standalone.minicloud.hypervisor import FirewallRule, HypervisorError
from trove_ng.standalone.runtime import firewall


def rule(direction: str = "ingress", protocol: str | None = None, low: int | None = None,
         high: int | None = None, cidr: str | None = None) -> FirewallRule:
    return FirewallRule(direction, protocol, low, high, cidr)


def lines(rules: list[FirewallRule]) -> list[str]:
    return [line.strip() for line in firewall.render(rules).splitlines()]


@pytest.mark.parametrize(("given", "expected"), [
    (rule(protocol="tcp", low=3306, high=3306, cidr="10.0.0.0/8"),
     "ip saddr 10.0.0.0/8 tcp dport 3306 accept"),
    (rule(protocol="udp", low=1, high=9), "udp dport 1-9 accept"),
    (rule(protocol="tcp"), "meta l4proto tcp accept"),
    (rule(protocol="tcp", low=1024), "tcp dport 1024-65535 accept"),
    (rule(protocol="icmp"), "meta l4proto icmp accept"),
    (rule(protocol="icmp", low=8, high=0), "icmp type 8 icmp code 0 accept"),
    (rule(protocol="ipv6-icmp", low=128), "icmpv6 type 128 accept"),
    (rule(protocol="112"), "meta l4proto 112 accept"),
    (rule(), "meta l4proto 0-255 accept"),
    (rule(cidr="0.0.0.0/0"), "meta nfproto ipv4 accept"),
    (rule(cidr="::/0"), "meta nfproto ipv6 accept"),
    (rule(cidr="fd00::/8"), "ip6 saddr fd00::/8 accept"),
    (rule("egress", "tcp", 5672, 5672, "10.1.2.3/32"),
     "ip daddr 10.1.2.3/32 tcp dport 5672 accept"),
])
def test_a_rule_becomes_a_line(given: FirewallRule, expected: str) -> None:
    assert expected in lines([given])


def test_both_directions_drop_what_no_rule_allows() -> None:
    assert [line for line in lines([]) if "policy" in line] == [
        "type filter hook input priority 0; policy drop;",
        "type filter hook output priority 0; policy drop;"]


def test_a_rule_stands_in_the_chain_of_its_direction_only() -> None:
    script = firewall.render([rule(protocol="tcp", low=22, high=22)])
    before, after = script.split("chain output")
    assert "dport 22" in before
    assert "dport 22" not in after


def test_the_old_table_goes_in_the_same_transaction() -> None:
    assert lines([])[:2] == ["add table inet trove", "delete table inet trove"]


def test_equal_rules_appear_once() -> None:
    assert lines([rule(protocol="tcp"), rule(protocol="tcp")]).count(
        "meta l4proto tcp accept") == 1


@pytest.mark.parametrize("wrong", [
    rule("sideways"),
    rule(protocol="tcp; drop"),
    rule(protocol="999"),
    rule(protocol="tcp", low=9, high=1),
    rule(protocol="tcp", low=1, high=70000),
    rule(cidr="10.0.0.0/8; flush ruleset"),
])
def test_what_is_not_understood_is_refused(wrong: FirewallRule) -> None:
    with pytest.raises(HypervisorError):
        firewall.render([wrong])
