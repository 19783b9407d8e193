"""The published files are read as published: against the networks written anew."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.runs.evaluator import LoadedEvaluator, require_corpus
from scaling.runs.published_evaluator import FILES, TAGS, load

Array = NDArray[np.float64]

WORDS = ["sos", "eos", "unk", "a", "man", "walk", "slowly"]
TAGGED = "a man walks slowly"
LEMMAS = "a/DET man/NOUN walk/VERB slowly/ADV"
LENGTHS = (40, 67, 120, 196)


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, make_published: Callable[..., Path]
) -> Path:
    """A folder as published, of random weights, with a text."""
    folder = make_published(tmp_path_factory.mktemp("published"), WORDS)
    (folder / "texts").mkdir()
    (folder / "texts/000001.txt").write_text(f"{TAGGED}#{LEMMAS}#0.0#0.0\n")
    return folder


@pytest.fixture(scope="module")
def evaluator(folder: Path) -> LoadedEvaluator:
    return load(folder, folder / "texts")


def weights(folder: Path, part: str) -> Callable[[str], Array]:
    path = folder / "text_mot_match/model/finest.tar"
    state = torch.load(path, weights_only=True)[part]
    return lambda name: state[name].double().numpy()


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x)


def strided(x: Array, kernel: Array, bias: Array) -> Array:
    """A convolution of width 4, stride 2 and padding 1, frame by frame."""
    x = np.pad(x, ((1, 1), (0, 0)))
    rows = [
        np.einsum("tc,oct->o", x[start : start + 4], kernel) + bias
        for start in range(0, len(x) - 3, 2)
    ]
    return leaky(np.array(rows))


def gru(x: Array, hidden: Array, w: Callable[[str], Array], suffix: str) -> Array:
    for step in x:
        inputs = w(f"gru.weight_ih_l0{suffix}") @ step + w(f"gru.bias_ih_l0{suffix}")
        states = w(f"gru.weight_hh_l0{suffix}") @ hidden + w(f"gru.bias_hh_l0{suffix}")
        (ir, iz, inew), (hr, hz, hnew) = np.split(inputs, 3), np.split(states, 3)
        update = sigmoid(iz + hz)
        new = np.tanh(inew + sigmoid(ir + hr) * hnew)
        hidden = (1 - update) * new + update * hidden
    return hidden


def sequence(x: Array, w: Callable[[str], Array]) -> Array:
    x = x @ w("input_emb.weight").T + w("input_emb.bias")
    both = [(x, ""), (x[::-1], "_reverse")]
    first = w("hidden")[:, 0]
    last = [
        gru(rows, h, w, suffix) for (rows, suffix), h in zip(both, first, strict=True)
    ]
    y = w("output_net.0.weight") @ np.concatenate(last) + w("output_net.0.bias")
    y = (y - y.mean()) / np.sqrt(y.var() + 1e-5)
    y = leaky(y * w("output_net.1.weight") + w("output_net.1.bias"))
    return np.asarray(w("output_net.3.weight") @ y + w("output_net.3.bias"))


def published_motion(folder: Path, motion: Array) -> Array:
    """Embed as the published loader and networks do: cut, z-scored, padded to 196."""
    frames = len(motion) // 4 * 4
    mean, std = (np.load(folder / f"meta/{name}.npy") for name in ("mean", "std"))
    padded = np.zeros((196, 263))
    padded[:frames] = ((motion - mean) / std)[:frames]
    w = weights(folder, "movement_encoder")
    halves = strided(padded[:, :-4], w("main.0.weight"), w("main.0.bias"))
    quarters = strided(halves, w("main.3.weight"), w("main.3.bias"))
    movements = quarters @ w("out_net.weight").T + w("out_net.bias")
    return sequence(movements[: frames // 4], weights(folder, "motion_encoder"))


def published_text(folder: Path, words: list[tuple[str, str]]) -> Array:
    vectors = np.load(folder / "glove/our_vab_data.npy")
    w = weights(folder, "text_encoder")
    rows = [
        vectors[WORDS.index(word)]
        + w("pos_emb.weight")[:, TAGS.index(tag)]
        + w("pos_emb.bias")
        for word, tag in [("sos", "OTHER"), *words, ("eos", "OTHER")]
    ]
    return sequence(np.array(rows), w)


def test_motions_are_embedded_as_published(
    folder: Path, evaluator: LoadedEvaluator
) -> None:
    rng = np.random.default_rng(1)
    motions = [rng.normal(size=(length, 263)) for length in LENGTHS]
    found = evaluator.embed_motions(motions)
    for motion, embedding in zip(motions, found, strict=True):
        expected = published_motion(folder, motion)
        np.testing.assert_allclose(embedding, expected, atol=1e-5)


def test_captions_are_embedded_as_published(
    folder: Path, evaluator: LoadedEvaluator
) -> None:
    tagged, plain = evaluator.embed_texts([TAGGED, "A man walks, slowly!"])
    expected = published_text(
        # telling words have tags of their own
        folder,
        [("a", "DET"), ("man", "NOUN"), ("walk", "Act_VIP"), ("slowly", "Desc_VIP")],
    )
    np.testing.assert_allclose(tagged, expected, atol=1e-5)
    expected = published_text(
        folder,
        [("a", "OTHER"), ("man", "OTHER"), ("unk", "OTHER"), ("slowly", "Desc_VIP")],
    )
    np.testing.assert_allclose(plain, expected, atol=1e-5)


def test_long_and_empty_captions(evaluator: LoadedEvaluator) -> None:
    lengths = [len(words) for words in evaluator.read(["walk " * 5000, "", "123"])]
    assert lengths == [22, 2, 2]


def test_it_knows_humanml3d_alone(evaluator: LoadedEvaluator) -> None:
    require_corpus(evaluator, "corpus-humanml3d-0123abcd")
    with pytest.raises(ScalingError, match="not on corpus-packed-0123abcd"):
        require_corpus(evaluator, "corpus-packed-0123abcd")
    require_corpus(evaluator, "corpus-packed-0123abcd", force=True)


def linked(folder: Path, copy: Path, but: str) -> Path:
    """Link a published folder, all but one file, for which there is room."""
    for path in folder.rglob("*.*"):
        name = path.relative_to(folder)
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if str(name) != but:
            os.link(path, copy / name)
    return copy / but


def test_a_missing_file_is_named(folder: Path, tmp_path: Path) -> None:
    linked(folder, tmp_path, but="meta/std.npy")
    with pytest.raises(ScalingError, match=r"has no meta/std\.npy; .*: put the file"):
        load(tmp_path)


def test_a_pickle_that_would_run_something_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    path = linked(folder, tmp_path, but="glove/our_vab_words.pkl")
    path.write_bytes(pickle.dumps(os.getcwd))
    with pytest.raises(ScalingError, match=r"it asks for posix\.getcwd"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"text", pickle.dumps([1], 2)])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_something_else_is_refused(
    folder: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    linked(folder, tmp_path, but=name).write_bytes(content)
    with pytest.raises(ScalingError, match=r"cannot be read .*; expected|not belong"):
        load(tmp_path)


def test_a_vocabulary_of_other_vectors_is_refused(folder: Path, tmp_path: Path) -> None:
    path = linked(folder, tmp_path, but="glove/our_vab_data.npy")
    np.save(path, np.zeros((len(WORDS) - 1, 300)))
    with pytest.raises(ScalingError, match="do not belong to the 6 vectors"):
        load(tmp_path)


def test_weights_that_would_run_something_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    path = linked(folder, tmp_path, but="text_mot_match/model/finest.tar")
    torch.save({"movement_encoder": os.getcwd}, path)
    with pytest.raises(ScalingError, match=r"cannot be read .*; expected weights of"):
        load(tmp_path)


def test_weights_of_another_skeleton_are_refused(folder: Path, tmp_path: Path) -> None:
    path = linked(folder, tmp_path, but="meta/mean.npy")
    np.save(path, np.zeros(251))
    with pytest.raises(ScalingError, match="not the published evaluator of 263"):
        load(tmp_path)


def test_texts_without_tags_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match="no captions with tagged words"):
        load(folder, tmp_path)
