"""How Alembic reaches the database.

Through the connection that `app.db.migrate` hands over, or, when the plain `alembic` command runs, through one of its
own, by the same settings as the server's.
"""

import os

from alembic import context

from app import settings
from app.db import migrate, revisions
from app.vault import existing_keys

if context.is_offline_mode():
    revisions.print_sql(context)
elif "connection" in context.config.attributes:
    revisions.run_on(context.config.attributes["connection"], context)
else:
    known = settings.read(os.environ)
    context.config.attributes["keys"] = existing_keys(known)
    migrate.run_standalone(known, lambda each: revisions.run_on(each, context))
