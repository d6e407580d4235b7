"""What holds for every operator and every sequence, for at least 500 derivations; ``make soak`` runs 20,000."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.properties.checks import check
from tests.strategies import Derivation, derivations

SHARDS, EXAMPLES = 2, 250


@pytest.mark.parametrize("shard", range(SHARDS))
def test_the_algebra_keeps_its_promises(shard: int) -> None:
    @seed(shard)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(derivations())
    def holds(derivation: Derivation) -> None:
        check(derivation)

    holds()
