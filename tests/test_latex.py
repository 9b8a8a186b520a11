"""LaTeX: the text without commands, comments, preamble and references; formulas as they are written."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from daybreak.data.formats import reader
from daybreak.data.formats.findings import Findings
from daybreak.data.formats.format import Sample
from daybreak.data.formats.latex.text import latex_text
from daybreak.data.sources import Reading

PAPER = r"""% A comment in front
\documentclass[11pt]{article}
\usepackage[utf8]{inputenc}
\newcommand{\ours}{OurModel\xspace}
\newcommand{\two}[2]{#1 and #2}
\title{On \emph{Words}\thanks{To all.}}
\author{Ann}
\begin{document}
\maketitle
\begin{abstract}
We read text.
\end{abstract}
\section{Introduction}\label{sec:intro}
As shown by~\citet{bob2020} and in Section~\ref{sec:intro}, \ours is 50\% better\footnote{On \textbf{one}
task.} --- ``really''. % a remark
It uses $x^2 + \alpha$ and
\begin{equation}\label{eq:1}
a = b
\end{equation}
% a whole line of comment
for all.

Na\"{\i}ve caf\'e, G\"odel, \c{c}a, \v{S}koda, stra\ss e, \AA ngstr\"om.
\begin{itemize}
\item One \textit{thing}
\item[b)] Two
\end{itemize}
\begin{figure}[t]
\centering
\includegraphics[width=\linewidth]{a.png}
\caption{A picture of \url{https://x.org/a_b}.}
\end{figure}
\begin{tabular}{lr}
\hline
Name & Age \\
Ann & 3 \\ \hline
\end{tabular}
\begin{tikzpicture}
\draw (0,0) -- (1,1);
\end{tikzpicture}
\begin{verbatim}
for % kept \ as it is
\end{verbatim}
\href{https://x.org}{A link} and \verb|a_b|.
\input{more}
\bibliographystyle{plain}
\begin{thebibliography}{9}
\bibitem{bob2020} Bob. Title.
\end{thebibliography}
\end{document}
ignored
"""
TOLD = """On Words

We read text.

Introduction

As shown by and in Section, OurModel is 50% better — “really”. It uses $x^2 + \\alpha$ and
\\begin{equation}
a = b
\\end{equation}
for all.

On one
task.

Naïve café, Gödel, ça, Škoda, straße, Ångström.

- One thing
b) Two

A picture of https://x.org/a_b.

Name\tAge
Ann\t3

for % kept \\ as it is

A link and a_b."""


def test_a_paper(tmp_path: Path) -> None:
    findings = Findings()
    assert latex_text(PAPER, findings) == TOLD
    assert set(findings.parts) == {
        "preambles of LaTeX",
        "comments in LaTeX",
        "pictures drawn in LaTeX",
        "lists of references in LaTeX",
        "parts of LaTeX that stand in other files",
    }
    (tmp_path / "paper.tex").write_text(PAPER)
    reading = Reading([tmp_path / "paper.tex"])
    assert "".join(d.text for d in reading) == f"{TOLD}\n" and "LaTeX; the text is read" in reading.notes[0]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("One.% comment\nTwo.\n\nThree.", "One.Two.\n\nThree."),
        ("One % comment\n\nTwo", "One\n\nTwo"),
        ("100\\% of \\$5 \\& more \\#1 a\\_b \\{c\\}", "100% of $5 & more #1 a_b {c}"),
        ("\\textbf{Bold \\emph{and}} {\\it more}", "Bold and more"),
        ("A \\[ x = 1 \\] B \\( y \\) C $$z$$ D", "A \\[ x = 1 \\] B \\( y \\) C $$z$$ D"),
        ("\\section*{A {nested} title} Text", "A {nested} title\n\nText".replace("{", "").replace("}", "")),
        ("line one\\\\[2pt]\nline two", "line one\n\nline two"),
        ("\\unknown{kept} and \\other[opt]{kept too}", "kept and kept too"),
        ("\\LaTeX{} and \\TeX\\ are", "LaTeX and TeX are"),
        ("\\'{E}cole, \\'ecole, sm\\o rrebr\\o d, \\L\\'od\\'z", "École, école, smørrebrød, Łódź"),
        ("unclosed \\textbf{bold and $math", "unclosed bold and $math"),
        ("\\begin{quote}\nWords.\n\\end{quote}\nAfter", "Words.\n\nAfter"),
        ("中文\\textbf{粗体}。", "中文粗体。"),
    ],
)
def test_smallest_sources(source: str, text: str) -> None:
    assert latex_text(source, Findings()) == text


def test_commands_that_call_themselves_and_deep_braces_end() -> None:
    source = "\\newcommand{\\a}{\\b\\b}\\newcommand{\\b}{\\a\\a}\\begin{document}" + "{" * 9000 + "\\a x" + "}" * 9000
    started = time.perf_counter()
    assert "x" in latex_text(source, Findings())
    latex_text("\\section{" * 9000 + "x", Findings())
    latex_text("\\begin{equation}" * 9000, Findings())
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (PAPER, "paper.tex", "latex"),
        (PAPER, "paper", "latex"),
        ("\\section{A}\nText with \\emph{words}.\n", "part.tex", "latex"),
        ("Just words, saved as tex.\n", "a.tex", "text"),
        ("C:\\begin and \\section are words here.\n" * 3, "a.txt", "text"),
        ("Use \\documentclass{article} in the first line of a file.\n", "a.txt", "text"),
    ],
)
def test_which_texts_are_latex(data: str, name: str, kind: str) -> None:
    assert reader.recognized(Sample(data.encode(), name, True))[0].name == kind
