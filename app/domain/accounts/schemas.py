from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from app.protocol import Line255
from app.schemas import Body, Email, NewPassword, Page

GivenPassword = Annotated[str, Meta(max_length=1024, pattern=r"^[^\x00]*$", examples=["correct horse 9"])]
GivenEmail = Annotated[str, Meta(max_length=255, pattern=r"^[^\x00]*$", examples=["ada@example.org"])]
TokenSeconds = Annotated[float, Meta(gt=0, le=315_360_000, description="How long it lasts; null: until it is deleted.")]


class UserOut(Struct):
    id: UUID
    email: str
    full_name: str | None
    is_active: bool
    is_superuser: bool
    created_at: datetime
    updated_at: datetime


class UserPage(Page):
    items: list[UserOut]


class NewUser(Body):
    email: Email
    password: NewPassword
    full_name: Line255 | None = None
    is_active: bool = True
    is_superuser: bool = False


class UserChange(Body):
    email: Email | UnsetType = UNSET
    password: NewPassword | UnsetType = UNSET
    full_name: Line255 | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET
    is_superuser: bool | UnsetType = UNSET


class OwnChange(Body):
    email: Email | UnsetType = UNSET
    full_name: Line255 | UnsetType | None = UNSET


class Login(Body):
    email: GivenEmail
    password: GivenPassword


class LoggedIn(Struct):
    """`token` goes into `Authorization: Bearer …`; the page has it in its cookie instead."""

    token: str
    expires_at: datetime
    user: UserOut


class PasswordChange(Body):
    current_password: GivenPassword
    new_password: NewPassword


class TokenOut(Struct):
    id: UUID
    kind: Literal["session", "token"]
    name: str | None
    last4: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class TokenPage(Page):
    items: list[TokenOut]


class NewToken(Body):
    name: Line255
    expires_in_s: TokenSeconds | None = None


class NewTokenOut(TokenOut):
    """`token` is shown this once."""

    token: str
