"""The settings, read once from the environment. Nothing else reads `os.environ`."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

Environment = Literal["development", "production"]


class SettingsError(Exception):
    """A setting is missing or wrong; the message names it and says what to set."""


class Settings(Struct, frozen=True, kw_only=True):
    database_url: str | None = None
    home: Path = field(default_factory=lambda: Path(".nodeyard").resolve())
    env: Environment = "development"
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    secret_keys: tuple[str, ...] = ()
    registration_key: str | None = None
    admin_email: str | None = None
    admin_password: str | None = None
    heartbeat_interval: timedelta = timedelta(seconds=15)
    lease: timedelta = timedelta(seconds=300)
    start_within: timedelta = timedelta(seconds=30)
    max_runtime: timedelta = timedelta(hours=2)
    cancel_within: timedelta = timedelta(seconds=60)
    priority_ageing: timedelta = timedelta(days=1)
    """How much older a waiting issue must be to overtake one whose priority is larger by one."""
    trusted_proxies: tuple[str, ...] = ()
    log_level: str = "info"

    @property
    def is_production(self) -> bool:
        return self.env == "production"


def read(environ: Mapping[str, str]) -> Settings:
    """Settings from the variables of PROTOCOL, each also as `…_FILE`.

    Raises `SettingsError` for a value that is out of range, unreadable, or missing in production.
    """
    given: dict[str, object] = {}
    for name, key in _VARIABLES.items():
        value = _value(environ, name)
        if value is not None:
            given[key] = _parse(name, key, value)
    try:
        settings = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as problem:
        raise SettingsError(f"{problem}. Check NODEYARD_… in the environment.") from problem
    if settings.is_production and not settings.secret_keys:
        raise SettingsError(
            "NODEYARD_SECRET_KEYS must be set in production: 32 random bytes or more, in hex or Base64."
        )
    if settings.is_production and settings.database_url is None:
        raise SettingsError("DATABASE_URL must be set in production: the embedded database is for development.")
    return settings


_VARIABLES = {
    "DATABASE_URL": "database_url",
    "NODEYARD_HOME": "home",
    "NODEYARD_ENV": "env",
    "NODEYARD_HOST": "host",
    "NODEYARD_PORT": "port",
    "NODEYARD_WORKERS": "workers",
    "NODEYARD_SECRET_KEYS": "secret_keys",
    "NODEYARD_REGISTRATION_KEY": "registration_key",
    "NODEYARD_ADMIN_EMAIL": "admin_email",
    "NODEYARD_ADMIN_PASSWORD": "admin_password",
    "NODEYARD_HEARTBEAT_INTERVAL_S": "heartbeat_interval",
    "NODEYARD_LEASE_S": "lease",
    "NODEYARD_START_WITHIN_S": "start_within",
    "NODEYARD_MAX_RUNTIME_S": "max_runtime",
    "NODEYARD_CANCEL_WITHIN_S": "cancel_within",
    "NODEYARD_PRIORITY_AGEING_S": "priority_ageing",
    "NODEYARD_TRUSTED_PROXIES": "trusted_proxies",
    "NODEYARD_LOG_LEVEL": "log_level",
}
_DURATIONS = {"heartbeat_interval", "lease", "start_within", "max_runtime", "cancel_within", "priority_ageing"}
_LISTS = {"secret_keys", "trusted_proxies"}
_BOUNDS = {"port": (0, 65_535), "workers": (1, 64)}


def _value(environ: Mapping[str, str], name: str) -> str | None:
    """An empty variable counts as unset, as in compose files with `VAR=`."""
    path = environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text().strip() or None
        except OSError as problem:
            raise SettingsError(f"{name}_FILE cannot be read: {problem}") from problem
    return environ.get(name) or None


def _parse(name: str, key: str, value: str) -> object:
    if key in _LISTS:
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if key == "home":
        return Path(value).expanduser().resolve()
    if key in _DURATIONS:
        return _duration(name, value)
    if key in _BOUNDS:
        low, high = _BOUNDS[key]
        if not value.isdecimal() or not low <= int(value) <= high:
            raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {value!r}.")
        return int(value)
    return value


def _duration(name: str, value: str) -> timedelta:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 31_536_000:
        raise SettingsError(f"{name} must be a number of seconds above 0, not {value!r}.")
    return timedelta(seconds=seconds)
