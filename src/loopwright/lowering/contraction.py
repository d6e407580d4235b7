"""Moved to `loopwright.ir.contraction`."""

from loopwright.ir.contraction import Case, Contraction, Dim, OperatorForm, Point

__all__ = ["Case", "Contraction", "Dim", "OperatorForm", "Point"]
