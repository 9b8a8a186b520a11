"""Kinds of chat logs: a record each, with how a message begins, what the system says, and what stands for a picture."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Log:
    """How a messenger writes chats out. Lines that no pattern matches go on with the message before them."""

    name: str
    header: re.Pattern[str]  # where a message begins; groups name (none: the system speaks) and text
    title: re.Pattern[str] | None = None  # in one of the first lines; without it the messages alone must tell
    least_messages: int = 2
    least_share: float = 0.1  # of the lines that are not blank
    least_speakers: int = 1
    text_below: bool = False  # the text is in the lines under the header
    name_below: bool = False  # the speaker is in the line under the header
    system: re.Pattern[str] | None = None  # a line that nobody said
    border: re.Pattern[str] | None = None  # a line between two conversations
    aside: re.Pattern[str] | None = None  # begins lines, up to a blank one, that are no text
    wordless: re.Pattern[str] | None = None  # a whole text that stands for a picture, a call, a deleted message
    edited: re.Pattern[str] | None = None  # what is added to a text
    indented: bool = False  # further lines of a text begin with a tab
    quoted: bool = False  # a text of several lines is in quotes
    around_name: re.Pattern[str] | None = None  # of a speaker's name: numbers, titles

    def plain_name(self, name: str) -> str:
        name = name.strip()
        return (self.around_name.sub("", name).strip() or name) if self.around_name else name


_DATE = r"\d{1,4}[./-] ?\d{1,2}[./-] ?\d{1,4}\.?"
_HALF = r"(?:上午|下午|凌晨|清晨|早上|中午|傍晚|晚上|午前|午後|오전|오후)"
_TIME = rf"(?:{_HALF} ?)?\d{{1,2}}[:.]\d{{2}}(?:[:.]\d{{2}})?(?: ?(?:[AaPp]\.? ?[Mm]\.?|{_HALF}|[صم]))?"
_YEAR_LAST = r"\d{1,2}[./-] ?\d{1,2}[./-] ?\d{2,4}\.?"
_AT = r"(?:(?:à|at|klo|kl\.?|um|às|a las|o|u|в|у) )?"
# A year in front and no comma: a program's log is written so, too.
_WHEN = rf"(?:{_YEAR_LAST}[,،]? |{_DATE}[,،] |{_DATE} (?={_HALF}|kl)|\d{{4}}/\d{{1,2}}/\d{{1,2}} ){_AT}{_TIME}"
_NAMED = r"(?P<name>[^:\n]{1,60}): ?(?P<text>.*)"
_ISO = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?"
_FILES = "jpe?g|png|gif|webp|mp4|3gp|mov|opus|ogg|m4a|aac|mp3|pdf|vcf|docx?|xlsx?|pptx?|zip|apk|was"
_WHATSAPP_WORDLESS = re.compile(
    rf"<[^<>\n]{{3,60}}>|(?:image|video|audio|sticker|GIF|document|Contact card|video note) omitted"
    rf"|\w+ (?:weggelassen|omise?|omitid[oa]|ocultad[oa]|weggelaten|omess[oa])|\w*(?:已忽略|忽略了)"
    rf"|\S[^\n]*\.(?:{_FILES}) (?:\([^()\n]+\)|• [^\n]+)|null|This message was deleted\.?|You deleted this message\.?"
    rf"|Missed (?:voice|video) call(?: at [^\n]*)?|Waiting for this message[^\n]*",
    re.I,
)
_MARKED_MESSAGE = re.compile(
    r"\s?<[^<>\n]{3,40}(?:edited|bearbeitet|editad[oa]|modifié|已编辑|編集)[^<>\n]{0,20}>$", re.I
)
_CHINESE_WORDLESS = re.compile(r"(?:\[[\w一-鿿 ]{1,8}\]\s*)+|撤回了一条消息|你撤回了一条消息")

WHATSAPP = Log(
    name="WhatsApp or Signal",
    least_messages=1,
    header=re.compile(rf"(?:\[(?:{_WHEN})\] |(?:{_WHEN}) [-–] )(?:{_NAMED}|(?P<system>.*))"),
    wordless=_WHATSAPP_WORDLESS,
    edited=_MARKED_MESSAGE,
    around_name=re.compile(r"^~ ?"),
)
SIGNAL = Log(
    name="Signal or WhatsApp",
    header=re.compile(rf"(?:\[{_ISO} {_TIME}\] |{_ISO} {_TIME} [-–] )(?:{_NAMED}|(?P<system>.*))"),
    least_speakers=2,
    least_share=0.2,
    around_name=re.compile(r"^~ ?"),
    wordless=_WHATSAPP_WORDLESS,
    edited=_MARKED_MESSAGE,
)
TELEGRAM_COPIED = Log(
    name="Telegram, as it is copied",
    header=re.compile(
        r"(?P<name>[^\n]{1,60}), \[[\d./ -]{6,12},? \d{1,2}:\d{2}(?::\d{2})?(?: [AP]M)?\]:?\s*(?P<text>.*)"
    ),
    least_messages=1,
    wordless=re.compile(
        r"\[(?:Photo|Video|Sticker|Voice message|File|GIF|Album|In reply to [^\]]+|[^\]]{1,4}Sticker)\]"
    ),
)
QQ = Log(
    name="QQ",
    title=re.compile(r"消息记录|消息分组|消息对象"),
    header=re.compile(rf"{_ISO} (?:{_HALF} ?)?{_CLOCK} (?P<name>\S.{{0,80}})$"),
    text_below=True,
    system=re.compile(r"=+$|消息分组[:：]|消息记录"),
    border=re.compile(r"消息对象[:：]"),
    wordless=_CHINESE_WORDLESS,
    around_name=re.compile(r"^【[^】]*】|[(<][\w@.+-]{4,40}[)>]$"),
)
WECHAT = Log(
    name="WeChat or QQ",
    header=re.compile(
        rf"{_ISO} {_CLOCK}[:：]? +(?P<name>'[^'\n]{{1,60}}'|[^\s':]{{1,60}}|[^\n"
        rf":]{{1,60}}[(<][\w@.+-]{{4,40}}[)>])[:：]?$"
    ),
    text_below=True,
    least_share=0.2,
    wordless=_CHINESE_WORDLESS,
    around_name=re.compile(r"^'|'$|[(<][\w@.+-]{4,40}[)>]$"),
)
NAME_AND_TIME = Log(
    name="WeChat or a meeting",
    header=re.compile(
        rf"(?P<name>[^\s:：][^:：\n]{{0,40}}?)(?:[ \t]+\(?(?:{_ISO}|\d\d-\d\d) {_CLOCK}\)?|\s{{2,}}{_CLOCK})[:：]?\s*$"
    ),
    text_below=True,
    least_share=0.2,
    wordless=_CHINESE_WORDLESS,
    around_name=re.compile(r"[(<][\w@.+-]{4,40}[)>]$"),
)
NAME_WITH_TIME = Log(
    name="WeChat",
    header=re.compile(rf"(?P<name>[^\s:：(（][^:：\n]{{0,40}}?) ?[(（]{_ISO} {_CLOCK}[)）][:：] ?(?P<text>.*)"),
    wordless=_CHINESE_WORDLESS,
)
LINE = Log(
    name="LINE",
    title=re.compile(r"^\[LINE\]"),
    header=re.compile(
        rf"(?:{_HALF} ?)?\d{{1,2}}:\d{{2}}(?: ?[AaPp][Mm])?(?P<by>[\t ])"
        r"(?:(?P<name>(?:(?!(?P=by))[^\t]){1,60})(?P=by)(?P<text>.*)|(?P<system>.*))"
    ),
    quoted=True,
    system=re.compile(rf"{_ISO}(?:\s?[(（]?\w{{1,10}}[)）]?)?$|(?:Saved on|保存日時|儲存日期|保存日期)"),
    wordless=re.compile(r"\[[^\[\]\n]{1,16}\]|☎ .*"),
)
KAKAO = Log(
    name="KakaoTalk",
    title=re.compile(r"카카오톡 대화|KakaoTalk"),
    header=re.compile(r"(?:\[(?P<name>[^\[\]\n]{1,60})\] \[[^\[\]\n]{4,14}\] (?P<text>.*))"),
    system=re.compile(
        r"-{5,}.*-{5,}$|저장한 날짜|Date Saved|.{1,40}님이 .{1,40}(?:들어왔습니다|나갔습니다|초대했습니다)\.?$"
    ),
    wordless=re.compile(r"사진(?: \d+장)?|이모티콘|동영상|삭제된 메시지입니다\.?|Photo|Emoticons?|Video|Sticker"),
)
KAKAO_PHONE = Log(
    name="KakaoTalk on a phone",
    header=re.compile(
        rf"(?:\d{{4}}년 \d{{1,2}}월 \d{{1,2}}일 {_TIME}|[A-Z][a-z]{{2,8}} \d{{1,2}}, \d{{4}},? (?:at )?{_TIME})"
        r"(?:, (?:(?P<name>[^:\n]{1,60}?) : (?P<text>.*)|(?P<system>.*))|$)"
    ),
    wordless=KAKAO.wordless,
)
IRC = Log(
    name="IRC",
    header=re.compile(
        rf"(?:\[?(?:(?:{_ISO}|[A-Z][a-z]{{2}} \d\d)[ T])?{_CLOCK}\]?\s+"
        rf"<[ @+%&~!]?(?P<name>[^<>\s]{{1,32}})>\s(?P<text>.*))"
    ),
    least_messages=2,
    least_share=0.3,
    system=re.compile(
        rf"\[?(?:(?:{_ISO}|[A-Z][a-z]{{2}} \d\d)[ T])?{_CLOCK}\]?\s|\*{{3,}}|-{{3,}} |(?:Session|\*\*\*\*) "
    ),
)
WEECHAT = Log(
    name="IRC, by WeeChat",
    header=re.compile(
        rf"{_ISO} {_CLOCK}\t(?:[@+%&~!]?(?P<name>(?!-->|<--|--|=!=| \*|\*)[^\t]{{1,32}})\t(?P<text>.*)|(?P<system>.*))"
    ),
    least_share=0.3,
)
DISCORD = Log(
    name="Discord",
    title=re.compile(r"^(?:Guild|Server|Channel): "),
    header=re.compile(r"\[\d[\w./: -]{8,24}\] (?P<name>[^\n]{1,60}?)(?:#\d{4})?(?: \(pinned\))?$"),
    text_below=True,
    system=re.compile(r"=+$|(?:Guild|Server|Channel|Topic|After|Before): |Exported [\d,.]+ message"),
    aside=re.compile(r"\{(?:Attachments|Reactions|Embed|Stickers)\}"),
    wordless=re.compile(r"Joined the server\.|Pinned a message\.|Started a call[^\n]*"),
)
IMESSAGE = Log(
    name="iMessage",
    header=re.compile(r"(?P<name>)[A-Z][a-z]{2} \d{1,2}, \d{4} +\d{1,2}:\d{2}:\d{2} [AP]M(?: \(.*\))?$"),
    text_below=True,
    name_below=True,
    aside=re.compile(r"Tapbacks:|Stickers?\sfrom\s"),
    wordless=re.compile(r"(?:attachments|Attachments|/)[^\n]*\.\w{2,5}"),
)
ZOOM = Log(
    name="Zoom",
    header=re.compile(
        rf"{_CLOCK}\s+From\s+(?P<name>[^:\n]{{1,60}}?)(?:\s+[Tt]o\s+[^:\n]{{1,60}}?)?\s*:\s*(?P<text>.*)"
    ),
    least_messages=1,
    indented=True,
)

LOGS = (
    LINE,
    QQ,
    KAKAO,
    DISCORD,
    WHATSAPP,
    SIGNAL,
    KAKAO_PHONE,
    TELEGRAM_COPIED,
    ZOOM,
    WEECHAT,
    IRC,
    NAME_WITH_TIME,
    WECHAT,
    NAME_AND_TIME,
    IMESSAGE,
)
