"""Stores by name, as somebody lists them: on a command line, in a variable, in a registry."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import BadInput
from ..sources import directory_at, is_remote, shown

#: Of a store that nobody gave one; a lower one comes first.
PRIORITY = 100

#: Priorities are less than that; characters of a URL and of a description; stores; bytes of a list.
_MOST, _MAX_URL, _MAX_TEXT, _MAX_STORES, _MAX_BYTES = 1_000_000, 2_048, 1_000, 100, 1 << 18

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", re.ASCII)

#: ``NAME=URL``.
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,63})=(.+)\Z", re.ASCII | re.DOTALL)

#: Names that mean something else.
_RESERVED = ("local", "server", "store")


class StoreEntry(NamedTuple):
    """A store in a list."""

    name: str
    url: str
    """A directory, ``file:///``, ``http(s)://`` or ``s3://``."""
    priority: int = PRIORITY
    description: str = ""
    is_enabled: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; without a password."""
        return {
            "name": self.name,
            "url": shown(self.url),
            "priority": self.priority,
            "description": self.description,
            "enabled": self.is_enabled,
        }


def checked_entry(
    name: object,
    url: object,
    priority: object = PRIORITY,
    description: object = "",
    is_enabled: object = True,
) -> StoreEntry:
    """A store as somebody says it.

    Raises:
        BadInput: Part of it can be none.
    """
    if not isinstance(name, str) or _NAME.match(name) is None:
        raise BadInput(
            f"{_shown(name)} cannot be the name of a store: 1 to 64 letters, digits, '.', '_' or "
            "'-', not beginning with a sign"
        )
    if name.lower() in _RESERVED:
        raise BadInput(f"the name {name!r} is reserved; call the store something else")
    if not isinstance(url, str) or not url or len(url) > _MAX_URL or not url.isprintable():
        raise BadInput(f"the store {name}: {_shown(url)} is no address")
    if not is_remote(url):
        directory_at(url)  # or says that it is none
    if type(priority) is not int or not -_MOST < priority < _MOST:
        raise BadInput(f"the store {name}: the priority {_shown(priority)} is no small integer")
    if (
        not isinstance(description, str)
        or len(description) > _MAX_TEXT
        or not description.isprintable()
    ):
        raise BadInput(f"the store {name}: the description is not a line of text")
    if type(is_enabled) is not bool:
        raise BadInput(f"the store {name}: enabled is true or false, not {_shown(is_enabled)}")
    return StoreEntry(name, url, priority, description, is_enabled)


def _shown(value: object) -> str:
    return shown(repr(value))[:60]


def entries_of_urls(texts: Sequence[str], default: str = "main") -> list[StoreEntry]:
    """Stores in the order of their priority: each a URL, or ``NAME=URL``.

    Args:
        default: What one without a name is called; several have numbers besides.

    Raises:
        BadInput: One is no URL, or two have one name.
    """
    found = []
    for n, text in enumerate(texts):
        match = _NAMED.match(text)
        is_named = match is not None and "://" not in match[1]
        name = match[1] if match is not None and is_named else None
        url = match[2] if match is not None and is_named else text
        by_default = default if len(texts) == 1 else f"{default}{n + 1}"
        found.append(checked_entry(name or by_default, url, n))
    return _each_once(found, "--store")


def parse_entries(text: str, where: str) -> list[StoreEntry]:
    """A list in JSON: ``[{"name", "url", "type", "priority", "description", "enabled"}]``.

    Raises:
        BadInput: It is none; says why, in one line.
    """
    if len(text) > _MAX_BYTES:
        raise BadInput(f"{where} has more than {_MAX_BYTES:,} characters")
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput(f"{where} is not JSON") from None
    if not isinstance(listed, list) or len(listed) > _MAX_STORES:
        raise BadInput(f"{where} is not a list of {_MAX_STORES} stores at most")
    found = []
    for n, one in enumerate(listed, 1):
        if not isinstance(one, Mapping):
            raise BadInput(f"{where}: number {n} is no object with name and url")
        try:
            found.append(
                checked_entry(
                    one.get("name"),
                    one.get("url"),
                    one.get("priority", PRIORITY),
                    "" if one.get("description") is None else one["description"],
                    one.get("enabled", True),
                )
            )
        except BadInput as error:
            raise BadInput(f"{where}: number {n}: {error}") from None
    return _each_once(found, where)


def _each_once(entries: Sequence[StoreEntry], where: str) -> list[StoreEntry]:
    names = [one.name.lower() for one in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"{where} has the store {twice!r} twice")
    return list(entries)


def merged_entries(*lists: Sequence[StoreEntry]) -> list[StoreEntry]:
    """Those that are enabled, in the order of their priority; of two with one name or one URL, that
    of the list that comes first."""
    by_name: dict[str, StoreEntry] = {}
    for one in (entry for entries in lists for entry in entries):
        by_name.setdefault(one.name.lower(), one)
    by_url: dict[str, StoreEntry] = {}
    for one in by_name.values():
        by_url.setdefault(one.url.rstrip("/"), one)
    return sorted((one for one in by_url.values() if one.is_enabled), key=lambda one: one.priority)
