"""Percona Server: MySQL with settings of its own."""

from __future__ import annotations

import dataclasses

from trove_ng.datastores import mysql
from trove_ng.datastores.mysql import versions

DATASTORE = dataclasses.replace(
    mysql.DATASTORE,
    manager="percona",
    parameters=versions.parameters("trove_ng.datastores.mysql", "trove_ng.datastores.percona"),
)
