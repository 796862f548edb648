"""Which places a repository may be cloned from."""

import re

from app.errors import InvalidInput
from app.protocol import LOCAL_URL
from app.settings import Settings

_LOCAL = re.compile(LOCAL_URL)


def require_allowed(url: str, settings: Settings, field: str) -> None:
    """A path on a node's disk is for development: in production it would name another person's files.

    Raises `InvalidInput` that names `field`.
    """
    if settings.is_production and _LOCAL.match(url):
        raise InvalidInput("Local paths and file:// are for development; use https:// or ssh.", field=field)
