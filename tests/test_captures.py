from pathlib import Path

import pytest

from dailypapers.captures import CaptureError, decode_capture, find_captures, load_capture


def test_folder_means_the_files_in_it(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "README.md", ".hidden", "deeper/c.txt"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
    assert [path.name for path in find_captures([tmp_path])] == ["a.txt", "b.txt"]


def test_file_named_twice_is_found_once(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("x")
    assert find_captures([tmp_path, file, tmp_path / "." / "a.txt"]) == [file]


def test_what_cannot_be_opened_stays_and_says_why(tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.txt", tmp_path / "empty"
    empty.mkdir()
    assert find_captures([missing, empty]) == [missing, empty]
    with pytest.raises(CaptureError, match="no such file; check the path"):
        load_capture(missing)
    with pytest.raises(CaptureError, match="folder without listings"):
        load_capture(empty)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain é\n".encode(), "plain é\n"),
        ("mark é\n".encode("utf-8-sig"), "mark é\n"),
        (b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
        (
            "next line\x85and \u2028 separators stay".encode(),
            "next line\x85and \u2028 separators stay",
        ),
    ],
)
def test_utf8_is_read_without_a_word(content: bytes, text: str) -> None:
    assert decode_capture(content) == (text, [])


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("é\nx".encode("utf-16"), 1, "read as UTF-16-LE"),
        (b"\xfe\xff" + "é\nx".encode("utf-16-be"), 1, "read as UTF-16-BE"),
        ("é\nx".encode("utf-32"), 1, "read as UTF-32-LE"),
        ("x\n\né\n".encode("latin-1"), 3, "not UTF-8 here, so the file was read as Windows-1252"),
        (b"\xef\xbb\xbfx\ny\xff", 2, "not all of it is UTF-8"),
    ],
)
def test_other_encodings_are_read_with_a_warning(content: bytes, line: int, says: str) -> None:
    text, [problem] = decode_capture(content)
    assert "x" in text
    assert (problem.line, problem.severity) == (line, "warning")
    assert problem.message == f"{says}; save the file as UTF-8 to be sure"


@pytest.mark.parametrize("content", [b"", b" \n\t\n", b"\xff\xfe", b"\xef\xbb\xbf\n"])
def test_empty_content_says_so(content: bytes) -> None:
    with pytest.raises(CaptureError, match="the file is empty; save the listing page again"):
        decode_capture(content)


def test_binary_content_says_so_with_its_line() -> None:
    with pytest.raises(CaptureError, match="binary data") as caught:
        decode_capture(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    assert caught.value.line == 2
