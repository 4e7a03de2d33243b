"""Servers of namespaces, for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from trove_ng.standalone.minicloud.hypervisor import (
    FirewallRule,
    HypervisorError,
    PortSpec,
    ServerSpec,
)
from trove_ng.standalone.runtime.hypervisor import NamespaceHypervisor

from .conftest import (
    ALLOW_OUT,
    NETWORK,
    SUBNET,
    Config,
    Lab,
    Machine,
    eventually,
    processes_with,
    with_rules,
)


def test_a_server_boots_fast_and_answers_on_its_address(lab: Lab) -> None:
    spec = lab.spec()
    begin = time.monotonic()
    lab.hypervisor.create_server(spec)
    assert time.monotonic() - begin < 2
    eventually(lambda: lab.page(spec) == "hello")


def test_a_server_has_a_world_of_its_own(lab: Lab) -> None:
    marker = Path("/root/.trove-runtime-test")
    marker.touch()
    try:
        spec = lab.spec()
        lab.hypervisor.create_server(spec)
        assert lab.inside(spec, "hostname").strip() == spec.hostname
        assert lab.inside(spec, "cat /proc/1/cmdline").replace("\0", " ").split()[1:3] == [
            "-m", "supervisor.supervisord"]
        assert lab.inside(spec, "ls -A /root /home /var/lib/mysql").split() == [
            "/home:", "/root:", "/var/lib/mysql:"]
        assert lab.inside(spec, "getent hosts $(hostname)").split()[0] == spec.ports[0].ip
        assert int(lab.inside(spec, "ls -d /proc/[0-9]* | wc -l")) < 10
        assert lab.attempt(spec, f"test -e {lab.state_dir}/runtime").returncode != 0
        lab.inside(spec, "touch /usr/bin/made-by-the-server")
        assert not Path("/usr/bin/made-by-the-server").exists()
    finally:
        marker.unlink()


def test_the_programs_of_this_environment_are_visible_and_read_only(lab: Lab) -> None:
    spec = lab.spec()
    lab.hypervisor.create_server(spec)
    assert lab.inside(spec, f"{sys.executable} -c 'import trove_ng; print(1)'").strip() == "1"
    assert lab.attempt(spec, f"touch {sys.prefix}/file").returncode != 0


def test_user_data_files_have_owner_mode_and_content(lab: Lab) -> None:
    spec = lab.spec()
    lab.hypervisor.create_server(spec)
    assert lab.inside(spec, "stat -c '%U:%G %a' /etc/trove/secret; cat /etc/trove/secret") == (
        "mysql:mysql 600\nsecret")


def test_user_data_is_applied_at_the_first_boot_only(lab: Lab) -> None:
    spec = lab.spec()
    lab.hypervisor.create_server(spec)
    lab.inside(spec, "echo changed > /srv/page")
    lab.hypervisor.reboot_server(spec, hard=True)
    assert lab.inside(spec, "cat /srv/page") == "changed\n"
    lab.hypervisor.rebuild_server(spec)
    assert lab.inside(spec, "cat /srv/page") == "hello"


def test_a_broken_document_of_user_data_fails_the_boot(lab: Lab) -> None:
    spec = lab.spec(user_data="#cloud-config\nwrite_files: [{path: relative}]\n")
    with pytest.raises(HypervisorError, match="absolute path"):
        lab.hypervisor.create_server(spec)
    assert not lab.hypervisor.server_running(spec.id)
    assert "absolute path" in lab.hypervisor.console_log(spec.id)
    lab.hypervisor.destroy_server(spec.id)


def test_the_firewall_lets_through_what_a_rule_allows_and_nothing_else(lab: Lab) -> None:
    spec = lab.spec()
    lab.hypervisor.create_server(spec)
    eventually(lambda: lab.page(spec) == "hello")
    lab.hypervisor.set_firewall(spec.id, [ALLOW_OUT])
    assert lab.page(spec) is None
    elsewhere = FirewallRule("ingress", "tcp", 8000, 8000, "203.0.113.0/24")
    lab.hypervisor.set_firewall(spec.id, [ALLOW_OUT, elsewhere])
    assert lab.page(spec) is None
    lab.hypervisor.set_firewall(spec.id, spec.rules)
    assert lab.page(spec) == "hello"


def test_without_an_egress_rule_a_server_cannot_reach_others(lab: Lab) -> None:
    web, client = lab.spec(), with_rules(lab.spec())
    for spec in (web, client):
        lab.hypervisor.create_server(spec)
    eventually(lambda: lab.page(web) == "hello")
    fetch = f"curl -s -m 1 http://{web.ports[0].ip}:8000/page"
    assert lab.attempt(client, fetch).returncode != 0
    lab.hypervisor.set_firewall(client.id, [ALLOW_OUT])
    assert lab.inside(client, fetch) == "hello"


def test_a_refused_rule_leaves_the_old_ones(lab: Lab) -> None:
    spec = lab.spec()
    lab.hypervisor.create_server(spec)
    eventually(lambda: lab.page(spec) == "hello")
    with pytest.raises(HypervisorError):
        lab.hypervisor.set_firewall(spec.id, [FirewallRule("ingress", "what", 1, 1, None)])
    assert lab.page(spec) == "hello"


def test_a_volume_is_formatted_grown_and_kept(lab: Lab) -> None:
    volume = lab.volume()
    spec = lab.spec(volumes={"/dev/vdb": volume})
    hypervisor = lab.hypervisor
    hypervisor.create_server(spec)
    lab.inside(spec, "mkfs.ext4 -q /dev/vdb; mount /dev/vdb /mnt; echo kept > /mnt/file")
    with pytest.raises(HypervisorError, match="in use"):
        hypervisor.detach_volume(spec.id, volume)
    lab.inside(spec, "umount /mnt")
    hypervisor.extend_volume(volume, 2)
    assert int(lab.inside(spec, "blockdev --getsize64 /dev/vdb")) == 2 * 1024**3
    lab.inside(spec, "e2fsck -fp /dev/vdb >&2; resize2fs /dev/vdb; mount /dev/vdb /mnt")
    assert int(lab.inside(spec, "df --output=size -m /mnt | tail -1")) > 1900
    hypervisor.stop_server(spec.id)
    hypervisor.start_server(spec)
    assert lab.inside(spec, "mount /dev/vdb /mnt; cat /mnt/file") == "kept\n"


def test_xfs_works_in_a_server(lab: Lab) -> None:
    volume = lab.volume()
    spec = lab.spec(volumes={"/dev/vdb": volume})
    lab.hypervisor.create_server(spec)
    lab.inside(spec, "mkfs.xfs -q /dev/vdb; mount /dev/vdb /mnt; touch /mnt/file")
    lab.hypervisor.extend_volume(volume, 2)
    lab.inside(spec, "xfs_growfs /mnt")
    assert int(lab.inside(spec, "df --output=size -m /mnt | tail -1")) > 1900


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_snapshot_of_a_volume_that_is_written_is_of_one_moment(lab: Lab, kind: str) -> None:
    volume = lab.volume()
    spec = lab.spec(volumes={"/dev/vdb": volume})
    hypervisor = lab.hypervisor
    hypervisor.create_server(spec)
    lab.inside(spec, f"mkfs.{kind} -q /dev/vdb; mount /dev/vdb /mnt; echo kept > /mnt/file; "
               "(while echo x >> /mnt/first && cp /mnt/first /mnt/second; do :; done) "
               "> /dev/null 2>&1 &")
    snapshot, copy = str(uuid.uuid4()), str(uuid.uuid4())
    hypervisor.create_snapshot(snapshot, volume)
    hypervisor.create_volume(copy, 1, source_snapshot_id=snapshot)
    hypervisor.attach_volume(spec.id, copy, "/dev/vdc")
    check = "e2fsck -fn /dev/vdc" if kind == "ext4" else "xfs_repair -n /dev/vdc"
    # what is in the log is put in its place by a mount
    mount = f"mount {'-o nouuid' if kind == 'xfs' else ''} /dev/vdc /copy"
    lab.inside(spec, f"mkdir /copy; {mount}; umount /copy; {check} >&2; {mount}")
    assert lab.inside(spec, "cat /copy/file") == "kept\n"
    first, second = (int(lab.inside(spec, f"stat -c %s /copy/{name} || echo 0"))
                     for name in ("first", "second"))
    assert first - 2 <= second <= first or second == 0
    # the server goes on
    before = int(lab.inside(spec, "stat -c %s /mnt/first"))
    eventually(lambda: int(lab.inside(spec, "stat -c %s /mnt/first")) > before)
    hypervisor.delete_snapshot(snapshot)


def test_recovery_lets_servers_write_whose_volumes_were_being_copied(lab: Lab) -> None:
    """The process that made a snapshot was killed at it."""
    volume = lab.volume()
    spec = lab.spec(volumes={"/dev/vdb": volume})
    lab.hypervisor.create_server(spec)
    lab.inside(spec, "mkfs.ext4 -q /dev/vdb; mount /dev/vdb /mnt; fsfreeze -f /mnt; "
               "(echo x > /mnt/file) > /dev/null 2>&1 &")
    assert lab.inside(spec, "ls /mnt") == "lost+found\n"
    lab.hypervisor.recover([spec])
    eventually(lambda: lab.inside(spec, "ls /mnt") == "file\nlost+found\n")


def test_volumes_come_and_go_while_a_server_runs(lab: Lab) -> None:
    spec = lab.spec()
    lab.hypervisor.create_server(spec)
    volume = lab.volume()
    lab.hypervisor.attach_volume(spec.id, volume, "/dev/vdc")
    assert lab.inside(spec, "stat -c %F /dev/vdc").strip() == "block special file"
    lab.hypervisor.detach_volume(spec.id, volume)
    assert lab.attempt(spec, "test -e /dev/vdc").returncode != 0
    lab.hypervisor.delete_volume(volume)


def test_the_fstab_of_a_server_is_mounted_at_boot(lab: Lab) -> None:
    volume = lab.volume()
    spec = lab.spec(volumes={"/dev/vdb": volume})
    lab.hypervisor.create_server(spec)
    lab.inside(spec, "mkfs.ext4 -q /dev/vdb; echo '/dev/vdb /srv ext4 defaults 0 0' > /etc/fstab")
    lab.hypervisor.reboot_server(spec, hard=True)
    assert lab.inside(spec, "findmnt -no SOURCE /srv").strip() == "/dev/vdb"


def test_ports_come_and_go_while_a_server_runs(lab: Lab) -> None:
    spec = lab.spec()
    lab.hypervisor.create_server(spec)
    port = PortSpec("extra-port", "fa:16:3e:00:01:01", f"{SUBNET}.200", 24, "", NETWORK)
    lab.hypervisor.plug_port(spec.id, port)
    moved = replace(spec, ports=[port])
    eventually(lambda: lab.page(moved) == "hello")
    lab.hypervisor.unplug_port(spec.id, port.id)
    assert lab.page(moved) is None
    assert lab.page(spec) == "hello"


def test_memory_has_the_limit_of_the_flavor(lab: Lab) -> None:
    spec = lab.spec()
    lab.hypervisor.create_server(spec)
    limits = [path.read_text().strip() for pattern in ("memory.max", "memory.limit_in_bytes")
              for path in Path("/sys/fs/cgroup").glob(f"**/trove-standalone/{spec.id}/{pattern}")]
    if not limits:
        pytest.skip("this machine offers no control groups")
    assert limits == [str(512 * 1024**2)]
    groups = Path(f"/proc/{lab.pid(spec)}/cgroup").read_text()
    assert spec.id in groups
    # the server can tell what it has
    seen = lab.inside(spec, "cd /sys/fs/cgroup && cat memory.max 2>/dev/null "
                      "|| cat memory/memory.limit_in_bytes")
    assert seen.strip() == limits[0]
    refused = lab.attempt(spec, "echo 1 > $(find /sys/fs/cgroup -name 'memory.max' "
                          "-o -name memory.limit_in_bytes | head -n 1)")
    assert refused.returncode != 0
    lab.hypervisor.resize_server(replace(spec, ram_mb=1024))
    assert str(1024 * 1024**2) in [
        path.read_text().strip() for pattern in ("memory.max", "memory.limit_in_bytes")
        for path in Path("/sys/fs/cgroup").glob(f"**/trove-standalone/{spec.id}/{pattern}")]


def test_a_soft_stop_lets_programs_end_by_themselves(lab: Lab) -> None:
    user_data = """#cloud-config
write_files:
- path: /etc/supervisor/trove.d/polite.conf
  content: |
    [program:polite]
    command=sh -c 'trap "echo bye > /srv/farewell; exit 0" TERM; touch /srv/on; while :; do sleep 0.1; done'
"""  # noqa: E501
    spec = lab.spec(user_data=user_data)
    lab.hypervisor.create_server(spec)
    eventually(lambda: lab.attempt(spec, "test -e /srv/on").returncode == 0)
    lab.hypervisor.stop_server(spec.id)
    assert not lab.hypervisor.server_running(spec.id)
    lab.hypervisor.start_server(spec)
    assert lab.inside(spec, "cat /srv/farewell") == "bye\n"


def test_a_server_outlives_the_process_that_made_it(lab: Lab, tmp_path: Path) -> None:
    spec = lab.spec()
    script = tmp_path / "maker.py"
    script.write_text(
        "import os, pickle, sys\n"
        "from pathlib import Path\n"
        "from types import SimpleNamespace\n"
        "from trove_ng.standalone.runtime.hypervisor import NamespaceHypervisor\n"
        "spec = pickle.loads(Path(sys.argv[2]).read_bytes())\n"
        "NamespaceHypervisor(SimpleNamespace(state_dir=sys.argv[1])).create_server(spec)\n"
        "os.kill(os.getpid(), 9)\n")
    import pickle
    (tmp_path / "spec").write_bytes(pickle.dumps(spec))
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, str(script), str(lab.state_dir), str(tmp_path / "spec")],
        env={**os.environ, "PYTHONPATH": str(root)}, timeout=60)
    assert done.returncode == -signal.SIGKILL
    eventually(lambda: lab.page(spec) == "hello")
    pid = lab.pid(spec)

    another = NamespaceHypervisor(Config(lab.state_dir))
    another.recover([spec])
    assert another.server_running(spec.id)
    assert lab.pid(spec) == pid


def test_recovery_starts_the_dead_and_removes_the_unknown(lab: Lab) -> None:
    dead, unknown, stopped = lab.spec(), lab.spec(), lab.spec()
    for spec in (dead, unknown, stopped):
        lab.hypervisor.create_server(spec)
    os.kill(lab.pid(dead), signal.SIGKILL)
    lab.hypervisor.stop_server(stopped.id)
    eventually(lambda: not lab.hypervisor.server_running(dead.id))

    lab.hypervisor.recover([dead])
    assert lab.hypervisor.running_servers() == {dead.id: True, stopped.id: False}
    eventually(lambda: lab.page(dead) == "hello")


def test_stopping_all_servers_frees_what_they_hold(lab: Lab) -> None:
    spec = lab.spec(volumes={"/dev/vdb": lab.volume()})
    lab.hypervisor.create_server(spec)
    lab.hypervisor.stop_all()
    assert Machine.look(lab.state_dir).loops == frozenset()
    lab.hypervisor.recover([spec])
    assert lab.hypervisor.server_running(spec.id)


def test_destroying_leaves_nothing(lab: Lab) -> None:
    before = Machine.look(lab.state_dir)
    specs: list[ServerSpec] = [lab.spec(volumes={"/dev/vdb": lab.volume()}) for _ in range(2)]
    for spec in specs:
        lab.hypervisor.create_server(spec)
    lab.inside(specs[0], "mkfs.ext4 -q /dev/vdb; mount /dev/vdb /mnt;"
                         " sleep 1000 >/dev/null 2>&1 </dev/null &")
    assert processes_with(str(lab.state_dir))
    for spec in specs:
        lab.hypervisor.destroy_server(spec.id)
        lab.hypervisor.destroy_server(spec.id)
        for volume in spec.volumes.values():
            lab.hypervisor.delete_volume(volume)
    assert Machine.look(lab.state_dir) == before
    assert processes_with(str(lab.state_dir)) == []
    lab.hypervisor.remove_network(NETWORK)
    assert not Path(f"/sys/class/net/tnb{bytes([10, 78, 231, 1]).hex()}").exists()


def test_where_no_overlay_can_be_the_roots_get_a_file_system_of_their_own(
        lab: Lab, tmp_path: Path) -> None:
    parts = {name: tmp_path / name for name in ("lower", "upper", "work", "merged")}
    for path in parts.values():
        path.mkdir()
    options = ",".join(f"{name}dir={parts[name]}" for name in ("lower", "upper", "work"))
    subprocess.run(
        ["mount", "-t", "overlay", "test", "-o", options, str(parts["merged"])], check=True)
    try:
        state_dir = parts["merged"] / "state"
        nested = Lab(state_dir, NamespaceHypervisor(Config(state_dir)))
        nested.hypervisor.ensure_network(
            {"id": NETWORK, "cidr": f"{SUBNET}.0/24", "gateway": f"{SUBNET}.1"})
        spec = nested.spec(volumes={"/dev/vdb": nested.volume()})
        nested.hypervisor.create_server(spec)
        eventually(lambda: nested.page(spec) == "hello")
        nested.hypervisor.destroy_all()
        assert Machine.look(state_dir).mounts == ()
        assert Machine.look(state_dir).loops == frozenset()
    finally:
        subprocess.run(["umount", str(parts["merged"])], check=True)
