"""Own words: what the writer of a message wrote, without quoted messages, signatures, keys and packed files."""

import re
from collections.abc import Iterator

from daybreak.data.formats.findings import Findings

QUOTED = "quoted parts of messages"
_SIGNATURE = "signatures of messages"
_KEYS = "PGP blocks in messages"
_PACKED = "files packed into messages"
_KEY = re.compile(
    r"^-----BEGIN PGP (?P<what>SIGNATURE|MESSAGE|PUBLIC KEY BLOCK|PRIVATE KEY BLOCK)-----.*?"
    r"(?:^-----END PGP (?P=what)-----[ \t]*\n?|\Z)"
    r"|^-----BEGIN PGP SIGNED MESSAGE-----[ \t]*\n(?:[A-Z][a-z]+: [^\n]*\n)*",
    re.S | re.M,
)
_UUENCODED = re.compile(r"^begin [0-7]{3} [^\n]+\n(?:[!-`][ -`]{0,61}\n)+(?:`?\n)?end[ \t]*\n?", re.M)
_QUOTE = re.compile(r"[ \t]{0,3}(?:>|\|>|[A-Z]{1,3}>)")
# The line, or two, that says whom a quote is of.
_SAYS = re.compile(
    r"(?:.*(?:\bwrote|\bwrites|\bsaid|schrieb(?:en)?|a écrit|écrivait|escribió|ha scritto|escreveu|schreef"
    r"|skrev|napisał\(?a?\)?"
    r"|kirjoitti|пишет|писал\(?а?\)?|写道|寫道|のメール|さんは書きました|작성) ?(?::|：|…|\.\.\.)\s*$"
    r"|(?:On|Am|Le|El|Il|Em|Op|Den|在) .{4,160}"
    r"(?:wrote|schrieb|écrit|escribió|scritto|escreveu|schreef|skrev|写道)\s?.{0,60}[:：]\s*$)"
)
_ENDS_SAYING = re.compile(r"[:：….]\s*$")
# A quick look, which most lines do not pass: a sign in front, words of a telephone, or a colon.
_MAY_BEGIN = re.compile(
    r"[ \t]{0,3}(?:[>|\-_=]|[A-Z]{1,3}>)|[SGVE][eonV][nt]|[发從]|Begin |Anfang |[^:：…\n]*(?:[:：…]|\.\.\.)"
)
_BEGINS_SAYING = re.compile(r"(?:On|Am|Le|El|Il|Em|Op|Den|In article|In message|在|>?\s?\d{4}年) ?\S")
# From here on another message is quoted whole.
_ORIGINAL = re.compile(
    r"\s*[-_=]{2,} ?(?:Original Message|Original Appointment|Reply message|Ursprüngliche Nachricht|Message d'origine"
    r"|Mensaje original|Messaggio originale|Mensagem original|Oorspronkelijk bericht|原始邮件|原始郵件"
    r"|邮件原件|回复的原邮件"
    r"|元のメッセージ|원본 메시지|Исходное сообщение) ?[-_=]{2,}\s*$",
    re.I,
)
_FORWARDED = re.compile(
    r"\s*(?:[-_=]{2,} ?(?:Forwarded (?:message|by)|Weitergeleitete Nachricht|Message transféré"
    r"|Mensaje reenviado|转发邮件信息"
    r"|转发的邮件|Forwarded Message).*|Begin forwarded message:|Anfang der weitergeleiteten Nachricht:)\s*$",
    re.I,
)
_HEADER = re.compile(
    r"\s*\*?(?:From|Sent|To|Cc|Date|Subject|Reply-To|Von|Gesendet|An|Datum|Betreff|De|Envoyé|À|Objet|Enviado|Para|Asunto|Da"
    r"|Inviato|A|Oggetto|发件人|发送时间|收件人|抄送|主题|日期|寄件者|寄件日期|收件者|主旨|差出人|送信日時|宛先|件名)\*?\s?[:：]",
)
_RULER = re.compile(r"[_-]{20,}\s*$")
_LIST_FOOTER = re.compile(r".*(?:mailing list\b|To unsubscribe|Unsubscribe:|listinfo)", re.I)
_PHONE = re.compile(
    r"(?:Sent from my |Get Outlook for |Von meinem .{2,20} gesendet|Envoyé de mon |Enviado desde mi "
    r"|发自我的|從我的 ?\w+傳送"
    r"|发送自我的).{0,40}$"
)


def own_words(text: str, findings: Findings, *, forwards: bool) -> str:
    """The text without what others wrote; what is left out is counted. forwards: the message passes another one on,
    so that what stands below its headers is the text.
    """
    for pattern, what in ((_KEY, _KEYS), (_UUENCODED, _PACKED)):
        if "-----BEGIN PGP" in text if pattern is _KEY else "\nend" in text:
            for found in pattern.finditer(text):
                findings.leave_part(what, len(found[0].encode()))
            text = pattern.sub("", text)
    kept = list(_kept(text.split("\n"), findings, forwards=forwards))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _kept(lines: list[str], findings: Findings, *, forwards: bool) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        end = _end_of_part(lines, at, forwards=forwards)
        if end > at:
            what = _SIGNATURE if _is_signature(lines, at) else QUOTED
            findings.leave_part(what, sum(len(one.encode()) + 1 for one in lines[at:end]))
            at = end
            continue
        yield line.rstrip()
        at += 1


def _end_of_part(lines: list[str], at: int, *, forwards: bool) -> int:
    """Where a part that is not the writer's own ends that begins at this line; the line itself: none begins."""
    line = lines[at]
    if not _MAY_BEGIN.match(line) and not (at + 1 < len(lines) and _ENDS_SAYING.search(lines[at + 1])):
        return at
    if _QUOTE.match(line):
        return _after_quote(lines, at)
    if says := _saying(lines, at):
        below = at + says
        while below < len(lines) and not lines[below].strip():
            below += 1
        if below < len(lines) and _QUOTE.match(lines[below]):
            return _after_quote(lines, below)
        return at
    if _is_signature(lines, at):
        end = at + 1
        while end < len(lines) and not (_ORIGINAL.match(lines[end]) or _QUOTE.match(lines[end])):
            end += 1
        return end
    if _FORWARDED.match(line):
        return _after_headers(lines, at + 1)
    original = bool(_ORIGINAL.match(line))
    headers = _after_headers(lines, at + (1 if original or _RULER.match(line) else 0))
    if original or headers - at >= 3:
        return headers if forwards else len(lines)
    return at


def _after_quote(lines: list[str], at: int) -> int:
    """Behind quoted lines, and behind blank ones among them."""
    end = at
    while at < len(lines) and (_QUOTE.match(lines[at]) or not lines[at].strip()):
        at += 1
        end = at if lines[at - 1].strip() else end
    return end


def _saying(lines: list[str], at: int) -> int:
    """How many lines say whom a quote is of: one, or two where a long one is broken."""
    if _SAYS.match(lines[at]):
        return 1
    if at + 1 < len(lines) and _BEGINS_SAYING.match(lines[at]) and _SAYS.match(f"{lines[at]} {lines[at + 1]}"):
        return 2
    return 0


def _after_headers(lines: list[str], at: int) -> int:
    """Behind the headers of a message within another: at least two, else the line itself."""
    start = at
    while at < len(lines) and not lines[at].strip():
        at += 1
    first = at
    while (
        at < len(lines) and lines[at].strip() and (_HEADER.match(lines[at]) or (at > first and lines[at][0] in " \t"))
    ):
        at += 1
    return at if at - first >= 2 else start


def _is_signature(lines: list[str], at: int) -> bool:
    line = lines[at]
    if line in ("-- ", "--\u00a0") or (line.rstrip() == "--" and len(lines) - at <= 12):
        return True
    if _PHONE.match(line):
        return all(not one.strip() for one in lines[at + 1 : at + 2])
    return bool(_RULER.match(line) and at + 1 < len(lines) and _LIST_FOOTER.match(lines[at + 1]))
