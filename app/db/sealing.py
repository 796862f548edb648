"""Secrets that an upgrade without keys left in clear text are sealed here, before the server serves anything."""

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.vault import REGISTRATION_KEY_BINDING, Sealed, Vault, credential_binding

BATCH = 500

_CLEAR = {
    "credential": "SELECT id, secret FROM credential WHERE secret_key_id IS NULL ORDER BY id LIMIT :n FOR UPDATE",
    "node_registration_key": (
        "SELECT id, secret FROM node_registration_key WHERE secret_key_id IS NULL ORDER BY id LIMIT :n FOR UPDATE"
    ),
}
_STORE = {
    "credential": "UPDATE credential SET secret = :data, secret_key_id = :key_id WHERE id = :id",
    "node_registration_key": "UPDATE node_registration_key SET secret = :data, secret_key_id = :key_id WHERE id = :id",
}


async def seal_clear_text(engine: AsyncEngine, vault: Vault) -> int:
    """Seals whatever is in clear text, each batch in its own transaction, and says how many secrets it was.

    Safe to run in several processes at once. The tables are then rewritten, so that no dead row keeps a secret.
    """
    sealed = 0
    while True:
        async with engine.begin() as connection:
            batch = await connection.run_sync(seal_batch, vault)
        if batch == 0:
            break
        sealed += batch
    if sealed:
        async with engine.begin() as connection:
            await connection.run_sync(forget_clear_text)
    return sealed


def forget_clear_text(connection: Connection) -> None:
    """Writes both tables anew from their living rows. VACUUM (FULL) keeps dead ones that any older snapshot may see."""
    for table in _CLEAR:
        connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN secret TYPE bytea USING secret || ''::bytea"))


def seal_batch(connection: Connection, vault: Vault, size: int = BATCH) -> int:
    """At most `size` rows of each table, in the caller's transaction; 0 when nothing is left."""
    count = 0
    for table, query in _CLEAR.items():
        for row in connection.execute(text(query), {"n": size}).all():
            sealed = vault.seal(bytes(row.secret).decode(), binding(table, row.id))
            connection.execute(text(_STORE[table]), {"id": row.id, "data": sealed.data, "key_id": sealed.key_id})
            count += 1
    return count


def open_secret(vault: Vault, table: str, row_id: object, data: bytes, key_id: str | None) -> str:
    """Raises `app.vault.UnknownKey` when the keys do not fit."""
    return vault.open(Sealed(data, key_id), binding(table, row_id))


def binding(table: str, row_id: object) -> str:
    return credential_binding(row_id) if table == "credential" else REGISTRATION_KEY_BINDING
