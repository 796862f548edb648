"""Secrets at rest: how a credential's is stored, and how all of them move to a new key."""

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import Database
from app.db.models.fleet import Credential, NodeRegistrationKey
from app.vault import REGISTRATION_KEY_BINDING, Sealed, Vault, credential_binding

_BATCH = 200


def put(credential: Credential, secret: str, vault: Vault) -> None:
    """`credential.id` must be set: the sealed secret is bound to it."""
    sealed = vault.seal(secret, credential_binding(credential.id))
    credential.secret, credential.secret_key_id = sealed.data, sealed.key_id
    credential.pat_last4 = last4(secret)


def last4(secret: str) -> str:
    """Of a short secret nothing: four characters would be most of it."""
    return secret[-4:] if len(secret) >= 12 else ""


def take(credential: Credential, vault: Vault) -> str:
    """Raises `UnknownKey` when its key is not among NODEYARD_SECRET_KEYS."""
    return vault.open(Sealed(credential.secret, credential.secret_key_id), credential_binding(credential.id))


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
    rows = (await session.scalars(select(Credential).where(outdated).limit(_BATCH).with_for_update())).all()
    for row in rows:
        sealed = vault.seal(take(row, vault), credential_binding(row.id))
        await session.execute(
            update(Credential)
            .where(Credential.id == row.id)
            .values(secret=sealed.data, secret_key_id=sealed.key_id, updated_at=Credential.updated_at)
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
