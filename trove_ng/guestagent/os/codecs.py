"""Text forms of configuration files, to data and back.

Each codec has ``serialize(data)``, ``deserialize(text)`` and ``binary``; what was read
and is written again means the same.
"""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

#: in data: the key stands alone, without a value
NO_VALUE = None
#: what needs no quotes: neither programs nor readers take it for anything else
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|-?[0-9]+(\.[0-9]+)?")


class StringConverter:
    """Makes values of texts, by literal form only; nothing is evaluated.

    :param special: text → value, for example ``{"ON": True, "": None}``; the other
        way round when writing
    """

    def __init__(self, special: Mapping[str, Any] | None = None) -> None:
        self._to_value = dict(special or {})

    def to_object(self, text: Any) -> Any:
        """Return the value of a text, the text itself when it has no other form."""
        if not isinstance(text, str):
            return text
        if text in self._to_value:
            return self._to_value[text]
        if not re.fullmatch(r"""[-+]?\d.*|[\[({'"].*|True|False|None""", text, re.DOTALL):
            return text
        if re.fullmatch(r"[-+]?0\d+", text):
            return text  # a mode or an identifier: the zero is part of it
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return text

    def to_text(self, value: Any) -> str:
        """Return the text of a value."""
        for text, special in self._to_value.items():
            if type(special) is type(value) and special == value:
                return text
        return str(value)


class IdentityCodec:
    """The text itself."""

    binary = False

    def serialize(self, data: str) -> str:
        return data

    def deserialize(self, text: str) -> str:
        return text


class BytesCodec:
    """The bytes themselves."""

    binary = True

    def serialize(self, data: bytes) -> bytes:
        return data

    def deserialize(self, text: bytes) -> bytes:
        return text


class JsonCodec:
    """JSON, with an empty file read as an empty object."""

    binary = False

    def __init__(self, indent: int | None = 2) -> None:
        self._indent = indent

    def serialize(self, data: Any) -> str:
        return json.dumps(data, indent=self._indent) + "\n"

    def deserialize(self, text: str) -> Any:
        return json.loads(text) if text.strip() else {}


class YamlCodec:
    """YAML of plain values only, with an empty file read as an empty mapping.

    :param block_style: True writes nested values one to a line
    """

    binary = False

    def __init__(self, block_style: bool = True) -> None:
        self._block_style = block_style

    def serialize(self, data: Any) -> str:
        import yaml

        text: str = yaml.safe_dump(data, default_flow_style=not self._block_style,
                                   sort_keys=False, allow_unicode=True)
        return text

    def deserialize(self, text: str) -> Any:
        import yaml

        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as err:
            raise ValueError("the text is not YAML") from err
        return {} if data is None else data


#: what stands before a comment: a # in quotes begins none, nor after one that does not end
_INI_VALUE = re.compile(r"""(?:"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|[^#])*""")
#: what an option file of MySQL has for signs
_INI_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "s": " ", '"': '"', "'": "'",
                "\\": "\\"}
_INI_ESCAPE = re.compile(r"""\\([ntrbs"'\\])""")


class IniCodec:
    """INI as MySQL's option files have it: ``{section: {key: value}}``.

    A backslash begins a sign that cannot be written, or stands for itself when doubled.
    A key without a value is :data:`NO_VALUE`; a repeated key is a list of its values
    in their order; ``!include`` and ``!includedir`` lines are kept under the empty
    section as ``{"!includedir": path}``.

    :param no_value: written for :data:`NO_VALUE`; None writes the key alone
    :param comments: what begins a comment line
    :param delimiter: between key and value when writing
    :param converter: makes values of texts; None leaves texts
    """

    binary = False

    def __init__(self, *, no_value: str | None = None, comments: tuple[str, ...] = ("#", ";"),
                 delimiter: str = " = ", converter: StringConverter | None = None) -> None:
        self._no_value = no_value
        self._comments = comments
        self._delimiter = delimiter
        self._converter = converter or _TEXTS

    def deserialize(self, text: str) -> dict[str, dict[str, Any]]:
        data: dict[str, dict[str, Any]] = {}
        section = ""
        for number, line in enumerate(text.split("\n"), 1):
            line = line.strip()
            if not line or line.startswith(self._comments):
                continue
            if line.startswith("["):
                if not line.endswith("]"):
                    raise ValueError(f"line {number} begins a section and does not end it")
                section = line[1:-1].strip()
                data.setdefault(section, {})
            elif line.startswith("!"):
                key, _, value = line.partition(" ")
                _add(data.setdefault("", {}), key, value.strip())
            else:
                key, equals, value = line.partition("=")
                _add(data.setdefault(section, {}), key.strip(),
                     self._value(value.strip()) if equals else NO_VALUE)
        return data

    def _value(self, text: str) -> Any:
        shown = _INI_VALUE.match(text)
        text = shown[0].rstrip() if shown is not None else ""
        quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""
        meant = _INI_ESCAPE.sub(lambda found: _INI_ESCAPES[found[1]],
                                text[1:-1] if quoted else text)
        return meant if quoted else self._converter.to_object(meant)

    def serialize(self, data: Mapping[str, Mapping[str, Any]]) -> str:
        out = io.StringIO()
        directives = []
        for section, values in data.items():
            plain = {key: value for key, value in values.items() if not key.startswith("!")}
            directives += [(key, value) for key, value in values.items() if key.startswith("!")]
            if section:
                out.write(f"[{_one_line(section)}]\n")
            for key, value in plain.items():
                for single in value if isinstance(value, list | tuple) else [value]:
                    self._line(out, key, single)
            if section or plain:
                out.write("\n")
        for key, value in directives:
            for single in value if isinstance(value, list) else [value]:
                out.write(f"{_one_line(key)} {_one_line(str(single))}\n")
        return out.getvalue()

    def _line(self, out: io.StringIO, key: str, value: Any) -> None:
        if value is NO_VALUE:
            value = self._no_value
        if value is None:
            out.write(f"{_one_line(key)}\n")
            return
        text = _one_line(self._converter.to_text(value))
        text = text.replace("\\", "\\\\")
        if text != text.strip() or "#" in text or text[:1] in ("'", '"'):
            text = '"' + text.replace('"', '\\"') + '"'
        out.write(f"{_one_line(key)}{self._delimiter}{text}\n")


class PropertiesCodec:
    """``key arg1 arg2`` lines: ``{key: [arg1, arg2]}``; a repeated key is a list of lists.

    One argument alone is the value itself when ``unpack`` is set.

    :param delimiter: between key and arguments, and between arguments
    :param comments: what begins a comment line
    :param unpack: False always gives lists, as the pure form has it
    :param converter: makes values of texts; None leaves texts
    """

    binary = False

    def __init__(self, *, delimiter: str = " ", comments: tuple[str, ...] = ("#",),
                 unpack: bool = False, converter: StringConverter | None = None) -> None:
        self._delimiter = delimiter
        self._comments = comments
        self._unpack = unpack
        self._converter = converter or _TEXTS

    def deserialize(self, text: str) -> dict[str, Any]:
        rows: dict[str, list[list[Any]]] = {}
        for line in text.split("\n"):
            line = line.strip()
            if not line or line.startswith(self._comments):
                continue
            key, *arguments = _split(line, self._delimiter)
            rows.setdefault(key, []).append(
                [self._converter.to_object(argument) for argument in arguments])
        return {key: self._fold(found) for key, found in rows.items()}

    def _fold(self, rows: list[list[Any]]) -> Any:
        if len(rows) > 1:
            return rows
        if self._unpack and len(rows[0]) == 1:
            return rows[0][0]
        return rows[0]

    def serialize(self, data: Mapping[str, Any]) -> str:
        out = io.StringIO()
        for key, value in data.items():
            for row in self._rows(value):
                parts = [_one_line(key), *(self._quoted(part) for part in row)]
                out.write(self._delimiter.join(parts) + "\n")
        return out.getvalue()

    @staticmethod
    def _rows(value: Any) -> list[list[Any]]:
        if not isinstance(value, list | tuple):
            return [[value]]
        if value and all(isinstance(row, list | tuple) for row in value):
            return [list(row) for row in value]
        return [list(value)]

    def _quoted(self, value: Any) -> str:
        text = _one_line(self._converter.to_text(value))
        if not text or self._delimiter in text or any(
                sign.isspace() or sign in "'\"" for sign in text):
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return text


class KeyValueCodec:
    """``key = value`` lines without sections, as PostgreSQL has them.

    :param delimiter: between key and value
    :param comment: begins a comment, also behind a value
    :param value_quotes: True quotes texts that are no plain words, with ``'``
    :param converter: makes values of texts; None leaves texts
    """

    binary = False

    def __init__(self, *, delimiter: str = "=", comment: str = "#",
                 value_quotes: bool = False, line_end: str = "\n",
                 converter: StringConverter | None = None) -> None:
        self._delimiter = delimiter
        self._comment = comment
        self._quotes = value_quotes
        self._line_end = line_end
        self._converter = converter or _TEXTS

    def deserialize(self, text: str) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for line in text.split("\n"):
            line = line.strip()
            if not line or line.startswith(self._comment):
                continue
            key, found, value = line.partition(self._delimiter)
            if found:
                data[key.strip()] = self._read(value.strip())
            else:
                data[key.strip()] = NO_VALUE
        return data

    def _read(self, text: str) -> Any:
        if self._quotes and text.startswith("'"):
            match = re.match(r"'((?:[^']|'')*)'", text)
            if match is None:
                raise ValueError("a quoted value does not end")
            return match[1].replace("''", "'")
        return self._converter.to_object(_without_comment(text, (self._comment,)))

    def serialize(self, data: Mapping[str, Any]) -> str:
        lines = []
        for key, value in data.items():
            if value is NO_VALUE:
                lines.append(_one_line(key))
                continue
            text = _one_line(self._converter.to_text(value))
            if self._quotes and isinstance(value, str) and not re.fullmatch(_WORD, text):
                text = "'" + text.replace("'", "''") + "'"
            lines.append(f"{_one_line(key)}{self._delimiter}{text}")
        return "".join(line + self._line_end for line in lines)


class XmlCodec:
    """XML with one root: ``{root: {child: …}}``.

    Attributes are ``@name``, the text beside children or attributes ``#text``,
    repeated elements a list.  Documents with a DTD are refused.
    """

    binary = False

    def deserialize(self, text: str) -> dict[str, Any]:
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ValueError("a document type is not accepted")
        try:
            root = ElementTree.fromstring(text)  # noqa: S314  entities are refused above
        except ElementTree.ParseError as err:
            raise ValueError("the text is not XML") from err
        return {root.tag: self._read(root)}

    def _read(self, element: ElementTree.Element) -> Any:
        data: dict[str, Any] = {f"@{key}": value for key, value in element.attrib.items()}
        for child in element:
            _add(data, child.tag, self._read(child))
        text = (element.text or "").strip()
        if not data:
            return text or None
        if text:
            data["#text"] = text
        return data

    def serialize(self, data: Mapping[str, Any]) -> str:
        if len(data) != 1:
            raise ValueError("a document has one root")
        tag, content = next(iter(data.items()))
        root = ElementTree.Element(tag)
        self._write(root, content)
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"

    def _write(self, element: ElementTree.Element, content: Any) -> None:
        if not isinstance(content, Mapping):
            element.text = None if content is None else str(content)
            return
        for key, value in content.items():
            if key == "#text":
                element.text = str(value)
            elif key.startswith("@"):
                element.set(key[1:], str(value))
            else:
                for single in value if isinstance(value, list) else [value]:
                    self._write(ElementTree.SubElement(element, key), single)


class _Texts(StringConverter):
    """Leaves texts as they are."""

    def to_object(self, text: Any) -> Any:
        return text


_TEXTS = _Texts()


def _add(data: dict[str, Any], key: str, value: Any) -> None:
    if key not in data:
        data[key] = value
    elif isinstance(data[key], list):
        data[key].append(value)
    else:
        data[key] = [data[key], value]


def _one_line(text: str) -> str:
    # whatever some reader takes for the end of a line
    if len(f"{text}.".splitlines()) > 1 or "\0" in text:
        raise ValueError("a value has more than one line")
    return text


def _without_comment(text: str, marks: tuple[str, ...] = ("#",)) -> str:
    """Cut a comment that stands behind a value, outside of quotes."""
    quote = ""
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"" and place == 0:
            quote = sign
        elif text.startswith(marks, place) and (place == 0 or text[place - 1].isspace()):
            return text[:place].rstrip()
    return text


def _split(line: str, delimiter: str) -> list[str]:
    """Split at the delimiter, except inside quotes, which are taken off."""
    parts, current, quote, quoted, escaped = [], "", "", False, False
    for sign in line:
        if escaped:
            current, escaped = current + sign, False
        elif quote == '"' and sign == "\\":
            escaped = True
        elif quote:
            if sign == quote:
                quote = ""
            else:
                current += sign
        elif sign in "'\"" and not current:
            quote, quoted = sign, True
        elif sign == delimiter or (delimiter == " " and sign == "\t"):
            if current or quoted or delimiter != " ":
                parts.append(current)
            current, quoted = "", False
        else:
            current += sign
    if quote:
        raise ValueError("a quoted value does not end")
    if current or quoted:
        parts.append(current)
    return parts
