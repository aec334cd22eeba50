import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailypapers import readable as module
from dailypapers.readable import make_readable


@pytest.mark.parametrize(
    ("printed", "readable"),
    [
        (r"T\"ULU 3", "TÜLU 3"),
        (r"na\"{\i}vely", "naïvely"),
        (r"90\% of 5% and R&D \& more", "90% of 5% and R&D & more"),
        (r"{\em labeled} \textbf{data}", "labeled data"),
        (r"at \url{https://a.example/b_c}.", "at https://a.example/b_c."),
        ("https://a.example/b{https://a.example/b}.", "https://a.example/b."),
        ("https://a.example/b{Page}.", "https://a.example/b (Page)."),
        (r"we propose \method, and \method builds", "we propose method, and method builds"),
        (
            r"quick, \eg, from \eg BERT (\ie, e.g.\ it)",
            "quick, e.g., from e.g. BERT (i.e., e.g. it)",
        ),
        ("S^{2}FT and A^2B", "S^2FT and A^2B"),
        ("mathcal{O}(n)", "O(n)"),
        ("a 2.3times speedup, three times", "a 2.3× speedup, three times"),
        ("RTX~5090, a ~2% drop {x}", "RTX 5090, a ~2% drop x"),
        (r"$\alpha$-VAE and $\gamma_1$ c", "α-VAE and γ_1 c"),
        (r"from $1 to $2 {x}, \$3", "from $1 to $2 x, $3"),
        (r"object\'s", "object's"),
        ("``soft'' -- dash", "“soft” – dash"),
        ("  blanks \t and\u00a0more  ", "blanks and more"),
        ("no LaTeX: 50% of a_b & c", "no LaTeX: 50% of a_b & c"),
        (r"plain words, \textbf word and \frac a b more", "plain words, word and a/b more"),
        (r"a root \sqrt{of one and two} and more", "a root √(of one and two) and more"),
        (r"before \begin{x} all the rest\end{x} after", "before all the rest after"),
        ("", ""),
    ],
)
def test_latex_becomes_text(printed: str, readable: str) -> None:
    assert make_readable(printed) == readable


@pytest.mark.parametrize(
    "hostile", ["{" * 5_000, "\\" * 999, "$" * 999, "{\\a" * 2_000, "{" + "x" * 99_999]
)
def test_hostile_text_is_survived(hostile: str) -> None:
    assert isinstance(make_readable(hostile), str)


PIECES = [*module._SIGNS, "word", "50", "a", ",", " ", "-"]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join))
def test_signs_mean_what_the_parser_takes_them_for(text: str) -> None:
    if not module._ACTIVE.search(module._SIGN.sub("", text)):
        parsed = module._converter().latex_to_text(text)
        assert module._convert_run(text).split() == parsed.split()


RUNS = ["plain", "words of it", r"\emph{two words}", "{x}", r"\method", r"T\"ULU", "a--b", "``q''"]


@given(st.lists(st.sampled_from(RUNS), min_size=1, max_size=150).map(" ".join))
def test_words_are_converted_as_the_whole_text_would_be(text: str) -> None:
    """However many there are: of a text with very many, the rest is converted as a whole."""
    parsed = module._converter().latex_to_text(text)
    assert "".join(module._convert_runs(text)).split() == parsed.split()
