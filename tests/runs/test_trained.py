"""A run that is loaded is the run that was trained, and what is no run is named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scaling.errors import ScalingError
from scaling.models.generation import GREEDY, Sampling
from scaling.models.motion import recover
from scaling.models.quantization import Quantization
from scaling.models.tokenizer import MotionTokenizer, TokenizerConfig
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.record import Row, run_folders, scan
from scaling.runs import corpora, tokenize
from scaling.runs.data import Rows
from scaling.runs.train import evaluate_split
from scaling.runs.trained import TrainedRun, find_run, load_run
from scaling.runs.unigram import Unigram

CAPTIONS = ("a person walks forward", "someone waves", "", "a jump", "a squat")


@pytest.fixture(scope="session")
def run(straight: Path) -> TrainedRun:
    return load_run(straight)


def last_rows(store: Path) -> dict[str, Row]:
    return {row["run"]: row for row in scan(store)}


class TestLoad:
    def test_every_run_has_the_test_loss_that_its_record_ends_with(
        self, straight: Path
    ) -> None:
        for name, row in last_rows(straight).items():
            run = load_run(straight / name)
            corpus = corpora.load(run.corpus_folder)
            codes = tokenize.read_tokens(straight / run.config["tokenizer"])
            pairs = zip(corpus.clips, codes, strict=True)
            chosen = [(clip, row) for clip, row in pairs if clip.split == "test"]
            rows = Rows(
                [row for _, row in chosen],
                [run.encode(clip.captions) for clip, _ in chosen],
                run.quantization.codebook_size,
            )
            scores = evaluate_split(
                run.transformer, rows, Unigram.of(rows), amount=corpus.amount("test")
            )
            assert scores["loss"] == pytest.approx(row["loss"], abs=1e-6)

    def test_tokenizer_is_the_one_that_wrote_the_tokens(self, run: TrainedRun) -> None:
        corpus = corpora.load(run.corpus_folder)
        written = tokenize.read_tokens(run.folder.parent / run.config["tokenizer"])
        found = tokenize.encode(run.tokenizer, corpus, corpus.clips[:5])
        assert [x.tolist() for x in found] == [x.tolist() for x in written[:5]]

    def test_a_store_of_version_0_1_still_generates(
        self, straight: Path, tmp_path: Path
    ) -> None:
        """It knew FSQ and learnt text alone, and so wrote neither down."""
        store = tmp_path / "old"
        shutil.copytree(straight, store)
        for kind in ("tokenizer", "transformer"):
            for folder, config in run_folders(store, kind):
                for key in ("quantization", "ema", "text", "text_encoder"):
                    config.pop(key, None)
                (folder / "config.json").write_text(json.dumps(config))
        (old,) = load_run(store).generate(CAPTIONS[:1])
        (new,) = load_run(straight).generate(CAPTIONS[:1])
        np.testing.assert_array_equal(old.features, new.features)

    def test_a_store_gives_its_run_of_the_lowest_normalised_loss(
        self, straight: Path
    ) -> None:
        losses = {k: row["normalised_loss"] for k, row in last_rows(straight).items()}
        assert find_run(straight).name == min(losses, key=lambda name: losses[name])


class TestGenerate:
    def test_forms_of_a_motion_belong_together(self, run: TrainedRun) -> None:
        motions = run.generate(CAPTIONS)
        assert tuple(motion.caption for motion in motions) == CAPTIONS
        for motion in motions:
            assert motion.tokens.max() < run.quantization.codebook_size
            frames = 4 * len(motion.tokens)
            assert motion.features.shape == (frames, 263)
            assert motion.seconds == frames / 20
            indices = torch.from_numpy(motion.tokens)[None].long()
            with torch.no_grad():
                drawn = run.tokenizer.decode(indices)[0].numpy()
            expected = drawn * run.std + run.mean
            np.testing.assert_allclose(motion.features, expected, atol=1e-5)
            assert (motion.joints == recover(motion.features)).all()

    def test_a_caption_alone_is_one_motion(self, run: TrainedRun) -> None:
        (alone,) = run.generate(CAPTIONS[0])
        (listed,) = run.generate([CAPTIONS[0]])
        np.testing.assert_array_equal(alone.features, listed.features)
        assert repr(run).startswith("<TrainedRun 1x")

    def test_same_seed_same_motion(self, run: TrainedRun) -> None:
        first, again, other = (
            run.generate(CAPTIONS, sampling=Sampling(seed=seed)) for seed in (4, 4, 5)
        )
        for one, same in zip(first, again, strict=True):
            assert (one.features == same.features).all()
        assert any(
            one.tokens.tolist() != another.tokens.tolist()
            for one, another in zip(first, other, strict=True)
        )

    def test_lengths_stay_between_the_bounds(self, run: TrainedRun) -> None:
        for low, high in ((0, 4), (9, 18), (40, 40), (0, 10_000)):
            motions = run.generate(CAPTIONS * 4, min_frames=low, max_frames=high)
            frames = [len(motion.features) for motion in motions]
            assert low <= min(frames)
            assert max(frames) <= min(high, run.frames_after(1))

    @pytest.mark.parametrize(("low", "high"), [(0, 3), (8, 4), (-1, 40)])
    def test_impossible_bounds_are_refused(
        self, run: TrainedRun, low: int, high: int
    ) -> None:
        with pytest.raises(ScalingError, match=f"motions of {low} to {high} frames; "):
            run.generate(CAPTIONS, min_frames=low, max_frames=high)

    def test_the_end_first_is_a_motion_without_a_frame(self, run: TrainedRun) -> None:
        (motion,) = ending_at_once(run).generate(["a walk"], sampling=GREEDY)
        assert motion.tokens.shape == (0,)
        assert motion.features.shape == (0, 263)
        assert motion.joints.shape == (0, 22, 3)
        assert motion.seconds == 0

    def test_5000_words_are_cut_to_the_run_s_text_length(self, run: TrainedRun) -> None:
        (text,) = run.encode(["jump " * 5000])
        assert len(text) == run.section.text_length
        assert len(run.generate(["jump " * 5000], max_frames=8)[0].tokens) <= 2

    def test_residual_codes_are_cut_to_whole_latents(self, run: TrainedRun) -> None:
        motions = residual(run).generate(CAPTIONS * 4, max_frames=40)
        lengths = [len(motion.tokens) for motion in motions]
        assert max(lengths) == 3 * 10
        assert len(set(lengths)) > 2
        for motion in motions:
            assert len(motion.tokens) % 3 == 0
            assert len(motion.features) == 4 * len(motion.tokens) // 3

    def test_states_of_a_frozen_encoder_are_those_of_its_job(
        self, run: TrainedRun, tmp_path: Path
    ) -> None:
        states = np.random.default_rng(0).random((3 + 2, 7), np.float32)
        (tmp_path / "text-0").mkdir()
        np.save(tmp_path / "text-0" / "states.npy", states)
        spans = {"a walk": [0, 3], "a jump": [3, 5]}
        (tmp_path / "text-0" / "captions.json").write_text(json.dumps(spans))
        shape = run.transformer.config
        frozen = replace(
            run,
            folder=tmp_path / "run",
            config={**run.config, "text": "text-0"},
            section=run.section.model_copy(update={"text_encoder": "some/t5"}),
            transformer=drawn(replace(shape, text_vocab_size=None, text_width=7)),
        )
        found = frozen.encode(["a jump", "a walk"])
        assert [x.tolist() for x in found] == [states[3:].tolist(), states[:3].tolist()]
        motions = frozen.generate(["a jump", "a walk"], min_frames=8)
        assert min(len(motion.features) for motion in motions) >= 8


def drawn(config: TransformerConfig) -> PrefixTransformer:
    """Draw a transformer that is not trained."""
    model = PrefixTransformer(config)
    model.init_weights(torch.Generator().manual_seed(0))
    return model.requires_grad_(False)


def ending_at_once(run: TrainedRun) -> TrainedRun:
    """Give a run a head that puts the end above all after any text."""
    model = PrefixTransformer(run.transformer.config).requires_grad_(False)
    model.load_state_dict(run.transformer.state_dict())
    model.head.weight.zero_()
    hidden = []
    model.head.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    replace(run, transformer=model).generate(["a walk"], max_frames=4)
    model.head.weight[-1] = hidden[0][0]
    return replace(run, transformer=model)


def residual(run: TrainedRun) -> TrainedRun:
    """Give a run an untrained tokenizer of three stages, and a transformer for it."""
    quantization = Quantization(method="rfsq", levels=(5, 3), stages=3)
    tokenizer = MotionTokenizer(
        TokenizerConfig(quantization=quantization, width=8, depth=1)
    )
    codes = quantization.codebook_size
    model = drawn(replace(run.transformer.config, codebook_size=codes))
    return replace(run, transformer=model, tokenizer=tokenizer.requires_grad_(False))


class TestMistakes:
    def test_a_folder_that_is_no_run(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "not-there"):
            with pytest.raises(ScalingError) as error:
                load_run(path)
            assert str(error.value) == (
                f"{path} is no run's folder; expected that of a transformer run, or a "
                "run store: name one"
            )

    def test_a_job_of_another_kind_and_a_slip_are_told_the_runs(
        self, straight: Path
    ) -> None:
        names = [folder.name for folder, _ in run_folders(straight, "transformer")]
        tokenizer = next(straight.glob("tokenizer-*"))
        with pytest.raises(ScalingError) as error:
            load_run(tokenizer)
        assert str(error.value) == (
            f"{tokenizer} is the folder of a job of kind 'tokenizer'; expected that of "
            f"a transformer run, or a run store: name one; known: {', '.join(names)}"
        )
        with pytest.raises(ScalingError, match=f"did you mean '{names[1]}'"):
            load_run(straight / names[1][:-1])

    def test_an_unfinished_run(self, straight: Path, tmp_path: Path) -> None:
        folder = find_run(straight)
        copy = shutil.copytree(folder, tmp_path / folder.name)
        (copy / "result.json").unlink()
        with pytest.raises(ScalingError) as error:
            load_run(copy)
        assert str(error.value) == (
            f"run {folder.name} is unfinished; expected a finished one: run its grid "
            "again to finish it, or name another"
        )

    def test_a_diverged_run(self, straight: Path, tmp_path: Path) -> None:
        folder = find_run(straight)
        copy = shutil.copytree(folder, tmp_path / folder.name)
        (copy / "result.json").write_text(json.dumps({"status": "diverged"}))
        with pytest.raises(ScalingError, match=f"{folder.name} is diverged; expected"):
            load_run(copy)

    def test_a_store_without_a_finished_run(self, tmp_path: Path) -> None:
        (tmp_path / "grid.json").write_text("{}")
        with pytest.raises(ScalingError, match="holds no finished run; expected at "):
            load_run(tmp_path)

    @pytest.mark.parametrize("needed", ["tokenizer", "corpus"])
    def test_a_run_without_what_it_needs(
        self, straight: Path, tmp_path: Path, needed: str
    ) -> None:
        store = shutil.copytree(straight, tmp_path / "store")
        folder = find_run(store)
        missing = json.loads((folder / "config.json").read_text())[needed]
        shutil.rmtree(store / missing)
        with pytest.raises(ScalingError) as error:
            load_run(folder)
        assert str(error.value) == (
            f"run {folder.name} needs {missing}, which is not in {store} or not "
            "finished; bring it back, or run the grid again to make it anew"
        )

    def test_a_run_whose_checkpoints_are_all_damaged(
        self, straight: Path, tmp_path: Path
    ) -> None:
        store = shutil.copytree(straight, tmp_path / "store")
        folder = find_run(store)
        for state in folder.glob("checkpoint/*.safetensors"):
            state.write_bytes(b"")
        with pytest.raises(ScalingError, match="holds no sound checkpoint"):
            load_run(folder)
