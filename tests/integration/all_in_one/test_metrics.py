"""Prometheus' view of the all-in-one."""

from __future__ import annotations

import re
import time

import requests

from tests.integration.cloud import AllInOne
from tests.scrape import Scrape
from trove_ng.common import metrics as m


def scrapes(cloud: AllInOne) -> dict[str, Scrape]:
    """Return the scrape of each service, from where ``status`` says that it is."""
    urls = {name: url for url, name in re.findall(
        r"^Metrics +(\S+) \((\S+)\)$", cloud.standalone("status"), re.MULTILINE)}
    assert set(urls) == set(m.SERVICES)
    return {name: Scrape(requests.get(url, timeout=30).text) for name, url in urls.items()}


def asked(cloud: AllInOne) -> float:
    return scrapes(cloud)[m.API].sum(f"{m.REQUESTS.name}_count", route="/instances",
                                     method="GET", status="200")


def test_requests_to_all_workers_are_counted(cloud: AllInOne) -> None:
    before = asked(cloud)
    rest = cloud.rest()
    for _ in range(20):
        # a connection each, so that both workers get some
        requests.get(f"{rest.base}/instances", timeout=30,
                     headers=dict(rest.session.headers)).raise_for_status()
    assert asked(cloud) == before + 20


def test_each_service_has_a_build_and_the_store_answers(cloud: AllInOne) -> None:
    found = scrapes(cloud)
    for service, scrape in found.items():
        assert scrape.sum(m.BUILD.name, service=service) == 1
    assert found[m.TASKMANAGER].get(m.STORE_UP.name) == 1
    assert found[m.CONDUCTOR].get(m.BEATS_RECEIVED.name) is not None


def test_the_reconciliation_calls_the_cloud(cloud: AllInOne) -> None:
    end = time.monotonic() + 60
    while not scrapes(cloud)[m.TASKMANAGER].sum(
            f"{m.CLOUD_CALLS.name}_count", service="compute", outcome="ok"):
        assert time.monotonic() < end
        time.sleep(1)
