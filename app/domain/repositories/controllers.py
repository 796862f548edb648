from uuid import UUID

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody

from app.db.crud import add, get_or_404, given, lock_or_404, patched, shaped, visible_to
from app.db.doorbell import ring
from app.db.models.catalogue import Repository
from app.deps import Config, CurrentPaging, CurrentViewer, Session
from app.domain.audit.recording import record
from app.domain.repositories import queries
from app.domain.repositories.schemas import NewRepository, RepositoryChange, RepositoryOut, RepositoryPage
from app.domain.repositories.urls import require_allowed
from app.schemas import FilterText


class RepositoryController(Controller):
    path = "/repositories"
    tags = ("repositories",)

    @get()
    async def list_repositories(
        self,
        session: Session,
        viewer: CurrentViewer,
        paging: CurrentPaging,
        is_public: FromQuery[bool | None] = None,
        q: FilterText = None,
    ) -> RepositoryPage:
        """`q` looks into name and URL."""
        found = await queries.list_repositories(session, viewer, paging, is_public=is_public, q=q)
        return found.as_page(RepositoryPage, lambda row: shaped(row, RepositoryOut))

    @post()
    async def create_repository(
        self, session: Session, viewer: CurrentViewer, settings: Config, data: JSONBody[NewRepository]
    ) -> RepositoryOut:
        require_allowed(data.url, settings, "url")
        repository = await add(session, Repository(owner_id=viewer.id, **given(data)))
        await record(session, viewer, "repository.create", "repository", repository.id, name=repository.name)
        return shaped(repository, RepositoryOut)

    @get("/{repository_id:uuid}")
    async def show_repository(
        self, session: Session, viewer: CurrentViewer, repository_id: FromPath[UUID]
    ) -> RepositoryOut:
        return shaped(
            await get_or_404(session, Repository, repository_id, visible_to(viewer, Repository)), RepositoryOut
        )

    @patch("/{repository_id:uuid}")
    async def change_repository(
        self,
        session: Session,
        viewer: CurrentViewer,
        settings: Config,
        repository_id: FromPath[UUID],
        data: JSONBody[RepositoryChange],
    ) -> RepositoryOut:
        repository = await lock_or_404(session, Repository, repository_id, visible_to(viewer, Repository))
        if isinstance(data.url, str):
            require_allowed(data.url, settings, "url")
        await patched(session, repository, data)
        ring(session)
        await record(session, viewer, "repository.change", "repository", repository_id, fields=list(given(data)))
        return shaped(repository, RepositoryOut)

    @delete("/{repository_id:uuid}")
    async def delete_repository(self, session: Session, viewer: CurrentViewer, repository_id: FromPath[UUID]) -> None:
        """Its issues stay, with its URL."""
        repository = await lock_or_404(session, Repository, repository_id, visible_to(viewer, Repository))
        await session.delete(repository)
        ring(session)
        await record(session, viewer, "repository.delete", "repository", repository_id, name=repository.name)
