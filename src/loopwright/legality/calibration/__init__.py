"""The calibrated check: proxies at initialisation predict a drop in accuracy, as learnt from trained networks."""

from __future__ import annotations

from loopwright.legality.calibration.check import CalibratedCheck
from loopwright.legality.calibration.predictor import CONFIDENCE, DropPredictor, Prediction
from loopwright.legality.calibration.table import Table, Trained, shipped

__all__ = ["CONFIDENCE", "CalibratedCheck", "DropPredictor", "Prediction", "Table", "Trained", "shipped"]
