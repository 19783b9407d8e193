"""Captions' states lie beside the corpus, and transformers learn from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from scaling.errors import ScalingError
from scaling.files import read_json, write_json
from scaling.models.flops import non_vocab_params
from scaling.models.quantization import Quantization
from scaling.models.sizes import size
from scaling.models.text import train_caption_encoder, word_states
from scaling.record import RESULT
from scaling.runs import text, tokens_corpus, train
from scaling.runs.jobs import TextJob, TransformerJob
from scaling.runs.loop import Reporter
from scaling.runs.sections import Transformers
from scaling.runs.shared import Index, captions_of, splits_of
from scaling.runs.store import MetricsLog
from scaling.runs.text_encoders import encoder, identity_of
from scaling.runs.tokens import Tokens
from scaling.runs.tokens_corpus import TokenRow, TokenRows

if TYPE_CHECKING:
    from tests.conftest import CommandLine

pytestmark = pytest.mark.usefixtures("cache")

QUIET = Reporter(progress=lambda done, total: None, say=lambda text: None)

WIDTH, LENGTH = 16, 24
V, TOKENS = 4, 6
MOVES = ["walks forward", "jumps", "sits down", "waves with the right hand"]


@pytest.fixture
def corpus(tmp_path: Path) -> TokenRows:
    """Four moves, each said in two ways; nothing but the caption tells which."""
    rows = [
        TokenRow(
            name=f"{split}-{number}",
            split=split,
            captions=(f"a person {MOVES[number % V]}", f"someone {MOVES[number % V]}"),
            tokens=TOKENS,
        )
        for split, count in (("train", 32), ("test", 8))
        for number in range(count)
    ]
    (tmp_path / "corpus").mkdir()
    content = {"tokens_per_second": None, "clips": [asdict(row) for row in rows]}
    write_json(tmp_path / "corpus/clips.json", content)
    return tokens_corpus.load(tmp_path / "corpus")


def section_of(encoder: str) -> Transformers:
    return Transformers(
        sizes=("2x2x32",),
        tokens=(20_000,),
        batch_size=8,
        evaluations=4,
        text_encoder=encoder,
        text_width=WIDTH,
        text_length=LENGTH,
    )


@pytest.fixture
def encoded(t5: Path, corpus: TokenRows, tmp_path: Path) -> Path:
    """Run store with a finished text job."""
    job = TextJob(folder="text", corpus="corpus", section=section_of(str(t5)))
    (tmp_path / "text").mkdir()
    result = text.run(job, corpus, tmp_path / "text", QUIET)
    write_json(tmp_path / "text" / RESULT, result)
    return tmp_path


def transformer_job(encoder: str, text: str | None) -> TransformerJob:
    return TransformerJob(
        folder="run",
        corpus="corpus",
        tokenizer="tokenizer",
        size=size("2x2x32"),
        text=text,
        quantization=Quantization(method="fsq", levels=(2, 2)),
        tokens=20_000,
        seed=0,
        section=section_of(encoder),
    )


class TestJob:
    def test_result_and_files(self, encoded: Path, t5: Path) -> None:
        states = text.load(encoded / "text")
        captions = [
            f"{who} {move}" for who in ("a person", "someone") for move in MOVES
        ]
        assert set(states.spans) == set(captions)
        expected = word_states(encoder(str(t5), LENGTH), captions)
        for row, alone in zip(states(captions), expected, strict=True):
            np.testing.assert_allclose(row, alone, atol=1e-5)
            assert isinstance(row, np.memmap)
        assert read_json(encoded / "text" / RESULT) == {
            "status": "finished",
            "captions": 8,
            "positions": sum(map(len, expected)),
            "width": WIDTH,
            "encoder": str(t5),
            "revision": identity_of(str(t5)),
        }
        assert len(states.states) == sum(map(len, expected))

    def test_any_caption_is_encoded_as_the_run_s_were(
        self, encoded: Path, t5: Path
    ) -> None:
        captions = ["someone jumps", "a mummy walks", "", "someone jumps"]
        section = section_of(str(t5))
        found = text.encode_captions(section, encoded / "text", captions)
        alone = word_states(encoder(str(t5), LENGTH), captions)
        for row, expected in zip(found, alone, strict=True):
            np.testing.assert_array_equal(row, expected)

    @pytest.mark.parametrize("name", ["bpe", "some/t5"])
    def test_bytes_that_are_no_text_are_refused(self, encoded: Path, name: str) -> None:
        caption = b"jumps \xff".decode(errors="surrogateescape")
        with pytest.raises(ScalingError, match=r"udcff' is not UTF-8 text; expected"):
            text.encode_captions(section_of(name), encoded / "text", [caption])

    def test_the_corpus_captions_need_no_encoder(self, encoded: Path) -> None:
        section = section_of("acme/gone")
        found = text.encode_captions(section, encoded / "text", ["someone jumps"])
        known = text.load(encoded / "text")
        np.testing.assert_array_equal(found[0], known(["someone jumps"])[0])

    def test_another_encoder_than_the_run_s_is_refused(
        self, encoded: Path, tmp_path: Path, make_t5: Callable[..., Path]
    ) -> None:
        section = section_of(str(make_t5(tmp_path / "other", seed=1)))
        with pytest.raises(ScalingError, match="that the run was trained with"):
            text.encode_captions(section, encoded / "text", ["a mummy walks"])

    def test_learnt_pieces_come_from_the_run(
        self, corpus: TokenRows, tmp_path: Path
    ) -> None:
        job = transformer_job("bpe", None)
        captions = ["a person jumps", "", "someone moonwalks"]
        _, vocabulary = captions_of(job, Index(tmp_path / "corpus"), tmp_path)
        learnt = train_caption_encoder(
            corpus.captions("train"),
            vocab_size=job.section.text_vocab_size,
            max_length=LENGTH,
        )
        assert vocabulary == learnt.vocab_size
        found = text.encode_captions(job.section, tmp_path / "run", captions)
        for ids, expected in zip(found, learnt.encode(captions), strict=True):
            assert ids.tolist() == expected.tolist()


class TestTransformer:
    def test_learns_from_frozen_states(
        self, encoded: Path, t5: Path, corpus: TokenRows
    ) -> None:
        job = transformer_job(str(t5), "text")
        moves = [int(row.name.split("-")[1]) % V for row in corpus.clips]
        codes = Tokens.of([np.full(TOKENS, move, np.int32) for move in moves])
        index = Index(encoded / "corpus")
        captions, vocabulary = captions_of(job, index, encoded)
        assert vocabulary is None
        model = train.build_model(job, vocabulary)
        assert not any("text_embedding" in name for name, _ in model.named_parameters())
        record = train.record(job, model, "cpu")
        assert record["non_vocab_params"] == non_vocab_params(job.architecture)
        splits = splits_of(job, index, codes, captions)
        (encoded / "run").mkdir()
        result = train.run(job, model, splits, {}, encoded / "run", "cpu", QUIET)
        assert result["status"] == "finished"
        losses = [r["loss"] for r in MetricsLog(encoded / "run/metrics.jsonl").rows]
        # who cannot read guesses the first token of each row among the four moves
        blind = math.log(V) / (TOKENS + 1)
        assert losses[-1] < blind / 4
        assert losses[-1] < losses[0]

    def test_in_a_grid(
        self, t5: Path, tiny: Path, tmp_path: Path, scaling: CommandLine
    ) -> None:
        grid = tmp_path / "grid.yaml"
        grid.write_text(f"{tiny.read_text()}  text_encoder: {t5}\n")
        done = scaling.run("run", grid, "--out", tmp_path / "out", "--jobs", 2)
        assert done.returncode == 0, done.stderr
        (folder,) = (tmp_path / "out").glob("text-*")
        assert read_json(folder / RESULT)["width"] == WIDTH
        found = sorted((tmp_path / "out").glob("1x*/config.json"))
        assert {read_json(path)["settings"]["text_width"] for path in found} == {WIDTH}
        for metrics in (tmp_path / "out").glob("1x*/metrics.jsonl"):
            rows = MetricsLog(metrics).rows
            assert rows[-1]["loss"] < rows[0]["loss"]
