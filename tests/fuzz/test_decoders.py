"""Whatever arrives, a decoder answers with valid events or `Unrecognized`, and never raises. Over all venues of the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.domain.events import Event, Unrecognized, public_form
from userstream.kernel.ids import AccountId, Millis
from userstream.venues import REGISTRY
from userstream.wire.venue import VenueSpec

GOLDEN: Final = Path(__file__).resolve().parent.parent / "golden"
RECEIVED: Final = Millis(1_790_000_009_999)
ODD: Final = (
    *(b"NaN", b"Infinity", b"-0", b"1e999999999", b"null", b"true", b"[]", b"{}", b'""', b"9" * 400, b"0.1e-400", b'"1e-999999"'),
    *(b"\xff", b"\x00", b'"\\ud800"', b"{" * 50, b"[" * 50, b'{"e":"', b',"e":1', b"\xef\xbb\xbf"),
)

venues = pytest.mark.parametrize("spec", REGISTRY.values(), ids=REGISTRY.keys())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


class Case(msgspec.Struct):
    frame: msgspec.Raw


class GoldenFile(msgspec.Struct):
    cases: list[Case]


def golden_frames(spec: VenueSpec) -> list[bytes]:
    paths = sorted((GOLDEN / spec.name.replace("-", "_")).glob("*.json"))
    return [bytes(case.frame) for path in paths for case in msgspec.json.decode(path.read_bytes(), type=GoldenFile).cases]


FRAMES: Final = {name: golden_frames(spec) for name, spec in REGISTRY.items()}


def read(spec: VenueSpec, frame: bytes) -> tuple[Event, ...]:
    """Decodes, and checks that what came out can be kept, compared and shown."""
    decoder = spec.make_decoder(AccountId("alice"))
    events = decoder.decode(frame, RECEIVED)
    for event in events:
        assert (event.account, event.venue, event.received_time) == ("alice", spec.name, RECEIVED)
        assert json.dumps(public_form(event), default=str, allow_nan=False)
        assert msgspec.json.decode(msgspec.json.encode(event), type=type(event)) == event
        if isinstance(event, Unrecognized):
            assert event.sample.isprintable() and event.name.isprintable() and len(event.sample) <= 200
    told = sum(isinstance(event, Unrecognized) for event in events)
    assert (told > 0) == bool(decoder.drift)
    return events


@venues
@given(frame=st.binary(max_size=400))
def test_garbage_is_unrecognized(spec: VenueSpec, frame: bytes) -> None:
    assert [type(event) for event in read(spec, frame)] == [Unrecognized]


@venues
@given(value=json_values)
def test_any_json_is_read_or_unrecognized(spec: VenueSpec, value: object) -> None:
    read(spec, json.dumps(value).encode())


@venues
@given(data=st.data())
def test_a_cut_frame_is_unrecognized(spec: VenueSpec, data: st.DataObject) -> None:
    frame = data.draw(st.sampled_from(FRAMES[spec.name]))
    cut = frame[: data.draw(st.integers(0, len(frame) - 1))]
    assert [type(event) for event in read(spec, cut)] == [Unrecognized]


@venues
@given(data=st.data())
def test_mutated_frames_never_raise(spec: VenueSpec, data: st.DataObject) -> None:
    frame = bytearray(data.draw(st.sampled_from(FRAMES[spec.name])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame)))
        until = data.draw(st.integers(at, min(at + 12, len(frame))))
        frame[at:until] = data.draw(st.sampled_from(ODD) | st.binary(max_size=6))
    read(spec, bytes(frame))


@venues
@given(data=st.data())
def test_frames_with_any_values_never_raise(spec: VenueSpec, data: st.DataObject) -> None:
    """Every place of a good message, in turn, with a value of any kind."""
    message = json.loads(data.draw(st.sampled_from(FRAMES[spec.name])))
    holder, place = data.draw(st.sampled_from(list(places(message))))
    holder[place] = data.draw(json_values)
    read(spec, json.dumps(message).encode())


def places(value: object) -> list[tuple[dict[str, object], str]]:
    found: list[tuple[dict[str, object], str]] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += [(value, key), *places(inner)]
    elif isinstance(value, list):
        found += [place for inner in value for place in places(inner)]
    return found


@venues
@given(frames=st.lists(st.binary(max_size=12), max_size=30), chosen=st.data())
def test_one_decoder_reads_a_stream_with_rubbish_in_it(spec: VenueSpec, frames: list[bytes], chosen: st.DataObject) -> None:
    """Nothing that came before changes what a frame means."""
    decoder = spec.make_decoder(AccountId("alice"))
    for frame in frames:
        decoder.decode(frame, RECEIVED)
    frame = chosen.draw(st.sampled_from(FRAMES[spec.name]))
    assert decoder.decode(frame, RECEIVED) == spec.make_decoder(AccountId("alice")).decode(frame, RECEIVED)
