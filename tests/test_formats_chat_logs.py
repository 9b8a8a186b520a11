"""Chat logs: what messengers write out as plain text; a chat is one document, and other texts stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.data.formats import reader
from daybreak.data.formats.format import Sample
from daybreak.data.sources import Reading


def read(folder: Path, text: str, name: str = "chat.txt") -> tuple[list[str], tuple[str, ...]]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    reading = Reading([path], named=[path])
    return [document.text for document in reading if document.kind == "dialogue"], reading.notes


TOLD = "Ann: Hello Bob!\nBob B: Two lines\nare here\nAnn: ok"
WHATSAPP = [
    ("[12/31/20, 10:15:02] ", "[12/31/20, 10:16:40] "),
    ("[12/31/20, 10:15:02\u202fPM] ", "[12/31/20, 10:16:40\u202fPM] "),
    ("31/12/2020, 22:15 - ", "31/12/2020, 22:16 - "),
    ("31/12/20, 10:15 pm - ", "1/1/21, 10:16 am - "),
    ("31.12.20, 22:15 - ", "31.12.20, 22:16 - "),
    ("31/12/2020 22:15 - ", "31/12/2020 22:16 - "),
    ("31/12/2020 à 22:15 - ", "31/12/2020 à 22:16 - "),
    ("31/12/20 10:15\u00a0p.\u00a0m. - ", "31/12/20 10:16\u00a0p.\u00a0m. - "),
    ("2020/12/31 下午10:15 - ", "2020/12/31 下午10:16 - "),
    ("[2020/12/31 下午10:15:02] ", "[2020/12/31 下午10:16:40] "),
    ("2020-12-31 22:15 - ", "2020-12-31 22:16 - "),
    ("[2020-12-31, 22:15:02] ", "[2020-12-31, 22:16:40] "),
    ("[31.12.2020 klo 22.15.02] ", "[31.12.2020 klo 22.16.40] "),
]


@pytest.mark.parametrize(("one", "two"), WHATSAPP)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_whatsapp_in_many_places_of_the_world(tmp_path: Path, one: str, two: str, end: str) -> None:
    lines = [
        f"{one}Ann: Hello Bob!",
        f"{two}~\u202fBob B: Two lines",
        "are here",
        f"{two}Ann: <Media omitted>",
        f"{two}Ann: ok",
    ]
    texts, notes = read(tmp_path, end.join(lines) + end)
    assert texts == [TOLD]
    assert "a chat of" in notes[0] and "1 of 4 rows skipped: messages without words" in notes[1]


def test_what_whatsapp_says_itself_is_counted(tmp_path: Path) -> None:
    texts, notes = read(
        tmp_path,
        "[12/31/20, 10:15:00] Group: \u200eMessages and calls are end-to-end encrypted.\n"
        "[12/31/20, 10:15:02] Ann: Hello Bob!\n"
        "\u200e[12/31/20, 10:15:03] Ann: \u200eimage omitted\n"
        "[12/31/20, 10:15:04] Bob created the group\n"
        "[12/31/20, 10:15:05] \u202a+1 555 0100\u202c: See: it is 10:15 \u200e<This message was edited>\n",
    )
    assert texts == ["Ann: Hello Bob!\n+1 555 0100: See: it is 10:15"]
    assert any("2 of 5 rows skipped: messages without words" in note for note in notes)
    assert any("1 of 5 rows skipped: system messages" in note for note in notes)


QQ = """消息记录（此消息记录为文本格式，不支持重新导入）

================================================================
消息分组:我的好友
================================================================
消息对象:小明
================================================================

2021-01-01 10:00:00 小明(12345678)
你好！

2021-01-01 10:00:05 【管理员】小 红<hong@qq.com>
第一行
第二行

2021-01-01 10:01:00 小明(12345678)
[图片]

================================================================
消息分组:我的好友
================================================================
消息对象:小刚
================================================================

2021-01-02 9:00:00 小刚
早
"""


def test_qq_with_two_chats(tmp_path: Path) -> None:
    texts, notes = read(tmp_path, QQ)
    assert texts == ["小明: 你好！\n小 红: 第一行\n第二行", "小刚: 早"]
    assert "a chat of QQ" in notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "2023-01-01 10:00:00 '小明'\n你好！\n\n2023-01-01 10:00:05 '小红'\n第一行\n第二行\n\n"
        "2023-01-01 10:00:09 '小明'\n[图片]\n",
        "小明 2023-01-01 10:00:00\n你好！\n小红 2023-01-01 10:00:05\n第一行\n第二行\n"
        "小明 2023-01-01 10:00:09\n[图片]\n",
        "小明(2023-01-01 10:00:00): 你好！\n小红(2023-01-01 10:00:05): 第一行\n第二行\n"
        "小明(2023-01-01 10:00:09): [图片]\n",
        "小明(wxid_1234) 01-01 10:00:00\n你好！\n\n小红(wxid_5678) 01-01 10:00:05\n第一行\n第二行\n",
    ],
)
def test_wechat_as_programs_export_it(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text)[0] == ["小明: 你好！\n小红: 第一行\n第二行"]


def test_line_and_kakao(tmp_path: Path) -> None:
    line = (
        "[LINE] Chat history with Bob B\nSaved on: 2021/01/02 10:00\n\n2021/01/01(金)\n10:00\tAnn\tHello Bob!\n"
        '10:01\tBob B\t"Two lines\nare here"\n10:02\tAnn\t[Sticker]\n10:02\tAnn joined the chat.\n\n'
        "2021/01/02(土)\n10:03\tAnn\tok\n"
    )
    texts, notes = read(tmp_path, line)
    assert texts == [TOLD] and any("rows skipped: messages without words" in note for note in notes)
    kakao = (
        "Bob B 님과 카카오톡 대화\n저장한 날짜 : 2021-01-02 12:00:00\n\n"
        "--------------- 2021년 1월 1일 금요일 ---------------\n"
        "[Ann] [오전 10:00] Hello Bob!\n[Bob B] [오전 10:01] Two lines\nare here\n"
        "[Ann] [오전 10:01] 사진\n[Ann] [오후 1:02] ok\n"
    )
    assert read(tmp_path, kakao)[0] == [TOLD]
    phone = (
        "2021년 1월 1일 오전 10:00\n2021년 1월 1일 오전 10:00, Ann : Hello Bob!\n"
        "2021년 1월 1일 오전 10:01, Bob B : Two lines\nare here\n2021년 1월 1일 오전 10:01, Ann : ok\n"
    )
    assert read(tmp_path, phone)[0] == [TOLD]


def test_irc(tmp_path: Path) -> None:
    irssi = (
        "--- Log opened Fri Jan 01 10:00:00 2021\n10:00 -!- bob [~b@x.org] has joined #a\n10:00 <@ann> Hello Bob!\n"
        "10:01 < bob> See <b> there\n10:02 -!- bob has quit [Quit: bye]\n"
    )
    told = "ann: Hello Bob!\nbob: See <b> there"
    texts, notes = read(tmp_path, irssi)
    assert texts == [told] and any("system messages of a chat" in note for note in notes)
    assert read(tmp_path, "[10:00:00] <ann> Hello Bob!\n[10:01:00] <bob> See <b> there\n[10:02:00] *** bob quit\n")[
        0
    ] == [told]
    weechat = "2021-01-01 10:00:00\t-->\tbob has joined\n2021-01-01 10:00:01\t@ann\tHello Bob!\n"
    assert read(tmp_path, weechat + "2021-01-01 10:00:02\tbob\tSee <b> there\n")[0] == [told]


def test_discord_imessage_zoom_telegram_and_meetings(tmp_path: Path) -> None:
    ruler = "=" * 62
    discord = (
        f"{ruler}\nGuild: A server\nChannel: general / talk\n{ruler}\n\n[01-Jan-21 10:00 AM] Ann#0001\nHello Bob!\n\n"
        "{Attachments}\nhttps://cdn.x.org/a.png\n\n[01-Jan-21 10:01 AM] Bob B#0002\nTwo lines\nare here\n\n"
        "{Reactions}\n👍 (2)\n\n"
        f"[01-Jan-21 10:02 AM] Ann#0001\nok\n\n{ruler}\nExported 3 message(s)\n{ruler}\n"
    )
    texts, notes = read(tmp_path, discord)
    assert texts == [TOLD] and any("attachments and reactions" in note for note in notes)
    imessage = (
        "May 17, 2022  5:29:42 PM\nAnn\nHello Bob!\n\nMay 17, 2022  5:30:11 PM (Read by you after 1 minute)\nBob B\n"
        "Two lines\nare here\nTapbacks:\nLoved by Ann\n\nMay 17, 2022  5:31:11 PM\nAnn\nok\n"
    )
    assert read(tmp_path, imessage)[0] == [TOLD]
    zoom = "10:00:00 From Ann to Everyone:\n\tHello Bob!\n10:01:00 From Bob B to Everyone:\n\tTwo lines\n\tare here\n"
    assert read(tmp_path, zoom + "10:02:00 From  Ann : ok\n")[0] == [TOLD]
    telegram = "Ann, [31.12.20 22:15]\nHello Bob!\n\nBob B, [31.12.20 22:16]\nTwo lines\nare here\n\n"
    telegram += "Ann, [31.12.20 22:17]\nok\n"
    assert read(tmp_path, telegram)[0] == [TOLD]
    teams = "Ann   0:03\nHello Bob!\n\nBob B   0:09\nTwo lines\nare here\n\nAnn   1:00:12\nok\n"
    assert read(tmp_path, teams)[0] == [TOLD]


def test_one_message_is_a_chat_and_pictures_have_words_in_many_languages(tmp_path: Path) -> None:
    assert read(tmp_path, "12/31/20, 10:15 PM - Ann: Hello\n")[0] == ["Ann: Hello"]
    text = "[31.12.20, 22:15:02] Ann: Hallo\n[31.12.20, 22:16:02] Bob: Bild weggelassen\n[31.12.20, 22:17:02] Bob: ja\n"
    assert read(tmp_path, text)[0] == ["Ann: Hallo\nBob: ja"]


PLAIN = {
    "a play": "BIONDELLO: Master, I come.\nTRANIO: Where is he?\n10:00 he comes\nBIONDELLO: There.\n" * 5,
    "a log": "2021-01-01 10:00:00 INFO: started\n2021-01-01 10:00:01 ERROR: failed: 3\n" * 9,
    "a log in brackets": "[2021-01-01 10:00:00] production.ERROR: it failed\n[2021-01-01 10:00:01] local.INFO: ok\n"
    * 9,
    "a log of one program": "[2021-01-01 10:00:00] kernel: it failed\n[2021-01-01 10:00:01] kernel: and again\n" * 9,
    "a log with dashes": "2021-01-01 10:00:00 - WARNING - it failed\n2021-01-01 10:00:01 - INFO - ok: yes\n" * 9,
    "a log without levels": "2021-01-01 10:00:00 started\n2021-01-01 10:00:01 stopped\n" * 9,
    "a diary": "31.12.2020, 22:15\nDear diary, this is what I did: nothing.\n\n1.1.2021, 10:00\nAnd again: nothing.\n",
    "a list of changes": "2021-01-01  Ann  <a@x.org>\n\n\t* a.c: Mended.\n\n2021-01-02  Bob  <b@x.org>\n\n"
    "\t* b.c: Made.\n" * 3,
    "a programme": "News  10:00\nWeather  10:15\nA film  10:30\nSport  12:00\n" * 3,
    "tags": "<p> one\n<b> two\n<p> three\n" * 5,
    "references": "[12] Smith, J.: A title. 10:15-20\n[13] Bob, A.: Another one. 3:4-5\n" * 5,
    "a mention of it": "On 12/31/20 we met.\n[12/31/20, 10:15:02] Ann: was in the log.\n"
    + "Prose goes on here.\n" * 60,
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_only_looks_like_a_chat_stays_as_it_is(name: str) -> None:
    assert reader.recognized(Sample(PLAIN[name].encode(), "f.txt", True))[0].name != "chat log"


def test_a_log_of_any_length_is_read_as_it_streams_by(tmp_path: Path) -> None:
    count = 30_000
    path = tmp_path / "long.txt"
    path.write_text("".join(f"31/12/2020, 22:15 - Name{n % 3}: message number {n}\n" for n in range(count)))
    texts = [document.text for document in Reading([path])]
    assert len(texts) > 10
    assert "".join(texts) == "\n".join(f"Name{n % 3}: message number {n}" for n in range(count))
