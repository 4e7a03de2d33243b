"""Servers, volumes, ports and images through the layer that the services use."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator

import pytest
from oslo_config import cfg

from tests.functional.minicloud.conftest import Cloud
from trove_ng.cloud import errors
from trove_ng.cloud.catalog import CachedCatalog
from trove_ng.cloud.estate import Estate
from trove_ng.cloud.session import Clouds
from trove_ng.common.errors import Conflict, ServiceUnavailable
from trove_ng.conf import base
from trove_ng.conf import cloud as cloud_conf
from trove_ng.standalone.minicloud import nova_server_api
from trove_ng.standalone.minicloud.nova_call import Answer, Call

INSTANCE = "5f7ac1a3-0000-4000-8000-000000000001"


@pytest.fixture
def clouds(cloud: Cloud) -> Iterator[Clouds]:
    """The service's own view."""
    conf = cfg.ConfigOpts()
    for one in (base, cloud_conf):
        one.register(conf)
    conf([], project="trove")
    for name, value in (("auth_url", f"{cloud.config.url}/identity/v3"),
                        ("password", "trove-pw"), ("tries", 2)):
        conf.set_override(name, value, group="service_credentials")
    yield Clouds(conf)


def image(clouds: Clouds) -> str:
    client = clouds.images._client
    made = client.images.create(name="i", tags=["trove", "mariadb"], container_format="bare",
                                disk_format="raw", visibility="private")
    client.images.upload(made["id"], io.BytesIO(b"data"))
    return str(made["id"])


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def server(clouds: Clouds, name: str = "db") -> str:
    network = clouds.network.default_network()
    assert network is not None
    port = clouds.network.create_port(instance_id=INSTANCE, index=0, network_id=network,
                                      security_group_ids=[])
    made = clouds.compute.create_server(
        instance_id=INSTANCE, name=name, image_id=image(clouds), flavor_id="1",
        port_ids=[port.id], user_data="#cloud-config\n")
    until(lambda: clouds.compute.get_server(made.id).status == "ACTIVE")
    return made.id


def test_a_server_lives_and_is_found_by_its_instance(cloud: Cloud, clouds: Clouds) -> None:
    ident = server(clouds, "a name with spaces")
    found = clouds.compute.find_server(INSTANCE)
    assert found is not None
    assert (found.id, found.status, found.flavor_id) == (ident, "ACTIVE", "1")
    assert list(clouds.compute.list_servers_by_instance()) == [INSTANCE]
    clouds.compute.stop_server(ident)
    until(lambda: clouds.compute.get_server(ident).status == "SHUTOFF")
    clouds.compute.start_server(ident)
    until(lambda: clouds.compute.get_server(ident).status == "ACTIVE")
    clouds.compute.delete_server(ident)
    until(lambda: clouds.compute.get_server(ident) is None)
    clouds.compute.delete_server(ident)
    assert cloud.hypervisor.servers == {}


def test_a_resize_is_confirmed_or_reverted(clouds: Clouds) -> None:
    ident = server(clouds)
    for answer, flavor in ((clouds.compute.revert_resize, "1"),
                           (clouds.compute.confirm_resize, "2")):
        clouds.compute.resize_server(ident, "2")
        until(lambda: clouds.compute.get_server(ident).status == "VERIFY_RESIZE")
        answer(ident)
        until(lambda: clouds.compute.get_server(ident).status == "ACTIVE")
        assert clouds.compute.get_server(ident).flavor_id == flavor


def test_a_volume_is_attached_grown_and_deleted(clouds: Clouds) -> None:
    ident = server(clouds)
    volume = clouds.volume.create_volume(
        instance_id=INSTANCE, name=f"trove-{INSTANCE}", size_gb=1)
    until(lambda: clouds.volume.get_volume(volume.id).status == "available")
    for _ in range(2):
        clouds.compute.attach_volume(ident, volume.id)
    until(lambda: clouds.volume.get_volume(volume.id).status == "in-use")
    found, = clouds.volume.find_volumes(INSTANCE)
    assert (found.device, found.attached_to, found.kind) == ("/dev/vdb", ident, "data")
    clouds.volume.extend_volume(volume.id, 3)
    until(lambda: clouds.volume.get_volume(volume.id).size_gb == 3)
    with pytest.raises(errors.CloudError):
        clouds.volume.delete_volume(volume.id)
    clouds.compute.detach_volume(ident, volume.id)
    until(lambda: clouds.volume.get_volume(volume.id).status == "available")
    clouds.volume.delete_volume(volume.id)
    until(lambda: clouds.volume.get_volume(volume.id) is None)


def test_rules_become_exactly_those_wanted(clouds: Clouds) -> None:
    group = clouds.network.create_security_group(INSTANCE, "x")
    first = [("tcp", 3306, 3306, "10.0.0.0/8"), ("tcp", 3306, 3306, "192.0.2.0/24")]
    second = [("tcp", 3306, 3306, "10.0.0.0/8"), ("tcp", 3307, 3307, "2001:db8::/32")]
    for rules in (first, second, second):
        clouds.network.ensure_rules(group.id, rules)
        have = clouds.network._client.list_security_group_rules(
            security_group_id=group.id, direction="ingress")["security_group_rules"]
        assert {(one["protocol"], one["port_range_min"], one["port_range_max"],
                 one["remote_ip_prefix"]) for one in have} == set(rules)


def test_an_image_is_found_by_all_its_tags(clouds: Clouds) -> None:
    image(clouds)
    newest = image(clouds)
    found = clouds.images.find_image(["mariadb", "trove"])
    assert found is not None
    assert found.id in {one["id"] for one in clouds.images._client.images.list()}
    assert clouds.images.find_image(["mariadb", "other"]) is None
    assert clouds.images.get_image(newest) is not None
    assert clouds.images.get_image("9" * 8) is None


def test_the_state_survives_a_restart(cloud: Cloud, clouds: Clouds) -> None:
    ident = server(clouds)
    cloud.stop()
    cloud.start()
    assert clouds.compute.get_server(ident).status == "ACTIVE"
    assert ident in cloud.hypervisor.running


def test_facts_are_remembered_while_the_cloud_is_away(cloud: Cloud, clouds: Clouds) -> None:
    now = [0.0]
    catalog = CachedCatalog(lambda: clouds, 60, "RegionOne", lambda: now[0])
    assert [one.id for one in catalog.list_flavors()] == ["1", "2", "3", "4"]
    assert catalog.volume_type_exists("lvm")
    network = clouds.network.default_network()
    assert network is not None
    assert catalog.network_exists(network, "any")
    assert not catalog.network_exists("99999999-9999-4999-8999-999999999999", "any")
    assert catalog.availability_zone_exists("nova")
    cloud.app.faults.add({"kind": "error", "status": 503})
    now[0] = 1000.0
    assert len(catalog.list_flavors()) == 4
    with pytest.raises(ServiceUnavailable):
        catalog.get_flavor("77")


def test_an_image_is_remembered_by_its_id_and_by_its_tags(cloud: Cloud, clouds: Clouds) -> None:
    ident = image(clouds)
    catalog = CachedCatalog(lambda: clouds, 60, "RegionOne", lambda: 0.0)
    known = [catalog.find_image(ident, ()), catalog.find_image(None, ("mariadb", "trove"))]
    assert known[0] == clouds.images.get_image(ident)
    assert known[1] == clouds.images.find_image(["mariadb", "trove"])
    cloud.app.faults.add({"kind": "error", "status": 503})
    assert known == [catalog.find_image(ident, ()),
                     catalog.find_image(None, ("trove", "mariadb"))]


def test_pages_may_be_smaller_than_they_are_asked_for(
        clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {server(clouds) for _ in range(3)}
    monkeypatch.setattr(nova_server_api, "page_limit", lambda _call: 2)
    assert {one.id for one in clouds.compute.list_servers()} == made


def test_a_page_may_end_with_a_server_that_is_gone_then(
        cloud: Cloud, clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    server(clouds)
    index, pages = nova_server_api.ServerApi.index, 0

    def losing(self: nova_server_api.ServerApi, call: Call, detail: bool = False) -> Answer:
        nonlocal pages
        pages += 1
        answer = index(self, call, detail)
        if pages == 1:
            for one in answer[1]["servers"]:
                cloud.app.store.delete("server", one["id"])
        return answer

    monkeypatch.setattr(nova_server_api.ServerApi, "index", losing)
    assert clouds.compute.list_servers() == []
    assert pages == 3


def test_operators_see_hosts_and_the_servers_on_them(cloud: Cloud, clouds: Clouds) -> None:
    ident = server(clouds)
    found, = clouds.compute.list_servers()
    host = {one.name: one for one in clouds.compute.list_hosts()}[found.host or ""]
    assert found.id == ident
    assert (host.status, host.state) == ("enabled", "up")
    assert host.ram_mb is not None and host.ram_used_mb is not None
    assert 0 < host.ram_used_mb < host.ram_mb


def test_operators_see_the_storage_below_volumes(cloud: Cloud, clouds: Clouds) -> None:
    before, = clouds.volume.list_pools()
    clouds.volume.create_volume(instance_id=INSTANCE, name="v", size_gb=3)
    after, = clouds.volume.list_pools()
    assert (after.name, after.kind, after.ratio) == ("minicloud@files#files", "file", 20.0)
    assert after.total_gb is not None and after.free_gb is not None
    assert 0 < after.free_gb < after.total_gb
    assert after.provisioned_gb == (before.provisioned_gb or 0) + 3


def test_operators_make_flavors(cloud: Cloud, clouds: Clouds) -> None:
    estate = Estate(lambda: clouds)
    made = estate.create_flavor(name="db.made", ram_mb=2048, vcpus=2, disk_gb=10)
    assert clouds.compute.get_flavor(made.id) == made
    assert (made.name, made.ram_mb, made.vcpus, made.disk_gb) == ("db.made", 2048, 2, 10)
    named = estate.create_flavor(name="db.named", ram_mb=512, vcpus=1, disk_gb=5,
                                 flavor_id="77", ephemeral_gb=1, is_public=False)
    assert (named.id, named.ephemeral_gb) == ("77", 1)
    public = {one.id: one.is_public for one in clouds.compute.list_flavors()}
    assert (public[made.id], public["77"]) == (True, False)
    with pytest.raises(Conflict):
        estate.create_flavor(name="db.made", ram_mb=2048, vcpus=2, disk_gb=10)


def test_operators_are_told_that_the_cloud_is_away() -> None:
    conf = cfg.ConfigOpts()
    for one in (base, cloud_conf):
        one.register(conf)
    conf([], project="trove")
    for name, value in (("auth_url", "http://127.0.0.1:9/identity/v3"), ("password", "x"),
                        ("tries", 1)):
        conf.set_override(name, value, group="service_credentials")
    estate = Estate(lambda: Clouds(conf))
    for ask in (lambda: estate.hosts("RegionOne"), lambda: estate.servers("RegionOne"),
                lambda: estate.pools("RegionOne"),
                lambda: estate.create_flavor(name="a", ram_mb=1, vcpus=1, disk_gb=1)):
        with pytest.raises(ServiceUnavailable, match="does not answer"):
            ask()
