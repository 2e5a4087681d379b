"""Connections to web servers that read no page but those that are asked for."""

from __future__ import annotations

import requests


class Session(requests.Session):
    """A session of ``requests`` that leaves redirects to whoever uses it."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: even a session that follows no redirect would read the page of one, unpacked, and
        to an end that there may not be."""
