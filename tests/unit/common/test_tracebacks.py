"""What a logged exception shows: kinds and places."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from trove_ng.common.errors import NotFound
from trove_ng.common.tracebacks import WithoutTexts
from trove_ng.conf import base

WORD = "s3cret-word"


class OddError(Exception):
    """An exception that cannot be made without arguments."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one, two)


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(WithoutTexts())
    log = logging.getLogger("tracebacks")
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


def log(error: BaseException) -> None:
    try:
        raise error
    except BaseException:
        logging.getLogger("tracebacks").exception("it failed")


def test_kind_and_place_are_shown_and_the_text_is_not(out: io.StringIO) -> None:
    log(OddError(WORD, WORD))
    shown = out.getvalue()
    assert WORD not in shown
    assert "OddError" in shown
    assert "raise error" in shown
    assert "test_tracebacks.py" in shown


def test_neither_cause_nor_context_shows_its_text(out: io.StringIO) -> None:
    try:
        try:
            try:
                raise KeyError(WORD)
            except KeyError:
                raise ValueError(WORD)  # noqa: B904  a context is wanted
        except ValueError as err:
            raise RuntimeError(WORD) from err
    except RuntimeError as err:
        log(err)
    shown = out.getvalue()
    assert WORD not in shown
    for kind in ("KeyError", "ValueError", "RuntimeError"):
        assert kind in shown


def test_a_cause_that_was_cut_off_stays_away(out: io.StringIO) -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError:
            raise RuntimeError("outer") from None
    except RuntimeError as err:
        log(err)
    assert "KeyError" not in out.getvalue()


def test_our_own_words_are_shown(out: io.StringIO) -> None:
    log(NotFound("Instance 1 cannot be found."))
    log(OSError(28, "No space left on device"))
    assert "Instance 1 cannot be found." in out.getvalue()
    assert "No space left on device" in out.getvalue()


def test_exceptions_that_cause_each_other_end(out: io.StringIO) -> None:
    one, two = RuntimeError(WORD), ValueError(WORD)
    one.__context__, two.__context__ = two, one
    log(one)
    assert WORD not in out.getvalue()


def test_every_service_logs_so(tmp_path: Path) -> None:
    file = tmp_path / "log"
    before = list(logging.getLogger().handlers)
    try:
        base.load(["--log-file", str(file), "--debug"], prog="t", default_config_files=[])
        logging.getLogger("trove_ng.any").debug("it began")
        log(RuntimeError(WORD))
    finally:
        root = logging.getLogger()
        for one in list(root.handlers):
            if one not in before:
                root.removeHandler(one)
                one.close()
        for one in before:
            if one not in root.handlers:
                root.addHandler(one)
    shown = file.read_text()
    assert "it began" in shown
    assert "RuntimeError" in shown
    assert WORD not in shown
