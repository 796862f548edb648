"""Secrets at rest: how a credential's is stored, and how all of them move to a new key."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import Database
from app.db.models.fleet import Credential, NodeRegistrationKey
from app.vault import (
    REGISTRATION_KEY_BINDING,
    Sealed,
    Vault,
    credential_binding,
    former_secrets_binding,
)

_BATCH = 200
_FORMER_MAX = 24
"""A day of a secret that changes each hour. Each is looked for in every batch of log entries of the credential."""


def put(credential: Credential, secret: str, vault: Vault) -> None:
    """Its only secret. `credential.id` must be set: the sealed secret is bound to it."""
    sealed = vault.seal(secret, credential_binding(credential.id))
    credential.secret, credential.secret_key_id, credential.former_secrets = sealed.data, sealed.key_id, None
    credential.pat_last4 = last4(secret)


def replace(credential: Credential, secret: str, vault: Vault) -> None:
    """What it replaces goes on being masked in logs, the latest 24 of them. Raises `UnknownKey` where it is lost."""
    known = secrets_of(vault, credential.id, credential.secret, credential.former_secrets, credential.secret_key_id)
    put(credential, secret, vault)
    former = [each for each in dict.fromkeys(known) if each != secret]
    credential.former_secrets = _seal_former(credential.id, former[:_FORMER_MAX], vault)


def secrets_of(
    vault: Vault, credential_id: UUID, secret: bytes, former_secrets: bytes | None, key_id: str | None
) -> list[str]:
    """Its secret and those that it had, the newest first. Raises `UnknownKey`."""
    current = vault.open(Sealed(secret, key_id), credential_binding(credential_id))
    return [current, *_open_former(credential_id, former_secrets, key_id, vault)]


def _seal_former(credential_id: UUID, secrets: Sequence[str], vault: Vault) -> bytes | None:
    as_text = msgspec.json.encode(secrets).decode()
    return vault.seal(as_text, former_secrets_binding(credential_id)).data if secrets else None


def _open_former(credential_id: UUID, sealed: bytes | None, key_id: str | None, vault: Vault) -> list[str]:
    if sealed is None:
        return []
    as_text = vault.open(Sealed(sealed, key_id), former_secrets_binding(credential_id))
    return msgspec.json.decode(as_text, type=list[str])


def last4(secret: str) -> str:
    """Of a short secret nothing: four characters would be most of it."""
    return secret[-4:] if len(secret) >= 12 else ""


async def rotate(db: Database, vault: Vault) -> int:
    """Seal everything under the newest key, a batch a transaction, while servers run. Returns how many were moved.

    Raises `UnknownKey` when a former key is missing; what was moved until then stays moved.
    """
    moved = 0
    while True:
        async with db.sessions.begin() as session:
            batch = await _rotate_batch(session, vault)
        moved += batch
        if batch == 0:
            break
    async with db.sessions.begin() as session:
        return moved + await _rotate_registration_key(session, vault)


async def _rotate_batch(session: AsyncSession, vault: Vault) -> int:
    outdated = or_(Credential.secret_key_id.is_(None), Credential.secret_key_id != vault.newest_key_id)
    rows = (
        await session.scalars(
            select(Credential).where(outdated).order_by(Credential.id).limit(_BATCH).with_for_update()
        )
    ).all()
    for row in rows:
        secret, *former = secrets_of(vault, row.id, row.secret, row.former_secrets, row.secret_key_id)
        sealed = vault.seal(secret, credential_binding(row.id))
        await session.execute(
            update(Credential)
            .where(Credential.id == row.id)
            .values(
                secret=sealed.data,
                former_secrets=_seal_former(row.id, former, vault),
                secret_key_id=sealed.key_id,
                updated_at=Credential.updated_at,
            )
        )
    return len(rows)


async def _rotate_registration_key(session: AsyncSession, vault: Vault) -> int:
    row = await session.scalar(select(NodeRegistrationKey).with_for_update())
    if row is None or row.secret_key_id == vault.newest_key_id:
        return 0
    secret = vault.open(Sealed(row.secret, row.secret_key_id), REGISTRATION_KEY_BINDING)
    sealed = vault.seal(secret, REGISTRATION_KEY_BINDING)
    row.secret, row.secret_key_id = sealed.data, sealed.key_id
    return 1
