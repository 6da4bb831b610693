"""What is told of the actions comes from the records themselves."""

from userstream.sim.actions import ACTIONS
from userstream.sim.notes import describe_actions


def test_the_notes_cover_every_action_and_every_field() -> None:
    notes = describe_actions()
    assert set(notes) == set(ACTIONS)
    for name, note in notes.items():
        assert note.meaning.endswith("."), name
        assert set(note.fields) == set(ACTIONS[name].__struct_fields__)
        assert all(field.type for field in note.fields.values())


def test_a_note_tells_type_need_default_and_meaning() -> None:
    notes = describe_actions()
    assert notes["place"].fields["side"].type == "one of buy, sell"
    assert notes["place"].fields["side"].required
    assert notes["silence"].fields["for_s"].type == "decimal or null"
    assert notes["silence"].fields["account"].default == "*"
    assert notes["answer"].fields["headers"].type == "object"
    assert notes["drop"].fields["probability"].meaning == "0 to 1; null: each"
