"""A short storm for every check; `make chaos` runs long ones."""

import pytest
from chaos.run import Wanted, report, storm


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_lost_in_a_short_storm(seed: int):
    # A third of a minute on a busy machine cannot promise the hundred of each that a long run must reach.
    wanted = Wanted(lost=20, stale=10, unanswered=20, snapshots=20, masked=0)
    outcome = await storm(seed, seconds=20, agents=24, stale=wanted.stale)
    verdicts = outcome.verdicts(wanted)
    assert not verdicts, f"{report(seed, outcome, verdicts)}\n{outcome.log}"
