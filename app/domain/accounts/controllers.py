from datetime import timedelta
from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.datastructures import Cookie
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK

from app.db.crud import get_or_404, given, shaped
from app.db.models.accounts import AccessToken, User
from app.deps import (
    SESSION_COOKIE,
    AnyRequest,
    Config,
    CurrentPaging,
    CurrentViewer,
    Db,
    Session,
    Visitor,
    client_address,
    is_encrypted,
    require_superuser,
)
from app.domain.accounts import login, queries, tokens, users
from app.domain.accounts.schemas import (
    LoggedIn,
    Login,
    NewToken,
    NewTokenOut,
    NewUser,
    OwnChange,
    PasswordChange,
    TokenOut,
    TokenPage,
    UserChange,
    UserOut,
    UserPage,
)
from app.domain.audit.recording import record
from app.schemas import FilterText


class AuthController(Controller):
    path = "/auth"
    tags = ("auth",)

    @post("/login", status_code=HTTP_200_OK, opt={"public": True})
    async def log_in(self, db: Db, settings: Config, request: AnyRequest, data: JSONBody[Login]) -> Response[LoggedIn]:
        """A token for scripts in the answer, and the same as a cookie for the page."""
        address = client_address(request, settings)
        return with_cookie(request, settings, await login.log_in(db, data.email, data.password, address))

    @post("/logout", status_code=204)
    async def log_out(self, session: Session, viewer: CurrentViewer) -> Response[None]:
        """Ends the session, or deletes the token, that the request was sent with."""
        await tokens.end(session, viewer.token_id)
        await record(session, viewer, "logout", "user", viewer.id)
        gone = Cookie(SESSION_COOKIE, path="/", max_age=0, httponly=True, samesite="lax")
        return Response(None, status_code=204, cookies=[gone])

    @get("/me")
    async def show_me(self, session: Session, viewer: CurrentViewer) -> UserOut:
        return shaped(await get_or_404(session, User, viewer.id), UserOut)

    @patch("/me")
    async def change_me(self, session: Session, viewer: CurrentViewer, data: JSONBody[OwnChange]) -> UserOut:
        user = await users.change(session, viewer.id, data)
        await record(session, viewer, "user.change", "user", user.id)
        return shaped(user, UserOut)

    @post("/password", status_code=HTTP_200_OK)
    async def change_password(
        self, db: Db, settings: Config, visitor: Visitor, request: AnyRequest, data: JSONBody[PasswordChange]
    ) -> Response[LoggedIn]:
        """Ends every session of the caller, this one too, and opens a new one. Tokens of scripts stay."""
        opened = await login.change_password(db, visitor, data.current_password, data.new_password)
        return with_cookie(request, settings, opened)

    @get("/tokens")
    async def list_tokens(self, session: Session, viewer: CurrentViewer, paging: CurrentPaging) -> TokenPage:
        """The caller's own sessions and tokens, newest first."""
        found = await queries.list_tokens(session, viewer.id, paging)
        return found.as_page(TokenPage, lambda row: shaped(row, TokenOut))

    @post("/tokens")
    async def create_token(self, session: Session, viewer: CurrentViewer, data: JSONBody[NewToken]) -> NewTokenOut:
        lasts = None if data.expires_in_s is None else timedelta(seconds=data.expires_in_s)
        opened = await tokens.create_token(session, viewer.id, data.name, lasts)
        await record(session, viewer, "token.create", "token", opened.id, name=data.name)
        row = await get_or_404(session, AccessToken, opened.id)
        return NewTokenOut(
            row.id, "token", row.name, row.last4, row.created_at, row.expires_at, row.last_used_at, opened.token
        )

    @delete("/tokens/{token_id:uuid}")
    async def delete_token(self, session: Session, viewer: CurrentViewer, token_id: FromPath[UUID]) -> None:
        token = await get_or_404(session, AccessToken, token_id, AccessToken.user_id == viewer.id)
        await tokens.end(session, token.id)
        await record(session, viewer, "token.delete", "token", token_id, name=token.name)


class UserController(Controller):
    path = "/users"
    tags = ("users",)

    @get()
    async def list_users(
        self,
        session: Session,
        viewer: CurrentViewer,
        paging: CurrentPaging,
        is_active: FromQuery[bool | None] = None,
        is_superuser: FromQuery[bool | None] = None,
        q: FilterText = None,
    ) -> UserPage:
        """`q` looks into email and full name."""
        require_superuser(viewer)
        found = await queries.list_users(session, paging, is_active=is_active, is_superuser=is_superuser, q=q)
        return found.as_page(UserPage, lambda row: shaped(row, UserOut))

    @post()
    async def create_user(self, session: Session, viewer: CurrentViewer, data: JSONBody[NewUser]) -> UserOut:
        require_superuser(viewer)
        user = await users.create(session, data)
        await record(session, viewer, "user.create", "user", user.id, email=user.email, is_superuser=user.is_superuser)
        return shaped(user, UserOut)

    @get("/{user_id:uuid}")
    async def show_user(self, session: Session, viewer: CurrentViewer, user_id: FromPath[UUID]) -> UserOut:
        require_superuser(viewer)
        return shaped(await get_or_404(session, User, user_id), UserOut)

    @patch("/{user_id:uuid}")
    async def change_user(
        self, session: Session, viewer: CurrentViewer, user_id: FromPath[UUID], data: JSONBody[UserChange]
    ) -> UserOut:
        """A new password ends the person's sessions; `is_active` false ends their tokens too, at once."""
        require_superuser(viewer)
        user = await users.change(session, user_id, data)
        await record(session, viewer, "user.change", "user", user_id, fields=list(given(data)))
        return shaped(user, UserOut)


def with_cookie(request: AnyRequest, settings: Config, opened: LoggedIn) -> Response[LoggedIn]:
    cookie = Cookie(
        key=SESSION_COOKIE,
        value=opened.token,
        path="/",
        max_age=int(tokens.SESSION_LASTS.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=is_encrypted(request, settings),
    )
    return Response(opened, status_code=HTTP_200_OK, cookies=[cookie], headers={"Cache-Control": "no-store"})
