"""The sample files name everything that can be configured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trove_ng import policies
from trove_ng.conf import opts

SAMPLES = Path(__file__).parents[3] / "etc/trove"


@pytest.mark.parametrize(("name", "options"), [
    ("trove.conf.sample", opts.list_opts), ("trove-guestagent.conf.sample",
                                            opts.list_guest_opts)])
def test_every_option_is_in_the_sample(name: str, options: object) -> None:
    text = (SAMPLES / name).read_text()
    known = set(re.findall(r"^#([\w-]+) ?=", text, re.MULTILINE))
    wanted = {one.dest.replace("-", "_") for _, group in options()  # type: ignore[operator]
              for one in group}
    assert wanted - {one.replace("-", "_") for one in known} == set()


def test_every_rule_is_in_the_sample() -> None:
    text = (SAMPLES / "policy.yaml.sample").read_text()
    missing = [rule.name for rule in policies.list_rules() if f'"{rule.name}"' not in text]
    assert missing == []
