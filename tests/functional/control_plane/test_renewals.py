"""Certificates of databases that end soon: renewed, or told of."""

from __future__ import annotations

import datetime
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, select, update

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.test_events import timeline
from tests.functional.control_plane.world import wait_for
from trove_ng.common.clock import utcnow
from trove_ng.common.states import ServiceStatus
from trove_ng.db.models import Instance, InstanceTls, Operation
from trove_ng.domain.certificates import create_authority
from trove_ng.operations import payloads
from trove_ng.operations.notices import Notices
from trove_ng.operations.renewals import Renewals
from trove_ng.operations.requests import Requests
from trove_ng.operations.tls import authority
from trove_ng.rpc import tls_messages as tm

DAY = datetime.timedelta(days=1)


class Care:
    """Looks when the test wants it, and for instances with certificates that it ages."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.begun: list[str] = []
        tools = plane.tools
        self.works = Renewals(
            plane.conf, plane.db, plane.clock,
            Requests(plane.conf, tools.operation_box, Notices(of_its_own=True)), self._wake)

    def _wake(self, operation_id: str) -> None:
        self.begun.append(operation_id)
        self.plane.manager.take(operation_id)

    def look(self, ident: str) -> int:
        """Look once, wait, and return how many renewals were begun."""
        before = len(self.begun)
        self.works.run()
        self.plane.wait(ident, "ACTIVE")
        return len(self.begun) - before

    def age(self, ident: str, left: datetime.timedelta, **more: Any) -> None:
        """Let the certificate end so soon, and be looked at."""
        with self.plane.db.writer() as session:
            session.execute(update(InstanceTls).where(
                InstanceTls.instance_id == ident, InstanceTls.place == "current",
            ).values(expires_at=utcnow() + left, look_at=None, **more))

    def enable(self, ident: str, mode: str = "enforced") -> None:
        self.plane.request("POST", f"/instances/{ident}/ssl",
                           {"ssl": {"enable": True, "mode": mode}}, status=200)
        self.plane.wait(ident, "ACTIVE")

    def tell(self, ident: str, status: ServiceStatus) -> None:
        """Let the agent tell of its database; the last word if others are on their way."""
        self.plane.agent(ident).beat(status)
        wait_for(lambda: self.plane.show(ident)["operating_status"] == status.value, status.value)

    def shown(self, ident: str) -> Any:
        return self.plane.request("GET", f"/instances/{ident}/ssl", status=200).json["ssl"]

    def told(self, ident: str, kind: str) -> list[dict[str, Any]]:
        return timeline(self.plane, ident, f"?kind={kind}")

    def requests(self, ident: str) -> list[tm.TlsRequest]:
        return [one for _, one in self.plane.agent(ident).asked if isinstance(one, tm.TlsRequest)]

    def issue_from(self, days: int) -> None:
        """Exchange the operator's authority."""
        certificate, key = create_authority("Tests", days, utcnow())
        tls = self.plane.conf.tls
        pathlib.Path(tls.ca_certificate).write_text(certificate)
        pathlib.Path(tls.ca_private_key).write_text(key.reveal())


@pytest.fixture
def care(plane: ControlPlane) -> Iterator[Care]:
    made = Care(plane)
    # before certificates are issued: they end no later than it does
    made.issue_from(1000)
    yield made
    for name in ("certificate_days", "renew_before_days", "renew_limit"):
        plane.conf.clear_override(name, group="tls")


def test_a_certificate_is_renewed_once_before_its_end(
        plane: ControlPlane, living: str, care: Care) -> None:
    care.enable(living)
    with plane.db.writer() as session:
        session.execute(update(InstanceTls).values(look_at=None))
    assert care.look(living) == 0
    care.age(living, 31 * DAY)
    assert care.look(living) == 0
    care.age(living, 29 * DAY)
    assert care.look(living) == 1
    assert care.look(living) == 0
    first, second = care.requests(living)
    assert (second.mode, second.reference, second.renewal) == ("enforced", "", True)
    assert first.certificate != second.certificate
    assert care.shown(living)["certificate"]["expire_at"] > (
        utcnow() + 360 * DAY).isoformat()
    told, = care.told(living, "certificate.renewal")
    assert told["operation_id"] == care.begun[0]
    assert "ends" in told["message"] and "renews it" in told["message"]
    # the owner goes back to what was before the owner's change
    plane.request("POST", f"/instances/{living}/ssl", {"ssl": {"rollback": True}}, status=200)
    plane.wait(living, "ACTIVE")
    assert care.shown(living)["status"] == "off"


def test_many_that_look_renew_once(plane: ControlPlane, living: str, care: Care) -> None:
    care.enable(living)
    care.age(living, DAY)
    threads = [threading.Thread(target=care.works.run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    plane.wait(living, "ACTIVE")
    assert len(care.begun) == 1
    assert len(care.told(living, "certificate.renewal")) == 1


def test_a_guest_that_tells_an_end_that_does_not_move_waits(
        plane: ControlPlane, living: str, care: Care) -> None:
    plane.conf.set_override("certificate_days", 1, group="tls")
    care.enable(living)
    with plane.db.reader() as session:
        row = session.execute(select(InstanceTls.expires_at, InstanceTls.look_at).where(
            InstanceTls.place == "current")).one()
    assert row.look_at > utcnow()
    care.age(living, DAY / 3)
    assert care.look(living) == 1
    # half of a day is as good as it gets
    care.age(living, DAY * 2 / 3)
    assert care.look(living) == 0


def test_what_cannot_be_renewed_now_is_tried_later(
        plane: ControlPlane, living: str, care: Care) -> None:
    care.enable(living)
    care.age(living, DAY)
    care.tell(living, ServiceStatus.FAILED)
    assert care.look(living) == 0
    care.tell(living, ServiceStatus.HEALTHY)
    with plane.db.reader() as session:
        again = session.scalar(select(InstanceTls.look_at).where(
            InstanceTls.place == "current"))
    assert again is not None and DAY / 60 < again - utcnow() < DAY / 12
    assert care.look(living) == 0
    care.age(living, DAY)
    assert care.look(living) == 1


def test_one_that_fails_leaves_the_old_one_and_is_tried_later(
        plane: ControlPlane, living: str, care: Care) -> None:
    care.enable(living)
    care.age(living, DAY)
    before = care.shown(living)
    plane.hypervisor.failures["set_tls"] = "It does not like it."
    assert care.look(living) == 1
    del plane.hypervisor.failures["set_tls"]
    assert care.shown(living)["certificate"] == before["certificate"]
    assert "It does not like it." in care.told(living, "operation.failed")[-1]["message"]
    assert care.look(living) == 0


def test_one_that_fails_again_and_again_is_tried_less_often(
        plane: ControlPlane, living: str, care: Care) -> None:
    care.enable(living)
    plane.hypervisor.failures["set_tls"] = "It does not like it."
    waits = []
    for _ in range(6):
        care.age(living, DAY)
        assert care.look(living) == 1
        with plane.db.reader() as session:
            again = session.scalar(select(InstanceTls.look_at).where(
                InstanceTls.place == "current"))
        assert again is not None
        waits.append(again - utcnow())
    assert waits[0] < DAY / 12
    # or at its end
    assert DAY / 2 < waits[5] <= DAY
    assert len(care.told(living, "certificate.renewal")) == 1


def test_one_that_has_ended_is_renewed_at_once_when_its_owner_goes_back_to_it(
        plane: ControlPlane, living: str, care: Care) -> None:
    care.enable(living)
    agent = plane.agent(living)
    made = authority(plane.conf).issue(living, ["192.0.2.1"], 1, utcnow() - 10 * DAY)
    agent.tls[-2] = ("", tm.TlsEntry(
        mode="enforced", certificate=made.certificate, authority=made.authority))
    plane.request("POST", f"/instances/{living}/ssl", {"ssl": {"rollback": True}}, status=200)
    plane.wait(living, "ACTIVE")
    assert agent.tls[-1][1].certificate == made.certificate
    assert care.look(living) == 1
    assert agent.tls[-1][1].certificate != made.certificate


def test_no_more_than_the_limit_at_a_time(plane: ControlPlane, living: str, care: Care) -> None:
    other = plane.create(name="other")
    plane.wait(other, "ACTIVE")
    for ident in (living, other):
        care.enable(ident)
    plane.conf.set_override("renew_limit", 1, group="tls")
    care.age(living, 2 * DAY)
    care.age(other, DAY)
    with plane.db.writer() as session:
        session.add(Operation(action=payloads.INSTANCE_SET_TLS, resource_type="instance",
                              resource_id="x", live_key="x", tenant_id="t", status="RUNNING",
                              fence=1, lease_expires_at=utcnow() + DAY))
    assert care.look(living) == 0
    with plane.db.writer() as session:
        session.execute(update(Operation).where(Operation.resource_id == "x").values(
            live_key=None, status="SUCCEEDED"))
    assert care.look(other) == 1
    assert not care.told(living, "certificate.renewal")
    assert care.look(living) == 1


def test_one_that_cannot_be_worked_on_keeps_no_other_back(
        plane: ControlPlane, living: str, care: Care, monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture) -> None:
    other = plane.create(name="other")
    plane.wait(other, "ACTIVE")
    for ident in (living, other):
        care.enable(ident)
    care.age(living, DAY)
    care.age(other, 2 * DAY)
    begin = care.works._begin

    def fail(ident: str, *args: Any) -> Any:
        if ident == living:
            raise RuntimeError("It is broken.")
        return begin(ident, *args)

    monkeypatch.setattr(care.works, "_begin", fail)
    assert care.look(other) == 1
    assert f"the certificate of instance {living} could not be worked on" in caplog.text
    monkeypatch.undo()
    assert care.look(living) == 1


def test_the_owners_certificate_is_told_of_each_week(
        plane: ControlPlane, living: str, care: Care) -> None:
    care.enable(living)
    reference = "https://keys.example.org/v1/containers/1"
    care.age(living, 20 * DAY, reference=reference)
    care.look(living)
    care.look(living)
    told, = care.told(living, "certificate.ending")
    assert "does not renew yours" in told["message"]
    assert care.begun == []
    with plane.db.writer() as session:
        assert session.scalar(select(InstanceTls.look_at).where(
            InstanceTls.place == "current")) > utcnow() + 6 * DAY
    # its end is told when it comes
    care.age(living, 3 * DAY, reference=reference)
    care.look(living)
    with plane.db.writer() as session:
        row = session.execute(select(InstanceTls.look_at, InstanceTls.expires_at).where(
            InstanceTls.place == "current")).one()
    assert row.look_at == row.expires_at
    care.age(living, -DAY, reference=reference)
    care.look(living)
    assert [("ended" in one["message"]) for one in care.told(living, "certificate.ending")] == [
        False, False, True]


def test_what_clients_would_not_trust_is_not_issued(
        plane: ControlPlane, living: str, care: Care) -> None:
    care.enable(living)
    care.issue_from(2000)
    care.age(living, DAY)
    assert care.look(living) == 0
    assert "cannot renew it" in care.told(living, "certificate.ending")[0]["message"]


def test_an_authority_that_ends_first_renews_nothing(
        plane: ControlPlane, living: str, care: Care) -> None:
    care.issue_from(10)
    care.enable(living)
    with plane.db.writer() as session:
        session.execute(update(InstanceTls).values(look_at=None))
    assert care.look(living) == 0
    assert len(care.told(living, "certificate.ending")) == 1


def test_an_authority_that_cannot_be_read_for_a_while_renews_later(
        plane: ControlPlane, living: str, care: Care, caplog: pytest.LogCaptureFixture) -> None:
    care.enable(living)
    care.age(living, DAY)
    key = plane.conf.tls.ca_private_key
    plane.conf.set_override("ca_private_key", "/nowhere/authority.key", group="tls")
    assert care.look(living) == 0
    assert "cannot be renewed" in caplog.text
    # it is not put off: the operator may mend that at any time
    assert care.told(living, "certificate.ending") == []
    plane.conf.set_override("ca_private_key", key, group="tls")
    assert care.look(living) == 1


def test_it_may_be_switched_off_and_the_deleted_are_left_alone(
        plane: ControlPlane, living: str, care: Care) -> None:
    care.enable(living)
    care.age(living, DAY)
    plane.conf.set_override("renew_before_days", 0, group="tls")
    assert care.look(living) == 0
    plane.conf.set_override("renew_before_days", 30, group="tls")
    with plane.db.writer() as session:
        session.execute(update(Instance).values(deleted=True))
    care.works.run()
    assert care.begun == []


def test_the_statements_of_a_look_do_not_grow(
        plane: ControlPlane, living: str, care: Care) -> None:
    care.enable(living)
    assert len(statements_of(plane, care)) == 3
    counts = []
    for number in (1, 20):
        with plane.db.writer() as session:
            found = session.get_one(Instance, living)
            for count in range(number):
                ident = f"{number}-{count}"
                session.add(Instance(
                    id=ident, name="x", tenant_id="t", flavor_id="1",
                    datastore_version_id=found.datastore_version_id, server_status="ACTIVE"))
                session.flush()
                session.add(InstanceTls(
                    instance_id=ident, place="current", mode="basic",
                    reference="https://keys/1", expires_at=utcnow() + DAY))
        counts.append(len(statements_of(plane, care)))
    assert counts[0] == counts[1]


def statements_of(plane: ControlPlane, care: Care) -> list[str]:
    seen: list[str] = []
    here = threading.get_ident()

    def note(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if threading.get_ident() == here and not statement.startswith(("BEGIN", "SAVEPOINT")):
            seen.append(statement)

    event.listen(plane.db.engine, "before_cursor_execute", note)
    care.works.run()
    event.remove(plane.db.engine, "before_cursor_execute", note)
    return seen


def test_a_certificate_follows_the_addresses_of_its_instance(
        plane: ControlPlane, living: str, care: Care) -> None:
    care.enable(living)
    before = care.shown(living)["certificate"]["san"]

    def reach(*, public: bool) -> set[str]:
        """Change how it is reached; return the names that a renewal adds."""
        plane.request("PUT", f"/instances/{living}", {"instance": {"access": {
            "is_public": public}}}, status=202)
        plane.wait(living, "ACTIVE")
        assert care.look(living) == 1
        assert care.look(living) == 0
        found = care.shown(living)["certificate"]["san"]
        assert {*found} >= {*plane.show(living)["ip"]}
        return {*found} - {*before}

    assert len(reach(public=True)) == 1
    assert reach(public=False) == set()
    told = care.told(living, "certificate.renewal")
    assert "is for other addresses than the instance has" in told[0]["message"]
    # one that is the owner's is the owner's business
    with plane.db.writer() as session:
        session.execute(update(InstanceTls).values(reference="https://keys.example.org/1"))
    plane.request("PUT", f"/instances/{living}", {"instance": {"access": {
        "is_public": True}}}, status=202)
    plane.wait(living, "ACTIVE")
    assert care.look(living) == 0
