"""make mutants: breaks one rule of the server at a time, in a copy of the tree, and sees whether a test notices.

Each mutant is a textual change that must apply exactly once, so that it cannot rot unnoticed. The tests run on the
unbroken tree first: where they fail there, they would "notice" everything. With `--storm SEEDS` short storms judge.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.run import CLEAN, VACUOUS, VIOLATED

ROOT = Path(__file__).parents[2]
ISSUES = "app/domain/issues"
_COPIED = ("app", "tests", "migrations", "typings", "alembic.ini", "pyproject.toml", "README.md", "LICENSE")
_TABLE = ("tests/issues/test_state_table.py", "tests/issues/test_faults.py", "tests/issues/test_logs.py")
_TURNS = ("tests/issues/test_turns.py",)
_HEADS = ("tests/issues/test_heads.py",)
_ROWS = ("tests/nodes/test_row_locks.py",)
_OUTAGE = "tests/staying_up/test_outage.py"


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = _TABLE


MUTANTS = [
    Mutant("no fence check on logs", f"{ISSUES}/log_append.py", 'if not row["is_open"]:', "if False:"),
    Mutant("no guard on the end of an attempt", f"{ISSUES}/lifecycle.py",
           '''_LIVE = "attempt.status IN ('offered', 'running') AND issue.status = 'processing'"''',
           '''_LIVE = "attempt.status <> 'succeeded'"'''),
    Mutant("adoption without the newest-attempt guard", f"{ISSUES}/lifecycle.py",
           "AND issue.last_number = attempt.number AND issue.status IN ('pending', 'failed')", ""),
    Mutant("start revives a lost attempt", f"{ISSUES}/lifecycle.py",
           "named.status = 'offered'", "named.status IN ('offered', 'lost')"),
    Mutant("no SKIP LOCKED", f"{ISSUES}/claim.py",
           "LIMIT wanted.n FOR UPDATE SKIP LOCKED) AS head", "LIMIT wanted.n FOR UPDATE) AS head"),
    Mutant("no lock on what is claimed", f"{ISSUES}/claim.py",
           "LIMIT wanted.n FOR UPDATE SKIP LOCKED) AS head", "LIMIT wanted.n) AS head"),
    Mutant("no lock on the claiming node", f"{ISSUES}/claim.py",
           'await connection.execute(f"BEGIN; {lock}")', 'await connection.execute("BEGIN")'),
    Mutant("a new boot overtakes a claim under way", "app/domain/nodes/registering.py",
           "await _let_claims_end(session, machine)", "pass", ("tests/issues/test_faults.py",)),
    Mutant("caps counted without a lock", f"{ISSUES}/caps.py", "ORDER BY id FOR NO KEY UPDATE", "ORDER BY id"),
    Mutant("a claim sent again is a new claim", f"{ISSUES}/claim.py",
           "WHERE node_id = node.id AND claim_id = who.claim_id", "WHERE false",
           ("tests/issues/test_claim.py", *_TABLE)),
    Mutant("an issue that came is not heard of", f"{ISSUES}/dispatch.py", "if what != FREED:", "if False:", _HEADS),
    Mutant("an issue that came back is told as a free slot", f"{ISSUES}/notices.py",
           '"" if any_waits_again else FREED', "FREED", _HEADS),
    Mutant("what is remembered hides issues", f"{ISSUES}/claim.py",
           "if hungry and not lanes.whole:", "if False:", _HEADS),
    Mutant("a secret's first half is read before the wait", f"{ISSUES}/log_append.py",
           'attempts[row["attempt_id"]].last = _Last.of(row)', "pass", ("tests/issues/test_eligibility.py",)),
    Mutant("a log is written on where another server wrote", f"{ISSUES}/log_append.py",
           "attempt.next_seq = call.next_seq AND ", "", ("tests/issues/test_logs.py",)),
    Mutant("a log is written on with an old secret", f"{ISSUES}/log_append.py",
           " AND credential.secret IS NOT DISTINCT FROM call.secret", "", ("tests/issues/test_eligibility.py",)),
    Mutant("a secret that was replaced is forgotten", "app/domain/credentials/sealing.py",
           "return [current, *_open_former(credential_id, former_secrets, key_id, vault)]", "return [current]",
           ("tests/issues/test_eligibility.py",)),
    Mutant("a deleted issue is locked before its attempts", f"{ISSUES}/controllers.py",
           "with_attempts=True", "with_attempts=False", ("tests/issues/test_logs.py",)),
    Mutant("a log is written on after the end", f"{ISSUES}/log_append.py",
           " AND status IN ('offered', 'running')", "", ("tests/issues/test_logs.py",)),
    Mutant("log without its conflict rule", f"{ISSUES}/log_append.py",
           "batch.entries[attempt.next_seq - batch.first_seq :]", "batch.entries"),
    Mutant("log with gaps", f"{ISSUES}/log_append.py", "if batch.first_seq > attempt.next_seq:", "if False:"),
    Mutant("sweep without its guard", f"{ISSUES}/sweeps.py", "now() - CAST(:lease AS interval)", "now()"),
    Mutant("judging at once after being away", "app/upkeep.py",
           "if heard_for >= self._settings.lease:", "if True:"),
    Mutant("offers never lapse", f"{ISSUES}/sweeps.py", "attempt.start_by < now()", "false"),
    Mutant("no idempotency on finish", f"{ISSUES}/finishing.py",
           'if attempt["finish_digest"] == _digest(report):', "if False:"),
    Mutant("finish before its log is complete", f"{ISSUES}/lifecycle.py",
           " AND attempt.next_seq >= ending.next_seq", "", ("tests/issues/test_model.py", *_TABLE)),
    Mutant("release burns a retry", f"{ISSUES}/lifecycle.py",
           "CASE WHEN decided.verdict = 'give_back' AND burned THEN 1 ELSE 0 END", "0"),
    Mutant("attempts without a maximum", f"{ISSUES}/lifecycle.py",
           "AND issue.attempt_count >= issue.max_attempts THEN 'failed'", "AND false THEN 'failed'"),
    Mutant("a secret in the reason of a release", f"{ISSUES}/finishing.py",
           "report.reason and masker.mask(report.reason)", "report.reason", ("tests/issues/test_eligibility.py",)),
    Mutant("only the first of two reports in a flush", f"{ISSUES}/turns.py",
           "    while left:", "    if left:", _TURNS),
    Mutant("a flush that ends attempts of other nodes", f"{ISSUES}/lifecycle.py",
           " AND node.token_hash = ending.token_hash", "", _TURNS),
    Mutant("a flush that waits for whoever holds a row", f"{ISSUES}/lifecycle.py",
           'False: "SKIP LOCKED"', 'False: ""', _TURNS),
    Mutant("a flush that fails as a whole", "app/db/batching.py",
           "if len(batch) == 1 or is_unreachable(problem):", "if True:", _TURNS),
    Mutant("cancel is forgotten", f"{ISSUES}/lifecycle.py",
           "WHEN attempt.cancel_requested_at IS NOT NULL THEN 'cancelled'\n            WHEN ending.verdict = 'merge'",
           "WHEN ending.verdict = 'merge'"),
    Mutant("a new boot keeps the old work", "app/domain/nodes/registering.py",
           "node.boot_id != machine.boot_id", "False"),
    Mutant("heartbeats may forget attempts", "app/domain/nodes/heartbeat.py",
           "_LEFT_OUT_UNTIL_LOST = 2", "_LEFT_OUT_UNTIL_LOST = 10_000"),
    Mutant("left-out attempts are locked from the other end", "app/domain/nodes/heartbeat.py",
           "ORDER BY id FOR NO KEY UPDATE", "ORDER BY id DESC FOR NO KEY UPDATE", _ROWS),
    Mutant("a sweep that waits for whoever holds a row", f"{ISSUES}/sweeps.py", "waits=False, ", "", _ROWS),
    Mutant("usage of an attempt that is over", f"{ISSUES}/attempts.py",
           "if row is None or not await lifecycle.is_open(session, attempt_id):", "if row is None:"),
    Mutant("answer before commit", "app/db/engine.py",
           '"lock_timeout": "5s",', '"lock_timeout": "5s", "synchronous_commit": "off",',
           (f"{_OUTAGE}::test_what_was_acknowledged_survives_the_database_being_killed_at_once",)),
    Mutant("nodes share the operators' connections", "app/deps.py",
           "async with db.reserved.begin() as session:", "async with db.sessions.begin() as session:",
           (f"{_OUTAGE}::test_heartbeats_and_results_pass_while_slow_lists_hold_every_connection_of_operators",)),
    Mutant("nobody notices a frozen database", "app/db/outage.py",
           "_MISSED_UNTIL_AWAY = 2", "_MISSED_UNTIL_AWAY = 10**9",
           (f"{_OUTAGE}::test_a_frozen_database_hangs_nobody_and_nobody_loses_work_to_it",)),
]  # fmt: skip


def copy_of_tree(to: Path) -> None:
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, to / name)


def broken(tree: Path, mutant: Mutant) -> str:
    """The mutant's file as it would read. Raises `ValueError` where the mutant must be mended."""
    text = (tree / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"mutant {mutant.name!r} applies {text.count(mutant.old)} times to {mutant.file}")
    changed = text.replace(mutant.old, mutant.new)
    # What cannot be imported would be noticed by any test.
    compile(changed, mutant.file, "exec")
    return changed


@contextmanager
def tree_with(mutant: Mutant | None) -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="nodeyard-mutant-", ignore_cleanup_errors=True) as name:
        tree = Path(name)
        tree.chmod(0o755)
        copy_of_tree(tree)
        if mutant is not None:
            (tree / mutant.file).write_text(broken(tree, mutant))
        yield tree


def failing(tree: Path, tests: Iterable[str]) -> str | None:
    """The first test that fails on this tree. A test that cannot even run ends everything: it proves nothing."""
    environ = {**os.environ, "PYTHONPATH": f"{tree}:{tree / 'tests'}", "PYTHONDONTWRITEBYTECODE": "1"}
    # A herd of registrations tells mutants from nothing, and takes as long as all the rest.
    words = [
        "-k",
        "not restart_at_once",
        "-q",
        "-x",
        "--no-header",
        "--tb=no",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tree / 'pytest'}",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *tests],
        cwd=tree, env=environ, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    failed = [line for line in run.stdout.splitlines() if line.startswith("FAILED")]
    if run.returncode and not failed:
        sys.exit(run.stdout + run.stderr)
    return failed[0].partition("::")[2].partition(" - ")[0] if failed else None


def storm_that_breaks(tree: Path, seeds: Iterable[str]) -> str | None:
    """The first seed whose short storm ends with a violation on this tree, and the violation."""
    environ = {**os.environ, "NODEYARD_CHAOS_TREE": str(tree), "PYTHONPATH": str(ROOT / "tests")}
    for seed in seeds:
        run = subprocess.run(
            [sys.executable, "-m", "chaos.run", "--seed", seed, "--minutes", "0.5", "--agents", "24"],
            cwd=ROOT, env=environ, capture_output=True, text=True, timeout=1800, check=False,
        )  # fmt: skip
        if run.returncode not in {CLEAN, VIOLATED, VACUOUS}:
            sys.exit(run.stdout + run.stderr)
        if run.returncode == VIOLATED:
            found = [line for line in run.stdout.splitlines() if line.startswith("  - ")]
            return f"seed {seed}:{found[0][3:90]}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="Only mutants whose names hold one of these, separated by commas.")
    parser.add_argument("--storm", default="", metavar="SEEDS", help="Judge by storms of these seeds, as in 1,2,3.")
    asked = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if any(part in mutant.name for part in asked.only.split(","))]

    def judge(tree: Path, tests: Iterable[str]) -> str | None:
        return storm_that_breaks(tree, asked.storm.split(",")) if asked.storm else failing(tree, tests)

    with tree_with(None) as tree:
        fails = judge(tree, sorted({test for mutant in chosen for test in mutant.tests}))
        if fails is not None:
            sys.exit(f"The unbroken tree fails already, so nothing is proved: {fails}")
    survived = 0
    print(f"{'mutant':46} {'s':>4}  caught by")
    for mutant in chosen:
        with tree_with(mutant) as tree:
            started = time.monotonic()
            found = judge(tree, mutant.tests)
            survived += found is None
            print(f"{mutant.name:46} {time.monotonic() - started:4.0f}  {found or 'SURVIVED'}", flush=True)
    print(f"{survived} survived" if survived else f"all {len(chosen)} caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
