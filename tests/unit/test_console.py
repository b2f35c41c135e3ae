from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasexp.runs.console import ConsoleLog, printable


def test_the_log_goes_on_where_it_ends(tmp_path):
    log = ConsoleLog(tmp_path / "log.log")
    log.append(b"one\n\xff\x00")
    log.close()
    log = ConsoleLog(tmp_path / "log.log")

    assert log.offset == 6
    log.append(b"two")
    log.close()
    assert (tmp_path / "log.log").read_bytes() == b"one\n\xff\x00two"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b[2J\x1b[Hx", "x"),
        (b"10%\r50%\r100%\n", "100%\n"),
        (b"a\r\nb\r\n", "a\nb\n"),
        (b"bell\x07 back\x08", "bell back"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        ("\x9b31m c1".encode(), "31m c1"),
        (b"tab\tkept", "tab\tkept"),
    ],
)
def test_what_is_shown_has_no_control_codes(data, text):
    assert printable(data) == text


@given(st.binary(max_size=300))
def test_nothing_that_is_shown_moves_the_cursor(data):
    text = printable(data)

    assert all(c in "\n\t" or (ord(c) >= 32 and not 0x7F <= ord(c) <= 0x9F) for c in text)
