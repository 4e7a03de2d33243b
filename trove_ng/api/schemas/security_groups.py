"""Bodies about security groups."""

from __future__ import annotations

from trove_ng.api.schemas.common import CIDR, UUID, Schema, obj

#: as released clients send it
RULE: Schema = obj({"security_group_rule": obj(
    {"group_id": UUID, "cidr": CIDR}, ("group_id", "cidr"))}, ("security_group_rule",))
