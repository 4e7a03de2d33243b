"""What a scrape says, for tests."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from trove_ng.common.metrics import Recorder


class Scrape:
    """The parsed text of a scrape.

    :param text: as Prometheus gets it
    """

    def __init__(self, text: str) -> None:
        self.families = {one.name: one for one in text_string_to_metric_families(text)}
        self._samples = {(one.name, frozenset(one.labels.items())): one.value
                         for family in self.families.values() for one in family.samples}

    @classmethod
    def of(cls, registry: CollectorRegistry) -> Scrape:
        """Scrape a registry."""
        return cls(generate_latest(registry).decode())

    def get(self, name: str, **labels: str) -> float | None:
        """Return the value of one sample, None when it is absent."""
        return self._samples.get((name, frozenset(labels.items())))

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of all samples that have these labels, among others."""
        return sum(value for (found, has), value in self._samples.items()
                   if found == name and set(labels.items()) <= has)

    def counts(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return all counters and the counts of all histograms that are not 0."""
        return {(name.removesuffix("_count"), labels): value
                for (name, labels), value in self._samples.items()
                if value and name.endswith(("_total", "_count"))}


class RefusalsHeard(Recorder):
    """Remembers the reasons of refused messages."""

    def __init__(self, reasons: list[str]) -> None:
        self._reasons = reasons

    def message_refused(self, message: str, reason: str) -> None:
        self._reasons.append(reason)
