"""Transformations that move statement instances: the values computed stay the same."""
