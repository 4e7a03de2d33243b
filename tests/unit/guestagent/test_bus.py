from __future__ import annotations

import pytest

from tests.unit.guestagent.conftest import ToyManager
from trove_ng.common.errors import GuestError, NotFound, UnsavedChanges
from trove_ng.guestagent import bus, dispatch
from trove_ng.guestagent.os.services import ServiceError
from trove_ng.guestagent.reports import Outbox
from trove_ng.guestagent.sequence import Sequence
from trove_ng.guestagent.steps import StepEngine, StepStore
from trove_ng.rpc import guest
from trove_ng.rpc import messages as m
from trove_ng.rpc.endpoint import Caller

CALLER = Caller("taskmanager", None)


@pytest.fixture
def table(manager: ToyManager) -> dict[str, dispatch.GuestHandler]:
    state_dir = manager.ctx.state_dir
    engine = StepEngine(StepStore(state_dir / "steps"), Outbox(manager.ctx.reporter),
                        Sequence(state_dir / "sequence"))
    own = ("install_agent", "restart_agent", "confirm_agent", "discard_agent")
    return {**dispatch.handlers(manager, engine, {name: lambda _request: m.Empty()
                                                  for name in own}),
            "change_key": lambda _request: m.Empty()}


def test_every_declared_call_is_served_with_its_types(
        table: dict[str, dispatch.GuestHandler]) -> None:
    methods = bus.methods(table)
    assert {name: (method.request, method.answer) for name, method in methods.items()} == {
        name: (declared.request, declared.answer)
        for name, declared in guest.GUEST_METHODS.items()}
    assert methods["rpc_ping"].handler(CALLER, m.Empty()) == m.Flag(value=True)


def test_a_call_without_a_handler_is_noticed_at_start(
        table: dict[str, dispatch.GuestHandler]) -> None:
    del table["restart"]
    with pytest.raises(ValueError, match="restart"):
        bus.methods(table)


@pytest.mark.parametrize(("raised", "crosses"), [
    (ServiceError("It did not start."), GuestError), (GuestError("No."), GuestError),
    (UnsavedChanges("No room."), UnsavedChanges),
    (NotFound("No such user."), NotFound),
])
def test_errors_cross_as_kinds_that_the_other_end_knows(
        table: dict[str, dispatch.GuestHandler], raised: GuestError,
        crosses: type[Exception]) -> None:
    def fail(_request: m.Empty) -> m.Empty:
        raise raised

    table["rpc_ping"] = fail
    with pytest.raises(crosses, match=raised.message) as caught:
        bus.methods(table)["rpc_ping"].handler(CALLER, m.Empty())
    assert type(caught.value) is crosses
