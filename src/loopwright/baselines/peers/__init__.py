"""The participants of a benchmark, one file a runtime; adding a file with a `Participant` registers it.

Their files import the runtimes inside functions only: whoever lists the participants has installed none of them.
"""

from __future__ import annotations
