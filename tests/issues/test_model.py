"""Random histories of the lifecycle functions, on PostgreSQL, against the state table written as plain Python.

After every event all rows are compared. The run counts only when every row of the table was reached.
"""

import asyncio
import json
from collections import Counter
from datetime import timedelta
from uuid import UUID, uuid4

import msgspec
from conftest import _admin, at
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from issues.model import LIVE, REPORTS, Attempt, Issue, refusal, settle
from sqlalchemy import text

from app.db.engine import Database, open_database
from app.domain.issues import claim, fleet, lifecycle_verbs, sweeps
from app.domain.issues.claim import ClaimRequest
from app.domain.issues.fleet import Fleet
from app.domain.issues.heads import Heads
from app.domain.issues.log_append import Append
from app.domain.issues.turns import End, Start, Turn
from app.domain.nodes import registering
from app.errors import AppError
from app.metering import Meter
from app.protocol import (
    AttemptStatus,
    Finish,
    Finished,
    LogBatch,
    LogEntry,
    Register,
    Release,
    Started,
    StepStatus,
)
from app.settings import Settings
from app.tokens import digest
from app.vault import open_vault

SLOTS = 2
LEASE = timedelta(seconds=300)
ROWS = {
    "claim", "start", "offer lapsed", "release offered", "release running",
    "finish merge -> pending_merge", "finish complete -> completed", "finish retryable -> pending",
    "finish retryable -> failed", "finish quota -> pending", "finish final -> failed",
    "finish stopped -> cancelled", "finish merge -> cancelled",
    "silent -> pending", "silent -> failed", "silent -> cancelled", "new boot -> pending", "deregister -> pending",
    "deleted -> pending",
    "adopted merge -> pending_merge", "adopted complete -> completed", "adopted retryable -> pending",
    "adopted final -> failed", "adopted quota -> pending",
    "refused attempt_superseded", "refused attempt_cancelled", "refused attempt_finished", "answered again",
    "refused log_gap", "log of a lost attempt",
    "cancel pending", "cancel processing", "cancel settled", "cancel refused",
    "requeue failed", "requeue cancelled", "requeue completed", "requeue pending_merge", "requeue refused",
    "merge", "merge refused", "reject", "reject refused", "came due",
}  # fmt: skip


VERBS = {
    "cancel": {"pending", "processing"},
    "requeue": {"failed", "cancelled", "completed", "pending_merge"},
    "merge": {"pending_merge"},
    "reject": {"pending_merge"},
}


class Table(RuleBasedStateMachine):
    """`world` is the database that all histories share; each starts from empty tables."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self.world = world
        self.issues: list[Issue] = []
        self.boots = [0, 0]
        self.cancels = 0
        world.wait_for(world.empty())
        self.nodes = [world.wait_for(world.register(n, 0)) for n in (0, 1)]
        self.add(2)
        self.add(1)

    def reached(self, row: str) -> None:
        self.world.reached[row] += 1

    @property
    def attempts(self) -> list[Attempt]:
        return [attempt for issue in self.issues for attempt in issue.attempts]

    def live(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.status in LIVE]

    def recent(self) -> list[Attempt]:
        """The newest attempts more often than those that they followed."""
        newest = [issue.newest for issue in self.issues if issue.newest is not None]
        return newest * 2 + [attempt for issue in self.issues for attempt in issue.attempts[-2:-1]]

    def pick(self, data: st.DataObject, of: list):
        return data.draw(st.sampled_from(of))

    @precondition(lambda self: len(self.issues) < 4)
    @rule(max_attempts=st.integers(1, 2))
    def add(self, max_attempts: int) -> None:
        rank = len(self.issues)
        self.issues.append(Issue(self.world.wait_for(self.world.add(rank, max_attempts)), rank, max_attempts))

    @precondition(lambda self: any(i.status == "pending" and not i.deferred for i in self.issues))
    @rule(node=st.integers(0, 1), most=st.integers(1, 2))
    def claim(self, node: int, most: int) -> None:
        free = SLOTS - sum(a.status in LIVE and a.node == node for a in self.attempts)
        ready = [i for i in self.issues if i.status == "pending" and not i.deferred]
        expected = sorted(ready, key=lambda i: -i.rank)[: min(most, free)]
        offers = self.world.wait_for(self.world.claim(self.nodes[node], self.boots[node], most))
        assert [offer["issue"]["id"] for offer in offers] == [issue.id for issue in expected]
        for issue, offer in zip(expected, offers, strict=True):
            issue.status = "processing"
            issue.attempt_count += 1
            issue.attempts.append(Attempt(offer["attempt_id"], issue, node))
            assert offer["number"] == len(issue.attempts)
            self.reached("claim")

    def turn(self, attempt: Attempt, report: Finish | Release | None = None):
        """The answer, or the code that it was refused with. Without a report the attempt starts."""
        call = (self.nodes[attempt.node][1], UUID(attempt.id))
        return self.world.wait_for(self.world.turn(Start(*call) if report is None else End(*call, report)))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        attempt = self.pick(data, self.recent())
        got = self.turn(attempt)
        if attempt.status in LIVE:
            assert got == Started(AttemptStatus.RUNNING)
            attempt.status = "running"
            self.reached("start")
        else:
            assert got == refusal(attempt)

    @precondition(lambda self: self.live())
    @rule(data=st.data(), report=st.sampled_from(list(REPORTS)), missing=st.sampled_from((0, 0, 0, 1)))
    def finish(self, data: st.DataObject, report: str, missing: int) -> None:
        self.report(self.pick(data, self.live()), report, missing)

    @precondition(lambda self: any(a.cancel_asked for a in self.live()))
    @rule(report=st.sampled_from(("merge", "stopped")))
    def finish_what_is_to_be_cancelled(self, report: str) -> None:
        self.report(next(a for a in self.live() if a.cancel_asked), report, 0)

    @precondition(lambda self: any(a.status == "lost" for a in self.recent()))
    @rule(data=st.data(), report=st.sampled_from(list(REPORTS)), missing=st.sampled_from((0, 0, 0, 1)))
    def finish_late(self, data: st.DataObject, report: str, missing: int) -> None:
        self.report(self.pick(data, [a for a in self.recent() if a.status == "lost"]), report, missing)

    @precondition(lambda self: any(a.report for a in self.recent()))
    @rule(data=st.data(), again=st.booleans())
    def finish_again(self, data: st.DataObject, again: bool) -> None:
        attempt = self.pick(data, [a for a in self.recent() if a.report])
        assert attempt.report is not None
        report, next_seq = attempt.report.split()
        self.report(attempt, report if again else "final", int(next_seq) - attempt.entries)

    def report(self, attempt: Attempt, report: str, missing: int) -> None:
        body, status = REPORTS[report]
        next_seq = attempt.entries + missing
        wanted = f"{report} {next_seq}"
        got = self.turn(attempt, msgspec.convert(body | {"next_seq": next_seq}, Finish))
        is_live = attempt.status in LIVE
        if attempt.report == wanted:
            self.reached("answered again")
            assert (got.issue_status, got.adopted) == attempt.answer
        elif attempt.report is not None:
            assert got == "attempt_finished"
            self.reached("refused attempt_finished")
        elif missing and (is_live or attempt.adoptable):
            assert got == "log_gap"
            self.reached("refused log_gap")
        elif is_live or (attempt.adoptable and report != "stopped"):
            self.reached(settle(attempt, status, report))
            attempt.report, attempt.answer = wanted, (attempt.issue.status, attempt.adopted)
            assert (got.issue_status, got.adopted) == attempt.answer
        else:
            assert got == refusal(attempt)
            self.reached(f"refused {got}")

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        attempt = self.pick(data, self.recent())
        was = attempt.status
        got = self.turn(attempt, Release("shutting down"))
        if was in LIVE:
            assert isinstance(got, Finished)
            settle(attempt, "lost", "give_back")
            self.reached(f"release {was}")
        else:
            assert isinstance(got, Finished) or got == refusal(attempt)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def log(self, data: st.DataObject) -> None:
        attempt = self.pick(data, self.attempts)
        got = self.world.wait_for(self.world.log(self.nodes[attempt.node], attempt.id, attempt.entries))
        if attempt.status in LIVE or attempt.adoptable:
            attempt.entries += 1
            assert (got.next_seq, got.action == "cancel") == (attempt.entries, attempt.cancel_asked)
            if attempt.status == "lost":
                self.reached("log of a lost attempt")
        else:
            assert got.code == refusal(attempt)

    @precondition(lambda self: any(a.status == "offered" for a in self.attempts))
    @rule(data=st.data())
    def lapse(self, data: st.DataObject) -> None:
        attempt = self.pick(data, [a for a in self.attempts if a.status == "offered"])
        self.world.sql("UPDATE attempt SET start_by = clock_timestamp() - interval '1 s' WHERE id = :id", attempt.id)
        self.world.sweep(sweeps.lapse_offers)
        settle(attempt, "lost", "give_back")
        self.reached("offer lapsed")

    def lose_all_of(self, node: int, row: str) -> None:
        for attempt in [a for a in self.attempts if a.node == node and a.status in LIVE]:
            settle(attempt, "lost", "retry")
            self.reached(f"{row} -> {attempt.issue.status}")

    @precondition(lambda self: self.live())
    @rule(node=st.integers(0, 1))
    def fall_silent(self, node: int) -> None:
        node_id, _ = self.nodes[node]
        silent = "UPDATE node SET last_heartbeat = clock_timestamp() - interval '301 s' WHERE id = :id"
        self.world.sql(silent, node_id)
        self.world.sweep(sweeps.lose_silent, LEASE)
        self.lose_all_of(node, "silent")
        self.world.sql("UPDATE node SET last_heartbeat = clock_timestamp() WHERE id = :id", node_id)

    @precondition(lambda self: self.live())
    @rule(node=st.integers(0, 1))
    def reboot(self, node: int) -> None:
        self.boots[node] += 1
        self.nodes[node] = self.world.wait_for(self.world.register(node, self.boots[node]))
        self.lose_all_of(node, "new boot")

    @precondition(lambda self: self.live())
    @rule(node=st.integers(0, 1))
    def deregister(self, node: int) -> None:
        self.world.sweep(registering.deregister, self.nodes[node][0])
        self.lose_all_of(node, "deregister")
        self.nodes[node] = self.world.wait_for(self.world.register(node, self.boots[node]))

    @precondition(lambda self: len(self.attempts) > 3 and self.live())
    @rule(node=st.integers(0, 1))
    def delete_node(self, node: int) -> None:
        """Its attempts are nobody's from then on, so the node that takes its place can write to none of them."""
        self.world.sql("DELETE FROM node WHERE id = :id", self.nodes[node][0])
        self.world.sweep(sweeps.lose_silent, LEASE)
        self.lose_all_of(node, "deleted")
        self.nodes[node] = self.world.wait_for(self.world.register(node, self.boots[node]))
        self.world.sql("UPDATE attempt SET node_id = :id WHERE node_id IS NULL", self.nodes[node][0])

    def steer(self, verb: str, issue: Issue) -> AppError | None:
        got = self.world.wait_for(self.world.steer(getattr(lifecycle_verbs, verb), UUID(issue.id)))
        return got if isinstance(got, AppError) else None

    def in_status(self, allowed: set[str]) -> list[Issue]:
        return [issue for issue in self.issues if issue.status in allowed]

    @precondition(lambda self: self.in_status({"processing"} | ({"pending"} if self.cancels < 3 else set())))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        issue = self.pick(data, self.in_status({"processing"}) or self.in_status({"pending"}))
        self.cancels += 1
        assert self.steer("cancel", issue) is None
        self.reached(f"cancel {issue.status}")
        if issue.live is not None:
            issue.live.cancel_asked = True
        else:
            issue.status = "cancelled"

    @precondition(lambda self: any(a.cancel_asked and a.status in LIVE for a in self.attempts))
    @rule()
    def settle_cancels(self) -> None:
        self.world.sql("UPDATE attempt SET cancel_requested_at = cancel_requested_at - interval '61 s'")
        self.world.sweep(sweeps.settle_cancels, timedelta(seconds=60))
        for attempt in self.attempts:
            if attempt.cancel_asked and attempt.status in LIVE:
                settle(attempt, "cancelled", "give_back")
                self.reached("cancel settled")

    @precondition(lambda self: self.in_status(VERBS["requeue"]))
    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        self.queue_again(self.pick(data, self.in_status(VERBS["requeue"])))

    def queue_again(self, issue: Issue) -> None:
        assert self.steer("requeue", issue) is None
        self.reached(f"requeue {issue.status}")
        issue.status, issue.attempt_count, issue.deferred = "pending", 0, issue.not_before_ahead
        for attempt in issue.attempts:
            attempt.burned = False

    @precondition(lambda self: self.in_status(VERBS["merge"]))
    @rule()
    def merge(self) -> None:
        self.decide("merge", "merged")

    @precondition(lambda self: self.in_status(VERBS["reject"]))
    @rule()
    def reject(self) -> None:
        self.decide("reject", "failed")

    def decide(self, verb: str, status: str) -> None:
        issue = self.in_status({"pending_merge"})[0]
        assert self.steer(verb, issue) is None
        issue.status = status
        self.reached(verb)

    @precondition(lambda self: len(self.attempts) % 3 == 1)
    @rule(data=st.data(), verb=st.sampled_from(("cancel", "requeue", "merge", "reject")))
    def steer_wrongly(self, data: st.DataObject, verb: str) -> None:
        issue = self.pick(data, self.issues)
        if issue.status not in VERBS[verb]:
            assert self.steer(verb, issue) is not None
            self.reached(f"{verb} refused")

    @precondition(lambda self: any(i.deferred for i in self.issues))
    @rule()
    def come_due(self) -> None:
        self.world.sql("UPDATE issue SET not_before = clock_timestamp() WHERE not_before > clock_timestamp()")
        for issue in self.issues:
            issue.deferred = issue.not_before_ahead = False
        self.reached("came due")

    @invariant()
    def rows_are_as_the_table_says(self) -> None:
        issues, attempts = self.world.wait_for(self.world.rows())
        assert issues == {
            i.id: (i.status, i.attempt_count, len(i.attempts), i.live.node if i.live else None) for i in self.issues
        }
        assert attempts == {a.id: (a.status, a.adopted, a.entries) for a in self.attempts}


class World:
    """The database, its event loop, and what the histories reached."""

    def __init__(self, runner: asyncio.Runner, url: str) -> None:
        self.wait_for = runner.run
        self.db: Database = runner.run(open_database(url))
        self.settings = Settings(heartbeat_interval=timedelta(seconds=100), secret_keys=("a key of the model test",))
        self.fleet = runner.run(self.assembled())
        self.reached: Counter[str] = Counter()

    async def assembled(self) -> Fleet:
        return fleet.assemble(self.db, self.settings, open_vault(self.settings), Meter())

    async def empty(self) -> None:
        async with self.db.sessions.begin() as session:
            await session.execute(text("DELETE FROM issue"))
            await session.execute(text("DELETE FROM node"))
            await session.execute(
                text("""INSERT INTO "user" (id, email, hashed_password, is_active, is_superuser)
                        VALUES (:id, 'owner@example.com', 'x', true, true) ON CONFLICT DO NOTHING"""),
                {"id": uuid4()},
            )

    async def register(self, node: int, boot: int) -> tuple[UUID, bytes]:
        machine = Register(f"node-{node}", f"machine-{node}", f"boot-{boot}", max_slots=SLOTS)
        async with self.db.sessions.begin() as session:
            node_id, token, _ = await registering.register(session, machine)
        return node_id, digest(token)

    async def add(self, rank: int, max_attempts: int) -> str:
        issue_id = uuid4()
        async with self.db.sessions.begin() as session:
            await session.execute(
                text("""INSERT INTO issue (id, title, rank, max_attempts, owner_id)
                        SELECT :id, 'Fix it', :rank, :max_attempts, id FROM "user" """),
                {"id": issue_id, "rank": rank, "max_attempts": max_attempts},
            )
        return str(issue_id)

    async def claim(self, node: tuple[UUID, bytes], boot: int, most: int) -> list[dict]:
        request = ClaimRequest(node[1], uuid4(), f"boot-{boot}", most)
        (given,) = await claim.flush(self.db.fleet, self.settings, Heads(), [request])
        assert not isinstance(given, AppError), given
        return [json.loads(offer) for offer in given.offers]

    async def turn(self, turn: Turn):
        """The answer, or the code that it was refused with."""
        try:
            return await self.fleet.turns.submit(turn)
        except AppError as refused:
            return refused.code

    async def log(self, node: tuple[UUID, bytes], attempt_id: str, first_seq: int):
        batch = LogBatch(first_seq, [LogEntry("test", StepStatus.RUNNING, output=f"line {first_seq}")])
        try:
            return await self.fleet.logs.submit(Append(node[1], UUID(attempt_id), batch))
        except AppError as refused:
            return refused

    async def steer(self, verb, issue_id: UUID):
        try:
            async with self.db.sessions.begin() as session:
                return await verb(session, issue_id)
        except AppError as refused:
            return refused

    def sweep(self, sweep, *arguments) -> None:
        async def run() -> None:
            async with self.db.sessions.begin() as session:
                await sweep(session, *arguments)

        self.wait_for(run())

    def sql(self, statement: str, row_id: object = None) -> None:
        async def run() -> None:
            async with self.db.sessions.begin() as session:
                await session.execute(text(statement), {} if row_id is None else {"id": UUID(str(row_id))})

        self.wait_for(run())

    async def rows(self) -> tuple[dict, dict]:
        async with self.db.sessions() as session:
            issues = await session.execute(
                text("""SELECT issue.id, issue.status, attempt_count, last_number,
                               CASE WHEN issue.status = 'processing' THEN node.name END
                        FROM issue LEFT JOIN node ON node.id = assigned_node_id""")
            )
            attempts = await session.execute(
                text("""SELECT id, status, adopted, next_seq,
                               (SELECT count(*) FROM workflowlog WHERE attempt_id = attempt.id) FROM attempt""")
            )
            stored = attempts.all()
            assert all(row[3] == row[4] for row in stored)
            return (
                {str(row[0]): (*row[1:4], int(row[4][-1]) if row[4] else None) for row in issues},
                {str(row[0]): tuple(row[1:4]) for row in stored},
            )


def walk_through_every_end(world: World) -> None:
    """Chance prefers some events over others; here every report meets attempts in every state once."""
    for report in REPORTS:
        for state in ("live", "lost", "to be cancelled"):
            table = Table(world)
            table.claim(node=0, most=2)
            for attempt in table.live() if state == "to be cancelled" else ():
                assert table.steer("cancel", attempt.issue) is None
                attempt.cancel_asked = True
            if state == "lost":
                table.fall_silent(node=0)
            for attempt in table.attempts:
                table.report(attempt, report, 0)
                table.rows_are_as_the_table_says()
            for issue in table.in_status(VERBS["requeue"]):
                table.queue_again(issue)
            table.rows_are_as_the_table_says()
    for verb, status in (("merge", "merged"), ("reject", "failed")):
        table = Table(world)
        table.claim(node=0, most=1)
        table.report(table.live()[0], "merge", 0)
        table.decide(verb, status)


def test_every_history_follows_the_state_table(postgres: str, template: str):
    name = f"model_{uuid4().hex[:12]}"
    with asyncio.Runner() as runner:
        runner.run(_admin(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        world = World(runner, at(postgres, name))
        try:
            walk_through_every_end(world)
            run_state_machine_as_test(
                lambda: Table(world),
                settings=settings(
                    max_examples=40,
                    phases=[Phase.generate],
                    stateful_step_count=60,
                    derandomize=True,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(world.db.close())
            runner.run(_admin(postgres, f'DROP DATABASE "{name}" WITH (FORCE)'))
    assert set(world.reached) >= ROWS, f"not reached: {sorted(ROWS - set(world.reached))}; {world.reached}"
