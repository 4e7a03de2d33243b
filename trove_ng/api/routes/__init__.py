"""The whole surface of the API as data.

The controllers, 405 with ``Allow``, the OpenAPI document and the tests of access and
bad input are made from this table.  A path is below ``/v1.0/{tenant_id}``; a handler
is ``module:function`` below ``trove_ng.api.handlers`` and is imported at its first use.
A fixed segment outranks a parameter.  Each area of the API has a table in a module of its own.
"""

from __future__ import annotations

from trove_ng.api.routes import (
    backups,
    configurations,
    datastores,
    instances,
    management,
    modules,
)
from trove_ng.api.routes.base import Route, Schema

__all__ = ["ROUTES", "Route", "Schema"]

ROUTES: tuple[Route, ...] = (
    *instances.INSTANCES, *instances.DATABASES, *instances.USERS, *backups.BACKUPS,
    *backups.SCHEDULES, *datastores.DATASTORES, *configurations.CONFIGURATIONS,
    *modules.MODULES, *datastores.REGISTRATION, *configurations.PARAMETERS,
    *management.OPERATIONS, *management.LIMITS, *management.MANAGEMENT, *management.ESTATE,
    *management.SECURITY_GROUPS, *management.CLUSTERS)
