from __future__ import annotations

import logging
import os
import time
from typing import Any

import pytest

from trove_ng.common.secret import Secret
from trove_ng.guestagent.os import commands


def test_a_program_gets_its_input_and_gives_its_outputs() -> None:
    result = commands.run(["sh", "-c", "cat; echo bad >&2"], stdin="hello")
    assert (result.returncode, result.stdout, result.stderr) == (0, "hello", "bad\n")


def test_a_failing_program_is_a_typed_error_without_its_output_in_the_message() -> None:
    with pytest.raises(commands.CommandError) as caught:
        commands.run(["sh", "-c", "echo secret-text >&2; exit 3"])
    assert caught.value.returncode == 3
    assert caught.value.stderr == "secret-text"
    assert "secret-text" not in caught.value.message
    assert commands.run(["sh", "-c", "exit 3"], accept=(0, 3)).returncode == 3


def test_a_program_that_is_missing_is_a_typed_error() -> None:
    with pytest.raises(commands.CommandError, match="cannot be run"):
        commands.run(["/no/such/program"])


def test_a_program_and_its_children_are_killed_when_time_is_up() -> None:
    begun = time.monotonic()
    with pytest.raises(commands.CommandTimeout):
        commands.run(["sh", "-c", "sleep 60 & sleep 60"], timeout=0.3)
    assert time.monotonic() - begun < 5


def test_secrets_pass_by_input_or_environment_and_never_as_arguments(
        caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = Secret("s3cr3t")
    with pytest.raises(TypeError):
        commands.run(["echo", secret])  # type: ignore[list-item]
    assert commands.run(["cat"], stdin=secret).stdout == "s3cr3t"
    assert commands.run(["sh", "-c", "printf %s $P"], env={"P": secret}).stdout == "s3cr3t"
    assert "s3cr3t" not in caplog.text


def test_the_environment_of_the_agent_is_not_passed_on(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "x")
    assert "OS_PASSWORD" not in commands.run(["env"]).stdout


def test_only_the_end_of_a_long_output_is_kept() -> None:
    result = commands.run(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' a; printf END"])
    assert len(result.stdout) == commands.OUTPUT_LIMIT
    assert result.stdout.endswith("END")


def test_a_program_that_leaves_a_daemon_behind_does_not_hold_the_caller() -> None:
    begun = time.monotonic()
    commands.run(["sh", "-c", "sleep 8 & echo up"])
    assert time.monotonic() - begun < 6


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes others")
def test_a_program_runs_as_the_user_and_with_his_groups_only() -> None:
    assert commands.run(["id", "-u"], user="nobody").stdout.strip() == "65534"
    assert commands.run(["id", "-G"], user="nobody").stdout.split() == ["65534"]
    with pytest.raises(commands.CommandError):
        commands.run(["id"], user="no-such-user")


@pytest.mark.parametrize("disposable", [False, True])
def test_only_a_disposable_program_may_be_killed_by_the_next_agent(
        monkeypatch: pytest.MonkeyPatch, disposable: bool) -> None:
    monkeypatch.setenv(commands.MARK, "the-instance")
    told = commands.run(["env"], disposable=disposable).stdout.splitlines()
    assert (f"{commands.MARK}=the-instance" in told) is disposable


@pytest.mark.parametrize("given", [
    {"stdin": Secret("s3cret-word")}, {"env": {"WORD": Secret("s3cret-word")}}])
def test_what_a_program_quotes_of_a_secret_is_not_logged(
        given: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(commands.CommandError) as caught:
        commands.run(["sh", "-c", "cat >&2; echo $WORD >&2; exit 3"], **given)
    assert "s3cret-word" not in caplog.text + str(caught.value)
    assert "status 3" in caplog.text
