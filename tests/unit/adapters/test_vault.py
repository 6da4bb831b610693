"""Secrets open in one place only, and whatever was changed fails."""

from __future__ import annotations

import itertools
import random
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.vaults import FIRST_KEY, SECOND_KEY, THIRD_KEY, make_place, make_vault
from userstream.adapters.key_ring import KeyRing, id_of
from userstream.adapters.vault import LONGEST_SECRET, AesVault
from userstream.kernel.sealed import SealPlace, VaultError, read_base64, read_record, write_base64
from userstream.kernel.secret import Secret

MUTATIONS = 100_000
FIELDS = ("api_key", "api_secret", "passphrase", "listen_key")
PLACES = [
    make_place(account, user=user, venue=venue, destination=destination, version=version)
    for account, user, venue, destination, version in itertools.product(
        ("alice", "bob"), ("desk", "other"), ("binance-usdm", "binance-spot"), ("", "rest_url=http://127.0.0.1:1"), (1, 2)
    )
]
VALUES = st.text(max_size=200).map(Secret)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1))
def test_what_is_sealed_opens_again_under_one_data_key(values: dict[str, Secret]) -> None:
    vault, place = make_vault(), make_place()
    records = vault.seal(place, values)
    assert {field: vault.open(place, field, record) for field, record in records.items()} == values
    assert len({read_record(record).wrapped_key for record in records.values()}) == 1


def test_the_swap_matrix_opens_on_its_diagonal_alone() -> None:
    vault = make_vault()
    sealed = {
        (place, field): record
        for place in PLACES
        for field, record in vault.seal(place, {field: Secret("same") for field in FIELDS}).items()
    }
    assert len(sealed) == len(PLACES) * len(FIELDS) == 128
    opened = 0
    for (origin, record), (place, field) in itertools.product(sealed.items(), sealed):
        if origin == (place, field):
            assert vault.open(place, field, record) == Secret("same")
            opened += 1
        else:
            with pytest.raises(VaultError):
                vault.open(place, field, record)
    assert opened == len(sealed)


def test_parts_of_two_records_do_not_fit_together() -> None:
    vault, place = make_vault(), make_place()
    one, other = (vault.seal(place, {"api_key": Secret(text)})["api_key"].split("|") for text in ("first", "other"))
    for chosen in itertools.product((0, 1), repeat=4):
        if 0 < sum(chosen) < 4:
            mixed = "|".join([*one[:2], *((one, other)[which][part] for part, which in enumerate(chosen, 2))])
            with pytest.raises(VaultError):
                vault.open(place, "api_key", mixed)


@pytest.mark.slow
def test_every_flipped_bit_of_the_text_fails() -> None:
    vault, place = make_vault(), make_place()
    text = vault.seal(place, {"api_secret": Secret("vF4kQ0-the-secret")})["api_secret"].encode()
    for position, bit in itertools.product(range(len(text)), range(8)):
        changed = bytearray(text)
        changed[position] ^= 1 << bit
        with pytest.raises(VaultError):
            vault.open(place, "api_secret", changed.decode("latin-1"))


@settings(max_examples=300)
@given(VALUES, st.integers(2, 5), st.data())
def test_every_changed_byte_of_every_part_fails(value: Secret, part: int, data: st.DataObject) -> None:
    vault, place = make_vault(), make_place()
    parts = vault.seal(place, {"api_secret": value})["api_secret"].split("|")
    raw = bytearray(read_base64(parts[part]) or b"\0")
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    parts[part] = write_base64(bytes(raw))
    with pytest.raises(VaultError) as caught:
        vault.open(place, "api_secret", "|".join(parts))
    if len(value.reveal()) > 20:
        assert value.reveal() not in "".join(traceback.format_exception(caught.value))


@pytest.mark.slow
def test_a_hundred_thousand_mutations_are_all_rejected() -> None:
    vault, place, chance = make_vault(), make_place(), random.Random(20_260_701)
    sealed = vault.seal(place, {"api_secret": Secret("vF4kQ0-the-secret")})["api_secret"]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_|="
    rejected = 0
    for _ in range(MUTATIONS):
        text = list(sealed)
        for position in chance.sample(range(len(text)), chance.randint(1, 3)):
            text[position] = chance.choice(letters)
        if (changed := "".join(text)) == sealed:
            changed += chance.choice(letters)
        try:
            vault.open(place, "api_secret", changed)
        except VaultError:
            rejected += 1
    assert rejected == MUTATIONS


def test_another_ring_opens_nothing_and_names_the_key_it_lacks() -> None:
    place = make_place()
    record = make_vault(FIRST_KEY).seal(place, {"api_key": Secret("x")})["api_key"]
    with pytest.raises(VaultError, match=id_of(FIRST_KEY)):
        make_vault(SECOND_KEY).open(place, "api_key", record)


def test_a_wrong_key_under_the_right_id_fails_closed() -> None:
    class Liar(KeyRing):
        def key(self, key_id: str) -> bytes:
            return THIRD_KEY

    place = make_place()
    record = make_vault(FIRST_KEY).seal(place, {"api_key": Secret("x")})["api_key"]
    with pytest.raises(VaultError, match="cannot be unwrapped"):
        AesVault(Liar([FIRST_KEY])).open(place, "api_key", record)


def test_a_value_sealed_beside_another_shares_its_data_key() -> None:
    vault, place = make_vault(FIRST_KEY, SECOND_KEY), make_place()
    neighbour = make_vault(FIRST_KEY, seed=2).seal(place, {"api_key": Secret("x")})["api_key"]
    record = vault.seal_beside(place, "listen_key", Secret("pq"), neighbour)
    assert vault.open(place, "listen_key", record) == Secret("pq")
    assert read_record(record).wrapped_key == read_record(neighbour).wrapped_key
    assert vault.key_of(record) == id_of(FIRST_KEY)
    with pytest.raises(VaultError):
        vault.seal_beside(make_place("bob"), "listen_key", Secret("pq"), neighbour)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1))
def test_rewrapping_changes_the_wrapping_alone_and_needs_the_old_key_no_more(values: dict[str, Secret]) -> None:
    place = make_place()
    old = make_vault(FIRST_KEY).seal(place, values)
    both = make_vault(FIRST_KEY, SECOND_KEY, seed=2)
    new = dict(zip(old, both.rewrap(place, old.values()), strict=True))
    only = make_vault(SECOND_KEY, seed=3)
    assert {field: only.open(place, field, record) for field, record in new.items()} == values
    assert {record.split("|")[1] for record in new.values()} == {both.newest_key}
    assert [record.split("|")[3:] for record in new.values()] == [record.split("|")[3:] for record in old.values()]
    assert len({record.split("|")[2] for record in new.values()}) == 1
    assert both.rewrap(place, new.values()) == list(new.values())


def test_rewrapping_in_a_foreign_place_fails() -> None:
    record = make_vault(FIRST_KEY).seal(make_place(), {"api_key": Secret("x")})["api_key"]
    for place in (make_place("bob"), make_place(user="other")):
        with pytest.raises(VaultError):
            make_vault(FIRST_KEY, SECOND_KEY).rewrap(place, [record])


def test_nonces_come_once() -> None:
    vault = AesVault(KeyRing([FIRST_KEY]))
    place = make_place()
    nonces = set()
    for _ in range(2_500):
        for record in map(read_record, vault.seal(place, {"api_key": Secret("x"), "api_secret": Secret("y")}).values()):
            nonces |= {record.nonce, record.wrapped_key[:12]}
    assert len(nonces) == 2_500 * 3


def test_a_secret_that_no_venue_gives_is_refused() -> None:
    with pytest.raises(VaultError, match="longer than any key"):
        make_vault().seal(make_place(), {"api_key": Secret("x" * (LONGEST_SECRET + 1))})


def test_neither_vault_nor_error_shows_a_key() -> None:
    vault = make_vault()
    assert FIRST_KEY.hex() not in repr(vault)
    assert write_base64(FIRST_KEY) not in repr(vault)
    assert vault.newest_key in repr(vault)


def test_places_of_the_matrix_differ() -> None:
    assert len({SealPlace.value_data(place, "x") for place in PLACES}) == len(PLACES)
