"""Kinds: what a file is that holds no text for us, told by its first bytes, so that nobody has to guess what is lost.

The signatures are those of the formats' specifications; the table of file(1) has most of them (darwinsys.com/file).
"""

import re

_PICTURE, _SOUND, _VIDEO, _FONT = "picture", "sound", "video", "font"
_PROGRAM, _NUMBERS, _WEIGHTS, _DATABASE, _DISK = "program", "numbers", "weights", "database", "disk"
_SIGNATURES: dict[str, dict[str, bytes]] = {
    _PICTURE: {
        "JPEG": rb"\xff\xd8\xff",
        "PNG": rb"\x89PNG\r\n\x1a\n",
        "GIF": rb"GIF8[79]a",
        "WebP": rb"RIFF.{4}WEBP",
        "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
        "BMP": rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
        "icon": rb"\0\0[\x01\x02]\0[^\0]\0.{3}\0",
        "Photoshop": rb"8BPS\0\x01",
        "HEIF": rb"\0\0\0.ftyp(?:heic|heix|heim|heis|hevc|mif1|msf1)",
        "AVIF": rb"\0\0\0.ftypavi[fs]",
        "JPEG 2000": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
        "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
        "GIMP": rb"gimp xcf ",
        "DjVu": rb"AT&TFORM",
        "metafile": rb"\xd7\xcd\xc6\x9a\0\0|\x01\0\0\0.{36} EMF",
        "OpenEXR": rb"\x76\x2f\x31\x01",
        "DICOM": rb".{128}DICM",
        "DDS": rb"DDS \x7c\0\0\0",
    },
    _SOUND: {
        "MP3": rb"ID3[\x02-\x04]|\xff[\xfa\xfb\xf2\xf3\xe2\xe3][\x10-\xef]",
        "WAV": rb"(?:RIFF|RF64|RIFX).{4}WAVE",
        "FLAC": rb"fLaC\0",
        "Ogg": rb"OggS\0",
        "MIDI": rb"MThd\0\0\0\x06",
        "AIFF": rb"FORM.{4}AIF[FC]",
        "AAC": rb"\xff[\xf0\xf1\xf8\xf9][\x40-\x7f]",
        "M4A": rb"\0\0\0.ftypM4[AB]",
        "AMR": rb"#!AMR",
        "APE": rb"MAC [\x80-\xff]",
        "Sun audio": rb"\.snd\0\0\0",
    },
    _VIDEO: {
        "Matroska or WebM": rb"\x1aE\xdf\xa3",
        "QuickTime": rb"\0\0\0.ftypqt  |.{4}(?:moov|mdat|wide)",
        "MP4": rb"\0\0\0.ftyp",
        "AVI": rb"RIFF.{4}AVI ",
        "MPEG": rb"\0\0\x01[\xb3\xba]|G.{187}G.{187}G",
        "Flash": rb"FLV\x01|[CZ]WS[\x01-\x40].{3}\0",
        "Windows Media": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    },
    _FONT: {
        "TrueType": rb"\0\x01\0\0\0[\x01-\x40]|true\0|ttcf\0",
        "OpenType": rb"OTTO\0",
        "web font": rb"wOF[F2]",
        "PostScript": rb"\x80\x01..\0\0%!",
        "bitmap": rb"\x01fcp",
        "embedded": rb".{34}LP",
    },
    _PROGRAM: {
        "ELF": rb"\x7fELF",
        "Windows": rb"MZ.{0,60}\0",
        "macOS": rb"\xfe\xed\xfa[\xce\xcf]|[\xce\xcf]\xfa\xed\xfe|\xca\xfe\xba\xbe\0\0\0[\x01-\x10]",
        "Java": rb"\xca\xfe\xba\xbe",
        "WebAssembly": rb"\0asm",
        "Android": rb"dex\n0\d\d\0",
        "Python": rb"[\0-\xff]\x0d\r\n.{12}[\x63\xe3]",
        "LLVM": rb"BC\xc0\xde",
    },
    _NUMBERS: {
        "NumPy": rb"\x93NUMPY",
        "HDF5": rb"\x89HDF\r\n\x1a\n",
        "NetCDF": rb"CDF[\x01\x02\x05]",
        "MATLAB": rb"MATLAB 5\.0 MAT-file",
        "GRIB": rb"GRIB.{3}[\x01\x02]",
        "TensorBoard": rb".{8}.{4}\x09.{8}\x1a\rbrain\.Event",
    },
    _WEIGHTS: {
        "safetensors": rb".{3,5}\0{3,5}\{\"",
        "GGUF": rb"GGUF[\x01-\x04]\0\0\0",
        "GGML": rb"lmgg|fmgg|tjgg",
        "fastText": rb"\xba\x16\x4f\x2f",
        "TensorFlow Lite": rb".{4}TFL3",
    },
    _DATABASE: {
        "DuckDB": rb".{8}DUCK",
        "Access": rb"\0\x01\0\0Standard (?:Jet|ACE) DB",
        "LMDB": rb".{16}\xde\xc0\xef\xbe",
        "SQLite log": rb"\x37\x7f\x06[\x82\x83]",
        "SQLite journal": rb"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7",
        "Berkeley DB": rb".{12}(?:\x61\x15\x06\x00|\x62\x31\x05\x00|\x00\x06\x15\x61|\x00\x05\x31\x62)",
        "gdbm": rb"\xce\x9a\x57\x13|\x13\x57\x9a\xce|\xcf\x9a\x57\x13",
        "Stata": rb"<stata_dta>|[\x71-\x73]\x02\x01\0",
        "SPSS": rb"\$FL[23]@\(#\)",
        "SAS": rb"\0{12}\xc2\xea\x81\x60",
        "R": rb"RD[XAB][23]\n|[XAB]\n\0\0\0[\x02\x03]\0",
        "dBase": rb"[\x03\x30\x83\x8b\xf5][\x50-\xc8][\x01-\x0c][\x01-\x1f].{24}\0\0",
        "Outlook": rb"!BDN",
        "Avro": rb"Obj\x01",
        "gettext": rb"\xde\x12\x04\x95|\x95\x04\x12\xde",
        "git": rb"PACK\0\0\0[\x02\x03]|DIRC\0\0\0[\x02-\x04]|\xfftOc",
        "Lucene": rb"\x3f\xd7\x6c\x17",
    },
    _DISK: {
        "SquashFS": rb"hsqs",
        "QEMU": rb"QFI\xfb",
        "VMware": rb"KDMV",
        "VirtualBox": rb"<<< (?:Oracle|Sun|innotek)",
        "Windows": rb"conectix|vhdxfile|MSWIM\0\0\0",
    },
}
_SENTENCES = {
    _PICTURE: "a picture ({name}), not text",
    _SOUND: "a recording ({name}), not text",
    _VIDEO: "a video ({name}), not text",
    _FONT: "a font ({name}), not text",
    _PROGRAM: "a program ({name}), not text",
    _NUMBERS: "an array of numbers ({name}), not text",
    _WEIGHTS: "weights of a model ({name}), not text",
    _DATABASE: "a data file ({name}), which is not read; export its text as JSON, CSV or Parquet",
    _DISK: "an image of a disk ({name}), which is not read",
}
_OTHERS = {
    "a 7z archive, which is not read": rb"7z\xbc\xaf\x27\x1c",
    "a RAR archive, which is not read": rb"Rar!",
    "an RPM package, which is not read": rb"\xed\xab\xee\xdb",
    "a cabinet archive, which is not read": rb"MSCF\0\0\0\0|ISc\(",
    "an LHA archive, which is not read": rb"..-l[hz][0-9ds]-",
    "an ARJ archive, which is not read": rb"\x60\xea.{8}[\0-\x0b]",
    "a xar archive, which is not read": rb"xar!\0",
    "a Kiwix ZIM archive, which is not read; zimdump unpacks it": rb"ZIM\x04",
    "compressed with compress (.Z), which is not read; `gzip -d` unpacks it": rb"\x1f\x9d[\x80-\xff]",
    "compressed with lzip, which is not read; `lzip -d` unpacks it": rb"LZIP[\0\x01]",
    "compressed with lzop, which is not read; `lzop -d` unpacks it": rb"\x89LZO\0\r\n\x1a\n",
    "compressed with Snappy, which is not read; `python -m snappy -d` unpacks it": rb"\xff\x06\0\0sNaPpY",
    "compressed with LZ4 of an old kind, which is not read; `lz4 -d` unpacks it": rb"\x02\x21\x4c\x18",
    "compressed with pack (.z), which is not read; `gzip -d` unpacks it": rb"\x1f\x1e|\x1f\xa0",
    "a pickle of Python, which is never opened": rb"\x80[\x02-\x05][\x95\]}cX\x8c(KUqh\x94GJMN]",
    "an encrypted Parquet file; decrypt it first": rb"PARE",
    "a Feather file of the first version, which is not read; write it anew with pyarrow.feather": rb"FEA1",
    "encrypted": rb"Salted__|\x85[\x01-\x04].\x03|\x8c\x0d\x04",
    "a Kindle book, which is not read; calibre makes an EPUB of it": rb".{60}(?:BOOKMOBI|TEXtREAd)",
    "a help file of Windows, which is not read": rb"ITSF\x03\0\0\0|\x3f_\x03\0",
    "an old Office file or one with a password, which is not read: save it as .docx, .xlsx or .pptx": (
        rb"\xd0\xcf\x11\xe0"
    ),
}
_OF_TEXT = {  # those of which the beginning may be nothing but text
    "a Debian package, which is not read": rb"!<arch>\ndebian-binary",
    "an ar archive, which is not read": rb"!<(?:arch|thin)>\n",
    "a cpio archive, which is not read": rb"07070[12][0-9A-Fa-f]{104}|070707[0-7]{70}",
    "a font (PostScript), not text": rb"%!PS-AdobeFont|%!FontType1",
    "a PostScript file, which is not read: make a PDF of it, as ps2pdf does": rb"%!PS",
    "an array of numbers (FITS), not text": rb"SIMPLE  = {20}T",
    "encrypted": rb"age-encryption\.org/v1\n",
}
_LEAST_BYTES = 4  # of a file that is told by signatures of two bytes
_NO_TEXT = re.compile(rb"[\0-\x08\x0e-\x19\x1c-\x1f]")
_MARK = re.compile(rb"\xff\xfe|\xfe\xff|\0\0\xfe\xff|\xef\xbb\xbf")  # of Unicode text


def _patterns(magics: dict[str, bytes]) -> tuple[tuple[str, re.Pattern[bytes]], ...]:
    return tuple((sentence, re.compile(magic, re.S)) for sentence, magic in magics.items())


_KINDS = _patterns(
    {_SENTENCES[kind].format(name=name): magic for kind, names in _SIGNATURES.items() for name, magic in names.items()}
    | _OTHERS
)
_KINDS_OF_TEXT = _patterns(_OF_TEXT)


def may_hold_more(head: bytes) -> bool:
    """Whether a file that begins so may be an archive, too: a program that unpacks itself, or one of no known kind."""
    what = not_text(head)
    return not what or what.startswith(_SENTENCES[_PROGRAM].partition("{")[0])


def not_text(head: bytes) -> str:
    """What the file is that begins so, as a reason not to read it; empty: nothing of what is known here."""
    if len(head) < _LEAST_BYTES or _MARK.match(head):
        return ""
    kinds = _KINDS_OF_TEXT + (_KINDS if _NO_TEXT.search(head) else ())
    return next((sentence for sentence, magic in kinds if magic.match(head)), "")
