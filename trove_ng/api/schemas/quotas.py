"""Bodies about quotas."""

from __future__ import annotations

from trove_ng.api.schemas.common import Schema, obj

#: -1 is no limit
LIMIT: Schema = {"type": "integer", "minimum": -1, "maximum": 2 ** 31 - 1}
#: what is counted; ram in MiB, volumes in GB
RESOURCES = ("instances", "ram", "volumes", "backups")

UPDATE: Schema = obj({"quotas": obj(
    dict.fromkeys(RESOURCES, LIMIT), minProperties=1)}, ("quotas",),
    examples=[{"quotas": {"instances": 20, "volumes": -1}}])
