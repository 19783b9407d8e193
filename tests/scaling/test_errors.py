"""A user's mistake is one kind of exception, and a mistyped word is recognised."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaling.errors import ScalingError, suggestion

words = st.text("abcdefgh_", min_size=1, max_size=12)


def test_scaling_error_is_a_value_error() -> None:
    assert issubclass(ScalingError, ValueError)
    assert str(ScalingError("width 0 must be at least 1")) == (
        "width 0 must be at least 1"
    )


def test_one_letter_off_is_recognised() -> None:
    known = ["tokenizers", "transformers", "schedule"]
    assert suggestion("tokenisers", known) == "did you mean 'tokenizers'?"
    assert suggestion("shedule", iter(known)) == "did you mean 'schedule'?"


def test_far_off_lists_all_in_order_of_name() -> None:
    assert suggestion("zzz", ["width", "codebooks"]) == "known: codebooks, width"
    assert suggestion("zzz", []) == "known: "


@given(known=st.lists(words, min_size=1, unique=True), data=st.data())
def test_a_known_word_is_its_own_suggestion(
    known: list[str], data: st.DataObject
) -> None:
    word = data.draw(st.sampled_from(known))
    assert suggestion(word, known) == f"did you mean {word!r}?"


@given(word=words, known=st.lists(words, unique=True))
def test_a_suggestion_is_always_a_known_word(word: str, known: list[str]) -> None:
    answer = suggestion(word, known)
    if answer.startswith("did you mean"):
        assert answer in {f"did you mean {name!r}?" for name in known}
    else:
        assert word not in known
        assert answer == f"known: {', '.join(sorted(known))}"
