from __future__ import annotations

import pytest

from loopwright.passwords import hide_passwords


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://ann:s3cr3t@h/team", "postgresql://ann:***@h/team"),
        ("postgresql://ann:s3/c:r@t@h/team", "postgresql://ann:***@h/team"),
        ("--store=postgres://:s3 cr\n3t@h/team", "--store=postgres://:***@h/team"),
        ("postgresql://h/team?user=ann&Password=s3cr3t&a=b", "postgresql://h/team?user=ann&Password=***&a=b"),
        ("postgresql://h/team?sslpassword=s3cr3t", "postgresql://h/team?sslpassword=***"),
    ],
)
def test_passwords_are_hidden(text: str, expected: str):
    assert hide_passwords(text) == expected


@pytest.mark.parametrize("text", ["postgresql://ann@h:5432/team", "http://h:80/page", "conv2d(co=8)", "a@b:c"])
def test_nothing_else_is(text: str):
    assert hide_passwords(text) == text
