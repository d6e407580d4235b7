"""What compiled code is compared with: stock runtimes and autotuners, and what the machine itself can do."""

from __future__ import annotations
