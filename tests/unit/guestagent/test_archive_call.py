"""The call that archives a log: who is restarted for it, and when not."""

from __future__ import annotations

import pathlib
import time

import msgspec
import pytest

from tests.unit.guestagent.conftest import ToyManager, prepare_request
from trove_ng.common.errors import Conflict, GuestError, UnprocessableEntity
from trove_ng.common.secret import Secret
from trove_ng.guestagent.dispatch import GuestHandler, handlers
from trove_ng.guestagent.reports import Outbox
from trove_ng.guestagent.sequence import Sequence
from trove_ng.guestagent.steps import Progress, StepEngine, StepStore
from trove_ng.guestagent.storage.http import Patience
from trove_ng.guestagent.storage.log_archive import LogArchive
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import messages as m

DONE = am.ArchivedLog(
    stored=m.StoredBackup(strategy="log", segments=[], checksum="", size=0),
    begin=am.LogPosition(stream="s", number=1), end=2)
REQUEST = am.ArchiveRequest(grant=m.ObjectStoreGrant(
    container_url="http://127.0.0.1:9/c", prefix="p", get_query=Secret("g"), expires_at=0))


class Logging(ToyManager):
    """Writes no log until it is told to."""

    writes = False
    begun = 0

    def writes_log(self) -> bool:
        return self.writes

    def begin_log_archive(self) -> None:
        self.begun += 1
        self.writes = True

    def archive_log(self, request: am.ArchiveRequest) -> am.ArchivedLog:
        assert self.writes
        return DONE


@pytest.fixture
def manager(manager: ToyManager, tmp_path: pathlib.Path) -> Logging:
    return Logging(manager.ctx, tmp_path / "data")


@pytest.fixture
def engine(manager: Logging) -> StepEngine:
    state = manager.ctx.state_dir
    return StepEngine(StepStore(state / "steps"), Outbox(manager.ctx.reporter),
                      Sequence(state / "sequence"), patience=0.2)


@pytest.fixture
def call(manager: Logging, engine: StepEngine) -> GuestHandler:
    return handlers(manager, engine, {})["archive_log"]


@pytest.fixture
def prepared(manager: Logging, engine: StepEngine) -> None:
    manager.prepare(prepare_request(), Progress(lambda _percent: None, engine._cancelled))


def test_a_server_that_is_not_prepared_is_left_alone(manager: Logging,
                                                     call: GuestHandler) -> None:
    with pytest.raises(UnprocessableEntity, match="not prepared"):
        call(REQUEST)
    assert not manager.begun


@pytest.mark.usefixtures("prepared")
def test_a_log_that_is_not_written_is_begun_once(manager: Logging, call: GuestHandler) -> None:
    assert call(REQUEST) == call(REQUEST) == DONE
    assert manager.begun == 1


@pytest.mark.usefixtures("prepared")
def test_nothing_is_restarted_while_a_step_runs(manager: Logging, engine: StepEngine,
                                                call: GuestHandler) -> None:
    with engine.exclusive("backup"), pytest.raises(Conflict, match="works on step backup"):
        call(REQUEST)
    assert not manager.begun
    manager.writes = True
    # what is only read disturbs nobody
    with engine.exclusive("backup"):
        assert call(REQUEST) == DONE


@pytest.mark.usefixtures("prepared")
def test_a_replica_is_not_restarted(manager: Logging, call: GuestHandler,
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    def replica() -> bool:
        raise GuestError("The log of a replica is not archived.")

    monkeypatch.setattr(manager, "writes_log", replica)
    with pytest.raises(GuestError, match="replica"):
        call(REQUEST)
    assert not manager.begun


class Slow(LogArchive):
    """Counts what it stores."""

    stored = 0

    def _ship(self, request: am.ArchiveRequest) -> am.ArchivedLog:
        self.stored += 1
        time.sleep(0.02)
        return msgspec.structs.replace(DONE, end=DONE.end + self.stored)

    def end(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(("seconds", "times"), [(30.0, 3), (0.01, 2)])
def test_a_part_that_took_too_long_is_answered_with_again(tmp_path: pathlib.Path, seconds: float,
                                                          times: int) -> None:
    archive = Slow("log", lambda: tmp_path, Patience())
    request = msgspec.structs.replace(REQUEST, seconds=seconds)
    first, again = archive.ship(request), archive.ship(request)
    assert (first == again) is (times == 2)
    after = am.LogPosition(stream="s", number=first.end)
    assert archive.ship(msgspec.structs.replace(request, after=after)) != again
    assert archive.stored == times
