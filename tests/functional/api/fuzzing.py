"""What the fuzz tests work with: our document, aimed at what exists."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis.config import SchemathesisConfig

from tests.functional.api.answers import ANSWERS
from tests.functional.api.conftest import (
    FOREIGN,
    IMAGE,
    MINE,
    NETWORK,
    OWN,
    RULE,
    UNKNOWN,
    Guest,
    Waker,
)
from trove_ng.api.openapi import Document
from trove_ng.api.routes import ROUTES
from trove_ng.common.clock import utcnow
from trove_ng.common.errors import NotFound
from trove_ng.db.models import Backup, Instance, Operation
from trove_ng.db.session import Database
from trove_ng.rpc import messages as m

#: requests that are made up for each operation, besides those at the bounds of its schema
CASES = int(os.environ.get("TROVE_FUZZ_CASES", "8"))
#: chains of requests by the document's links
CHAINS = int(os.environ.get("TROVE_FUZZ_CHAINS", "15"))
SEED = int(os.environ.get("TROVE_FUZZ_SEED", "20260101"))

#: parameter of a path, or kind of resource → values that exist, or are another project's
_EXISTING: dict[str, list[Any]] = {
    "tenant_id": [MINE],
    "instances": [f"{OWN}1", f"{OWN}2", f"{FOREIGN}1", UNKNOWN],
    "backups": [f"{OWN}8", f"{FOREIGN}8", UNKNOWN],
    "configurations": [f"{OWN}7", f"{FOREIGN}7", UNKNOWN],
    "modules": [f"{OWN}4", f"{FOREIGN}4", UNKNOWN],
    "module_id": [f"{OWN}4", f"{FOREIGN}4", UNKNOWN],
    "schedules": [f"{OWN}9", f"{FOREIGN}9", UNKNOWN],
    "execution_id": [f"{OWN}e", f"{FOREIGN}e", UNKNOWN],
    "operations": [f"{OWN}6", f"{FOREIGN}6", UNKNOWN],
    "datastores": ["v", "10.11", "u"], "datastore-versions": ["v", "u", UNKNOWN],
    "member_id": ["m", UNKNOWN], "datastore": ["d", "mariadb"], "flavors": ["1", "2"],
    "volume-types": ["vt", "lvm"], "user": ["app", "app@%", "nobody"],
    "security-groups": [f"{OWN}1", f"{FOREIGN}1", UNKNOWN],
    "security-group-rules": [f"{OWN}1-{RULE}", f"{FOREIGN}1-{RULE}", UNKNOWN],
    "hosts": ["compute1", "none"], "accounts": [MINE, UNKNOWN],
    "database": ["shop", "none"], "name": ["max_connections", "none", "root"],
    "key": ["team", "owner", "none"], "config": ["small", "none"],
}
#: parameters for which any value is as good
_MADE_UP = {"project_id"}
#: values of configuration groups, mostly good ones
_VALUES = {"type": "object", "additionalProperties": False, "properties": {
    "max_connections": {"type": "integer", "minimum": 0, "maximum": 70000}}}
#: property of a body → the same
_REFERENCES: dict[str, list[Any]] = {
    "group_id": [f"{OWN}1", f"{FOREIGN}1"],
    "flavorRef": ["1", 2, "http://cloud/flavors/2"], "backupRef": [f"{OWN}8", f"{FOREIGN}8"],
    "net-id": [NETWORK], "network_id": [NETWORK], "availability_zone": ["nova", None],
    "region_name": ["RegionOne", None], "region": ["RegionOne", None],
    "image": [IMAGE, None, ""],
    "datastore_manager": ["mariadb", "nothing"], "manager": ["mariadb"],
    "volume_kind": ["data"],
}


def aimed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with references narrowed to what the tests' store has.

    Without that nearly every request would end with "cannot be found".
    """
    found: dict[str, Any] = copy.deepcopy(dict(document))
    for path, item in found["paths"].items():
        first = [part for part in path.split("/")[3:] if part != "mgmt"][:1]
        for parameter in item.get("parameters", ()):
            name = parameter["name"] if parameter["name"] != "id" else first[0]
            if name not in _MADE_UP:
                assert name in _EXISTING, f"{path}: no value of {name} exists, see _EXISTING"
                parameter["schema"] = {"enum": _EXISTING[name]}
    _aim(found["components"]["schemas"])
    bodies = found["components"]["schemas"]
    instances, parents = [f"{OWN}1", f"{OWN}2", f"{FOREIGN}1"], [f"{OWN}8", f"{FOREIGN}8", None]
    for body, kind, name, values in (
            ("PostBackupsBody", "backup", "instance", instances),
            ("PostBackupsBody", "backup", "parent_id", parents),
            ("PostBackupStrategiesBody", "backup_strategy", "instance_id", [*instances, None]),
            ("PostSchedulesBody", "schedule", "instance", instances),
            ("PostSchedulesBody", "schedule", "parent_id", parents)):
        bodies[body]["properties"][kind]["properties"][name] = {"enum": values}
    instance = bodies["PostInstancesBody"]["properties"]["instance"]["properties"]
    instance["volume_config"] = {"enum": ["small", None]}
    instance["datastore"]["properties"] = {
        "type": {"enum": ["mariadb", "d"]}, "version": {"enum": ["10.11", "v"]},
        "version_number": {"enum": ["10.11"]}}
    for body in ("PostInstancesBody", "PutInstancesByIdBody"):
        bodies[body]["properties"]["instance"]["properties"]["configuration"] = {
            "enum": [f"{OWN}7", f"{FOREIGN}7", None]}
    for body in ("PostConfigurationsBody", "PutConfigurationsByIdBody",
                 "PatchConfigurationsByIdBody"):
        group = bodies[body]["properties"]["configuration"]["properties"]
        group["values"] = _VALUES
    bodies["PostConfigurationsBody"]["properties"]["configuration"]["properties"][
        "datastore"] = instance["datastore"]
    # would make nearly every request end with 501
    for name in ("replica_of", "replica_count"):
        instance.pop(name, None)
    return found


def _aim(schema: Any) -> None:
    if isinstance(schema, list):
        for one in schema:
            _aim(one)
    elif isinstance(schema, dict):
        for name, inner in schema.items():
            if name == "properties":
                for key, values in _REFERENCES.items():
                    if key in inner and "enum" not in inner[key]:
                        inner[key] = {"enum": values}
            _aim(inner)


def config(phases: Mapping[str, bool]) -> SchemathesisConfig:
    """Return the settings of a run with some of its phases."""
    return SchemathesisConfig.from_dict({
        "seed": SEED,
        "generation": {"max-examples": CASES, "no-shrink": CASES < 100,
                       "database": "none", "with-security-parameters": False},
        # whatever stands in the path is the key that is made
        "operations": [{
            "include-method": "POST", "include-path-regex": "/metadata/",
            "checks": {"negative_data_rejection": {"enabled": False}}}],
        "phases": {name: {"enabled": on} for name, on in phases.items()},
        "checks": {
            # 501 says that a datastore does not offer something
            "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "501"]},
            # 413: some bodies that break their schema are too large to be looked at
            "negative_data_rejection": {"expected-statuses": [
                "400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "501"]},
            # whether what a body names exists is beyond its schema
            "positive_data_acceptance": {"enabled": False},
        }})


class Forward:
    """Passes requests on to the application of the running test, and takes the time."""

    def __init__(self) -> None:
        self.app: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return ANSWERS.ask(self.app, environ, start_response)


def load(forward: Forward, **phases: bool) -> Any:
    """Return our document as schemathesis has it, asking the application of a test."""
    _register_formats()
    schema = schemathesis.openapi.from_dict(
        aimed(Document(ROUTES).render()), config=config(phases))
    schema.app = forward

    @schema.hook
    def filter_path_parameters(_context: Any, parameters: dict[str, Any] | None) -> bool:
        # the client below does not encode it; it is in the tests of hostile requests
        return "?" not in str(parameters)

    return schema


def _register_formats() -> None:
    octet = strategies.integers(0, 255)
    address = strategies.builds("{}.{}.{}.{}".format, octet, octet, octet, octet)
    schemathesis.openapi.format("ip", address)
    schemathesis.openapi.format("cidr", strategies.builds(
        "{}/{}".format, address, strategies.integers(0, 32)))
    schemathesis.openapi.format("cron", strategies.from_regex(
        r"(?:\*|[1-9]|\*/5)(?: (?:\*|[1-9]|[1-5]-6)){2} \* [0-6]", fullmatch=True))
    schemathesis.openapi.format("time-zone", strategies.sampled_from(
        ["UTC", "Europe/Berlin", "Nowhere"]))
    schemathesis.openapi.format("container", strategies.from_regex(
        "[a-z][a-z0-9_]{0,30}", fullmatch=True))


class StrictGuest(Guest):
    """A guest that says what it does not have, as a real one does."""

    def delete_database(self, name: str) -> None:
        self._know(name, "shop")

    def delete_user(self, name: str, host: str | None) -> None:
        self._know(name, "app")

    def update_user(self, name: str, host: str | None, change: Any) -> None:
        self._know(name, "app")

    def list_access(self, name: str, host: str | None) -> list[m.DatabaseSpec]:
        self._know(name, "app")
        return super().list_access(name, host)

    def grant_access(self, name: str, host: str | None, databases: list[str]) -> None:
        self._know(name, "app")
        for one in databases:
            self._know(one, "shop")

    def revoke_access(self, name: str, host: str | None, databases: list[str]) -> None:
        self.grant_access(name, host, databases)

    @staticmethod
    def _know(name: str, known: str) -> None:
        if name != known:
            raise NotFound(f"There is no {name}.")


class Finisher(Waker):
    """Does at once what a taskmanager does with a deletion, so that the gone is gone."""

    def __init__(self, db: Database) -> None:
        super().__init__()
        self._db = db

    def wake(self, operation_id: str) -> None:
        """End a deletion well; other operations wait for ever."""
        super().wake(operation_id)
        with self._db.writer() as session:
            operation = session.get(Operation, operation_id)
            assert operation is not None
            if operation.action in ("instance.delete", "instance.force_delete",
                                    "backup.delete"):
                kind = Instance if operation.resource_type == "instance" else Backup
                row = session.get(kind, operation.resource_id)
                assert row is not None
                row.deleted, row.deleted_at = True, utcnow()
                operation.live_key, operation.status = None, "SUCCEEDED"
