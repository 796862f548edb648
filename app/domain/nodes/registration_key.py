"""The one key that may register nodes, and can do nothing else. Rotating it never touches nodes that live."""

import hmac
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models.fleet import NodeRegistrationKey
from app.domain.nodes.schemas import RegistrationKeyOut
from app.errors import NotFound
from app.tokens import Prefix, digest, mint
from app.vault import REGISTRATION_KEY_BINDING, Sealed, Vault


async def ensure(session: AsyncSession, vault: Vault, wanted: str | None) -> None:
    """Make the key when there is none yet: `wanted` (NODEYARD_REGISTRATION_KEY), or a new one."""
    key = wanted or mint(Prefix.REGISTRATION)
    sealed = vault.seal(key, REGISTRATION_KEY_BINDING)
    await session.execute(
        insert(NodeRegistrationKey)
        .values(id=1, secret=sealed.data, secret_key_id=sealed.key_id, key_hash=digest(key))
        .on_conflict_do_nothing()
    )


async def is_valid(session: AsyncSession, key: str) -> bool:
    """The key itself, or the one before it within its grace. Keys of older installations have no prefix."""
    row = (
        await session.execute(
            select(
                NodeRegistrationKey.key_hash,
                NodeRegistrationKey.previous_key_hash,
                NodeRegistrationKey.previous_expires_at > func.now(),
            )
        )
    ).one_or_none()
    if row is None:
        return False
    given = digest(key)
    is_current = hmac.compare_digest(row[0], given)
    is_previous = hmac.compare_digest(row[1] or b"", given)
    return is_current or (is_previous and bool(row[2]))


async def show(session: AsyncSession, vault: Vault) -> RegistrationKeyOut:
    row = (await session.scalars(select(NodeRegistrationKey))).one_or_none()
    if row is None:
        raise NotFound("There is no registration key yet; rotate to make one.")
    return _shown(row, vault)


async def rotate(session: AsyncSession, vault: Vault, grace: timedelta) -> RegistrationKeyOut:
    """A new key; the former one goes on registering for `grace`."""
    await ensure(session, vault, None)
    row = (await session.scalars(select(NodeRegistrationKey).with_for_update())).one()
    key = mint(Prefix.REGISTRATION)
    sealed = vault.seal(key, REGISTRATION_KEY_BINDING)
    now = (await session.execute(select(func.now()))).scalar_one()
    keeps_former = grace > timedelta()
    row.previous_key_hash = row.key_hash if keeps_former else None
    row.previous_expires_at = now + grace if keeps_former else None
    row.secret, row.secret_key_id, row.key_hash = sealed.data, sealed.key_id, digest(key)
    row.created_at = now
    await session.flush()
    return _shown(row, vault)


def _shown(row: NodeRegistrationKey, vault: Vault) -> RegistrationKeyOut:
    key = vault.open(Sealed(row.secret, row.secret_key_id), REGISTRATION_KEY_BINDING)
    return RegistrationKeyOut(key, row.created_at, row.previous_expires_at)
