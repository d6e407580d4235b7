"""Transformations that remove statement instances: the operator changes, its shapes stay."""
