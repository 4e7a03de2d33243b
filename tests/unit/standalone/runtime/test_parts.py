"""Names, limits, programs, records and identities of servers."""

from __future__ import annotations

import configparser
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trove_ng.standalone.minicloud.hypervisor import HypervisorError, PortSpec, ServerSpec
from trove_ng.standalone.runtime import programs, rootfs
from trove_ng.standalone.runtime.cgroups import ControlGroups
from trove_ng.standalone.runtime.identity import ProcessIdentity
from trove_ng.standalone.runtime.network import Network, host_interface
from trove_ng.standalone.runtime.records import ServerPlace, ServerRecord
from trove_ng.standalone.runtime.volumes import VolumeStore


def port(ident: str) -> PortSpec:
    return PortSpec(ident, "fa:16:3e:00:00:01", "10.77.0.5", 24, "10.77.0.1", "net")


def spec(**changes: object) -> ServerSpec:
    fields: dict[str, object] = {
        "id": "s1", "name": "n", "hostname": "h", "vcpus": 1, "ram_mb": 512, "disk_gb": 5,
        "image": {}, **changes}
    return ServerSpec(**fields)  # type: ignore[arg-type]


class TestNames:
    def test_interface_names_fit_the_kernel(self) -> None:
        long_id = "b9b1c2d3-0000-4000-8000-ffffffffffff"
        assert len(host_interface(long_id)) <= 15
        assert len(Network(long_id, "10.0.0.0/8", "").bridge) <= 15
        assert len(Network("n", "fd00::/64", "fd00::1").bridge) <= 15

    def test_ports_that_begin_alike_get_different_names(self) -> None:
        assert host_interface("aaaaaaaa-1") != host_interface("aaaaaaaa-2")

    def test_the_gateway_names_the_bridge(self) -> None:
        first, second = (Network(ident, "10.77.3.0/24", "10.77.3.1") for ident in "ab")
        assert first.bridge == second.bridge == "tnb0a4d0301"


class TestControlGroups:
    def test_version_2_limits_are_written(self, tmp_path: Path) -> None:
        (tmp_path / "cgroup.controllers").write_text("cpu memory")
        procs = ControlGroups(root=tmp_path).set_limits("s1", 2, 512)
        group = tmp_path / "trove-standalone" / "s1"
        assert procs == [group / "cgroup.procs"]
        assert (group / "memory.max").read_text() == str(512 * 1024**2)
        assert (group / "cpu.max").read_text() == "200000 100000"
        assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +cpu"

    def test_version_1_limits_are_written(self, tmp_path: Path) -> None:
        for name in ("memory", "cpu"):
            (tmp_path / name).mkdir()
        procs = ControlGroups(root=tmp_path).set_limits("s1", 1, 256)
        memory = tmp_path / "memory/trove-standalone/s1"
        cpu = tmp_path / "cpu/trove-standalone/s1"
        assert procs == [memory / "cgroup.procs", cpu / "cgroup.procs"]
        assert (memory / "memory.limit_in_bytes").read_text() == str(256 * 1024**2)
        assert (cpu / "cpu.cfs_quota_us").read_text() == "100000"

    def test_a_machine_without_groups_runs_servers_without_limits(self, tmp_path: Path) -> None:
        assert ControlGroups(root=tmp_path).set_limits("s1", 1, 256) == []


class TestPrograms:
    def parsed(self, *given: programs.Program) -> configparser.RawConfigParser:
        parser = configparser.RawConfigParser()
        parser.read_string(programs.render(given or programs.PROGRAMS, "/venv/bin"))
        return parser

    def test_the_agent_starts_by_itself_and_is_kept_running(self) -> None:
        section = self.parsed()["program:trove-guestagent"]
        assert section["command"].startswith("/venv/bin/trove-guestagent --config-file /etc/")
        assert (section["autostart"], section["autorestart"]) == ("true", "true")

    def test_the_database_waits_for_the_agent(self) -> None:
        section = self.parsed()["program:mariadb"]
        assert section["autostart"] == "false"
        assert section["stopsignal"] == "TERM"
        assert int(section["stopwaitsecs"]) >= 300

    def test_postgresql_does_not_wait_for_its_clients_to_end(self) -> None:
        section = self.parsed()["program:postgresql"]
        assert (section["stopsignal"], section["user"]) == ("INT", "postgres")

    def test_where_root_writes_for_postgresql_it_can_put_no_files(self) -> None:
        found, = (one for one in programs.PROGRAMS if one.name == "postgresql")
        owners = {one.path: (one.owner, bool(one.mode & 0o022)) for one in found.directories}
        for path in ("/etc/postgresql", "/var/log/postgresql"):
            assert owners[path] == ("root", False)

    def test_only_root_reaches_the_control_socket(self) -> None:
        section = self.parsed()["unix_http_server"]
        assert (section["file"], section["chmod"]) == ("/run/supervisor.sock", "0700")

    def test_a_percent_sign_in_a_command_survives_supervisord(self) -> None:
        given = programs.Program(name="p", command="date +%s", log="/log")
        assert self.parsed(given)["program:p"]["command"] == "date +%%s"

    def test_a_program_without_its_files_is_left_out(self, tmp_path: Path) -> None:
        given = programs.Program(name="p", command="x", log="/l", needs=(str(tmp_path / "no"),))
        assert programs.usable([given]) == []


class TestRecords:
    def test_a_record_comes_back_as_it_was_saved(self, tmp_path: Path) -> None:
        place = ServerPlace(tmp_path / "s1")
        place.make()
        record = ServerRecord.of(spec(ports=[port("p1"), port("p2")], volumes={"/dev/vdb": "v"}))
        record.save(place)
        assert ServerRecord.load(place) == record
        assert record.ports == {"p1": "eth0", "p2": "eth1"}

    def test_a_new_port_gets_the_first_free_interface(self) -> None:
        record = ServerRecord(ports={"p1": "eth0", "p3": "eth2"})
        assert record.interface("p2") == "eth1"
        assert record.interface("p3") == "eth2"

    def test_the_config_drive_is_for_root_only(self, tmp_path: Path) -> None:
        place = ServerPlace(tmp_path / "s1")
        place.make()
        place.write_config_drive({"openstack/latest/user_data": b"key"})
        written = place.config_drive / "openstack/latest/user_data"
        assert written.read_bytes() == b"key"
        assert written.stat().st_mode & 0o777 == 0o600
        assert place.config_drive.stat().st_mode & 0o777 == 0o700

    def test_a_path_out_of_the_config_drive_is_refused(self, tmp_path: Path) -> None:
        place = ServerPlace(tmp_path / "s1")
        place.make()
        with pytest.raises(HypervisorError):
            place.write_config_drive({"../escape": b""})


class TestIdentity:
    def test_a_running_process_is_alive_until_it_is_killed(self, tmp_path: Path) -> None:
        with subprocess.Popen(["sleep", "60"]) as process:
            identity = ProcessIdentity.of(process.pid)
            identity.save(tmp_path / "pid.json")
            assert ProcessIdentity.load(tmp_path / "pid.json") == identity
            assert identity.alive()
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not identity.alive()

    def test_another_process_with_the_same_pid_is_not_it(self) -> None:
        mine = ProcessIdentity.of(os.getpid())
        assert not ProcessIdentity(mine.pid, mine.start - 1, mine.boot_id).alive()
        assert not ProcessIdentity(mine.pid, mine.start, "another boot").alive()

    def test_a_zombie_is_not_alive(self) -> None:
        with subprocess.Popen(["sleep", "60"]) as process:
            identity = ProcessIdentity.of(process.pid)
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert not identity.alive()

    def test_a_stubborn_process_is_killed_after_the_grace_time(self) -> None:
        code = ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
                " print('on', flush=True); time.sleep(60)")
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            begin = time.monotonic()
            assert ProcessIdentity.of(process.pid).end(0.2) is False
            assert time.monotonic() - begin < 5
            assert process.wait() == -signal.SIGKILL

    def test_an_obedient_process_ends_by_itself(self) -> None:
        with subprocess.Popen(["sleep", "60"]) as process:
            assert ProcessIdentity.of(process.pid).end(5) is True
            assert process.wait() == -signal.SIGTERM

    @pytest.mark.parametrize("text", ["", "{}", '{"pid": "x"}', "[1]"])
    def test_a_broken_file_names_nobody(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "pid.json").write_text(text)
        assert ProcessIdentity.load(tmp_path / "pid.json") is None


class TestRoot:
    MOUNTINFO = (
        "1 0 254:0 / / rw - ext4 /dev/vda rw\n"
        "2 1 254:1 / {usr} rw - ext4 /dev/vdb rw\n"
        "3 1 254:2 / {usr}/hidden rw - xfs /dev/vdc rw\n"
        "4 1 0:5 / {usr}/memory rw - tmpfs tmpfs rw\n"
        "5 1 254:3 / /boot rw - ext4 /dev/vdd rw\n")

    def test_only_real_visible_file_systems_become_layers(self, tmp_path: Path) -> None:
        for name in ("hidden", "memory"):
            (tmp_path / name).mkdir()
        found = rootfs.submounts(
            self.MOUNTINFO.format(usr=tmp_path), (str(tmp_path / "hidden"),))
        assert found == [str(tmp_path)]

    def test_an_image_in_a_directory_is_one_layer(self, tmp_path: Path) -> None:
        made = rootfs.layers(str(tmp_path), tmp_path / "store", [])
        assert [(layer.target, layer.lower) for layer in made] == [("/", str(tmp_path))]

    def test_an_image_may_change_files_of_the_root(self, tmp_path: Path) -> None:
        image, changes = tmp_path / "image", tmp_path / "changes"
        image.mkdir()
        (changes / "etc/deep").mkdir(parents=True)
        (changes / "etc/deep/file").write_text("of the image")
        made = rootfs.layers(str(image), tmp_path / "store", [])
        rootfs.prepare(made, {"/etc": 0o755}, {"/etc/deep/file": "of the server"})
        rootfs.change(made, changes)
        assert Path(made[0].upper, "etc/deep/file").read_text() == "of the image"
        with pytest.raises(HypervisorError):
            rootfs.change(made, tmp_path / "none")

    def test_no_account_keeps_a_password(self) -> None:
        shadow = "root:$6$salt$hash:19000:0:99999:7:::\nmysql:!:1::::::\n"
        assert rootfs.locked_shadow(shadow) == "root:*:19000:0:99999:7:::\nmysql:*:1::::::\n"

    def test_the_program_itself_stays_visible(self) -> None:
        visible = rootfs.visible_paths(Path("/somewhere/source"))
        assert "/somewhere/source" in visible
        assert any(sys.prefix == path or sys.prefix.startswith(path + "/") for path in visible)
        assert not any(path.startswith("/usr") or path == "/" for path in visible)


class TestVolumes:
    def test_a_volume_is_sparse_and_grows(self, tmp_path: Path) -> None:
        store = VolumeStore(tmp_path)
        store.create("v1", 1)
        path = tmp_path / "volumes/v1.img"
        assert path.stat().st_size == 1024**3
        assert path.stat().st_blocks == 0
        store.extend("v1", 2)
        assert path.stat().st_size == 2 * 1024**3
        assert store.ids() == ["v1"]

    def test_a_volume_never_shrinks(self, tmp_path: Path) -> None:
        store = VolumeStore(tmp_path)
        store.create("v1", 2)
        with pytest.raises(HypervisorError, match="larger"):
            store.extend("v1", 1)

    def test_a_snapshot_keeps_the_content_and_makes_new_volumes(self, tmp_path: Path) -> None:
        store = VolumeStore(tmp_path)
        store.create("v1", 1)
        path = tmp_path / "volumes/v1.img"
        with path.open("r+b") as stream:
            stream.write(b"before")
        store.snapshot("s1", "v1")
        with path.open("r+b") as stream:
            stream.write(b"after!")
        store.create("v2", 2, source_snapshot_id="s1")
        store.create("v3", 1, source_volume_id="v1")
        assert (tmp_path / "volumes/v2.img").open("rb").read(6) == b"before"
        assert (tmp_path / "volumes/v2.img").stat().st_size == 2 * 1024**3
        assert (tmp_path / "volumes/v3.img").open("rb").read(6) == b"after!"

    def test_an_unknown_source_is_refused(self, tmp_path: Path) -> None:
        store = VolumeStore(tmp_path)
        with pytest.raises(HypervisorError, match="does not exist"):
            store.create("v1", 1, source_volume_id="gone")
        assert store.ids() == []

    def test_removing_what_is_gone_is_no_error(self, tmp_path: Path) -> None:
        store = VolumeStore(tmp_path)
        store.delete("gone")
        store.delete_snapshot("gone")
        assert store.ids() == []
