"""The calibrated check: proxies at initialisation predict a drop in accuracy, as learnt from trained networks."""

from __future__ import annotations

from loopwright.legality.capacity.calibrated import CalibratedCheck
from loopwright.legality.capacity.predictor import CONFIDENCE, DropPredictor, Prediction
from loopwright.legality.capacity.table import Table, Trained, shipped

__all__ = ["CONFIDENCE", "CalibratedCheck", "DropPredictor", "Prediction", "Table", "Trained", "shipped"]
