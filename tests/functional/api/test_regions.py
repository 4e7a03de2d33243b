"""Instances in other regions over REST."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from tests.functional.api.conftest import OWN, Api
from tests.functional.api.released import Client
from trove_ng.cloud.types import Image
from trove_ng.db.models import Instance, Operation, QuotaUsage

BODY = {"name": "db", "flavorRef": "1", "volume": {"size": 1}}


def create(app: Api, **more: Any) -> Any:
    return app("POST", "/instances", {"instance": {**BODY, **more}})


@pytest.mark.parametrize("name", ["region_name", "region"])
def test_an_instance_is_made_in_the_region_that_is_named(app: Api, name: str) -> None:
    answer = create(app, **{name: "RegionTwo"}, availability_zone="two")
    assert answer.status_int == 200, answer.text
    shown = answer.json["instance"]
    assert shown["region"] == "RegionTwo"
    # the id that the service lists, not the one over there
    assert shown["flavor"]["id"] == "1"
    listed = app("GET", "/instances").json["instances"]
    assert {one["region"] for one in listed if one["id"] == shown["id"]} == {"RegionTwo"}
    with app.db.reader() as session:
        row = session.get_one(Instance, shown["id"])
        assert (row.region_id, row.flavor_id) == ("RegionTwo", "1")


@pytest.mark.parametrize("more", [{}, {"region_name": None}, {"region_name": "RegionOne"}])
def test_an_instance_is_made_in_the_services_region_otherwise(
        app: Api, more: dict[str, Any]) -> None:
    assert create(app, **more).json["instance"]["region"] == "RegionOne"


@pytest.mark.parametrize(("there", "why"), [
    (Image("j", "guest", 0, 0, md5="b"), "The checksum of image guest in region RegionTwo"),
    (Image("j", "other", 0, 0, md5="a"), "Region RegionTwo has no image guest.")])
def test_a_region_without_the_same_image_is_refused(app: Api, there: Image, why: str) -> None:
    app.catalog.image["RegionTwo"] = there
    before = app.rows()
    answer = create(app, region_name="RegionTwo")
    assert answer.status_int == 400
    assert why in answer.json["badRequest"]["message"]
    assert app.rows() == before


def test_quotas_count_all_regions(app: Api) -> None:
    app.conf.set_override("max_instances_per_tenant", 2)
    assert create(app, region_name="RegionTwo").status_int == 200
    assert create(app).status_int == 200
    assert create(app, region_name="RegionTwo").status_int == 413
    with app.db.reader() as session:
        used = session.scalars(select(QuotaUsage).where(
            QuotaUsage.resource == "instances")).one()
        assert used.reserved == 2


def test_a_resize_names_the_flavor_of_the_region(app: Api) -> None:
    with app.db.writer() as session:
        session.execute(update(Instance).where(Instance.id == f"{OWN}1").values(
            region_id="RegionTwo", flavor_id="2", flavor_ram=1024))
    answer = app("POST", f"/instances/{OWN}1/action", {"resize": {"flavorRef": "1"}})
    assert answer.status_int == 202, answer.text
    with app.db.reader() as session:
        payload = session.scalars(select(Operation).where(
            Operation.action == "instance.resize_flavor")).one().payload
    assert (payload["flavor_id"], payload["there"]) == ("1", "11")


def test_a_resize_to_a_flavor_that_is_another_one_there_is_refused(app: Api) -> None:
    with app.db.writer() as session:
        session.execute(update(Instance).where(Instance.id == f"{OWN}1").values(
            region_id="RegionTwo"))
    answer = app("POST", f"/instances/{OWN}1/action", {"resize": {"flavorRef": "2"}})
    assert answer.status_int == 400
    assert "Flavor db.small of region RegionTwo is another one" in answer.text


def test_the_released_client_names_a_region(app: Api) -> None:
    from troveclient.v1 import instances

    class Trove:
        client = Client(app, "mine")

    made = instances.Instances(Trove()).create(
        "db", flavor_id="1", volume={"size": 1}, region_name="RegionTwo")
    assert made.region == "RegionTwo"
    with app.db.reader() as session:
        assert session.get_one(Instance, made.id).region_id == "RegionTwo"
