"""Sample bodies for the OpenAPI description, by operation. None of them holds a real secret."""

from typing import Any

_ID = "0199d9a4-5f3a-7cc1-9d52-3f6d8a1c2b10"

BODIES: dict[str, dict[str, Any]] = {
    "log_in": {"email": "ada@example.org", "password": "correct horse 9"},
    "change_me": {"full_name": "Ada Lovelace"},
    "change_password": {"current_password": "correct horse 9", "new_password": "battery staple 8"},
    "create_token": {"name": "nightly import", "expires_in_s": 7_776_000},
    "create_user": {"email": "grace@example.org", "password": "correct horse 9", "full_name": "Grace Hopper"},
    "change_user": {"is_active": False},
    "create_project": {"name": "Shop", "description": "All about the shop.", "max_running": 5},
    "change_project": {"is_active": False},
    "create_repository": {"name": "shop", "url": "https://github.com/acme/shop.git", "default_branch": "main"},
    "change_repository": {"max_running": 2},
    "create_prompt": {
        "name": "careful",
        "content": "Fix this with a test first: {{ issue.title }}",
        "is_default": True,
    },
    "preview_prompt": {"content": "Fix this with a test first: {{ issue.title }}", "issue_id": None},
    "change_prompt": {"description": "Used by the shop's team."},
    "create_credential": {"title": "team key", "category": "claude-code", "pat": "sample-secret", "node_ids": []},
    "change_credential": {"is_disabled": False},
    "create_issue": {
        "title": "Sums are off by one",
        "description": "add(1, 2) gives 4.",
        "repository_url": "https://github.com/acme/shop.git",
        "issue_number": 7,
        "priority": 10,
        "requires": ["linux"],
        "tool": "claude-code",
    },
    "create_issues": {"issues": [{"title": "First of two"}, {"title": "Second of two", "priority": 1}]},
    "change_issue": {"priority": 20, "not_before": None},
    "reject_issue": {"reason": "The change breaks the checkout page."},
    "change_node": {"description": "In the rack by the window."},
    "pause_node": {"note": "Disk is being replaced", "for_s": 3600},
    "drain_node": {"note": "Going away on Friday"},
    "rotate_registration_key": {"grace_s": 86_400},
    "register_node": {
        "name": "builder-1",
        "machine_id": "4f1c9a2e-builder-1",
        "boot_id": "b1",
        "version": "0.1.0",
        "max_slots": 2,
        "tags": ["linux"],
        "tools": [{"category": "claude-code", "version": "2.1"}],
    },
    "heartbeat": {"boot_id": "b1", "free_slots": 1, "attempts": [{"attempt_id": _ID, "state": "running"}]},
    "claim": {"claim_id": _ID, "boot_id": "b1", "max": 1},
    "append_log": {"first_seq": 0, "entries": [{"step_name": "clone", "status": "success", "duration_ms": 812}]},
    "report_usage": {
        "usage": [
            {"provider": "anthropic", "model": "claude", "input_tokens": 1200, "output_tokens": 300, "cost_usd": 0.02}
        ]
    },
    "finish_attempt": {
        "result": "succeeded",
        "next_seq": 12,
        "branch": "nodeyard/7-a1",
        "head_sha": "9fceb02d0ae598e95dc970b74767f19372d61af8",
    },
    "release_attempt": {"reason": "shutting down"},
}
