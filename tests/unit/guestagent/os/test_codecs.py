from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trove_ng.guestagent.os import codecs

MYSQL = """\
# a comment
[mysqld]
user = mysql
skip-name-resolve
skip_external_locking  ; no comment sign inside a value
replicate-do-db = one
replicate-do-db = two
innodb_buffer_pool_size=128M # half
init_connect = "SET NAMES 'utf8'"

[client]
port = 3306
!includedir /etc/mysql/conf.d/
"""


def test_option_files_of_mysql_are_read_with_all_their_forms() -> None:
    data = codecs.IniCodec().deserialize(MYSQL.replace("  ; no comment sign inside a value", ""))
    assert data["mysqld"] == {
        "user": "mysql", "skip-name-resolve": None, "skip_external_locking": None,
        "replicate-do-db": ["one", "two"], "innodb_buffer_pool_size": "128M",
        "init_connect": "SET NAMES 'utf8'"}
    assert data["client"] == {"port": "3306"}
    assert data[""] == {"!includedir": "/etc/mysql/conf.d/"}


def test_option_files_come_back_as_they_were() -> None:
    codec = codecs.IniCodec()
    data = codec.deserialize(MYSQL)
    assert codec.deserialize(codec.serialize(data)) == data


def test_a_value_can_not_add_a_line_to_a_file() -> None:
    evil = {"mysqld": {"a": "1\nload_file=/etc/shadow"}}
    with pytest.raises(ValueError, match="more than one line"):
        codecs.IniCodec().serialize(evil)
    with pytest.raises(ValueError, match="more than one line"):
        codecs.PropertiesCodec().serialize({"a": ["x\ny"]})
    with pytest.raises(ValueError, match="more than one line"):
        codecs.KeyValueCodec().serialize({"a\nb": "x"})
    for end in "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\0":
        for value in (f"a{end}", f"a{end}b = 1"):
            with pytest.raises(ValueError, match="more than one line"):
                codecs.KeyValueCodec(value_quotes=True).serialize({"a": value})


@pytest.mark.parametrize("end", list("\x0b\x0c\x1c\x85\u2028\u2029"))
def test_only_a_line_break_ends_a_line(end: str) -> None:
    """A program reads no more: what stands behind is no setting."""
    assert codecs.KeyValueCodec(value_quotes=True).deserialize(
        f"a = 'x{end}b = 1'\n") == {"a": f"x{end}b = 1"}
    assert codecs.IniCodec().deserialize(f"[s]\na = x{end}b = 1\n") == {
        "s": {"a": f"x{end}b = 1"}}
    assert codecs.PropertiesCodec(unpack=True).deserialize(f"a x{end}b") == {"a": f"x{end}b"}


def test_a_section_that_does_not_end_is_refused() -> None:
    with pytest.raises(ValueError, match="line 1"):
        codecs.IniCodec().deserialize("[mysqld\nuser = a\n")


def test_a_value_with_a_comment_sign_is_quoted() -> None:
    codec = codecs.IniCodec()
    data = {"mysqld": {"a": "x # y", "b": " led"}}
    assert codec.deserialize(codec.serialize(data)) == data


PROPERTIES = {
    "key1": ["k1arg1", "k1arg2", "k1argN"],
    "key2": ["k2arg1", "k2arg2"],
    "key3": [["k3arg1", "k3arg2"], ["k3arg3", "k3arg4"]],
}


def test_properties_have_lists_and_repeated_keys_lists_of_lists() -> None:
    text = ("key1 k1arg1 k1arg2 k1argN\nkey2 k2arg1 k2arg2\n"
            "key3 k3arg1 k3arg2\nkey3 k3arg3 k3arg4\n")
    codec = codecs.PropertiesCodec()
    assert codec.deserialize(text) == PROPERTIES
    assert codec.serialize(PROPERTIES) == text


def test_properties_may_be_empty_or_hold_blanks() -> None:
    codec = codecs.PropertiesCodec(unpack=True)
    data = {"requirepass": 'a "b" c', "save": "", "bind": ["::1", "127.0.0.1"],
            "both": "it's \"x\\y\""}
    assert codec.deserialize(codec.serialize(data)) == data


def test_postgresql_settings_come_back() -> None:
    codec = codecs.KeyValueCodec(value_quotes=True, delimiter=" = ")
    data = {"listen_addresses": "*", "search_path": "'a', b", "max_connections": "100"}
    text = codec.serialize(data)
    assert "search_path = '''a'', b'" in text
    assert codec.deserialize(text) == data
    assert codec.deserialize("port = 5432  # the usual\n") == {"port": "5432"}


@pytest.mark.parametrize(("text", "value"), [
    ("12", 12), ("-1.5", -1.5), ("[1, 'a']", [1, "a"]), ("True", True), ("None", None),
    ("ON", True), ("128M", "128M"), ("0644", "0644"), ("", ""), ("__import__('os')",
                                                                 "__import__('os')"),
    ("1.2.3.4", "1.2.3.4"), ("(1).__class__", "(1).__class__"),
])
def test_only_literal_texts_become_values(text: str, value: Any) -> None:
    assert codecs.StringConverter({"ON": True, "OFF": False}).to_object(text) == value


def test_values_go_back_to_their_texts() -> None:
    converter = codecs.StringConverter({"ON": True, "OFF": False})
    assert [converter.to_text(value) for value in (True, False, 1, "x")] == [
        "ON", "OFF", "1", "x"]
    codec = codecs.IniCodec(converter=converter)
    data = {"mysqld": {"a": True, "b": 5, "c": "x"}}
    assert codec.deserialize(codec.serialize(data)) == data


def test_json_and_yaml_and_xml_come_back() -> None:
    data: dict[str, Any] = {"a": {"b": [1, 2, {"c": None}], "d": "x: y"}}
    for codec in (codecs.JsonCodec(), codecs.YamlCodec(), codecs.YamlCodec(block_style=False)):
        assert codec.deserialize(codec.serialize(data)) == data
        assert codec.deserialize("") == {}
    xml = {"root": {"@id": "1", "item": ["a", {"@k": "v", "#text": "t"}], "empty": None}}
    assert codecs.XmlCodec().deserialize(codecs.XmlCodec().serialize(xml)) == xml


def test_yaml_builds_no_objects_and_xml_no_entities() -> None:
    with pytest.raises(ValueError, match="not YAML"):
        codecs.YamlCodec().deserialize("!!python/object/apply:os.getcwd []")
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    with pytest.raises(ValueError, match="not accepted"):
        codecs.XmlCodec().deserialize(bomb)


def test_identity_and_bytes_are_left_alone() -> None:
    assert codecs.IdentityCodec().deserialize("a\nb") == "a\nb"
    assert codecs.BytesCodec().serialize(b"\0\xff") == b"\0\xff"
    assert codecs.BytesCodec().binary


_NAMES = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12)
_VALUES = st.text(string.ascii_letters + string.digits + " /:,.%'@-", max_size=20).map(
    str.strip).filter(lambda text: not text.startswith(("'", '"')))


@given(st.dictionaries(_NAMES, st.dictionaries(
    _NAMES, st.one_of(_VALUES, st.none(), st.lists(_VALUES, min_size=2, max_size=4)),
    max_size=5), max_size=4))
def test_any_sections_come_back_from_an_ini_file(data: dict[str, Any]) -> None:
    codec = codecs.IniCodec()
    assert codec.deserialize(codec.serialize(data)) == data


@given(st.dictionaries(_NAMES, st.lists(st.text(
    string.printable.replace("\n", "").replace("\r", "").replace("\x0b", "").replace(
        "\x0c", "").replace("\t", ""), max_size=12), min_size=1, max_size=4), max_size=5))
def test_any_arguments_come_back_from_properties(data: dict[str, Any]) -> None:
    codec = codecs.PropertiesCodec()
    assert codec.deserialize(codec.serialize(data)) == data
