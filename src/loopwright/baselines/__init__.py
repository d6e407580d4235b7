"""What Loopwright is compared with: stock runtimes and autotuners, timed beside it in one run."""

from __future__ import annotations
