"""`make mutants` takes most of an hour; that its changes still apply is seen at once."""

import pytest
from chaos.mutants import MUTANTS, ROOT, Mutant, broken


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_every_mutant_still_changes_its_file_in_one_place(mutant: Mutant):
    assert broken(ROOT, mutant) != (ROOT / mutant.file).read_text()
    assert all((ROOT / test.partition("::")[0]).exists() for test in mutant.tests)
