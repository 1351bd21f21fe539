"""Numbers and times as people read them."""

import pytest

from finetune_api.figures import bytes_, count, short_duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (41, "41s"), (161, "2m41s"), (11_220, "3h07m"), (187_200, "2d04h"), (-5, "0s")]
)
def test_short_duration(seconds: float, text: str) -> None:
    assert short_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (950, "950"), (9_800, "9.8 k"), (1.2e6, "1.2 M"), (0.25, "0.25")]
)
def test_count(value: float, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(("value", "text"), [(512, "512 B"), (2048, "2.0 KiB"), (3.5 * 2**30, "3.5 GiB")])
def test_bytes(value: float, text: str) -> None:
    assert bytes_(value) == text
