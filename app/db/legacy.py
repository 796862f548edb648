"""The two shapes of existing installations, as `nodeyard adopt` recognises them: by structure, whatever the names.

Names of constraints and indexes, defaults, and the order of columns differ between dumps and do not matter.
"""

import re

from app.db.shape import Shape

_OWNER = "FOREIGN KEY (owner_id) REFERENCES user(id) ON DELETE CASCADE"
_TIMES = "created_at timestamp!, updated_at timestamp!"

# Column and type; "!" means NOT NULL.
_COLUMNS = {
    "user": "id uuid!, email varchar(255)!, hashed_password varchar(255)!, full_name varchar(255),"
    " is_active boolean!, is_superuser boolean!, " + _TIMES,
    "project": "id uuid!, name varchar(255)!, description varchar(500), is_active boolean!, owner_id uuid!, " + _TIMES,
    "repository": "id uuid!, name varchar(255)!, url varchar(1023)!, description varchar(500), is_public boolean!,"
    " owner_id uuid!, " + _TIMES,
    "issue": "id uuid!, title varchar(255)!, description varchar(2048), repository_url varchar(512),"
    " issue_number integer, status varchar(32)!, priority integer!, assigned_node_id uuid, owner_id uuid!,"
    " started_at timestamp, completed_at timestamp, error_message varchar(1024), result_branch varchar(255), " + _TIMES,
    "node": "id uuid!, name varchar(255)!, ip varchar(64)!, description varchar(255), tags varchar(255),"
    " status varchar(32), owner_id uuid!, last_heartbeat timestamp, " + _TIMES,
    "credential": "id uuid!, title varchar(255)!, category credentialcategory!, pat varchar(255)!,"
    " is_disabled boolean!, owner_id uuid!, " + _TIMES,
    "prompt": "id uuid!, name varchar(255)!, content varchar(5000)!, description varchar(500), tags varchar(255),"
    " owner_id uuid!, " + _TIMES,
    "node_registration_key": "id integer!, key varchar(255)!, " + _TIMES,
    "workflowlog": "id uuid!, issue_id uuid!, node_id uuid, step_name varchar(100)!, status varchar(32)!,"
    " command varchar(512), output varchar(4096), error_message varchar(2048), duration_ms integer,"
    " created_at timestamp!",
    "credentialnodelink": "credential_id uuid!, node_id uuid!",
}
_RULES = {
    "user": ("PRIMARY KEY (id)", "UNIQUE INDEX (email)"),
    "project": ("PRIMARY KEY (id)", _OWNER),
    "repository": ("PRIMARY KEY (id)", _OWNER),
    "issue": ("PRIMARY KEY (id)", _OWNER),
    "node": ("PRIMARY KEY (id)", _OWNER, "INDEX (name)"),
    "credential": ("PRIMARY KEY (id)", _OWNER),
    "prompt": ("PRIMARY KEY (id)", _OWNER),
    "node_registration_key": ("PRIMARY KEY (id)", "INDEX (key)"),
    "workflowlog": (
        "PRIMARY KEY (id)",
        "FOREIGN KEY (issue_id) REFERENCES issue(id)",
        "FOREIGN KEY (node_id) REFERENCES node(id)",
    ),
    "credentialnodelink": (
        "PRIMARY KEY (credential_id, node_id)",
        "FOREIGN KEY (credential_id) REFERENCES credential(id)",
        "FOREIGN KEY (node_id) REFERENCES node(id)",
    ),
}
LABELS = ("github-copilot, cursor, cluade-code", "GITHUB_COPILOT, CURSOR, CLUADE_CODE")
TABLES_OF_B = {"workflowlog": "workflow_log", "credentialnodelink": "credential_node_link"}
TABLES = frozenset(_COLUMNS)


def _column(words: str) -> tuple[str, str]:
    name, kind = words.strip().split(" ", 1)
    kind = kind.replace("varchar", "character varying").replace("timestamp", "timestamp without time zone")
    return f"column {name}", kind.replace("!", " NOT NULL")


def _shape_a() -> Shape:
    return Shape(
        {
            table: dict(_column(words) for words in columns.split(",")) | {f"rule {rule}": "" for rule in _RULES[table]}
            for table, columns in _COLUMNS.items()
        }
    )


def _shape_b() -> Shape:
    tables = _shape_a().tables
    tables["repository"]["column url"] = "character varying(500) NOT NULL"
    tables["user"].update({"column hashed_password": "character varying NOT NULL"})
    for table, name in TABLES_OF_B.items():
        facts = tables.pop(table)
        tables[name] = {_with_action(fact, table): definition for fact, definition in facts.items()}
    return Shape(tables)


def _with_action(fact: str, table: str) -> str:
    if not fact.startswith("rule FOREIGN KEY"):
        return fact
    return fact + (" ON DELETE SET NULL" if table == "workflowlog" and "node_id" in fact else " ON DELETE CASCADE")


SHAPES = {"A": _shape_a(), "B": _shape_b()}


def structure(found: Shape) -> Shape:
    """What `found` is made of, without names, defaults and what is not ours."""
    ours = TABLES | set(TABLES_OF_B.values())
    return Shape({table: _structure_of(facts) for table, facts in found.tables.items() if table in ours})


def _structure_of(facts: dict[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for fact, definition in facts.items():
        kind = fact.split(" ", 1)[0]
        if kind == "column":
            kept[fact] = definition.split(" DEFAULT ")[0].split(" BY DEFAULT")[0].split(" ALWAYS AS")[0]
        elif kind == "constraint" and not definition.startswith("NOT NULL"):
            kept["rule " + definition.replace('"', "")] = ""
        elif kind == "index" and not fact.endswith("_pkey"):
            index = re.sub(r"^CREATE (UNIQUE )?INDEX .* USING btree ", r"\1INDEX ", definition)
            kept["rule " + index] = ""
    # The index of a primary key or unique constraint goes with its constraint.
    for rule in [rule for rule in kept if rule.startswith("rule PRIMARY KEY")]:
        kept.pop(rule.replace("rule PRIMARY KEY", "rule UNIQUE INDEX"), None)
    return kept
