from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasexp.config.yamlfile import plain_scalar, read_scalar, read_text, read_yaml
from nasexp.errors import ConfigError


def test_every_value_knows_its_line_and_column():
    value = read_text("a: 1\nb:\n  c: [x, 2]\n", "f.yaml")

    assert value.child("b.c").origin.exact == "f.yaml:3:6"
    assert value.child("b.c").data[1].origin.exact == "f.yaml:3:10"
    assert value.child("b").key_origin.exact == "f.yaml:2:1"


@pytest.mark.parametrize(
    "word", ["no", "NO", "yes", "on", "off", "y", "010", "22:30", "1_000", "2026-11-24"]
)
def test_words_that_yaml_1_1_would_change_stay_text(word):
    assert read_text(f"a: {word}", "f").child("a").data == word


@pytest.mark.parametrize(
    ("word", "value"),
    [("true", True), ("False", False), ("1e3", 1000.0), ("1e-3", 0.001), ("12", 12), ("-3", -3),
     ("0x1f", 31), ("0o17", 15), (".5", 0.5), ("~", None), ("", None), ("null", None)],
)  # fmt: skip
def test_plain_words_have_the_types_of_yaml_1_2(word, value):
    assert plain_scalar(word) == value
    assert type(plain_scalar(word)) is type(value)


def test_quoted_words_are_always_text():
    assert read_text("a: \"1\"\nb: 'true'", "f").plain() == {"a": "1", "b": "true"}


def test_an_empty_file_is_an_empty_mapping(tmp_path):
    (tmp_path / "f").write_text("# nothing\n")

    assert read_yaml(tmp_path / "f", "f").plain() == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: a: stands twice (first in line 1)"),
        ("a:\n\tb: 1\n", "f.yaml:2:1: a tab; YAML indents with spaces only"),
        ("a: b: c\n", "f.yaml:1:5: a second `: ` in one line; quote the text that holds it"),
        ("- a\n- b\n", "f.yaml:1:1: found a list, expected settings as `key: value`"),
        ("just text\n", "f.yaml:1:1: found 'just text', expected settings"),
        ("a: !!python/object:os.system x\n", "f.yaml:1:4: found the tag"),
        ("a: !custom x\n", "f.yaml:1:4: found the tag"),
        ("base: &b {x: 1}\na:\n  <<: *b\n", "f.yaml:3:3: a key must be one plain word"),
        ("? [a]\n: 1\n", "f.yaml:1:3: a key must be one plain word"),
        ("a: [1\n", "f.yaml:2:1:"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1:"),
    ],
)
def test_a_file_that_is_wrong_is_told_with_its_place(tmp_path, text, message):
    (tmp_path / "f").write_text(text)

    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path / "f", "f.yaml")

    assert caught.value.message.startswith(message)
    assert caught.value.exit_code == 2


def test_an_alias_bomb_is_refused():
    bomb = "a: &a [1,1,1,1,1,1,1,1,1]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True):
        bomb += f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"

    with pytest.raises(ConfigError, match="nested too deeply or too large"):
        read_text(bomb, "f")


def test_a_file_of_another_encoding_is_named(tmp_path):
    (tmp_path / "f").write_bytes(b"a: 1\nb: \xff\n")

    with pytest.raises(ConfigError, match="f.yaml:2: not UTF-8"):
        read_yaml(tmp_path / "f", "f.yaml")


def test_a_byte_order_mark_and_crlf_do_no_harm(tmp_path):
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbfa: 1\r\nb: two\r\n")

    assert read_yaml(tmp_path / "f", "f").plain() == {"a": 1, "b": "two"}


def test_a_value_of_the_command_line_knows_its_flag():
    assert read_scalar("[1, a]", "--set x").plain() == [1, "a"]
    assert str(read_scalar("30m", "--timeout").origin) == "--timeout"
    assert read_scalar("", "--set x").data == ""


@given(st.text(max_size=200))
def test_no_text_makes_anything_but_a_value_or_a_config_error(text):
    try:
        read_text(text, "f")
    except ConfigError as error:
        assert error.message.startswith("f")
