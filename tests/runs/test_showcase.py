"""Clips to be shown: of the test split, with all that there is to see, every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scaling.errors import ScalingError
from scaling.runs import corpora
from scaling.runs.showcase import showcase
from scaling.runs.trained import find_run, load_run


def test_the_best_run_answers_captions_of_the_test_split(straight: Path) -> None:
    found = showcase(straight, 2, max_frames=40)
    assert found.run == find_run(straight).name
    corpus = corpora.load(load_run(straight).corpus_folder)
    known = {caption for clip in corpus.split("test") for caption in clip.captions}
    assert len(found.answers) == 2
    for answer in found.answers:
        assert answer.generated.caption in known
        assert answer.real is not None
        assert answer.reconstructed is not None
        assert len(answer.real.joints) > 0


def test_the_same_seed_shows_the_same(straight: Path) -> None:
    first, again, other = (
        showcase(straight, 2, seed=s, max_frames=40) for s in (0, 0, 1)
    )
    for a, b in zip(first.answers, again.answers, strict=True):
        assert a.generated.caption == b.generated.caption
        np.testing.assert_array_equal(a.generated.tokens, b.generated.tokens)
        np.testing.assert_array_equal(a.generated.joints, b.generated.joints)
    captions = [[a.generated.caption for a in x.answers] for x in (first, other)]
    assert captions[0] != captions[1]


def test_no_more_clips_than_there_are(straight: Path) -> None:
    found = showcase(straight, 10_000, max_frames=4)
    captions = [answer.generated.caption for answer in found.answers]
    assert len(set(captions)) == len(captions) < 10_000


def test_a_store_without_a_run_has_nothing_to_show(tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text("{}")
    with pytest.raises(ScalingError, match="holds no finished run"):
        showcase(tmp_path)
