"""Capacity scores of networks at initialisation, one file each."""
