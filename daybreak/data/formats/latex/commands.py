"""Commands of LaTeX, by what becomes of them and of what stands in their braces."""

SECTIONS = frozenset("part chapter section subsection subsubsection title subtitle".split())  # noqa: SIM905
# Nothing of them is text, nor is what stands in their brackets and braces.
DROPPED = frozenset(
    """
    label ref eqref pageref autoref cref Cref nameref vref cite citep citet citealp citealt citeauthor citeyear citenum
    parencite textcite footcite autocite nocite index glossary gls bibliography bibliographystyle addbibresource
    printbibliography includegraphics graphicspath documentclass documentstyle usepackage RequirePackage pagestyle
    thispagestyle pagenumbering setlength addtolength setcounter addtocounter stepcounter refstepcounter newcounter
    newlength newtheorem theoremstyle newenvironment renewenvironment newcommand renewcommand providecommand
    DeclareMathOperator DeclareRobustCommand newcommandx hypersetup lstset geometry vspace hspace vskip hskip rule
    includepdf lstinputlisting verbatiminput inputminted color definecolor colorlet fontsize selectfont linespread
    setstretch addcontentsline addtocontents markboth markright fancyhead fancyfoot fancyhf
    lhead rhead chead lfoot rfoot
    cfoot titleformat titlespacing captionsetup phantom hphantom vphantom hyphenation enlargethispage input include
    subfile import InputIfFileExists usetikzlibrary pgfplotsset tikzset DeclareUnicodeCharacter numberwithin
    setmainfont setsansfont setmonofont newfontfamily selectlanguage setdefaultlanguage setotherlanguage
    foreignlanguage@ thanks email date cmidrule cline hline arraystretch tabcolsep bibitem balance centering
    """.split()  # noqa: SIM905
)
FILES = frozenset(("input", "include", "subfile", "import", "lstinputlisting", "verbatiminput", "inputminted"))
# How many braces follow, of which the last holds the text.
LAST_OF = {
    "href": 2, "textcolor": 2, "colorbox": 2, "fcolorbox": 3, "parbox": 2, "raisebox": 2,
    "multicolumn": 3, "multirow": 3,
    "scalebox": 2, "resizebox": 3, "rotatebox": 2, "foreignlanguage": 2, "texorpdfstring": 2, "adjustbox": 2,
}  # fmt: skip
VERBATIM = frozenset(("verbatim", "verbatim*", "Verbatim", "lstlisting", "minted", "alltt", "code", "spverbatim"))
MATH = frozenset(
    """
    equation align gather multline eqnarray displaymath math alignat flalign dmath split subequations
    """.split()  # noqa: SIM905
)
TABLES = frozenset(("tabular", "tabular*", "tabularx", "tabulary", "longtable", "supertabular", "array", "tblr"))
PICTURES = frozenset(
    ("tikzpicture", "picture", "pspicture", "pgfpicture", "axis", "forest", "circuitikz", "asy", "psmatrix")
)
# Further environments, with how many braces follow their beginning.
ENVIRONMENTS = {
    "minipage": 1, "multicols": 1, "wrapfigure": 2, "wraptable": 2, "list": 2, "tcolorbox": 0, "adjustwidth": 2,
    "subfigure": 1, "subtable": 1, "spacing": 1, "otherlanguage": 1, "otherlanguage*": 1, "columns": 0, "column": 1,
    "longtable": 1, "tabular": 1, "tabular*": 2, "tabularx": 2, "tabulary": 2, "supertabular": 1, "array": 1, "tblr": 1,
}  # fmt: skip
SYMBOLS = {
    "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "aa": "å", "AA": "Å",
    "i": "ı", "j": "ȷ", "dh": "ð", "DH": "Ð", "th": "þ", "TH": "Þ", "S": "§", "P": "¶", "copyright": "©", "dag": "†",
    "ddag": "‡", "pounds": "£", "euro": "€", "texteuro": "€", "textdegree": "°", "textregistered": "®",
    "texttrademark": "™", "textendash": "–", "textemdash": "—", "ldots": "…", "dots": "…", "textellipsis": "…",
    "LaTeX": "LaTeX", "TeX": "TeX", "LaTeXe": "LaTeX2e", "BibTeX": "BibTeX", "textbackslash": "\\", "quad": " ",
    "qquad": " ", "textasciitilde": "~", "textasciicircum": "^", "textbar": "|", "textless": "<", "textgreater": ">",
    "textquoteleft": "‘", "textquoteright": "’", "textquotedblleft": "“", "textquotedblright": "”", "textbullet": "•",
    "guillemotleft": "«", "guillemotright": "»", "og": "« ", "fg": " »", "glqq": "„", "grqq": "“", "enspace": " ",
    "thinspace": " ", "space": " ", "newline": "\n", "linebreak": "\n", "par": "\n\n", "and": ", ",
    "textunderscore": "_",
    "tabularnewline": "\n", "newpage": "\n\n", "clearpage": "\n\n", "pagebreak": "\n\n", "ie": "i.e.", "eg": "e.g.",
}  # fmt: skip
ACCENTS = {
    "`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", '"': "\u0308", "=": "\u0304", ".": "\u0307",
    "u": "\u0306", "v": "\u030c", "H": "\u030b", "c": "\u0327", "k": "\u0328", "r": "\u030a",
    "d": "\u0323", "b": "\u0331",
}  # fmt: skip
