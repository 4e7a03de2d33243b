"""A minicloud of two regions, as the official clients see it."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from tests.functional.minicloud.conftest import Cloud
from trove_ng.cloud.errors import CloudNotFound, CloudUnavailable
from trove_ng.cloud.session import Clouds
from trove_ng.common.metrics import Recorder
from trove_ng.conf import base
from trove_ng.conf import cloud as cloud_conf

TWO = "RegionTwo"
INSTANCE = "5f7ac1a3-0000-4000-8000-000000000001"


class Told(Recorder):
    """Remembers which regions were called."""

    def __init__(self) -> None:
        self.regions: set[str] = set()

    def cloud_call(self, region: str, service: str, operation: str, outcome: str,
                   seconds: float) -> None:
        self.regions.add(region)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A cloud that got its second region after it was made."""
    made = Cloud(tmp_path / "cloud")
    made.stop()
    made.config = dataclasses.replace(made.config, other_regions={
        TWO: {"network_cidr": "10.97.0.0/24"}})
    made.start()
    yield made
    made.stop()


@pytest.fixture
def clouds(cloud: Cloud, told: Told) -> Clouds:
    """The service's own view."""
    conf = cfg.ConfigOpts()
    for one in (base, cloud_conf):
        one.register(conf)
    conf([], project="trove")
    for name, value in (("auth_url", f"{cloud.config.url}/identity/v3"),
                        ("password", "trove-pw"), ("tries", 1)):
        conf.set_override(name, value, group="service_credentials")
    return Clouds(conf, recorder=told)


def test_the_catalog_has_both_regions(cloud: Cloud, clouds: Clouds) -> None:
    assert clouds.regions() == ["RegionOne", TWO]
    session = cloud.session("admin")
    listed = session.get("/regions", endpoint_filter={
        "service_type": "identity", "region_name": TWO}).json()["regions"]
    assert [one["id"] for one in listed] == ["RegionOne", TWO]
    shown = session.auth.get_access(session).service_catalog.get_endpoints("database")
    assert {one["region"] for one in shown["database"]} == {"RegionOne"}
    endpoints = session.get("/endpoints", endpoint_filter={
        "service_type": "identity"}).json()["endpoints"]
    assert len({one["id"] for one in endpoints}) == len(endpoints)


def test_what_is_made_in_a_region_is_in_no_other(cloud: Cloud, clouds: Clouds,
                                                 told: Told) -> None:
    there = clouds.in_region(TWO)
    assert there.region == TWO
    assert clouds.in_region("RegionOne") is clouds is clouds.in_region(None)
    assert there.in_region(None).region == "RegionOne"
    volume = there.volume.create_volume(instance_id=INSTANCE, name="v", size_gb=1)
    assert told.regions == {TWO}
    group = there.network.create_security_group(INSTANCE, "g")
    assert clouds.volume.get_volume(volume.id) is None
    assert clouds.network.find_security_groups(INSTANCE) == []
    assert [one.id for one in there.network.find_security_groups(INSTANCE)] == [group.id]
    assert told.regions == {"RegionOne", TWO}
    # both are seen by the one hypervisor
    assert volume.id in cloud.hypervisor.volumes


def test_regions_have_ids_of_their_own(clouds: Clouds) -> None:
    there = clouds.in_region(TWO)
    here, others = clouds.compute.list_flavors(), there.compute.list_flavors()
    assert {one.name for one in here} == {one.name for one in others}
    assert not {one.id for one in here} & {one.id for one in others}
    assert clouds.network.default_network() != there.network.default_network()


def test_objects_of_a_region_are_read_by_signed_urls_of_it(clouds: Clouds) -> None:
    import requests

    there = clouds.in_region(TWO).objects
    there.ensure_container("t", "c")
    grant = there.grant("t", "c", "p/", write=True, lifetime_s=60)
    assert f"/regions/{TWO}/object/v1/AUTH_t" in grant.container_url
    assert grant.put_query is not None
    put = requests.put(f"{grant.container_url}/p/1?{grant.put_query.reveal()}", data=b"x",
                       timeout=5)
    assert put.status_code == 201
    assert there.read_object("t", "c", "p/1", 10) == b"x"
    clouds.objects.ensure_container("t", "c")
    assert clouds.objects.read_object("t", "c", "p/1", 10) is None


def test_servers_of_both_regions_survive_a_restart(cloud: Cloud, clouds: Clouds) -> None:
    seen: list[set[str]] = []
    recover = cloud.hypervisor.recover
    cloud.hypervisor.recover = lambda specs: (  # type: ignore[method-assign]
        seen.append({one.id for one in specs}), recover(specs))[1]
    made = set()
    for one in (clouds, clouds.in_region(TWO)):
        image = one.images._client.images.create(
            name="guest", container_format="bare", disk_format="raw")
        one.images._client.images.upload(image.id, io.BytesIO(b"data"))
        network = one.network.default_network()
        assert network is not None
        port = one.network.create_port(
            instance_id=INSTANCE, index=0, network_id=network, security_group_ids=[])
        server = one.compute.create_server(
            instance_id=INSTANCE, name="s", image_id=image.id,
            flavor_id=one.compute.list_flavors()[0].id, port_ids=[port.id], user_data="")
        made.add(server.id)
    end = time.monotonic() + 30
    while {server.status for one in (clouds, clouds.in_region(TWO))
           for server in one.compute.list_servers()} != {"ACTIVE"}:
        assert time.monotonic() < end
        time.sleep(0.05)
    cloud.stop()
    cloud.start()
    # one list: what is not in it is removed
    assert seen == [made]
    assert {one.id for one in clouds.in_region(TWO).compute.list_servers()} < made
    assert set(cloud.hypervisor.servers) == made


def test_a_fault_strikes_the_region_that_it_is_about(cloud: Cloud, clouds: Clouds) -> None:
    cloud.app.faults.add({"kind": "error", "service": f"{TWO}/compute", "status": 503})
    assert clouds.compute.list_servers() == []
    with pytest.raises(CloudUnavailable):
        clouds.in_region(TWO).compute.list_servers()


def test_a_region_that_does_not_exist_does_not_answer(clouds: Clouds) -> None:
    with pytest.raises(CloudUnavailable):
        clouds.in_region("RegionNine").compute.list_servers()


def test_a_network_is_found_by_the_name_that_all_regions_know(clouds: Clouds) -> None:
    found = {one.network.network_id("private") for one in (clouds, clouds.in_region(TWO))}
    assert found == {clouds.network.default_network(),
                     clouds.in_region(TWO).network.default_network()}
    assert clouds.network.network_id(INSTANCE) == INSTANCE
    with pytest.raises(CloudNotFound, match="There are 0 networks none"):
        clouds.network.network_id("none")
