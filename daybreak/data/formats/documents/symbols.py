"""Symbols: characters of fonts that have a code of their own, as word processors name them by font and number."""

# The Symbol font from 0x20 on (Adobe, https://www.unicode.org/Public/MAPPINGS/VENDORS/ADOBE/symbol.txt); "\0": none.
_SYMBOL = (
    " !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"
    + "\0" * 33
    + "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪\0〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭"
)
# Of Wingdings, those that lists and forms use.
_WINGDINGS = {
    **{0x22: "✂", 0x28: "☎", 0x2A: "✉", 0x4A: "☺", 0x4C: "☹", 0x6C: "●", 0x6E: "■", 0x6F: "□", 0x71: "❑", 0x75: "◆"},
    **{0x76: "❖", 0x9F: "•", 0xA1: "○", 0xA7: "▪", 0xA8: "◻", 0xAB: "★", 0xD8: "➢", 0xDF: "←", 0xE0: "→", 0xE1: "↑"},
    **{0xE2: "↓", 0xE8: "➔", 0xEF: "⇦", 0xF0: "⇨", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑"},
}


def character(code: int, font: str) -> str:
    """As Unicode has it; empty: unknown."""
    place = code - 0xF000 if 0xF000 <= code <= 0xF0FF else code
    named = font.lower()
    if named.startswith("wingdings"):
        return _WINGDINGS.get(place, "") if named == "wingdings" else ""
    if named.startswith("symbol"):
        found = _SYMBOL[place - 0x20] if 0x20 <= place < 0x20 + len(_SYMBOL) else ""
        return found.replace("\0", "")
    return "" if place != code or not 0x20 <= code < 0x110000 or 0xD800 <= code < 0xF900 else chr(code)
