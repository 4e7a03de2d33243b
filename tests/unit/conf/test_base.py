from __future__ import annotations

import logging
import pathlib

import pytest
from oslo_config import cfg

from trove_ng.conf import base, dns, guestagent, rpc, taskmanager


def _write(path: pathlib.Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_later_files_win_and_options_of_the_service_are_known(tmp_path: pathlib.Path) -> None:
    first = _write(tmp_path / "a.conf", "[DEFAULT]\nguest_id = a\nreport_interval = 5\n")
    second = _write(tmp_path / "b.conf", "[DEFAULT]\nguest_id = b\n"
                                         "[guest_agent]\nservice_manager = systemd\n")
    conf = base.load(["--config-file", first, "--config-file", second], prog="t",
                     registrars=[guestagent.register], setup_logging=False)
    assert (conf.guest_id, conf.report_interval) == ("b", 5)
    assert conf.guest_agent.service_manager == "systemd"


def test_defaults_serve_without_any_file() -> None:
    conf = base.load([], prog="t", registrars=[guestagent.register],
                     default_config_files=[], setup_logging=False)
    assert conf.region == "RegionOne"
    assert conf.guest_volume.num_tries == 30


@pytest.mark.parametrize(("line", "section", "name", "value"), [
    ("use_nova_server_config_drive = false", "", "use_config_drive", False),
    ("tm_rpc_encr_key = k", "", "taskmanager_rpc_encr_key", ["k"]),
    ("dns_domain_name = example.org.", "dns", "domain_name", "example.org.")])
def test_names_of_the_specs_will_do_too(tmp_path: pathlib.Path, line: str, section: str,
                                        name: str, value: object) -> None:
    path = _write(tmp_path / "trove.conf", f"[DEFAULT]\n{line}\n")
    conf = base.load(["--config-file", path], prog="t", setup_logging=False, registrars=[
        taskmanager.register, rpc.register, dns.register])
    assert getattr(getattr(conf, section) if section else conf, name) == value


def test_two_configurations_do_not_know_of_each_other(tmp_path: pathlib.Path) -> None:
    path = _write(tmp_path / "a.conf", "[DEFAULT]\nregion = Two\n")
    one = base.load([], prog="t", default_config_files=[path], setup_logging=False)
    other = base.load([], prog="t", default_config_files=[], setup_logging=False)
    assert (one.region, other.region) == ("Two", "RegionOne")


def test_a_missing_file_or_a_bad_value_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(cfg.Error):
        base.load(["--config-file", "/no/such"], prog="t", setup_logging=False)
    bad = _write(tmp_path / "a.conf", "[guest_agent]\nservice_manager = init\n")
    with pytest.raises(cfg.Error):
        conf = base.load(["--config-file", bad], prog="t", setup_logging=False,
                         registrars=[guestagent.register])
        assert conf.guest_agent.service_manager


def test_libraries_that_show_messages_are_kept_quiet() -> None:
    conf = base.load([], prog="t", default_config_files=[], setup_logging=False)
    assert "oslo_messaging=INFO" in conf.default_log_levels
    assert logging.getLogger("amqp").level in (logging.NOTSET, logging.WARNING)


def test_listed_options_are_the_registered_ones() -> None:
    for module in (base, guestagent):
        conf = cfg.ConfigOpts()
        module.register(conf)
        conf(args=[], default_config_files=[])
        for group, options in module.list_opts():
            for option in options:
                holder = conf if group is None else conf[group]
                assert getattr(holder, option.dest) == option.default
                assert option.help
