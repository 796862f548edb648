"""The tables of all models together; one model's module knows only its own."""

from app.db.base import Base
from app.db.models import accounts, catalogue, derived, fleet, work

MODELS = (accounts, catalogue, derived, fleet, work)
METADATA = Base.metadata
