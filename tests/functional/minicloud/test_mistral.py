"""Schedules as the released client asks Mistral for them, answered by the minicloud."""

from __future__ import annotations

import json
import pathlib
import types
from typing import Any

import pytest
import yaml
from mistralclient.api.base import APIException
from troveclient.v1.backups import Backups

from tests.functional.api.conftest import (  # noqa: F401 - fixtures
    MINE,
    OWN,
    Api,
    api_conf,
    app,
)
from tests.functional.api.test_schedules import Clockwork
from tests.functional.minicloud.conftest import Cloud
from trove_ng.standalone.minicloud import mistral
from trove_ng.standalone.minicloud.nova_call import CloudFault

ONE = f"{OWN}1"


@pytest.fixture
def works(cloud: Cloud, app: Api) -> Clockwork:  # noqa: F811
    """Our API behind the minicloud, whose project is the test's first one there."""
    demo = cloud.app.people.named("project", "demo")["id"]

    def trove(method: str, path: str, token: str, project_id: str, body: Any = None) -> Any:
        assert project_id == demo
        assert cloud.app.tokens.identify(token).project_id == demo
        answer = app(method, path, body)
        return answer.status_int, answer.json if answer.body else {}

    cloud.app.workflows.trove = trove
    return Clockwork(app)


@pytest.fixture
def backups(cloud: Cloud) -> Backups:
    """The client's manager, which makes its client of Mistral by itself."""
    auth = types.SimpleNamespace(auth_url=f"{cloud.config.url}/identity/v3", _username="demo",
                                 _password="demo-pw", _project_name="demo")
    return Backups(types.SimpleNamespace(client=types.SimpleNamespace(auth=auth)))


def test_a_schedule_is_made_listed_shown_and_deleted(works: Clockwork, backups: Backups) -> None:
    made = backups.schedule_create(ONE, "*/10 * * * *", "nightly", description="d")
    assert (made.name, made.instance, made.pattern) == ("nightly", ONE, "*/10 * * * *")
    assert made.next_execution_time == "2026-05-04 12:10:00"
    listed, = backups.schedule_list(ONE)
    assert (listed.id, listed.name) == (made.id, "nightly")
    assert backups.schedule_list(f"{OWN}2") == []
    shown = backups.schedule_show(made.id)
    assert json.loads(shown.input)["description"] == "d"
    assert shown.updated_at == shown.created_at == "2026-05-04 12:00:30"
    native = works.app("GET", f"/schedules/{made.id}").json["schedule"]
    assert (native["full_every"], native["description"]) == (1, "d")
    backups.schedule_delete(made.id)
    assert backups.schedule_list(ONE) == []
    with pytest.raises(APIException, match="cannot be found"):
        backups.schedule_show(made.id)


def test_an_incremental_schedule_continues_its_backups(works: Clockwork,
                                                       backups: Backups) -> None:
    made = backups.schedule_create(ONE, "0 2 * * *", "n", incremental=True)
    assert works.app("GET", f"/schedules/{made.id}").json["schedule"]["full_every"] == 0


def test_executions_are_those_of_the_schedule_newest_first(works: Clockwork,
                                                           backups: Backups) -> None:
    first = backups.schedule_create(ONE, "*/10 * * * *", "same")
    other = backups.schedule_create(f"{OWN}2", "*/10 * * * *", "same")
    assert backups.execution_list(first.id) == []
    for at in ("04T12:10:00", "04T12:20:00", "04T12:30:00"):
        works.run(at)
        works.end()
    found = backups.execution_list(first.id)
    assert [one.created_at[11:16] for one in found] == ["12:30", "12:20", "12:10"]
    assert {(one.state, one.output) for one in found} == {
        ("SUCCESS", '{"status": "Backup complete"}')}
    assert [one.id for one in backups.execution_list(first.id, limit=2)] == [
        one.id for one in found[:2]]
    assert [one.id for one in backups.execution_list(first.id, marker=found[0].id)] == [
        one.id for one in found[1:]]
    backups.execution_delete(found[1].id)
    assert len(backups.execution_list(first.id)) == 2
    assert len(backups.execution_list(other.id)) == 3
    with pytest.raises(APIException, match="not found"):
        backups.execution_delete(found[1].id)


@pytest.mark.parametrize(("instance", "pattern", "why"), [
    (ONE, "every day", "pattern"), (f"{OWN}f", "0 2 * * *", "cannot be found")])
def test_refusals_are_told_in_the_services_words(works: Clockwork, backups: Backups,
                                                 instance: str, pattern: str, why: str) -> None:
    with pytest.raises(APIException, match=why):
        backups.schedule_create(instance, pattern, "n")


def test_other_workflows_are_not_found(works: Clockwork, backups: Backups) -> None:
    client = backups._get_mistral_client()
    with pytest.raises(APIException, match="Workflow not found"):
        client.cron_triggers.create("n", "other.workflow", pattern="0 2 * * *")
    with pytest.raises(APIException, match="workflow_input"):
        client.cron_triggers.create("n", mistral.WORKFLOW, pattern="0 2 * * *")


def test_nobody_asks_without_a_token(cloud: Cloud) -> None:
    import requests

    answer = requests.get(f"{cloud.config.url}/workflow/v2/cron_triggers", timeout=5)
    assert answer.status_code == 401
    assert "authentication" in answer.json()["faultstring"]
    found = requests.get(f"{cloud.config.url}/workflow/", timeout=5).json()
    assert found["versions"][0]["id"] == "v2.0"


def test_a_database_service_that_is_away_is_told(cloud: Cloud) -> None:
    with pytest.raises(CloudFault, match="does not answer"):
        mistral.TroveHttp("http://127.0.0.1:9")("GET", "/schedules", "t", "p")


def test_the_workbook_takes_what_the_released_client_sends() -> None:
    path = pathlib.Path(__file__).parents[3] / "etc/mistral/trove.yaml"
    book = yaml.safe_load(path.read_text())
    flow = book["workflows"]["backup_create"]
    assert f"{book['name']}.backup_create" == Backups.backup_create_workflow
    names = {next(iter(one)) if isinstance(one, dict) else one for one in flow["input"]}
    assert names == {"instance", "name", "description", "parent_id", "incremental"}
    assert set(flow["tasks"]["backup_create"]["input"]) == names
