"""The written form of encrypted values: one spelling each, bound to one place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.vaults import make_place
from userstream.kernel.sealed import (
    NONCE_BYTES,
    TAG_BYTES,
    WRAPPED_BYTES,
    SealedRecord,
    SealPlace,
    VaultError,
    check_key_id,
    read_base64,
    read_record,
    write_base64,
)

RECORDS = st.builds(
    SealedRecord,
    key_id=st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True),
    wrapped_key=st.binary(min_size=WRAPPED_BYTES, max_size=WRAPPED_BYTES),
    nonce=st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES),
    ciphertext=st.binary(max_size=100),
    tag=st.binary(min_size=TAG_BYTES, max_size=TAG_BYTES),
)
PLACES = st.builds(make_place, st.text(), user=st.text(), venue=st.text(), destination=st.text(), version=st.integers(1, 1000))


@given(RECORDS)
def test_what_is_written_is_read(record: SealedRecord) -> None:
    text = record.write()
    assert text.startswith(f"v1|{record.key_id}|")
    assert read_record(text) == record


@given(RECORDS, st.data())
def test_another_text_is_never_the_same_record(record: SealedRecord, data: st.DataObject) -> None:
    text = record.write()
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(codec="ascii").filter(lambda drawn: drawn != text[place]))
    changed = text[:place] + letter + text[place + 1 :]
    try:
        assert read_record(changed) != record
    except VaultError as error:
        assert changed not in str(error)


@given(st.binary())
def test_base64_has_one_spelling(data: bytes) -> None:
    text = write_base64(data)
    assert read_base64(text) == data
    with pytest.raises(ValueError, match="base64url"):
        read_base64(f"{text}=")


@pytest.mark.parametrize(
    "text", ["", "v1", "v2|k|a|b|c|d", "v1|k|a|b|c", "v1|k|a|b|c|d|e", "v1|K!|a|b|c|d", "v1|k|A|b|c|d", "v1|k|AA|b|c|d"]
)
def test_what_is_no_record_is_told_without_its_text(text: str) -> None:
    with pytest.raises(VaultError) as caught:
        read_record(text)
    assert "|" not in str(caught.value).replace("v1|", "")


def test_a_key_id_is_a_short_word() -> None:
    assert check_key_id("k0-a") == "k0-a"
    for word in ("", "-a", "A", "a" * 33, "a|b", "a\n"):
        with pytest.raises(VaultError):
            check_key_id(word)


@given(PLACES, PLACES, st.text(), st.text())
def test_two_places_or_fields_are_never_bound_alike(one: SealPlace, other: SealPlace, field: str, name: str) -> None:
    assert (one.value_data(field) == other.value_data(name)) is ((one, field) == (other, name))
    same_owner = (one.user, one.account) == (other.user, other.account)
    assert (one.key_data(field) == other.key_data(name)) is (same_owner and field == name)


def test_parts_that_run_into_each_other_stay_apart() -> None:
    assert make_place("b|c", user="a").value_data("f") != make_place("c", user="a|b").value_data("f")
    assert make_place("bc", user="a").value_data("f") != make_place("c", user="ab").value_data("f")
