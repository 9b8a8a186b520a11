"""Charsets: labels are read as browsers read them, and bytes decode as theirs do."""

import codecs

import pytest

from daybreak.data.formats.charsets import of_label, shown

MARKS = b"lawyer\x92s \x97 end"


@pytest.mark.parametrize(
    ("label", "data", "text"),
    [
        ("iso-8859-1", MARKS, "lawyer’s — end"),
        ("latin1", MARKS, "lawyer’s — end"),
        ("us-ascii", MARKS, "lawyer’s — end"),
        ("Latin-1", MARKS, "lawyer’s — end"),
        ("windows-1252", b"a\x81", "a\x81"),
        ("iso-8859-9", b"\x93\xfd\xfe\xf0\x94", "“ışğ”"),
        ("iso-8859-11", b"\x93\xe0\xb8\x94", "“เธ”"),
        ("tis-620", b"\x85\xa1", "…ก"),
        ("shift_jis", b"\x87\x40\xfb\xfc", "①髙"),
        ("x-sjis", b"\x81\x60", "～"),
        ("euc-jp", b"\xad\xa1\xa1\xc1\x8e\xb1", "①～ｱ"),
        ("iso-2022-jp", b"\x1b$B-!\x1b(B-\x1b(I1\x1b(B", "①-ｱ"),
        ("euc-kr", b"\x8c\x63\xb0\xa1", "똠가"),
        ("ks_c_5601-1987", b"\x8c\x63", "똠"),
        ("gb2312", b"\xe9\x46\x80\xa8\xbc", "镕€ḿ"),
        ("big5", b"\xfa\x40\xa3\xe1\xa4\xa4", "𠕇€中"),
        ("windows-1255", b"\xca\xe0", "\u05baא"),
        ("iso-8859-8-i", b"\xf9\xec\xe5\xed", "שלום"),
        ("koi8-u", b"\xae\xbe", "ўЎ"),
        ("x-user-defined", b"\xff", "\uf7ff"),
        ("macintosh", b"\xdb", "€"),
        ("hz-gb-2312", b"~{VPND~}", "中文"),
        ("utf-16", "é".encode("utf-16-le"), "é"),
        ("cp850", b"\x82", "é"),
        (' "UTF8" ', "é".encode(), "é"),
    ],
)
def test_a_label_means_what_browsers_take_it_for(label: str, data: bytes, text: str) -> None:
    codec = of_label(label)
    assert codec is not None and data.decode(codec) == text


@pytest.mark.parametrize("label", ["utf-7", "unicode_escape", "hex", "rot13", "replacement", "iso-2022-cn", "", "中文"])
def test_a_label_of_no_encoding_of_text_is_none(label: str) -> None:
    assert of_label(label) is None


def test_a_label_within_the_text_cannot_mean_utf_16() -> None:
    assert [of_label(label, within=True) for label in ("utf-16", "UTF-16BE", "utf-32")] == ["utf-8"] * 3
    assert of_label("x-user-defined", within=True) == of_label("latin1")


def test_bytes_that_are_in_no_table_are_left_to_whoever_decodes() -> None:
    assert b"a\xff\xfe".decode("web-euc-jp", "replace") == "a\ufffd\ufffd"
    assert b"\xd9".decode("web-windows-1255", "replace") == "\ufffd"
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("web-gb18030")


@pytest.mark.parametrize("codec", ["web-euc-jp", "web-gb18030", "web-big5", "web-iso-2022-jp"])
def test_text_that_comes_byte_by_byte_is_the_same(codec: str) -> None:
    text = "日本 abc 中文\n"
    data = text.encode(codec.removeprefix("web-"))
    decoder = codecs.getincrementaldecoder(codec)()
    parts = [decoder.decode(data[place : place + 1]) for place in range(len(data))]
    assert "".join(parts) + decoder.decode(b"", True) == data.decode(codec) == text


def test_notes_name_a_codec_without_its_prefix() -> None:
    assert (shown("web-windows-1252"), shown("cp949"), shown("iso2022_kr")) == ("windows-1252", "cp949", "iso2022-kr")
