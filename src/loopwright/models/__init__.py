"""Networks: by name or from the user's own code, traced into layers; and the images they are judged on."""

from __future__ import annotations
