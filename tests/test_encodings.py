"""Encodings: a text in any of them comes out as it was written, or what is doubtful about it is said."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from pathlib import Path

import pytest

from daybreak.data.formats import detection
from daybreak.data.formats.encodings import text_of
from daybreak.data.formats.findings import Findings, Unsuitable
from daybreak.data.sources import Reading, parts

CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy"
TURKISH = "Pijamalı hasta yağız şoföre çabucak güvendi"
HEBREW = "דג סקרן שט בים מאוכזב ולפתע מצא חברה"
ARABIC = "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر"
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю"
GREEK = "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία και το κακό"
THAI = "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน"
JAPANESE = "今日はとても良い天気なので、友達と公園へ散歩に行きました。"
KOREAN = "다람쥐 헌 쳇바퀴에 타고파, 오늘은 날씨가 아주 좋습니다."
CHINESE = "孩子们在公园里的大树下面玩耍，天气很好，大家都很高兴。"
TRADITIONAL = "孩子們在公園裡的大樹下面玩耍，天氣很好，大家都很高興。"
VIETNAMESE = "Tiếng Việt có dấu thanh của chúng ta rất hay"
FRENCH = "Les élèves où l’été a déjà commencé « peut-être » à Nîmes"
POLISH = "Zażółć gęślą jaźń, a potem pójdź do domu"
LITHUANIAN = "Įlinkdama fechtuotojo špaga sublykčiojusi pragręžė apvalų arbūzą"


def written(folder: Path, name: str, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    return path


def read(path: Path) -> tuple[str, str]:
    """The text, and all notes."""
    reading = Reading([path])
    return "".join(document.text for document in reading), "\n".join(reading.notes)


# Without a label


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("iso8859_2", CZECH),
        ("cp1250", CZECH),
        ("cp852", CZECH),
        ("cp1250", POLISH),
        ("iso8859_2", POLISH),
        ("cp1254", TURKISH),
        ("cp1255", HEBREW),
        ("cp1256", ARABIC),
        ("cp866", RUSSIAN),
        ("iso8859_5", RUSSIAN),
        ("koi8_r", RUSSIAN),
        ("cp1251", RUSSIAN),
        ("mac_cyrillic", RUSSIAN),
        ("cp1253", GREEK),
        ("cp737", GREEK),
        ("tis_620", THAI),
        ("iso2022_jp", JAPANESE),
        ("cp932", JAPANESE),
        ("euc_jp", JAPANESE),
        ("euc_kr", KOREAN),
        ("iso2022_kr", KOREAN),
        ("gb18030", CHINESE),
        ("hz", CHINESE),
        ("big5", TRADITIONAL),
        ("cp1257", LITHUANIAN),
        ("cp1252", FRENCH),
        ("mac_roman", FRENCH),
    ],
)
@pytest.mark.parametrize("times", [1, 30])
def test_a_sentence_without_a_label_comes_out_as_it_was(tmp_path: Path, encoding: str, text: str, times: int) -> None:
    whole = f"{text}\n" * times
    found, _ = read(written(tmp_path, "a.txt", whole.encode(encoding)))
    assert found == whole


def test_vietnamese_comes_out_composed(tmp_path: Path) -> None:
    spelled = "Tiê\u0301ng Viê\u0323t co\u0301 dâ\u0301u thanh cu\u0309a chu\u0301ng ta râ\u0301t hay\n" * 9
    assert read(written(tmp_path, "a.txt", spelled.encode("cp1258")))[0] == f"{VIETNAMESE}\n" * 9


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", [CHINESE, CHINESE.replace("，", "").replace("。", ""), RUSSIAN, KOREAN, HEBREW, THAI])
def test_wide_characters_need_no_mark(tmp_path: Path, encoding: str, text: str) -> None:
    for whole in (text, text[:6], f"{text}\n" * 40):
        assert read(written(tmp_path, "a.txt", whole.encode(encoding)))[0] == whole


def test_all_of_a_file_decides(tmp_path: Path) -> None:
    late = "plain words and nothing else\n" * 2600 + f"{FRENCH}\n" * 20
    found, notes = read(written(tmp_path, "a.txt", late.encode("cp1252")))
    assert len(late) > 75_000 and found == late and "windows-1252" in notes and "replaced" not in notes
    for encoding, text in (("koi8_r", RUSSIAN), ("iso2022_jp", JAPANESE), ("hz", CHINESE), ("gb18030", CHINESE)):
        late = "plain words and nothing else\n" * 12_000 + f"{text}\n" * 20
        assert read(written(tmp_path, "b.txt", late.encode(encoding)))[0] == late


@pytest.mark.parametrize("packed", ["gz", "zip"])
def test_all_of_a_packed_file_decides(tmp_path: Path, packed: str) -> None:
    late = "plain words and nothing else\n" * 2600 + f"{CZECH}\n" * 20
    data = late.encode("iso8859_2")
    if packed == "gz":
        data = gzip.compress(data)
    else:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.txt", data)
        data = file.getvalue()
    assert read(written(tmp_path, f"a.txt.{packed}", data))[0] == late


def test_utf_8_with_broken_bytes_stays_utf_8(tmp_path: Path) -> None:
    text = f"{FRENCH}\n" * 50
    for broken in (b"\xff", b"\xe2\x80", b"\xc3\n", b"\x80\x80"):
        for place in (200, 1001, 3000):
            data = text.encode()
            while data[place] & 0xC0 == 0x80:
                place += 1
            data = data[:place] + broken + data[place:]
            found, notes = read(written(tmp_path, "a.txt", data))
            assert found.replace("\ufffd", "") == data.decode("utf-8", "ignore") and "\ufffd" in found
            assert "replaced" in notes and "encoding is" not in notes


def test_a_line_that_is_utf_8_by_chance_is_read_as_the_others_are(tmp_path: Path) -> None:
    text = f"{RUSSIAN}\nсписок\n{RUSSIAN}\n" * 9
    assert len("список".encode("cp866").decode()) == 2
    found, notes = read(written(tmp_path, "a.txt", text.encode("cp866")))
    assert found == text and "different" not in notes


def test_lines_of_two_encodings_come_out_right_and_it_is_said(tmp_path: Path) -> None:
    for first, second in (("utf-8", "cp1252"), ("cp1252", "utf-8")):
        data = f"{FRENCH}\n".encode(first) * 40 + f"{FRENCH}\n".encode(second) * 40
        found, notes = read(written(tmp_path, "a.txt", data))
        assert found == f"{FRENCH}\n" * 80
        assert "its lines are in different encodings: utf-8, windows-1252" in notes
    data = f"{RUSSIAN}\n".encode("cp1251") * 300 + f"{RUSSIAN}\n".encode("koi8-r") * 300
    found, notes = read(written(tmp_path, "a.txt", data))
    assert found == f"{RUSSIAN}\n" * 600
    assert "windows-1251" in notes and "koi8-r" in notes and "doubtful" in notes


def test_a_doubtful_encoding_is_counted_and_names_the_other(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt", f"{POLISH}\n".encode("cp1250") * 9)
    reading = Reading([path])
    assert list(reading) and not reading.findings.doubts
    path = written(tmp_path, "b.txt", b"one \xe5 sign\n")
    reading = Reading([path])
    assert list(reading)
    (doubt,) = reading.findings.doubts
    assert "or else" in doubt and "1 file in a doubtful encoding" in "\n".join(reading.findings.passed_over())


def test_what_reads_like_no_language_is_skipped_and_the_likeliest_are_named(tmp_path: Path) -> None:
    chance = random.Random(0)
    noise = bytes(chance.randrange(128, 256) for _ in range(3000))
    good = written(tmp_path / "folder", "good.txt", b"good words")
    bad = written(tmp_path / "folder", "noise.txt", noise)
    reading = Reading([good, bad])
    assert [document.text for document in reading] == ["good words"]
    assert "text in an unknown encoding (the likeliest are" in reading.notes[0] and "noise.txt" in reading.notes[0]


def test_a_table_and_rows_in_an_old_encoding(tmp_path: Path) -> None:
    table = "id,text\n" + "".join(f"{n},{CZECH}\n" for n in range(40))
    found = list(Reading([written(tmp_path, "a.csv", table.encode("cp1250"))]))
    assert [document.text for document in found] == [CZECH] * 40
    rows = f'{{"text": "{RUSSIAN}"}}\n' * 40
    found = list(Reading([written(tmp_path, "a.jsonl", rows.encode("cp866"))]))
    assert [document.text for document in found] == [RUSSIAN] * 40


def test_text_of_a_mainframe(tmp_path: Path) -> None:
    text = "The quick brown fox jumps over the lazy dog and reads the manual\n" * 20
    assert read(written(tmp_path, "a.txt", text.encode("cp037")))[0] == text


def test_frames_of_box_drawing_are_text(tmp_path: Path) -> None:
    for encoding in ("cp437", "cp850", "cp866"):
        frame = f"╔{'═' * 40}╗\n║ release notes, read them first{' ' * 9}║\n╚{'═' * 40}╝\n{'░' * 42}\n" * 9
        assert read(written(tmp_path, "a.nfo", frame.encode(encoding)))[0] == frame


# With a label


@pytest.mark.parametrize(
    ("label", "data", "text"),
    [
        ("iso-8859-1", b"lawyer\x92s \x97 end", "lawyer’s — end"),
        ("us-ascii", b"lawyer\x92s \x97 end", "lawyer’s — end"),
        ("iso-8859-9", TURKISH.encode("cp1254"), TURKISH),
        ("x-sjis", JAPANESE.encode("cp932"), JAPANESE),
        ("ks_c_5601-1987", "똠방각하 펲시콜라".encode("cp949"), "똠방각하 펲시콜라"),
        ("windows-874", THAI.encode("cp874"), THAI),
        ("iso-8859-8-i", HEBREW.encode("iso8859_8"), HEBREW),
        ("iso-2022-jp", JAPANESE.encode("iso2022_jp"), JAPANESE),
        ("gb2312", "镕基".encode("gbk"), "镕基"),
        ("utf-8", FRENCH.encode(), FRENCH),
        ("utf-16", FRENCH.encode(), FRENCH),
        ("iso-8859-1", FRENCH.encode(), FRENCH),
        ("windows-1251", CHINESE.encode(), CHINESE),
        ("big5", FRENCH.encode(), FRENCH),
        ("utf-8", FRENCH.encode("cp1252"), FRENCH),
        ("iso-8859-1", RUSSIAN.encode("koi8-r"), RUSSIAN),
        ("koi8-r", RUSSIAN.encode("cp1251"), RUSSIAN),
        ("no-such-label", RUSSIAN.encode("cp1251"), RUSSIAN),
        ("gbk", "联通".encode("gbk"), "联通"),
    ],
)
def test_a_label_is_weighed_against_the_bytes(tmp_path: Path, label: str, data: bytes, text: str) -> None:
    head = f'<html><head><meta charset="{label}"></head><body><p>'.encode()
    assert f"<p>{text}</p>" in read(written(tmp_path, "a.html", head + data + b"</p></body></html>"))[0]
    http = f"<html><head><meta http-equiv='Content-Type' content='text/html; charset={label}'></head><p>".encode()
    assert f"<p>{text}</p>" in read(written(tmp_path, "b.html", http + data + b"</p></html>"))[0]
    xml = f"<?xml version='1.0' encoding='{label}'?><a><b>".encode()
    assert text in read(written(tmp_path, "c.xml", xml + data + b"</b></a>"))[0]
    assert text_of(b"<p>" + data + b"</p>", label, "d", Findings()) == f"<p>{text}</p>"


def test_a_label_that_contradicts_the_bytes_is_said(tmp_path: Path) -> None:
    page = f"<html><head><meta charset=koi8-r></head><p>{RUSSIAN}</p></html>".encode("cp1251")
    assert "it says that it is in koi8-r, and reads as windows-1251" in read(written(tmp_path, "a.html", page))[1]


def test_a_text_in_memory_without_a_label(tmp_path: Path) -> None:
    findings = Findings()
    assert text_of(f"{CZECH}\n".encode("iso8859_2") * 9, None, "a", findings) == f"{CZECH}\n" * 9
    assert text_of(b"\xff\xfe" + CHINESE.encode("utf-16-le"), None, "a", findings) == CHINESE
    assert text_of(b"\xef\xbb\xbf" + CHINESE.encode(), "iso-8859-1", "a", findings) == CHINESE
    with pytest.raises(Unsuitable, match="binary"):
        text_of(bytes(range(32)) * 9, None, "a", findings)


# Ranges and speed


def test_the_parts_of_a_big_file_decode_as_the_whole_does(tmp_path: Path) -> None:
    late = "plain words and nothing else\n" * 4000 + f"{CZECH}\n" * 400
    cut = 20_000
    for data in (
        late.encode("iso8859_2"),
        late.encode() + f"{FRENCH}\n".encode("cp1252") * 40,
        late.encode() + b"a\xffb\n" + late.encode(),
        late.encode(),
    ):
        path = written(tmp_path, "a.txt", data)
        shared = parts([path], part_bytes=cut)
        whole = "".join(document.text for document in Reading([path]))
        assert "".join(document.text for part in shared for document in Reading([part])) == whole
        assert (len(shared) > 1) == (whole.encode() == data or "\ufffd" in whole)


def test_the_runner_up_differs_from_the_best() -> None:
    candidates = detection.ranked([f"{FRENCH}\n".encode("cp1252") * 20])
    assert candidates[0].codec == "web-windows-1252" and detection.rivals(candidates) == ()
    assert candidates[0].text.startswith(FRENCH)
    turkish = detection.ranked([b"one \xfd sign\n"])
    others = detection.rivals(turkish)
    assert 0 < len(others) <= 3 and turkish[0].codec not in others


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_ascii_joined_with_wide_characters_is_refused_in_words(tmp_path: Path, encoding: str) -> None:
    """As `>>` of PowerShell makes it."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"The harbour of the town was built of oak and stone, and nobody knew by whom.\n" * 8)
    path.write_bytes(path.read_bytes() + "And nobody knew when it had been begun.\n".encode(encoding) * 8)
    reading = Reading([path])
    assert not list(reading) and "joined with UTF-16" in reading.notes[0]
