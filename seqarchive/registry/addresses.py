"""Where a database is: a URL, or the variables that refget's programs read."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import BadName
from ..sources import shown

#: The variables, and what is meant if one of them is not set, but another is.
_DEFAULTS = {
    "POSTGRES_HOST": "localhost",
    "POSTGRES_PORT": "5432",
    "POSTGRES_DB": "refget",
    "POSTGRES_USER": "postgres",
    "POSTGRES_PASSWORD": "",
}

_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "sqlite": "sqlite",
}


#: What says where a database is: a URL, or an environment.
Address = str | Mapping[str, str]


def database_url(address: Address) -> URL:
    """The database of an address.

    Args:
        address: ``postgresql://user:password@host:port/name`` or ``sqlite:///file``. Or variables:
            ``POSTGRES_HOST``, ``_PORT``, ``_DB``, ``_USER`` and ``_PASSWORD``, of which one at
            least is set.

    Raises:
        BadName: It is none, or the variables do not say it.
    """
    if not isinstance(address, str):
        return _of_variables(address)
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise _not_understood(address) from None
    driver = _DRIVERS.get(url.drivername)
    if driver is None or not url.database:
        raise _not_understood(address)
    return url.set(drivername=driver)


def _of_variables(environment: Mapping[str, str]) -> URL:
    if not any(environment.get(name) for name in _DEFAULTS):
        raise BadName(
            "which database? Say --database postgresql://USER:PASSWORD@HOST/NAME, or set "
            f"{', '.join(_DEFAULTS)}"
        )
    said = {name: environment.get(name) or default for name, default in _DEFAULTS.items()}
    port = said["POSTGRES_PORT"]
    if not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 1 << 16:
        raise BadName(f"POSTGRES_PORT is {port!r}, which is no port")
    host = said["POSTGRES_HOST"]
    return URL.create(
        "postgresql+psycopg",
        said["POSTGRES_USER"],
        said["POSTGRES_PASSWORD"] or None,
        None if host.startswith("/") else host,
        int(port),
        said["POSTGRES_DB"],
        {"host": host} if host.startswith("/") else {},  # the directory of a socket
    )


def _not_understood(address: str) -> BadName:
    return BadName(
        f"{shown(address)!r} is no database: postgresql://USER:PASSWORD@HOST/NAME and "
        "sqlite:///FILE are understood"
    )
