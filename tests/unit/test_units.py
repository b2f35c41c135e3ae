from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasexp.config.units import Duration, FiniteDuration, Money, Rate, Size, clock


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("2h30m", 9000), ("1d", 86400), ("1w2d", 777600), ("0.5h", 1800), ("0s", 0)],
)
def test_durations_are_read_with_their_units(text, seconds):
    assert Duration.parse(text).seconds == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "1:30", "2 h", "h", "30m2h", "2h2h", "-1s", "2H", "1e3s", "never ever", "½h"]
)
def test_anything_else_is_no_duration(text):
    with pytest.raises(ValueError, match="a duration such as"):
        Duration.parse(text)


def test_never_is_endless():
    assert math.isinf(Duration.parse("never").seconds)
    assert "never" in Duration.expected
    assert "never" not in FiniteDuration.expected
    assert FiniteDuration.parse("90s") == FiniteDuration(90)
    with pytest.raises(ValueError, match="a duration such as 90s"):
        FiniteDuration.parse("never")
    assert str(Duration.parse("never")) == "never"


@given(st.integers(min_value=0, max_value=10**8))
def test_a_duration_reads_back_what_it_shows(seconds):
    shown = str(Duration(seconds))

    assert Duration.parse(shown).seconds == seconds


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("500MB", 500_000_000), ("2GiB", 2 << 30), ("0B", 0), ("1.5 kB", 1500), ("5GB", 5 * 10**9)],
)
def test_sizes_are_read_with_their_units(text, size_bytes):
    assert Size.parse(text).size_bytes == size_bytes


@pytest.mark.parametrize("text", ["500", "5 G", "MB", "-1B", "5mb", "1e3B"])
def test_anything_else_is_no_size(text):
    with pytest.raises(ValueError, match="a size such as"):
        Size.parse(text)


def test_sizes_are_shown_short():
    assert [str(Size(n)) for n in (0, 999, 1000, 82_900_000_000)] == ["0B", "999B", "1kB", "82.9GB"]


def test_money_is_decimal_with_a_currency():
    assert Money.parse("12.50 USD") == Money(Decimal("12.50"), "USD")


@pytest.mark.parametrize(
    "text", ["12,50 EUR", "EUR 5", "5 eur", "5", "5 EURO", "1e3 EUR", "NaN EUR"]
)
def test_anything_else_is_no_money(text):
    with pytest.raises(ValueError, match="an amount and a currency"):
        Money.parse(text)


def test_a_rate_costs_by_the_second_without_rounding():
    rate = Rate.parse("45 EUR/h")

    assert rate.cost(Decimal(1)) == Money(Decimal("0.0125"), "EUR")
    assert str(rate) == "45 EUR/h"


@pytest.mark.parametrize("text", ["45", "45 EUR", "EUR/h", "45 EUR/day"])
def test_anything_else_is_no_rate(text):
    with pytest.raises(ValueError, match="a price per hour"):
        Rate.parse(text)


def test_units_compare_by_value_and_kind():
    assert Duration(60) == Duration.parse("1m")
    assert Duration(60) < Duration(61)
    assert Duration(60) != Size(60)
    assert len({Size(1), Size(1)}) == 1


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.44, "0.4 s"), (23, "23 s"), (125, "2:05 min"), (12000, "3:20 h")]
)
def test_clock_shows_a_length_of_time(seconds, shown):
    assert clock(seconds) == shown
