"""The events are those of the spec ceilometer-integration, with exactly its keys."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.programs import tool
from trove_ng.common import notifications as told
from trove_ng.common.notifications import EVENTS, Phase

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "doc/source/operator/notifications.rst"
BASE = {"tenant_id", "client_ip", "server_ip", "server_type", "request_id"}
INSTANCE = {"instance_id"}
CLUSTER = {"cluster_id"}

#: the spec's table: what ``start`` has besides the base
STARTS = {
    "instance_create": {
        "name", "flavor", "datastore", "databases", "users", "volume_size", "restore_point",
        "availability_zone", "replica_of", "replica_count",
        # in the text of the spec only
        "datastore_version"},
    "instance_restart": INSTANCE,
    "instance_resize_volume": {"instance_id", "new_size"},
    "instance_resize_instance": {"instance_id", "new_flavor_id"},
    "instance_promote": INSTANCE, "instance_eject": INSTANCE, "instance_delete": INSTANCE,
    "instance_detach": INSTANCE,
    "instance_attach_configuration": {"instance_id", "configuration_id"},
    "instance_detach_configuration": INSTANCE,
    "cluster_create": {"name", "datastore", "datastore_version"},
    "cluster_delete": CLUSTER, "cluster_add_shard": CLUSTER, "cluster_grow": CLUSTER,
    "cluster_shrink": CLUSTER,
    "backup_create": {"name", "instance_id", "description", "parent_id"},
    "backup_delete": {"backup_id"},
    "database_create": {"instance_id", "dbname"},
    "database_delete": {"instance_id", "dbname"},
    "user_create": {"instance_id", "username"}, "user_delete": {"instance_id", "username"},
    "user_update_attributes": {"instance_id", "username"},
    "user_grant": {"instance_id", "username", "database"},
    "user_revoke": {"instance_id", "username", "database"},
    "user_change_password": {"instance_id", "username"},
    "configuration_create": {"name", "datastore", "datastore_version"},
    "configuration_delete": {"configuration_id"},
    "configuration_update": {"configuration_id", "name", "description"},
    "configuration_edit": {"configuration_id"},
}
ENDS = {"instance_create": INSTANCE, "cluster_create": CLUSTER,
        "backup_create": {"backup_id"}, "configuration_create": {"configuration_id"}}
ERRORS = {"instance_create": INSTANCE}

#: what is told besides: the spec wants each change told, and lists these not
MORE = {"instance_update", "instance_reset_status", "root_enable", "root_disable", "instance_log",
        "instance_upgrade", "instance_reboot", "instance_stop", "instance_migrate",
        "instance_upgrade_agent", "instance_recover", "instance_update_ssl",
        "instance_rollback_ssl",
        "instance_rebuild", "instance_update_access", "instance_metadata_update",
        "instance_failover", "instance_update_failover",
        "instance_metadata_delete",
        "module_create", "module_update", "module_delete", "module_reapply",
        "instance_module_apply", "instance_module_remove", "backup_strategy_create",
        "backup_strategy_delete", "schedule_create", "schedule_update", "schedule_delete",
        "schedule_execution_delete", "backup_verify",
        "datastore_delete", "datastore_version_create", "datastore_version_update",
        "datastore_version_delete", "datastore_version_set_visibility",
        "datastore_version_member_create", "datastore_version_member_delete",
        "capability_update", "capability_override", "capability_reset",
        "configuration_parameter_create", "configuration_parameter_update",
        "configuration_parameter_delete", "flavor_create", "quota_update"}

STATUS = {"instance_type", "user_id", "instance_id", "instance_type_id", "launched_at",
          "instance_name", "state", "state_description", "nova_instance_id", "service_id",
          "created_at", "region"}
COMMON = {"name", "availability_zone", "instance_size", "volume_size", "nova_volume_id",
          "cluster_id"}
#: the spec leaves out whose it is; without it a consumer could not bill it
OWNER = {"tenant_id"}
FACTS = {
    "trove.instance.create": STATUS | COMMON,
    "trove.instance.delete": STATUS | COMMON | {"deleted_at"},
    "trove.instance.modify_volume": STATUS | COMMON | {"old_volume_size", "modify_at"},
    "trove.instance.modify_flavor": STATUS | COMMON | {"old_instance_size", "modify_at"},
    "trove.instance.exists": STATUS | {
        "display_name", "audit_period_beginning", "audit_period_ending"},
    "dbaas.quota": {"resource", "in_use", "reserved", "limit", "updated"},
}


def test_all_events_of_the_spec_are_there() -> None:
    assert set(EVENTS) == set(STARTS) | MORE
    assert set(told.FACTS) == set(FACTS)


@pytest.mark.parametrize("name", STARTS)
def test_an_event_has_exactly_the_keys_of_the_spec(name: str) -> None:
    event = EVENTS[name]
    assert {event.type(one): set(event.keys(one)) for one in Phase} == {
        f"dbaas.{name}.start": BASE | STARTS[name],
        f"dbaas.{name}.end": BASE | ENDS.get(name, set()),
        f"dbaas.{name}.error": BASE | ERRORS.get(name, set()) | {"message", "exception"}}


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_has_exactly_the_keys_of_the_spec(name: str) -> None:
    assert set(told.FACTS[name]) == FACTS[name] | OWNER
    assert len(told.FACTS[name]) == len(set(told.FACTS[name]))


@pytest.mark.parametrize("event", EVENTS.values(), ids=list(EVENTS))
@pytest.mark.parametrize("phase", Phase)
def test_a_payload_has_all_keys_and_no_other(event: told.Event, phase: Phase) -> None:
    values = {name: f"the {name}" for name in event.keys(phase)}
    assert event.payload(phase, values) == values
    with pytest.raises(ValueError, match="password"):
        event.payload(phase, values | {"password": "x"})
    with pytest.raises(ValueError, match="request_id"):
        event.payload(phase, {k: v for k, v in values.items() if k != "request_id"})


def test_optional_keys_without_a_value_are_left_out() -> None:
    event = EVENTS["instance_create"]
    values = dict.fromkeys(event.keys(Phase.START))
    assert set(event.payload(Phase.START, values)) == BASE | {
        "name", "flavor", "datastore", "datastore_version"}


def test_the_flavors_name_is_not_in_what_is_stored() -> None:
    values = {name: "x" for name in told.FACTS[told.EXISTS] if name != told.FLAVOR_NAME}
    assert told.fact(told.EXISTS, values) == values
    with pytest.raises(ValueError, match="instance_type"):
        told.fact(told.EXISTS, values | {told.FLAVOR_NAME: "m1"})


def test_the_operators_page_has_all_events_and_keys() -> None:
    text = PAGE.read_text()
    for event in EVENTS.values():
        for word in (event.name, *(key for phase in Phase for key in event.keys(phase))):
            assert f"``{word}``" in text, word


def test_ceilometers_definitions_have_all_events_and_keys() -> None:
    program = tool("event-definitions")
    text = program.TARGET.read_text()
    assert text == program.render(), "run tools/event-definitions.py"
    fields = {name: {trait["fields"] for trait in one["traits"].values()}
              for one in yaml.safe_load(text) for name in one["event_type"]}
    assert fields == {name: {f"payload.{key}" for key in keys} for name, keys in (
        *((event.type(phase), event.keys(phase)) for event in EVENTS.values()
          for phase in Phase), *told.FACTS.items())}
