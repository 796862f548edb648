"""Secrets at rest: AES-256-GCM, each bound to the row that holds it, under a key that is named beside it."""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.settings import Settings

_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2


class UnknownKey(Exception):
    """The secret was sealed under a key that is not among NODEYARD_SECRET_KEYS."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """`key_id` None: clear text, as an upgrade without keys leaves it until the first server start."""

    data: bytes
    key_id: str | None


class Vault:
    """Seals with the newest of `keys`, opens with any. A key is any secret string; it is stretched by HKDF."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        if not keys:
            raise ValueError("A vault needs at least one key.")
        self._ciphers = {_key_id(key): AESGCM(_derive(key, "vault")) for key in keys}
        self._signing_keys = [_derive(key, "signature") for key in keys]
        self.newest_key_id = _key_id(keys[0])

    def seal(self, secret: str, bound_to: str) -> Sealed:
        """`bound_to` names the row, as `credential:<id>`: a sealed secret copied to another row does not open."""
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._ciphers[self.newest_key_id]
        return Sealed(nonce + cipher.encrypt(nonce, secret.encode(), bound_to.encode()), self.newest_key_id)

    def open(self, sealed: Sealed, bound_to: str) -> str:
        """Raises `UnknownKey`, also for data that was moved to another row or altered."""
        if sealed.key_id is None:
            return sealed.data.decode()
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise UnknownKey(
                f"No key with id {sealed.key_id} in NODEYARD_SECRET_KEYS; put the former key back behind the new one."
            )
        nonce, encrypted = sealed.data[:_NONCE_BYTES], sealed.data[_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, encrypted, bound_to.encode()).decode()
        except InvalidTag as problem:
            raise UnknownKey(f"The secret of {bound_to} was altered or belongs to another row.") from problem

    def sign(self, message: bytes) -> bytes:
        """16 bytes that only a holder of the newest key can make for `message`."""
        return _signature(self._signing_keys[0], message)

    def is_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether `sign` made the signature, under any of the keys."""
        return any(hmac.compare_digest(_signature(key, message), signature) for key in self._signing_keys)


def credential_binding(credential_id: object) -> str:
    return f"credential:{credential_id}"


def former_secrets_binding(credential_id: object) -> str:
    return f"credential:{credential_id}:former"


REGISTRATION_KEY_BINDING = "node_registration_key:1"


def _derive(key: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"nodeyard {purpose} v1".encode()).derive(key.encode())


def _signature(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")[:16]


def _key_id(key: str) -> str:
    return hashlib.sha256(b"nodeyard key id\x00" + key.encode()).hexdigest()[:8]


def open_vault(settings: Settings) -> Vault:
    """A vault over NODEYARD_SECRET_KEYS; in development, over a key that is made once and kept in NODEYARD_HOME."""
    return Vault(settings.secret_keys or (_development_key(settings.home),))


def existing_keys(settings: Settings) -> tuple[str, ...]:
    """The keys of `open_vault`, without making one: nothing when there is none yet."""
    path = settings.home / "secret.key"
    if settings.secret_keys or not path.exists():
        return settings.secret_keys
    return (path.read_text(),)


def _development_key(home: Path) -> str:
    path = home / "secret.key"
    home.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    return path.read_text()
