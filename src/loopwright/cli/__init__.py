"""The command line: thin. Commands import what they need when they run, so that ``--help`` is quick."""

from __future__ import annotations
