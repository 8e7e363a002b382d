"""Cleaning transcripts of the wild: what goes, what stays, and that cleaning twice is cleaning once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniaudio_schemas.errors import UsageError

from uniaudio.text.cleaning import KINDS, POLICIES, Cleaned, CleaningPolicy, clean_transcript

MARKS = (
    "<unk>|[NOISE]|(inaudible)|<b>|</b>|&amp;|&amp;lt;|lt;|#|39;|&|;|“|’|ﬁ|\ufeff|\u2028|\u200d|((x))|((|))|A:|SPEAKER_01:|>>|♪"
    "|*sighs*|*|%uh|{uh}|wor-|-|<COMMA>|<PERIOD>|.|,|!|SIL|!SIL|SPN|[|]|(|)|{|}|<|>|laughter|hello|你好|\n|\t| ||[sic]"
)
pieces = st.sampled_from(MARKS.split("|"))
texts = st.lists(pieces, max_size=12).map("".join) | st.text(max_size=30)
policies = st.frozensets(st.sampled_from(KINDS)).map(lambda kinds: CleaningPolicy(kinds=kinds))


def cleaned(text: str) -> Cleaned:
    return clean_transcript(text, POLICIES["standard"])


@given(texts, policies | st.sampled_from([POLICIES["standard"], POLICIES["none"]]))
def test_cleaning_twice_is_cleaning_once(text: str, policy: CleaningPolicy) -> None:
    once = clean_transcript(text, policy)
    again = clean_transcript(once.text, policy)
    assert (again.text, again.changes) == (once.text, {})


@given(texts)
def test_the_policy_none_changes_nothing(text: str) -> None:
    assert clean_transcript(text, POLICIES["none"]) == Cleaned(text=text, original=text)


@given(texts)
def test_a_change_is_counted_and_the_original_kept(text: str) -> None:
    found = cleaned(text)
    assert found.original == text
    assert found.changes or found.text == text
    assert found.text == found.text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "I <3 you",
        "3 < 5 and 7 > 6",
        "AT&T and R&D &copy that, fish&notit; rest",
        "e.g. (really), or (of the Ring) and (foreign policy)",
        "if (a[i] < b && c > d) { x = y[0]; } // ((a + b) * c)",
        "vector<int> in <stdio.h>, x >> 2, 2 * 3 * 4, *really*",
        "pre- and post-war, C# is #1, 100 % of",
        "Note: it is 5: 30. WARNING: do not.",
        "SPN and NSN are parties",
        "今天天气很好。“你好”",
        "می\u200cخواهم",
        "👨\u200d👩\u200d👧 family",
        "Quoi ? Non !",
        "«Ja», sagte er … so",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert cleaned(text) == Cleaned(text=text, original=text)


@pytest.mark.parametrize(
    ("text", "expected", "kind"),
    [
        ("well [laughter], yes [NOISE]", "well, yes", "event"),
        ("[Laughter]. Yes. [door slams]. No", "Yes. No", "event"),
        ("{laugh} a (APPLAUSE) b *sighs* c <soft music> d #noise e [Musik][音楽]", "a b c d e", "event"),
        ("!SIL hello !SIL", "hello", "event"),
        ("so [laughter-yeah] then", "so yeah then", "event"),
        ("a <unk> b (inaudible) [?] (( )) c", "a b c", "unknown_word"),
        ("one <COMMA> two <PERIOD> three <QUESTIONMARK>", "one, two. three?", "punctuation_tag"),
        ("<b>bold</b><br/>and <font color='red'>red</font> <v Ann>hi</v>{\\an8}", "bold and red hi", "markup"),
        ("AT&amp;T it&#39;s &amp;lt;3", "AT&T it's <3", "entity"),
        ("it’s “ﬁne” rock´n", "it's \"fine\" rock'n", "typography"),
        ("\ufeffa\u200bb\u00adc\u200dd", "abcd", "invisible"),
        ("a\u2028b\u00a0 c\n", "a b c", "whitespace"),
        ("I (( think so )) ((maybe))", "I think so maybe", "uncertain"),
        (">> JOHN: hi. >> No", "hi. No", "speaker_label"),
        ("A: hi\nSPEAKER_01: ho\n[Speaker 2]: hey", "hi ho hey", "speaker_label"),
        ("hm [noise]\nB: hi", "hm hi", "speaker_label"),
        ("♪ la la ♪", "la la", "music_note"),
        ("%uh well {UM} so", "uh well UM so", "hesitation_mark"),
        ("he go [sic] home", "he go home", "editorial"),
    ],
)
def test_what_is_no_word_goes(text: str, expected: str, kind: str) -> None:
    found = cleaned(text)
    assert found.text == expected
    assert kind in found.changes


def test_changes_are_counted_by_kind() -> None:
    assert cleaned("[noise] a [noise] &amp; b").changes == {"event": 2, "entity": 1}


@pytest.mark.parametrize(
    "text", ["<MUSIC>", "<SIL>", "[NOISE].", "SPN", "SIL NSN", "♪", "...", "", "[BLANK_AUDIO] <OTHER>"]
)
def test_a_transcript_of_marks_alone_has_no_words(text: str) -> None:
    assert not cleaned(text).has_words
    assert cleaned(f"{text} hello").has_words


def test_a_transcript_with_a_word_that_nobody_wrote_down_is_not_complete() -> None:
    assert not cleaned("I saw <unk> there").is_complete
    assert cleaned("I saw [laughter] him there").is_complete


def test_a_fragment_goes_where_the_policy_says_so() -> None:
    policy = CleaningPolicy(kinds=frozenset({"fragment"}))
    assert clean_transcript("the wor- word of pre- and post-war fra-", policy).text == "the word of pre- and post-war"


def test_a_policy_names_kinds_that_there_are() -> None:
    with pytest.raises(UsageError, match="but has spelling"):
        CleaningPolicy(kinds=frozenset({"spelling"}))
