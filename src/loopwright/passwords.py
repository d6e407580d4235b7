"""Addresses without the passwords in them: what may be printed, reported or logged.

>>> hide_passwords("postgresql://ann:s3cr3t@db.example/team")
'postgresql://ann:***@db.example/team'
>>> hide_passwords("postgresql://db.example/team?user=ann&password=s3cr3t")
'postgresql://db.example/team?user=ann&password=***'
"""

from __future__ import annotations

import re

_OF_A_USER = re.compile(r"(://[^:@/]*):.*@", re.DOTALL)
_IN_A_QUERY = re.compile(r"(password=)[^&\s]*", re.IGNORECASE)


def hide_passwords(text: str) -> str:
    """``text`` with ``***`` in place of every password of a URL; what might be one is hidden too."""
    return _IN_A_QUERY.sub(r"\1***", _OF_A_USER.sub(r"\1:***@", text))
