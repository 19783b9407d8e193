"""Answers stand beside the real clips, and their folder is only ever one's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scaling.errors import ScalingError
from scaling.files import claim
from scaling.models.bvh import parse, positions
from scaling.models.generation import GREEDY, Sampling
from scaling.models.transformer import PrefixTransformer
from scaling.runs import corpora
from scaling.runs.corpora import Clip
from scaling.runs.generate import (
    MANIFEST,
    Answer,
    answers,
    files,
    manifest,
    notes,
    write_data,
)
from scaling.runs.trained import CaptionedMotion, TrainedRun, load_run

SAMPLING = Sampling(seed=1)
WALKS = ("a walk",) * 8


@pytest.fixture(scope="session")
def run(straight: Path) -> TrainedRun:
    return load_run(straight)


@pytest.fixture(scope="session")
def clip(run: TrainedRun) -> Clip:
    return corpora.load(run.corpus_folder).split("test")[1]


def answered(
    run: TrainedRun, *captions: str, compare: bool = False, seed: int = 1
) -> list[Answer]:
    return answers(
        run,
        captions,
        sampling=Sampling(seed=seed),
        max_frames=40,
        compare=compare,
    )


def silent(run: TrainedRun) -> TrainedRun:
    """Give a run a head that puts the end above all after "a walk"."""
    model = PrefixTransformer(run.transformer.config).requires_grad_(False)
    model.load_state_dict(run.transformer.state_dict())
    hidden: list[torch.Tensor] = []
    model.head.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    replace(run, transformer=model).generate(["a walk"], max_frames=4)
    model.head.weight.zero_()
    model.head.weight[-1] = hidden[0][0]
    return replace(run, transformer=model)


class TestCompare:
    def test_a_caption_of_the_test_split_brings_its_clip(
        self, run: TrainedRun, clip: Clip
    ) -> None:
        caption = clip.captions[0]
        first, other = answered(run, caption.upper(), "no such words", compare=True)
        assert other.real is None
        assert other.reconstructed is None
        assert first.real is not None
        assert first.reconstructed is not None
        corpus = corpora.load(run.corpus_folder)
        real = corpus.unnormalised(corpus.motion(clip))
        assert (first.real.features == real).all()
        codes = torch.from_numpy(first.real.tokens)[None].long()
        drawn = run.tokenizer.decode(codes)[0].detach().numpy()
        np.testing.assert_allclose(
            first.reconstructed.features, corpus.unnormalised(drawn), atol=1e-4
        )
        assert list(first.motions) == ["real", "reconstructed", "generated"]

    def test_a_clip_stands_beside_one_of_its_answers(
        self, run: TrainedRun, clip: Clip
    ) -> None:
        found = answered(run, *[clip.captions[0]] * 3, compare=True)
        assert [answer.real is None for answer in found] == [False, True, True]

    def test_without_it_there_is_the_answer_alone(
        self, run: TrainedRun, clip: Clip
    ) -> None:
        (answer,) = answered(run, clip.captions[0])
        assert list(answer.motions) == ["generated"]


class TestFolder:
    def written(self, run: TrainedRun, out: Path, found: list[Answer]) -> None:
        claim(out / MANIFEST, manifest(run, found, SAMPLING, 40))
        write_data(out, found)

    def test_archive_and_bvh_hold_every_motion(
        self, run: TrainedRun, clip: Clip, tmp_path: Path
    ) -> None:
        found = answered(run, "a walk", clip.captions[0], compare=True)
        self.written(run, tmp_path, found)
        names = {
            "1": found[0].generated,
            "2": found[1].generated,
            "2-real": found[1].real,
            "2-reconstructed": found[1].reconstructed,
        }
        with np.load(tmp_path / "motions.npz") as archive:
            assert len(archive.files) == 3 * len(names)
            for name, motion in names.items():
                assert motion is not None
                for form in ("tokens", "features", "joints"):
                    assert (archive[f"{name}.{form}"] == getattr(motion, form)).all()
                body = positions(parse((tmp_path / f"{name}.bvh").read_text()))
                assert len(body) == len(motion.joints)
        listed = json.loads((tmp_path / "generate.json").read_text())
        assert listed["run"] == run.folder.name
        assert [motion["name"] for motion in listed["motions"]] == [
            *("1", "2-real", "2-reconstructed", "2")
        ]
        pictures = {"1.gif", "2.gif", "index.html"}
        there = {path.name for path in tmp_path.iterdir()}
        assert set(listed["files"]) == there | pictures

    def test_same_seed_same_bytes(self, run: TrainedRun, tmp_path: Path) -> None:
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            self.written(run, tmp_path / name, answered(run, *WALKS, seed=seed))
        for path in (tmp_path / "a").iterdir():
            assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        one, other = (tmp_path / name / "motions.npz" for name in "ac")
        assert one.read_bytes() != other.read_bytes()

    def test_a_motion_without_a_frame_is_in_the_archive_alone(
        self, run: TrainedRun, tmp_path: Path
    ) -> None:
        found = answers(silent(run), ["a walk"], sampling=GREEDY, max_frames=40)
        self.written(run, tmp_path, found)
        assert files(found) == ["generate.json", "motions.npz"]
        with np.load(tmp_path / "motions.npz") as archive:
            assert archive["1.joints"].shape == (0, 22, 3)

    def test_what_an_earlier_call_wrote_makes_room(
        self, run: TrainedRun, tmp_path: Path
    ) -> None:
        self.written(run, tmp_path, answered(run, "a walk", "a jump"))
        (tmp_path / "mine.txt").write_text("notes")
        self.written(run, tmp_path, answered(run, "a walk"))
        there = {path.name for path in tmp_path.iterdir()}
        assert there == {"generate.json", "motions.npz", "1.bvh", "mine.txt"}

    def test_what_others_wrote_stays(self, run: TrainedRun, tmp_path: Path) -> None:
        (tmp_path / "1.gif").write_bytes(b"holiday")
        with pytest.raises(ScalingError) as error:
            self.written(run, tmp_path, answered(run, "a walk"))
        assert str(error.value) == (
            f"{tmp_path / '1.gif'} exists and was not written by this command; it is "
            "left as it is: choose another folder, or remove it"
        )
        assert [path.name for path in tmp_path.iterdir()] == ["1.gif"]

    def test_a_manifest_of_others_gives_no_leave(
        self, run: TrainedRun, tmp_path: Path
    ) -> None:
        (tmp_path / "thesis.tex").write_text("years")
        out = tmp_path / "out"
        out.mkdir()
        listed = ["generate.json", "../thesis.tex"]
        (out / "generate.json").write_text(json.dumps({"files": listed}))
        self.written(run, out, answered(run, "a walk"))
        assert (tmp_path / "thesis.tex").read_text() == "years"

    def test_a_file_is_no_folder(self, run: TrainedRun, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("")
        with pytest.raises(ScalingError, match="out is a file; expected a folder"):
            self.written(run, tmp_path / "out", answered(run, "a walk"))


class TestNotes:
    def said(
        self, run: TrainedRun, *captions: str, frames: int = 40, compare: bool = False
    ) -> list[str]:
        found = answered(run, *captions, compare=compare)
        *said, twist = notes(run, found, max_frames=frames, compare=compare)
        assert twist.startswith("BVH: twist not determined: ")
        return said

    def test_nothing_to_say(self, run: TrainedRun, clip: Clip) -> None:
        assert self.said(run, "a walk", clip.captions[0]) == []
        assert self.said(run, clip.captions[0], compare=True) == []

    def test_no_words(self, run: TrainedRun) -> None:
        assert (
            self.said(run, " ", "")
            == ["a caption without words: its motion follows none"] * 2
        )

    def test_5000_words(self, run: TrainedRun) -> None:
        assert self.said(run, "walk " * 5000) == [
            "caption 'walk walk walk walk walk walk walk walk…' fills the 64 pieces "
            "that the run reads; what is beyond them has no effect"
        ]

    def test_no_clip_to_compare_with_is_said_once_a_caption(
        self, run: TrainedRun
    ) -> None:
        assert self.said(run, "so so", "so so", compare=True) == [
            "no test clip has the caption 'so so'"
        ]

    def test_longer_than_the_context(self, run: TrainedRun) -> None:
        (note,) = self.said(run, "walk", frames=1000)
        frames = 4 * (201 - len(run.encode(["walk"])[0]) - 1)
        assert note == f"the run's context ends motions at {frames} frames, not 1000"

    def test_no_frame(self, run: TrainedRun) -> None:
        found = answers(silent(run), ["a walk"], sampling=GREEDY, max_frames=40)
        note, _ = notes(run, found, max_frames=40, compare=False)
        assert note == (
            "motion 1 has no frame and no picture: the first token drawn was the end; "
            "another --seed may give one"
        )


def test_names_tell_what_a_motion_is() -> None:
    nothing = CaptionedMotion.of(
        "", np.zeros(0, np.int32), np.zeros((0, 263), np.float32)
    )
    answer = Answer(number=3, generated=nothing)
    assert [answer.name(label) for label in ("generated", "real")] == ["3", "3-real"]
    assert answer.visible == {}
