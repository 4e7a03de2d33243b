"""The documentation and the dashboard speak of the metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from prometheus_client import CollectorRegistry, ProcessCollector

from tests.programs import tool
from tests.scrape import Scrape
from trove_ng.cmd.collectors import BuildCollector
from trove_ng.common import metrics as m
from trove_ng.common.clock import SystemClock
from trove_ng.common.prometheus import PrometheusRecorder
from trove_ng.conf import operations
from trove_ng.taskmanager.measures import StoreCollector

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "doc/source/operator/metrics.rst"
DASHBOARD = ROOT / "etc/grafana/trove.json"

#: what PromQL has besides metrics
_WORDS = {
    "by", "on", "sum", "max", "min", "count", "rate", "increase", "topk",
    "histogram_quantile", "group_left", "__rate_interval"}


def samples() -> dict[str, set[str]]:
    """Return the names of all samples that services tell, and the labels of each."""
    found: dict[str, set[str]] = {}
    for one in m.DEFINITIONS:
        labels = set(one.labels)
        if one.kind is m.Kind.HISTOGRAM:
            found |= {f"{one.name}_bucket": labels | {"le"}, f"{one.name}_sum": labels,
                      f"{one.name}_count": labels}
        else:
            found[one.name] = labels
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for family in Scrape.of(registry).families.values():
        found |= {sample.name: set() for sample in family.samples}
    return found


def registered(service: str) -> dict[str, str]:
    """Return the metrics that a service really has, with their kind."""
    registry = CollectorRegistry()
    PrometheusRecorder(registry, service)
    families = [*registry.collect(), *BuildCollector(service, "1").collect()]
    if service == m.TASKMANAGER:
        store: Any = None  # describing asks nothing
        families += StoreCollector(store, SystemClock(), 1, 1).describe()
    return {one.name: one.type for one in families}


@pytest.mark.parametrize("service", m.SERVICES)
def test_every_service_has_what_is_defined_for_it(service: str) -> None:
    assert registered(service) == {
        one.name.removesuffix("_total"): one.kind.value
        for one in m.DEFINITIONS if service in one.services}


def test_the_page_lists_every_metric_as_it_is() -> None:
    program, text = tool("metrics-doc"), PAGE.read_text()
    listed = text.partition(program.BEGIN)[2].partition(program.END)[0]
    assert listed == program.render(), "run tools/metrics-doc.py"
    assert re.findall(r"^``(\w+)``$", listed, re.MULTILINE) == [
        one.name for one in m.DEFINITIONS]


def expressions() -> Iterator[tuple[str, str]]:
    """Return where an expression is, and the expression."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for found in re.findall(r"expr: (?:>-\n +)?(.+)", PAGE.read_text()):
        yield "an alert of the page", found


def words(expression: str) -> set[str]:
    """Return the names in an expression, without those inside of braces and strings."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|group_left) \([^)]*\)", " ", expression)
    return set(re.findall(r"[a-zA-Z_][a-zA-Z0-9_]*", bare)) - _WORDS


def labels(expression: str) -> set[str]:
    """Return the labels that an expression chooses or groups by."""
    chosen = re.findall(r'(\w+)(?:=~|!=|!~|=)"', expression)
    grouped = [name for group in re.findall(r"\b(?:by|on|group_left) \(([^)]*)\)", expression)
               for name in group.split(",")]
    return {name.strip() for name in [*chosen, *grouped]}


def test_every_expression_asks_for_metrics_and_labels_that_exist() -> None:
    known = samples()
    seen: set[str] = set()
    for where, expression in expressions():
        names = words(expression)
        assert names, where
        assert names <= set(known), where
        has = set().union(*(known[name] for name in names)) | {"instance", "job"}
        assert labels(expression) <= has, where
        seen |= names
    unseen = [one.name for one in m.DEFINITIONS if not any(
        name in seen for name in (one.name, f"{one.name}_count", f"{one.name}_bucket"))]
    assert unseen == [], "no panel shows them"


def test_legends_name_labels_that_their_expression_keeps() -> None:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            if "group_left" in target["expr"] or not named:
                continue
            kept = {name.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"])
                    for name in group.split(",")}
            assert named <= kept, panel["title"]


def test_counters_are_shown_as_rates_and_values_exist() -> None:
    counters = {one.name for one in m.DEFINITIONS if one.kind is m.Kind.COUNTER}
    by_name = {one.name: one for one in m.DEFINITIONS}
    for where, expression in expressions():
        for name in words(expression) & counters:
            assert re.search(rf"(rate|increase)\({name}\b", expression), where
        for name, selector in re.findall(r"(trove_\w+)\{([^}]*)\}", expression):
            definition = by_name.get(name) or by_name[re.sub(r"_(bucket|sum|count)$", "", name)]
            for label, value in re.findall(r'(\w+)="([^"]*)"', selector):
                assert not definition.labels[label] or value in definition.labels[label], where


def test_the_dashboard_can_be_imported() -> None:
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    assert board["__inputs"][0]["name"] == "DS_PROMETHEUS"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${DS_PROMETHEUS}"
            assert panel["targets"]


def test_no_operation_is_told_as_stuck_within_its_time() -> None:
    """The alert of the documentation waits longer than any operation may take."""
    text = PAGE.read_text()
    found = re.search(r'action!~"([^"]+)"}\) > (\d+)\s+or max by \(action\) '
                      r"\(trove_operation_oldest_age_seconds\) > (\d+)", text)
    assert found is not None
    long, short_limit, long_limit = found[1].split("|"), float(found[2]), float(found[3])
    conf = cfg.ConfigOpts()
    operations.register(conf)
    times = {action: float(seconds) for action, seconds in conf.operations.timeouts.items()}
    assert set(long) <= set(times)
    for action, seconds in times.items():
        limit = long_limit if action in long else short_limit
        assert seconds + conf.operations.undo_timeout < limit, action
