"""LaTeX residue into text that people can read and search.

arXiv abstracts are LaTeX; listing pages print them with the dollar signs and some backslashes
gone. pylatexenc does the converting; what stands here is how the pages' half-LaTeX differs
from the real thing.
"""

import logging
import re
from collections.abc import Iterator
from functools import cache

from pylatexenc.latex2text import (
    LatexNodes2Text,
    MacroTextSpec,
    get_default_latex_context_db,
)
from pylatexenc.latexwalker import LatexMacroNode

MAX_LATEX = 20_000
"""Characters; a longer text is no abstract, and converting it would take long."""

_RESIDUE = ("\\", "{", "}", "~", "$", "`", "--")
_FONTS = ["em", "it", "bf", "tt", "sc", "rm", "sl", "sf"]
_PLAIN = ["mathcal", "mathbf", "mathbb", "mathrm", "mathit", "mathsf", "mathfrak", "mathscr"]
_ABBREVIATIONS = {"eg": "e.g.", "ie": "i.e.", "etal": "et al.", "etc": "etc.", "vs": "vs."}
_BRACED = "|".join([*_PLAIN, "sqrt", "frac", "hat", "bar", "tilde", "text"])

# \href{address}{words} was printed as "address{words}", \url{address} likewise. Possessive, so that
# no place is looked at twice: twenty thousand characters of "http://" would take half a second.
_ADDRESS = re.compile(r"((?:https?://|github\.com/)[^\s{}]++)\{([^{}]++)\}")
_ADDRESS_BEGINS = ("http://", "https://", "github.com/")

# What a page's half-LaTeX means in LaTeX, in the order it is applied, where any of the signs occur.
_REPAIRS = [
    # "mathcal{O}": the command lost its backslash, but not its braces
    ("{", re.compile(rf"(?<![\\A-Za-z])(?={_BRACED})([a-z]+\{{)"), r"\\\1"),
    # "an object\'s": an escaped apostrophe, not an acute accent
    ("\\", re.compile(r"\\'(?=s\b)"), "'"),
    # "valued at \1 million": a dollar sign was lost behind its backslash
    ("\\", re.compile(r"\\(?=\d)"), r"\\$"),
    # signs that LaTeX would act on, meant as themselves
    ("%$&", re.compile(r"(?<!\\)([%$&])"), r"\\\1"),
    # "a ~2% drop" says about; in "RTX~5090" the tilde is a blank, as in LaTeX
    ("~", re.compile(r"(?<!\S)~|~(?!\S)"), r"\\textasciitilde{}"),
]
_MATH_WORDS = [
    ("times", re.compile(r"(?<=\d)times\b"), "×"),  # "a 2.3times speedup", from 2.3\times
    ("sim", re.compile(r"\{sim\}|\bsim(?=\d)"), "∼"),  # "cost by sim4times", from \sim4\times
]
_MATH = re.compile(r"\$([^$]{1,200}?)\$")
_LOOKS_MATHEMATICAL = re.compile(r"[\\^_{}=]")

# What LaTeX acts on, and of that what means the same everywhere.
_ACTIVE = re.compile(r"[\\{}~&`]|--|''")
_SIGNS = {
    "---": "—", "--": "–", "``": "“", "''": "”", "~": " ",
    r"\%": "%", r"\$": "$", r"\&": "&", r"\_": "_", r"\#": "#",
}  # fmt: skip
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_DEPTHS = {"{": 1, "}": -1}
_WORD = re.compile(" ?[^ ]+")
_FAR_REACHING = re.compile(r"\\(?:[(\[]|begin|verb)")

_ARGUMENTS = 2
"""Words that a command may be for without braces, as in "\\frac a b"."""

_MAX_RUNS = 50
"""Of a text that are converted by themselves; what follows them is converted as a whole."""

# Control characters, and those that turn round the direction of what follows them.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

logging.getLogger("pylatexenc").setLevel(logging.CRITICAL)  # it warns of each broken \frac


def make_readable(printed: str) -> str:
    """The text without LaTeX, on one line; text without LaTeX only has its blanks collapsed.

    Nothing of it is a control character or changes the direction of the text around it.
    """
    text = printed
    for word, pattern, sign in _MATH_WORDS:
        if word in text:  # few texts hold one, and this is much quicker than the pattern
            text = pattern.sub(sign, text)
    if any(map(text.__contains__, _RESIDUE)) and len(text) <= MAX_LATEX:
        text = _convert_latex(text)
    if text.isprintable() and "  " not in text:  # so that its only white space are single blanks
        return text.strip()
    line = " ".join(text.split())
    return line if line.isprintable() else " ".join(_UNSEEN.sub("", line).split())


def make_title_readable(printed: str) -> str:
    """The title without LaTeX; as printed where nothing else is left of it, and never unseen."""
    title = make_readable(printed)
    if not _is_seen(title):
        title = " ".join(_UNSEEN.sub(" ", printed).split())
    return title if _is_seen(title) else "(a title that cannot be seen)"


def _is_seen(text: str) -> bool:
    return any(sign.isprintable() and not sign.isspace() for sign in text)


def _convert_latex(text: str) -> str:
    latex = _MATH.sub(_drop_math_dollars, text)
    if "{" in latex:
        latex = _ADDRESS.sub(_part_address, latex)
    for signs, pattern, repaired in _REPAIRS:
        if any(map(latex.__contains__, signs)):
            latex = pattern.sub(repaired, latex)
    try:
        return "".join(_convert_runs(" ".join(latex.split())))
    except Exception:  # KeyError, IndexError, RecursionError, …: it is no LaTeX after all
        return text


def _convert_runs(latex: str) -> Iterator[str]:
    """The words on which LaTeX acts as text, and the others as they are: most of an abstract is
    plain, and converting it takes 5 µs a character."""
    end = 0
    runs_left = 0 if _FAR_REACHING.search(latex) else _MAX_RUNS
    while active := _ACTIVE.search(latex, end):
        start = max(latex.rfind(" ", end, active.start()), end)
        yield latex[end:start]
        end = _find_end(latex, start) if runs_left > 0 else len(latex)
        yield _convert_run(latex[start:end])
        runs_left -= 1
    yield latex[end:]


def _find_end(latex: str, start: int) -> int:
    """Where the words end on which LaTeX acts: for their own signs, as part of a group in braces,
    or because they may be what the command before them is for."""
    depth = arguments = 0
    for match in _WORD.finditer(latex, start):
        word = match[0]
        if not (depth or arguments or _ACTIVE.search(word)):
            return match.start()
        arguments = max(arguments - 1, 0)
        for brace in _BRACE.findall(word):
            depth = max(depth + _DEPTHS.get(brace, 0), 0)
        if "\\" in _SIGN.sub("", word):
            arguments = _ARGUMENTS
    return len(latex)


def _convert_run(run: str) -> str:
    """Most runs hold nothing but signs (233 of the API's 271), and a call of the converter takes
    100 µs."""
    if _ACTIVE.search(_SIGN.sub("", run)):
        converted: str = _converter().latex_to_text(run)
        return converted
    return _SIGN.sub(lambda match: _SIGNS[match[0]], run)


def _part_address(match: re.Match[str]) -> str:
    address, words = match.groups()
    if words.startswith(_ADDRESS_BEGINS) and address.endswith(words):
        return address
    return match[0] if words.startswith(("http://", "https://")) else f"{address} ({words})"


def _drop_math_dollars(match: re.Match[str]) -> str:
    """Dollars around mathematics go; those of "$1 to $2" are money and stay."""
    return f"{{{match[1]}}}" if _LOOKS_MATHEMATICAL.search(match[1]) else match[0]


@cache
def _converter() -> LatexNodes2Text:
    context = get_default_latex_context_db()
    context.set_unknown_macro_spec(MacroTextSpec("", simplify_repl=_name_macro))
    own = [MacroTextSpec(name, simplify_repl="%s") for name in [*_PLAIN, "url"]]
    own += [MacroTextSpec(name, simplify_repl=_expand_abbreviation) for name in _ABBREVIATIONS]
    own += [MacroTextSpec(name, simplify_repl="") for name in _FONTS]
    own.append(MacroTextSpec("textasciitilde", simplify_repl="~"))
    context.add_context_category("listing-pages", prepend=True, macros=own)
    return LatexNodes2Text(latex_context=context, math_mode="text", keep_comments=False)


def _name_macro(node: LatexMacroNode) -> str:
    """A command that nobody defined is usually the method's own name ("we propose \\method")."""
    return f"{node.macroname}{node.macro_post_space}"


def _expand_abbreviation(node: LatexMacroNode) -> str:
    return f"{_ABBREVIATIONS[node.macroname]}{node.macro_post_space}"
