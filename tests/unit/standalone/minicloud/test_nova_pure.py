"""States, placement and config drive of Nova."""

from __future__ import annotations

import base64
import json

import pytest

from trove_ng.standalone.minicloud import nova_configdrive, nova_placement, nova_states
from trove_ng.standalone.minicloud.hypervisor import PortSpec


@pytest.mark.parametrize(("vm_state", "task_state", "status"), [
    ("building", None, "BUILD"),
    ("building", "spawning", "BUILD"),
    ("active", None, "ACTIVE"),
    ("active", "rebooting", "REBOOT"),
    ("active", "rebooting_hard", "HARD_REBOOT"),
    ("active", "rebuilding", "REBUILD"),
    ("active", "resize_prep", "RESIZE"),
    ("stopped", "resize_migrating", "RESIZE"),
    ("resized", None, "VERIFY_RESIZE"),
    ("resized", "resize_reverting", "REVERT_RESIZE"),
    ("stopped", None, "SHUTOFF"),
    ("active", "deleting", "ACTIVE"),
    ("error", None, "ERROR"),
    ("active", "powering-off", "ACTIVE"),
])
def test_status_follows_from_vm_state_and_task_state(
        vm_state: str, task_state: str | None, status: str) -> None:
    assert nova_states.status(vm_state, task_state) == status


def test_a_status_filter_names_its_vm_states() -> None:
    assert nova_states.vm_states_of("active") == ["active"]
    assert set(nova_states.vm_states_of("RESIZE")) == {"active", "stopped"}
    assert nova_states.vm_states_of("nonsense") == []


def test_a_refusal_has_novas_sentence() -> None:
    server = {"id": "1", "vm_state": "active", "task_state": None}
    assert nova_states.refusal("start", server) == (
        "Cannot 'start' instance 1 while it is in vm_state active")
    server["task_state"] = "powering-off"
    assert nova_states.refusal("stop", server) == (
        "Cannot 'stop' instance 1 while it is in task_state powering-off")
    server["task_state"] = None
    assert nova_states.refusal("stop", server) == ""


LOAD = {"a": 2, "b": 1, "c": 1}


@pytest.mark.parametrize(("policy", "members", "host"), [
    (None, [], "b"),
    ("affinity", [], "b"),
    ("affinity", ["a"], "a"),
    ("anti-affinity", ["b"], "c"),
    ("anti-affinity", ["b", "c"], "a"),
    ("soft-anti-affinity", ["a", "b", "c"], "b"),
    ("soft-affinity", ["a"], "a"),
])
def test_the_policy_of_the_group_decides(
        policy: str | None, members: list[str], host: str) -> None:
    assert nova_placement.choose(LOAD, policy, members) == host


def test_no_host_is_left() -> None:
    with pytest.raises(nova_placement.NoValidHost):
        nova_placement.choose(LOAD, "anti-affinity", ["a", "b", "c"])
    with pytest.raises(nova_placement.NoValidHost):
        nova_placement.choose(LOAD, forced="z")
    assert nova_placement.choose(LOAD, "anti-affinity", ["a", "b", "c"], max_per_host=2) == "b"
    assert nova_placement.choose(LOAD, excluded=["b"]) == "c"


def test_the_config_drive_holds_what_cloud_init_reads() -> None:
    server = {
        "id": "1", "name": "db", "hostname": "db", "availability_zone": "nova",
        "project_id": "p", "metadata": {"k": "v"},
        "user_data": base64.b64encode(b"#cloud-config\n").decode(),
    }
    ports = [PortSpec("port1", "fa:16:3e:00:00:01", "10.0.0.5", 24, "10.0.0.1", "net"),
             PortSpec("port2", "fa:16:3e:00:00:02", "10.1.0.5", 20, "10.1.0.1", "net2")]
    key = {"name": "mine", "type": "ssh", "public_key": "ssh-rsa AAAA"}
    files = nova_configdrive.build(server, ports, key, ["10.0.0.2"])
    assert files["openstack/latest/user_data"] == b"#cloud-config\n"
    meta = json.loads(files["openstack/latest/meta_data.json"])
    assert meta["uuid"] == "1" and meta["public_keys"] == {"mine": "ssh-rsa AAAA"}
    assert meta["meta"] == {"k": "v"}
    network = json.loads(files["openstack/latest/network_data.json"])
    assert [one["netmask"] for one in network["networks"]] == ["255.255.255.0", "255.255.240.0"]
    assert [len(one["routes"]) for one in network["networks"]] == [1, 0]
    assert network["services"] == [{"type": "dns", "address": "10.0.0.2"}]


def test_user_data_must_be_base64() -> None:
    with pytest.raises(ValueError, match="base 64"):
        nova_configdrive.decode_user_data("no base64!")
