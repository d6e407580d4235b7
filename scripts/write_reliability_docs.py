"""Writes docs/reliability.md from the last soak and the derivation benchmark; a test holds that the page is up to
date."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
PAGE, SOAK, DERIVATION = DOCS / "reliability.md", DOCS / "data" / "soak.json", DOCS / "data" / "derivation.csv"

HEAD = """# Reliability

Every claim of the algebra is checked on drawn cases: hypothesis draws a small operator (any kind of convolution, a linear
layer, a batched product) and up to 8 steps, each from the instances that a transformation itself lists. `make test` holds
500 such derivations, `make soak` 20,000, against these promises (`tests/properties/checks.py`):

| promise | what is compared |
| --- | --- |
| text round-trips | the printed sequence parses to itself, and replayed gives the same nest |
| input unchanged | every nest on the way prints as it did when it was made |
| valid | `ir/verify.py` after every step: schedule, index expressions, positions and domain agree; the completion is sound |
| counts are exact | MACs and parameters of the nest and of the form that is lowered |
| values kept | without neural steps the interpreter gives exactly the untransformed nest's integers, and the operator's key stays |
| shape kept | with neural steps the output's shape stays and every output has a value |
| lowerings agree | where the nest is legal: interpreter, PyTorch module, literal TVM code and scheduled TVM kernel, to 1e-4 of the largest output |

"""

CANARIES = """
## Canaries

A check that never fails proves little, so wrong transformations are kept in the tests, and each must be caught by the check
that is meant for it (`tests/contracts/test_canaries.py`): one that drops an iteration breaks the invariant; one that
reverses a flow dependence is found by the dependence check, with two instances as witness, and shows in the interpreter's
values; one whose completion is off by one breaks the completion check. A dropped iteration is also caught in both
lowerings that start from the operator's form (`tests/lowering/test_agreement.py`).

TVM's own schedule checks are the second opinion on parallel, vectorized and bound loops: where they accept a loop we must
call it legal, and where they refuse one for a dependence we must call it illegal (`tests/lowering/test_tvm_agreement.py`).
"""

COST = """
## What checking costs

Deriving and checking a sequence of 8 steps (`benchmarks/derivation.py`; medians on two cores of an Intel Xeon). To check is
to judge the dependences and to find the operator's form and key, as a search does. The invariant after every step is
checked by isl, in tests only.

| operator | sequence | steps with reorders | derive, ms | derive and check, ms | verify every step, ms |
| --- | --- | ---: | ---: | ---: | ---: |
"""


def soak(summary: dict[str, Any]) -> str:
    """The section on the soak."""
    counts = summary["counts"]
    packages = ", ".join(f"{name} {version}" for name, version in summary["packages"].items())
    kinds = (("operator", "derivations"), ("step", "times taken"), ("steps", "derivations"))
    tables = "\n\n".join(f"| {kind} | {unit} |\n| --- | ---: |\n{_counted(counts, f'{kind} ')}" for kind, unit in kinds)
    return f"""## The last soak

**{counts["derivations"]:,} derivations, {summary["mismatches"]} mismatches**, in {summary["minutes"]} minutes of
{summary["workers"]} processes (Python {summary["python"]}, {packages}). {counts["value-keeping"]:,} had no neural step and
kept every value; {counts["neural"]:,} had at least one. {counts["legal"]:,} were legal and went through all lowerings;
{counts["illegal"]:,} had a mark on a loop that carries a dependence, and were called illegal with a witness.

{tables}
"""


def _counted(counts: dict[str, int], prefix: str) -> str:
    own = ((name.removeprefix(prefix), count) for name, count in counts.items() if name.startswith(prefix))
    return "\n".join(f"| {name} | {count:,} |" for name, count in own)


def derivation() -> str:
    """The rows of the benchmark."""
    with DERIVATION.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    return "".join(f"| `{operator}` | {' | '.join(rest)} |\n" for operator, *rest in rows)


def page() -> str:
    """The whole page."""
    return HEAD + soak(json.loads(SOAK.read_text(encoding="utf-8"))) + CANARIES + COST + derivation()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
