"""Transformations of loop nests: program transformations move statement instances, neural ones remove some,
mapping ones say what runs them."""

from __future__ import annotations

from loopwright.transformations._base import Transformation
from loopwright.transformations._sequence import Step, TransformationSequence, registered

__all__ = ["Step", "Transformation", "TransformationSequence", "registered"]
