"""Errors as text, and back."""

from __future__ import annotations

import pytest

from eventstore.errors import HeadwaterError, NotFound, told


@pytest.mark.parametrize(
    "parts",
    [
        ("it broke", "because\nof two things", "mend it"),
        ("it broke", "", "mend it"),
        ("it broke", "because", ""),
        ("it [really] broke", "", ""),
    ],
)
def test_an_error_that_was_kept_as_text_is_told_again(parts: tuple[str, str, str]) -> None:
    assert told(str(NotFound(*parts))) == parts
    assert told(str(HeadwaterError(*parts))) == parts


def test_the_text_of_any_other_error_is_what_happened() -> None:
    assert told("[Errno 2] no such file\nat all") == ("[Errno 2] no such file\nat all", "", "")
