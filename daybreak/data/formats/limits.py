"""Limits of reading, each with its reason: what is beyond one is passed over and named, and never fills the memory."""

PACKED_RATIO = 1000  # bytes out of one byte packed: text packs 3 to 30 times smaller, a bomb more than a thousand
RATIO_FROM_BYTES = (
    16_000_000  # below this many bytes the ratio does no harm, and short repetitive files have a high one
)
UNPACKED_BYTES = 200_000_000_000  # unpacked from one file: twice what the dump of the English Wikipedia unpacks to
DEPTH = 4  # packed in packed: .jsonl in .zst in .tar in .zip is three, and nothing honest is deeper than four
ROW_BYTES = 16_000_000  # in a row or a field: five times War and Peace
ROW_VALUES = 1_000_000  # in a row of JSON: a Python value takes about 64 bytes, so these fit into the memory of a phone
PAGE_BYTES = 20_000_000  # in a page: the longest that crawls keep is about a megabyte, HTML is parsed whole
HELD_BYTES = 128_000_000  # in a file that must be whole to be read (zip, Parquet, PDF) and is itself packed
XZ_MEMORY_BYTES = 256_000_000  # xz -9 needs 65 MB
ZSTD_WINDOW_BYTES = 1 << 27  # zstd --ultra --long=27, the most that its own tool opens without being told to
MEMBERS = 1_000_000  # files in an archive
PDF_PAGES = 10_000
LICENCES = 1000  # told apart
ROWS_SAID = 100  # ways to read rows, told apart
NAMED_FILES = 5  # in the notes, of each reason; the rest are counted
SNIFFED_BYTES = 1 << 16  # of a file's beginning, for detecting format and encoding
LOOKED_AT_ROWS = 100  # at the beginning, for detecting the column of the text
LOOKED_AT_BYTES = 1 << 20
BLOCK_BYTES = 1 << 18  # read at a time
