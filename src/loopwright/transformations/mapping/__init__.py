"""Transformations that say which parts of a processor run the iterations of a loop."""
