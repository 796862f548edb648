"""Passwords: Argon2id, in a thread, a few at a time, since each costs 19 MiB and some tens of milliseconds.

Hashes of older installations are bcrypt; they verify, and are replaced at that moment.
"""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

_AT_ONCE = 2
_BCRYPT_BYTES = 72
"""bcrypt reads no further; older installations cut longer passwords off silently, so the rest never counted."""
_threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="passwords")
_argon2 = Argon2Hasher(memory_cost=19 * 1024, time_cost=2, parallelism=1)
_hashes = PasswordHash((_argon2, BcryptHasher()))


async def hashed(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_threads, _argon2.hash, password)


async def verify(password: str, stored: str | None) -> tuple[bool, str | None]:
    """Whether the password is right, and the hash to store instead when the stored one is outdated.

    Without a stored hash it takes as long as with one, and is wrong.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads, _verify, password, stored)


def _verify(password: str, stored: str | None) -> tuple[bool, str | None]:
    if stored is None:
        _argon2.verify(password, _nobodys_hash())
        return False, None
    if not stored.startswith("$2"):
        try:
            return _hashes.verify_and_update(password, stored)
        except UnknownHashError:
            return False, None
    cut = password.encode()[:_BCRYPT_BYTES]
    try:
        right = BcryptHasher().verify(cut, stored)
    except ValueError:  # A stored hash that is no bcrypt hash after all.
        right = False
    return right, _argon2.hash(password) if right else None


@cache
def _nobodys_hash() -> str:
    return _argon2.hash(secrets.token_urlsafe())
