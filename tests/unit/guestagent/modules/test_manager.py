"""Modules on a server: what is kept, in which order, and what becomes of a failure."""

from __future__ import annotations

import base64
import hashlib
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.guestagent.conftest import ToyManager, prepare_request
from trove_ng.common.errors import GuestError, NotFound, UnprocessableEntity
from trove_ng.common.secret import Secret
from trove_ng.guestagent import health
from trove_ng.guestagent.modules import driver
from trove_ng.guestagent.modules.driver import Module, ModuleDriver
from trove_ng.guestagent.modules.manager import CUT_OFF, ModuleManager
from trove_ng.guestagent.steps import Progress
from trove_ng.rpc import module_messages as m

ID = "00000000-0000-4000-8000-00000000000{}"


class Toy(ModuleDriver):
    """Remembers what it was asked; ``bad`` in a file makes it fail."""

    asked: list[tuple[str, str]] = []

    def apply(self, module: Module) -> str:
        self.asked.append(("apply", module.name))
        if b"die" in module.contents():
            raise SystemExit
        if b"bug" in module.contents():
            raise ZeroDivisionError("canary")
        if b"bad" in module.contents():
            raise GuestError("The file is bad.")
        return "Done."

    def query(self, module: Module) -> str:
        self.asked.append(("query", module.name))
        if b"gone" in module.contents():
            raise GuestError("It is gone.")
        return "All is well."

    def remove(self, module: Module) -> None:
        self.asked.append(("remove", module.name))
        if b"stuck" in module.contents():
            raise GuestError("It is stuck.")


class OnlyVertica(Toy):
    managers = ("vertica",)


def load(kind: str) -> Callable[[Any], ModuleDriver]:
    found = {"toy": Toy, "vertica_license": OnlyVertica}.get(kind)
    return found if found is not None else driver.load(kind)


@pytest.fixture
def modules(manager: ToyManager, tmp_path: pathlib.Path) -> ModuleManager:
    Toy.asked = []
    return ModuleManager(manager.ctx, manager._module_dir, load)


def spec(number: int = 1, text: str = "text", **fields: Any) -> m.ModuleSpec:
    data = text.encode()
    return m.ModuleSpec(**({
        "id": ID.format(number), "type": "toy", "name": f"n{number}", "datastore": "all",
        "datastore_version": "all", "contents": Secret(base64.b64encode(data).decode()),
        "md5": hashlib.md5(data).hexdigest()} | fields))


def apply(modules: ModuleManager, *specs: m.ModuleSpec) -> list[m.ModuleState]:
    return modules.apply(m.ModulesRequest(modules=list(specs))).modules


def look(modules: ModuleManager, **query: Any) -> list[m.ModuleState]:
    return modules.look(m.ModuleQuery(**query)).modules


def test_a_module_is_kept_in_a_file_that_only_the_agent_can_read(
        modules: ModuleManager, tmp_path: pathlib.Path) -> None:
    done, = apply(modules, spec(text="a\0secret", datastore="vertica", name="100GB"))
    assert (done.ok, done.message, done.filename) == (True, "Done.", "vertica-all-100GB.lic")
    place = tmp_path / "data" / ".trove" / "modules" / ID.format(1)
    assert (place / "vertica-all-100GB.lic").read_bytes() == b"a\0secret"
    assert {oct(path.stat().st_mode & 0o777) for path in place.iterdir()} == {"0o600"}
    assert place.stat().st_mode & 0o777 == place.parent.stat().st_mode & 0o777 == 0o700


def test_modules_are_looked_at_by_their_drivers(modules: ModuleManager) -> None:
    apply(modules, spec(1, "x" * 70000), spec(2, "gone"))
    first, second = look(modules)
    assert (first.ok, first.message, first.contents) == (True, "All is well.", None)
    assert (second.ok, second.message) == (False, "It is gone.")
    found, = look(modules, id=ID.format(1), include_contents=True)
    assert found.contents is not None
    assert base64.b64decode(found.contents.reveal()) == b"x" * 70000
    assert found.md5 == hashlib.md5(b"x" * 70000).hexdigest()
    assert look(modules, id=ID.format(9)) == []


def test_modules_go_by_priority_then_order_then_name(modules: ModuleManager) -> None:
    wanted = [(True, 0), (True, 4), (True, 9), (False, 0), (False, 1), (False, 9)]
    specs = [spec(number, priority_apply=priority, apply_order=order)
             for number, (priority, order) in enumerate(wanted)]
    tie = spec(7, apply_order=9, name="a")
    done = apply(modules, *reversed(specs), tie)
    expected = ["n0", "n1", "n2", "n3", "n4", "a", "n5"]
    assert [one.name for one in done] == expected
    assert Toy.asked == [("apply", name) for name in expected]
    assert [one.name for one in look(modules)] == expected


@pytest.mark.parametrize(("more", "why"), [
    ({"text": "bad"}, "The file is bad."), ({"text": "bug"}, "ZeroDivisionError"),
    ({"type": "none"}, "There is no driver for modules of type none."),
    ({"type": "vertica_license"}, "are for vertica only"),
    ({"md5": "0" * 32}, "came damaged"), ({"contents": Secret("%%")}, "came damaged")])
def test_a_failure_is_told_and_keeps_no_other_module_away(
        modules: ModuleManager, caplog: pytest.LogCaptureFixture, more: dict[str, Any],
        why: str) -> None:
    with caplog.at_level(logging.DEBUG):
        bad, good = apply(modules, spec(1, **more), spec(2))
    assert not bad.ok
    assert why in bad.message
    assert "canary" not in bad.message
    assert good.ok
    assert [(one.ok, one.message) for one in look(modules)] == [
        (False, bad.message), (True, "All is well.")]
    assert "could not be applied" in caplog.text


def test_new_contents_take_the_place_of_the_old_ones(
        modules: ModuleManager, tmp_path: pathlib.Path) -> None:
    before, = apply(modules, spec(text="old", name="before"))
    after, = apply(modules, spec(text="new", name="after"))
    assert after.installed_at == before.installed_at
    assert after.updated_at >= before.updated_at
    place = tmp_path / "data" / ".trove" / "modules" / ID.format(1)
    assert {path.name for path in place.iterdir()} == {"module.json", "all-all-after.lic"}
    found, = look(modules, include_contents=True)
    assert found.contents == Secret(base64.b64encode(b"new").decode())


def test_an_agent_that_ended_meanwhile_tells_so_and_does_it_again(
        modules: ModuleManager) -> None:
    with pytest.raises(SystemExit):
        apply(modules, spec(text="die"))
    found, = look(modules)
    assert (found.ok, found.message) == (False, CUT_OFF)
    done, = apply(modules, spec(text="good"))
    assert done.ok


@pytest.mark.parametrize(("damage", "why"), [
    (lambda path: path.unlink(), "is gone"), (lambda path: path.write_text("x"), "was changed")])
def test_a_file_that_somebody_changed_is_told(
        modules: ModuleManager, tmp_path: pathlib.Path, damage: Callable[[pathlib.Path], None],
        why: str) -> None:
    apply(modules, spec())
    damage(next(tmp_path.rglob("*.lic")))
    found, = look(modules)
    assert not found.ok
    assert why in found.message


def test_a_module_is_removed_with_its_file(modules: ModuleManager,
                                           tmp_path: pathlib.Path) -> None:
    apply(modules, spec(1), spec(2))
    modules.remove(m.ModuleRemoval(id=ID.format(1)))
    assert ("remove", "n1") in Toy.asked
    assert [one.name for one in look(modules)] == ["n2"]
    assert [path.name for path in tmp_path.rglob("*.lic")] == ["all-all-n2.lic"]
    with pytest.raises(NotFound):
        modules.remove(m.ModuleRemoval(id=ID.format(1)))


def test_a_module_that_cannot_be_taken_out_of_force_stays(modules: ModuleManager) -> None:
    apply(modules, spec(text="stuck"))
    with pytest.raises(GuestError, match="It is stuck"):
        modules.remove(m.ModuleRemoval(id=ID.format(1)))
    assert len(look(modules)) == 1


@pytest.mark.parametrize("ident", ["..", "../../x", "/etc", "", "."])
def test_what_is_no_id_becomes_no_path(modules: ModuleManager, ident: str) -> None:
    with pytest.raises(UnprocessableEntity):
        modules.apply(m.ModulesRequest(modules=[spec(id=ident)]))
    with pytest.raises(UnprocessableEntity):
        modules.remove(m.ModuleRemoval(id=ident))


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", ".hidden", "ä\0b", "x" * 500])
def test_any_name_makes_a_file_beside_the_others(
        modules: ModuleManager, tmp_path: pathlib.Path, name: str) -> None:
    done, = apply(modules, spec(name=name, datastore="."))
    assert done.ok
    found, = tmp_path.rglob("*.lic")
    assert found.parent == tmp_path / "data" / ".trove" / "modules" / ID.format(1)


def test_nothing_is_written_below_a_volume_that_is_away(
        modules: ModuleManager, manager: ToyManager, tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "_volume_trouble", lambda: health.NOT_MOUNTED)
    for call in (lambda: apply(modules, spec()), lambda: look(modules)):
        with pytest.raises(GuestError):
            call()
    assert not (tmp_path / "data").exists()


def test_the_agents_calls_need_a_prepared_instance(manager: ToyManager) -> None:
    from trove_ng.guestagent.dispatch import handlers
    from trove_ng.guestagent.reports import Outbox
    from trove_ng.guestagent.sequence import Sequence
    from trove_ng.guestagent.steps import StepEngine, StepStore

    state = manager.ctx.state_dir
    engine = StepEngine(StepStore(state / "steps"), Outbox(manager.ctx.reporter),
                        Sequence(state / "sequence"))
    table = handlers(manager, engine, {})
    ping = spec(type="ping", text="message=Hello")
    request = m.ModulesRequest(modules=[ping])
    with pytest.raises(UnprocessableEntity, match="not prepared"):
        table["module_apply"](request)
    manager.prepare(prepare_request(), Progress(lambda _percent: None, engine._cancelled))
    done: Any = table["module_apply"](request)
    assert [one.message for one in done.modules] == ["Hello"]
    found: Any = table["module_list"](m.ModuleQuery())
    assert [one.ok for one in found.modules] == [True]
    table["module_remove"](m.ModuleRemoval(id=ping.id))
    assert table["module_list"](m.ModuleQuery()) == m.ModuleStates(modules=[])
