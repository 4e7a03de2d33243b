"""Schedules at the command line."""

from __future__ import annotations

from tests.functional.api.conftest import OWN, Api
from tests.functional.osc.conftest import OpenStack

SCHEDULE = ("database", "schedule")


def test_a_schedule_from_its_making_to_its_end(openstack: OpenStack, app: Api) -> None:
    made = openstack(*SCHEDULE, "create", f"{OWN}1", "0 2 * * *", "dawn", "--time-zone",
                     "Europe/Berlin", "--full-every", "7", "--keep-count", "14")
    assert (made["name"], made["instance_id"], made["time_zone"], made["full_every"],
            made["keep_count"], made["paused"]) == (
                "dawn", f"{OWN}1", "Europe/Berlin", 7, 14, False)
    assert openstack(*SCHEDULE, "show", "dawn") == made
    for words in ((), ("--instance", f"{OWN}1")):
        assert made["id"] in [one["ID"] for one in openstack(*SCHEDULE, "list", *words)]
    paused = openstack(*SCHEDULE, "set", made["id"], "--pause", "--pattern", "0 3 * * *")
    assert (paused["paused"], paused["pattern"], paused["next_run_at"]) == (
        True, "0 3 * * *", "")
    assert openstack(*SCHEDULE, "set", "dawn", "--resume")["paused"] is False
    for words, wanted in ((("--verify-every", "3"), "every='3'"),
                          (("--verify-pattern", "0 4 * * 0"), "pattern='0 4 * * 0'"),
                          (("--no-verify",), "")):
        assert openstack(*SCHEDULE, "set", "dawn", *words)["verify"] == wanted
    run = openstack(*SCHEDULE, "run", "dawn")
    assert run["schedule_id"] == made["id"]
    assert len(app.waker.woken) == 1
    listed = openstack(*SCHEDULE, "execution", "list", "dawn")
    assert [(one["ID"], one["Backup ID"]) for one in listed] == [(run["id"], run["backup_id"])]
    openstack.does(*SCHEDULE, "delete", "dawn")
    assert "no schedule" in openstack.fails(*SCHEDULE, "show", "dawn")


def test_what_is_wrong_is_told(openstack: OpenStack) -> None:
    said = openstack.fails(*SCHEDULE, "create", f"{OWN}1", "61 2 * * *", "never")
    assert "pattern" in said
    assert "HTTP 400" in said
    assert "no instance" in openstack.fails(*SCHEDULE, "create", "none", "0 2 * * *", "x")
    openstack(*SCHEDULE, "create", f"{OWN}1", "0 2 * * *", "x")
    assert "Nothing is to be changed" in openstack.fails(*SCHEDULE, "set", "x")
    assert "HTTP 404" in openstack.fails(
        *SCHEDULE, "execution", "delete", "x", "00000000-0000-4000-8000-00000000dead")
