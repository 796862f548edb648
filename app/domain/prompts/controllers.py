from uuid import UUID

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK

from app.db.crud import add, get_or_404, given, lock_or_404, patched, shaped, visible_to
from app.db.models.catalogue import Prompt
from app.deps import CurrentPaging, CurrentViewer, Session
from app.domain.audit.recording import record
from app.domain.prompts import queries
from app.domain.prompts.defaults import clear_default
from app.domain.prompts.preview import preview
from app.domain.prompts.rendering import check
from app.domain.prompts.schemas import NewPrompt, Preview, Previewed, PromptChange, PromptOut, PromptPage
from app.schemas import FilterText


class PromptController(Controller):
    path = "/prompts"
    tags = ("prompts",)

    @get()
    async def list_prompts(
        self,
        session: Session,
        viewer: CurrentViewer,
        paging: CurrentPaging,
        is_default: FromQuery[bool | None] = None,
        q: FilterText = None,
    ) -> PromptPage:
        """`q` looks into name and description."""
        found = await queries.list_prompts(session, viewer, paging, is_default=is_default, q=q)
        return found.as_page(PromptPage, lambda row: shaped(row, PromptOut))

    @post()
    async def create_prompt(self, session: Session, viewer: CurrentViewer, data: JSONBody[NewPrompt]) -> PromptOut:
        check(data.content)
        if data.is_default:
            await clear_default(session, viewer.id)
        prompt = await add(session, Prompt(owner_id=viewer.id, **given(data)))
        await record(session, viewer, "prompt.create", "prompt", prompt.id, name=prompt.name)
        return shaped(prompt, PromptOut)

    @post("/preview", status_code=HTTP_200_OK)
    async def preview_prompt(self, session: Session, viewer: CurrentViewer, data: JSONBody[Preview]) -> Previewed:
        """The text that a node would get for the issue; nothing is stored."""
        return Previewed(await preview(session, viewer, data.content, data.issue_id))

    @get("/{prompt_id:uuid}")
    async def show_prompt(self, session: Session, viewer: CurrentViewer, prompt_id: FromPath[UUID]) -> PromptOut:
        return shaped(await get_or_404(session, Prompt, prompt_id, visible_to(viewer, Prompt)), PromptOut)

    @patch("/{prompt_id:uuid}")
    async def change_prompt(
        self, session: Session, viewer: CurrentViewer, prompt_id: FromPath[UUID], data: JSONBody[PromptChange]
    ) -> PromptOut:
        prompt = await lock_or_404(session, Prompt, prompt_id, visible_to(viewer, Prompt))
        if isinstance(data.content, str):
            check(data.content)
        if data.is_default is True:
            await clear_default(session, prompt.owner_id, but=prompt_id)
        await patched(session, prompt, data)
        await record(session, viewer, "prompt.change", "prompt", prompt_id, fields=list(given(data)))
        return shaped(prompt, PromptOut)

    @delete("/{prompt_id:uuid}")
    async def delete_prompt(self, session: Session, viewer: CurrentViewer, prompt_id: FromPath[UUID]) -> None:
        """Its issues stay, with the default prompt."""
        prompt = await lock_or_404(session, Prompt, prompt_id, visible_to(viewer, Prompt))
        await session.delete(prompt)
        await record(session, viewer, "prompt.delete", "prompt", prompt_id, name=prompt.name)
