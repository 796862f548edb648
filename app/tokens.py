"""Opaque bearer tokens: `<prefix>_<256 random bits><checksum>`, stored as SHA-256 only.

The prefix says what a leaked token opens; the checksum lets a typo be refused without asking the database.
"""

import hashlib
import re
import secrets
import zlib
from enum import StrEnum

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARS = 43  # 62**43 > 2**256
_CHECK_CHARS = 6  # 62**6 > 2**32
TOKEN_SHAPE = re.compile(rf"\bny[rnu]_[0-9A-Za-z]{{{_RANDOM_CHARS + _CHECK_CHARS}}}\b")


class Prefix(StrEnum):
    REGISTRATION = "nyr"
    NODE = "nyn"
    USER = "nyu"


def mint(prefix: Prefix) -> str:
    body = _base62(secrets.randbits(256), _RANDOM_CHARS)
    return f"{prefix}_{body}{_checksum(prefix, body)}"


def is_well_formed(token: str, prefix: Prefix) -> bool:
    if not token.startswith(f"{prefix}_") or TOKEN_SHAPE.fullmatch(token) is None:
        return False
    body = token[len(prefix) + 1 :]
    return body[_RANDOM_CHARS:] == _checksum(prefix, body[:_RANDOM_CHARS])


def digest(token: str) -> bytes:
    """What is stored and compared. A token has 256 random bits, so it needs no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def _checksum(prefix: str, body: str) -> str:
    return _base62(zlib.crc32(f"{prefix}_{body}".encode()), _CHECK_CHARS)


def _base62(number: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
