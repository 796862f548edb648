"""Everything that people and their scripts call, under /api/v1."""

from litestar.types import ControllerRouterHandler

from app.domain.accounts.controllers import AuthController, UserController
from app.domain.audit.controllers import AuditController
from app.domain.credentials.controllers import CredentialController
from app.domain.dashboard.controllers import DashboardController
from app.domain.issues.controllers import IssueController
from app.domain.issues.log_controllers import LogController
from app.domain.nodes.controllers import NodeController, RegistrationKeyController, UserRemovalController
from app.domain.projects.controllers import ProjectController
from app.domain.prompts.controllers import PromptController
from app.domain.repositories.controllers import RepositoryController

CONTROLLERS: list[ControllerRouterHandler] = [
    AuthController,
    UserController,
    AuditController,
    ProjectController,
    RepositoryController,
    PromptController,
    CredentialController,
    NodeController,
    UserRemovalController,
    RegistrationKeyController,
    IssueController,
    LogController,
    DashboardController,
]
