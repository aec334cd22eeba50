"""Values that wait between reading and writing: the same ones come back, wherever they wait."""

import tempfile

import pytest

from dailypapers.records import Records, pack_records

VALUES = [(number, f"text {number}" * (number % 7), None, ("é", 1.5)) for number in range(1_203)]


def test_records_come_back_from_memory_and_from_a_file() -> None:
    packed = pack_records(VALUES)
    with tempfile.TemporaryFile() as file:
        file.write(b"what another left")
        moved = [packed.move_to(file), pack_records(VALUES[:3]).move_to(file)]
        for records, values in [(packed, VALUES), (moved[0], VALUES), (moved[1], VALUES[:3])]:
            assert list(records) == values
            assert [records[place] for place in range(len(records))] == values
        assert (moved[0].content, moved[0].start) == (b"", 17)


def test_nothing_is_packed_as_nothing() -> None:
    assert list(pack_records([])) == []
    with tempfile.TemporaryFile() as file:
        assert list(pack_records([]).move_to(file)) == []


def test_what_is_not_plain_is_refused() -> None:
    with pytest.raises(ValueError, match="unmarshallable"):
        pack_records([Records])
