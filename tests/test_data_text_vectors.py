"""Words, counts and TF-IDF against scikit-learn's vectorisers; padded sequences by hand."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from jaxdl.data import (
    Vocabulary,
    count_vectors,
    inverse_document_frequencies,
    load_text,
    pad_sequences,
    sublinear,
    tf_idf,
    tokenize,
    word_vocabulary,
)
from jaxdl.errors import InputError


def message(call, *arguments, **named):
    """The one line with which ``call`` refuses."""
    with pytest.raises(InputError) as refusal:
        call(*arguments, **named)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.fixture(scope="module")
def paragraphs() -> tuple[list[str], list[str]]:
    """Real ones to train and to test on, some of them without a word."""
    paragraphs = load_text("stdlib").train[:150_000].split("\n\n")
    paragraphs[3:3] = ["", "Ça, un CAFÉ à 3 h_15?!", "\t. ; -"]
    return paragraphs[:400], paragraphs[400:]


# Words


@pytest.mark.parametrize("pattern", [r"\b\w\w+\b", r"\w", r"[A-Za-z']+", r"<(\w+)>|$^"])
@pytest.mark.parametrize("lower", [True, False])
def test_words_are_those_of_scikit_learn(paragraphs, pattern, lower):
    theirs = CountVectorizer(token_pattern=pattern, lowercase=lower).build_analyzer()
    for paragraph in paragraphs[0]:
        assert tokenize(paragraph, pattern, lower=lower) == theirs(paragraph)


def test_default_words_are_those_of_scikit_learn(paragraphs):
    theirs = CountVectorizer().build_analyzer()
    assert any(theirs(paragraph) for paragraph in paragraphs[0])
    for paragraph in paragraphs[0]:
        assert tokenize(paragraph) == theirs(paragraph)


@pytest.mark.parametrize(
    ("pattern", "problem"), [("(", "no regular expression"), (r"(\w)(\w)", "2 groups")]
)
def test_patterns_that_are_none_are_refused(pattern, problem):
    line = message(tokenize, "some words", pattern)
    assert repr(pattern) in line
    assert problem in line


# Vectors

CUT_OFFS = [(1, None), (2, None), (5, None), (1, 60), (3, 9)]
"""In how many documents a word must be, and about how many of the most frequent stay."""


def cut_off_of_both(paragraphs, min_df, about):
    """The options of scikit-learn's vectorisers, and ours.

    Of equally frequent words scikit-learn takes any, so the size is one with none at the boundary.
    """
    if about is None:
        return {"min_df": min_df}, {"min_documents": min_df}
    counts = CountVectorizer(min_df=min_df).fit_transform(paragraphs).toarray().sum(axis=0)
    falling = np.sort(counts)[::-1]
    size = next(n for n in range(about, len(falling)) if falling[n] < falling[n - 1])
    return (
        {"min_df": min_df, "max_features": size},
        {"min_documents": min_df, "max_size": size},
    )


@pytest.mark.parametrize(("min_df", "about"), CUT_OFFS)
def test_vocabulary_and_counts_are_those_of_scikit_learn(paragraphs, min_df, about):
    train, test = ([tokenize(paragraph) for paragraph in part] for part in paragraphs)
    their_cut_off, our_cut_off = cut_off_of_both(paragraphs[0], min_df, about)
    theirs = CountVectorizer(**their_cut_off).fit(paragraphs[0])
    ours = word_vocabulary(train, **our_cut_off)
    assert ours.tokens == tuple(theirs.get_feature_names_out())
    for documents, originals in ((train, paragraphs[0]), (test, paragraphs[1])):
        counts = count_vectors(documents, ours)
        assert counts.dtype == np.int32
        np.testing.assert_array_equal(counts, theirs.transform(originals).toarray())


@pytest.mark.parametrize(("min_df", "about"), CUT_OFFS)
@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("is_sublinear", [True, False])
def test_tf_idf_is_that_of_scikit_learn(paragraphs, min_df, about, smooth, is_sublinear):
    train, test = ([tokenize(paragraph) for paragraph in part] for part in paragraphs)
    their_cut_off, our_cut_off = cut_off_of_both(paragraphs[0], min_df, about)
    theirs = TfidfVectorizer(smooth_idf=smooth, sublinear_tf=is_sublinear, **their_cut_off)
    theirs.fit(paragraphs[0])
    vocabulary = word_vocabulary(train, **our_cut_off)
    weights = inverse_document_frequencies(count_vectors(train, vocabulary), float(smooth))
    np.testing.assert_allclose(weights, theirs.idf_, rtol=1e-6)
    for documents, originals in ((train, paragraphs[0]), (test, paragraphs[1])):
        counts = count_vectors(documents, vocabulary)
        vectors = tf_idf(sublinear(counts) if is_sublinear else counts, weights)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, theirs.transform(originals).toarray(), atol=1e-6)
        norms = np.linalg.norm(vectors, axis=1)
        np.testing.assert_allclose(norms[counts.any(axis=1)], 1, rtol=1e-6)
        assert (norms[~counts.any(axis=1)] == 0).all()


def test_tf_idf_by_hand():
    documents = [["a", "b", "b"], ["a"]]
    counts = count_vectors(documents, word_vocabulary(documents))
    assert counts.tolist() == [[1, 2], [1, 0]]
    weights = inverse_document_frequencies(counts)
    np.testing.assert_allclose(weights, [np.log(3 / 3) + 1, np.log(3 / 2) + 1], rtol=1e-6)
    expected = np.array([1, 2 * (np.log(1.5) + 1)])
    vectors = tf_idf(counts, weights)
    np.testing.assert_allclose(vectors[0], expected / np.hypot(*expected), rtol=1e-6)
    np.testing.assert_allclose(vectors[1], [1, 0])
    np.testing.assert_allclose(sublinear(counts), [[1, 1 + np.log(2)], [1, 0]], rtol=1e-6)


def test_of_equally_frequent_words_the_first_stay():
    assert word_vocabulary([["d", "c", "b", "a", "d"]], max_size=3).tokens == ("a", "b", "d")


def test_unknown_words_are_left_out_or_counted():
    train = [["cat", "hat"], ["cat", "rat"]]
    document = ["cat", "dog", "cat", "emu"]
    known = word_vocabulary(train)
    assert count_vectors([document], known).tolist() == [[2, 0, 0]]
    with_unknown = word_vocabulary(train, unknown="<unknown>")
    assert with_unknown.tokens == ("cat", "hat", "rat", "<unknown>")
    assert count_vectors([document, []], with_unknown).tolist() == [[2, 0, 0, 2], [0, 0, 0, 0]]
    ids = with_unknown.encode(document)
    assert ids.tolist() == [0, 3, 0, 3]
    assert with_unknown.decode(ids, " ") == "cat <unknown> cat <unknown>"
    assert "'dog' at place 1" in message(known.encode, document)


def test_documents_that_leave_no_word_are_refused():
    assert "no token is left" in message(word_vocabulary, [[], []])
    assert "no token is left" in message(word_vocabulary, [["a"], ["b"]], min_documents=2)
    assert "max_size 0" in message(word_vocabulary, [["a"]], max_size=0)


def test_weight_of_a_token_in_no_document():
    counts = count_vectors([["a"]], Vocabulary(("a", "b")))
    np.testing.assert_allclose(inverse_document_frequencies(counts)[1], np.log(2) + 1, rtol=1e-6)
    assert "token 1 is in none of the 1 documents" in message(
        inverse_document_frequencies, counts, 0.0
    )


# Sequences


def test_sequences_are_padded_to_the_longest():
    sequences = [np.array([3, 0, 2], np.uint8), np.array([], np.uint8), np.array([7], np.int32)]
    ids, lengths = pad_sequences(sequences)
    assert ids.dtype == lengths.dtype == np.int32
    assert ids.tolist() == [[3, 0, 2], [0, 0, 0], [7, 0, 0]]
    assert lengths.tolist() == [3, 0, 1]


def test_sequences_are_cut_and_padded_to_a_length():
    ids, lengths = pad_sequences([[1, 2, 3], [4]], length=2)
    assert ids.tolist() == [[1, 2], [4, 0]]
    assert lengths.tolist() == [2, 1]
    ids, lengths = pad_sequences([[1]], length=3)
    assert ids.tolist() == [[1, 0, 0]]
    assert pad_sequences([], length=3).ids.shape == (0, 3)


@pytest.mark.parametrize(
    ("sequences", "length"), [([], None), ([[], []], None), ([[1]], 0), ([[1]], -2)]
)
def test_lengths_below_one_are_refused(sequences, length):
    assert f"length {length or 0}" in message(pad_sequences, sequences, length)
