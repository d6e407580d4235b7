"""Writes docs/recipes.md, the table of recipes, from the recipes; a test holds that the page is up to date."""

from __future__ import annotations

from pathlib import Path

from loopwright.operators import parse
from loopwright.transformations.recipes import RECIPES, Recipe

PAGE = Path(__file__).parent.parent / "docs" / "recipes.md"
OPERATOR = "conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)"
NEST = parse(OPERATOR).nest()
FACTOR = 2

HEAD = f"""# Recipes

A recipe is a named sequence: an operator that is known from elsewhere, derived by steps. Nothing is coded for any of
them; `src/loopwright/transformations/recipes.py` holds their text, and a test holds every one against the same operator
written in PyTorch. Figures are shares of the {NEST.macs:,} multiply-accumulates and {NEST.parameters:,} parameters of
`{OPERATOR}`, with factor {FACTOR} where there is one. *In the paper* names the steps as the paper does (`int` is
interchange); a recipe of its published code is marked so, because the code differs from the text.

| recipe | operator | in the paper | sequence | MACs | parameters |
| --- | --- | --- | --- | --- | --- |
"""

TAIL = """
Sequences are shown in canonical form: with the `reorder` that a neural step on inner loops stands for. The text of the
paper and its published code number Sequences 1 and 3 the other way round; names here say what is built.

`untie` and `complete=project` are not in the paper: the first gives each iteration of a loop its own weights, as the
published code does for strips of rows; the second makes all output channels from the kept ones by a learned 1x1
convolution, which is counted in the MACs and parameters.
"""


def row(recipe: Recipe) -> str:
    """One line of the table."""
    sequence = recipe.sequence(NEST, FACTOR).canonical(NEST)
    nest = sequence.apply(NEST)
    shares = f"{nest.macs / NEST.macs:.4g} | {nest.parameters / NEST.parameters:.4g}"
    paper = f"`{recipe.paper}`" if recipe.paper else ""
    return f"| `{recipe.label(FACTOR)}` | {recipe.operator} | {paper} | `{sequence}` | {shares} |"


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(map(row, RECIPES.values())) + "\n" + TAIL


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
