"""The evaluator job: train a text-motion evaluator on a corpus, and use it.

Its folder gets the weights (`checkpoint/`), the caption vocabulary (`text.json`) and
the evaluator's shape with the corpus it knows (`evaluator.json`). Unlike the published
one it learns its convolutions with the rest, and word pieces where that has GloVe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from scaling.errors import ScalingError
from scaling.files import read_json, write_json, write_text
from scaling.models.evaluator import (
    UNIT,
    EvaluatorConfig,
    TextMotionEvaluator,
    contrastive_loss,
)
from scaling.models.text import CaptionEncoder, train_caption_encoder
from scaling.record import METRICS, Row, ended
from scaling.runs import checkpoint, eager
from scaling.runs.corpora import Clip, Corpus
from scaling.runs.jobs import EvaluatorJob
from scaling.runs.loop import Pause, Reporter, Training, evenly_spaced, train
from scaling.runs.schedules import warmup_cosine
from scaling.runs.scores import (
    POOL,
    Embeddings,
    diversity,
    matching_score,
    r_precision,
)
from scaling.runs.store import MetricsLog

Float32 = NDArray[np.float32]

Words = NDArray[np.int64]
"""A caption: ids, and tags where the evaluator has them, (words, 1 or 2)."""

SHAPE, TEXT = "evaluator.json", "text.json"
"""Files of its folder."""

LONGEST_CAPTION = 64
"""Pieces of a caption; longer ones are cut."""

EMBEDDED_AT_ONCE = 64
"""Motions or captions of a batch, of about equal length."""

EVALUATIONS, WARMUP, CLIP = 5, 0.05, 0.5
"""Evaluations along a training, its share of rising learning rate, and the gradient
norm at which the published trainer clips."""

SHUFFLES = 20
"""Times that the test split is dealt into pools."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedEvaluator:
    """An evaluator to score with."""

    name: str
    """Name of its folder, or `published`."""
    corpus: str
    """How the folder of the corpus that it was trained on begins."""
    model: TextMotionEvaluator
    """The trained model."""
    read: Callable[[Sequence[str]], list[Words]]
    """Captions to what the model takes."""
    note: str
    """What a reader of its scores should know, in a sentence."""
    pause: Pause = lambda: None
    """Called between two batches; it ends the scoring by not returning."""

    def embed_motions(self, motions: Sequence[NDArray[np.floating]]) -> Embeddings:
        """Embed motions of features (frames, 263), not normalised: (motions, E)."""
        rows = [motion.astype(np.float32) for motion in motions]
        return self._embed(rows, self.model.embed_motion)

    def embed_texts(self, captions: Sequence[str]) -> Embeddings:
        """Embed captions: (captions, E)."""
        return self._embed(self.read(captions), self.embed_words)

    def embed_words(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Embed padded captions, (B, P, 1 or 2)."""
        ids, *tags = words.unbind(-1)
        return self.model.embed_text(ids, lengths, *tags)

    @torch.no_grad()
    def _embed(
        self,
        rows: Sequence[NDArray[Any]],
        embed: Callable[[Tensor, Tensor], Tensor],
    ) -> Embeddings:
        self.model.eval()
        found = np.empty((len(rows), self.model.config.embedding))
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        for first in range(0, len(order), EMBEDDED_AT_ONCE):
            self.pause()
            chosen = order[first : first + EMBEDDED_AT_ONCE]
            batch = pad([rows[row] for row in chosen], self.model.mean.device)
            found[chosen] = embed(*batch).cpu().numpy()
        return found


def require_corpus(
    evaluator: LoadedEvaluator, corpus: str, *, force: bool = False
) -> None:
    """Refuse an evaluator of another corpus, unless forced.

    Raises
    ------
    ScalingError
        With both corpora's folders.
    """
    if not (force or corpus.startswith(evaluator.corpus)):
        raise ScalingError(
            f"evaluator {evaluator.name} was trained on {evaluator.corpus}, not on "
            f"{corpus}, which it cannot judge: train one on that corpus, or force it"
        )


def load(folder: Path, device: str = "cpu") -> LoadedEvaluator:
    """Read what a finished evaluator job wrote.

    Raises
    ------
    ScalingError
        If the folder holds none.
    """
    if not (ended(folder) and (folder / SHAPE).exists()):
        raise ScalingError(
            f"{folder} holds no finished evaluator; expected {SHAPE} and a result: "
            "run a grid with an evaluator to its end"
        )
    about = read_json(folder / SHAPE)
    model = TextMotionEvaluator(EvaluatorConfig(**about["model"]))
    model.load_state_dict(checkpoint.read_model(folder / "checkpoint"))
    text = (folder / TEXT).read_text(encoding="utf-8")
    encoder = CaptionEncoder.from_json(text, LONGEST_CAPTION)
    return _own(folder.name, about["corpus"], model.to(device), encoder)


def _own(
    name: str, corpus: str, model: TextMotionEvaluator, encoder: CaptionEncoder
) -> LoadedEvaluator:
    return LoadedEvaluator(
        name=name,
        corpus=corpus,
        model=model,
        read=lambda captions: [ids[:, None] for ids in encoder.encode(captions)],
        note="scored by an evaluator trained here: not comparable with published "
        "figures, nor with another evaluator's",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Training pairs, each batch a pure function of the step's number."""

    corpus: Corpus
    """Where the frames are."""
    clips: Sequence[Clip]
    """The training split."""
    batch_size: int
    """Pairs of a batch."""
    seed: int
    """Seeds clips, captions and cuts."""

    def batch(self, step: int) -> tuple[list[Float32], list[str]]:
        """Draw clips, each once, cut at random, with one of its captions.

        As published: a whole number of units is kept, one fewer in a third of the
        draws.
        """
        rng = np.random.default_rng([self.seed, step])
        size = min(self.batch_size, len(self.clips))
        motions, captions = [], []
        for row in rng.choice(len(self.clips), size, replace=False):
            clip = self.clips[row]
            captions.append(str(rng.choice(clip.captions)))
            units = max(1, clip.frames // UNIT - int(rng.random() < 1 / 3))
            frames = min(clip.frames, units * UNIT)
            start = rng.integers(clip.frames - frames + 1)
            motion = self.corpus.motion(clip)[start : start + frames]
            motions.append(self.corpus.unnormalised(motion))
        return motions, captions


def record(job: EvaluatorJob, device: str) -> Row:
    """Columns that stay the same along the run."""
    section = job.section
    return {
        "corpus": job.corpus,
        "width": section.width,
        "steps": section.steps,
        "batch_size": section.batch_size,
        "learning_rate": section.learning_rate,
        "seed": section.seed,
        "device": device,
    }


def run(
    job: EvaluatorJob, corpus: Corpus, folder: Path, device: str, reporter: Reporter
) -> Row:
    """Train on the training split, evaluating on the test split along the way."""
    section = job.section
    evaluator = _begin(job, corpus, folder, device)
    model = evaluator.model
    pairs = Pairs(
        corpus=corpus,
        clips=corpus.split("train"),
        batch_size=section.batch_size,
        seed=section.seed,
    )

    def loss(step: int) -> Tensor:
        model.train()
        state = np.random.SeedSequence([section.seed, step]).generate_state(1)
        torch.manual_seed(int(state[0]))  # of the dropout, so that a resume repeats it
        motions, captions = pairs.batch(step)
        wordings = np.unique(captions, return_inverse=True)[1]
        return contrastive_loss(
            evaluator.embed_words(*pad(evaluator.read(captions), model.mean.device)),
            model.embed_motion(*pad(motions, model.mean.device)),
            torch.from_numpy(wordings).to(device),
            section.margin,
        )

    training = Training(
        model=model,
        optimizer=eager.AdamW(model.parameters(), weight_decay=0.0, fused=True),
        learning_rate=lambda step: warmup_cosine(
            step, steps=section.steps, warmup=WARMUP, peak=section.learning_rate
        ),
        loss=loss,
        steps=section.steps,
        clip=CLIP,
        evaluate_after=evenly_spaced(section.steps, EVALUATIONS),
        evaluate=lambda progress, pause: {
            "step": progress.step,
            **ground_truth(replace(evaluator, pause=pause), corpus, seed=section.seed),
        },
    )
    ending = train(training, folder, reporter)
    if ending.status != "finished":
        raise ScalingError(
            "its loss is not finite, and nothing can be scored with it; lower "
            f"evaluator.learning_rate from {section.learning_rate:g} ({ending.reason})"
        )
    last = MetricsLog(folder / METRICS).rows[-1]
    metrics = {k: v for k, v in last.items() if k not in ("step", "seconds")}
    return {"status": "finished", "corpus": job.corpus, "metrics": metrics}


def _begin(
    job: EvaluatorJob, corpus: Corpus, folder: Path, device: str
) -> LoadedEvaluator:
    """Draw the weights, learn the vocabulary, and write all but the weights."""
    encoder = train_caption_encoder(
        corpus.captions("train"),
        vocab_size=job.section.text_vocab_size,
        max_length=LONGEST_CAPTION,
    )
    config = EvaluatorConfig.of_width(job.section.width, encoder.vocab_size)
    torch.manual_seed(job.section.seed)
    model = TextMotionEvaluator(config)
    model.mean.copy_(torch.tensor(corpus.mean))
    model.std.copy_(torch.tensor(corpus.std))
    write_text(folder / TEXT, encoder.to_json())
    write_json(folder / SHAPE, {"corpus": job.corpus, "model": asdict(config)})
    return _own(folder.name, job.corpus, model.to(device), encoder)


def ground_truth(evaluator: LoadedEvaluator, corpus: Corpus, *, seed: int) -> Row:
    """Score the real motions of the test split, each with one of its captions.

    Their FID is 0 by definition, and left out. A split that does not fill a pool is
    one pool, `pool` says of how many.
    """
    clips = corpus.split("test")
    rng = np.random.default_rng(seed)
    captions = [str(rng.choice(clip.captions)) for clip in clips]
    motions = evaluator.embed_motions(
        [corpus.unnormalised(corpus.motion(clip)) for clip in clips]
    )
    texts = evaluator.embed_texts(captions)
    pool = min(POOL, len(clips))
    hits = np.mean(
        [
            r_precision(texts, motions, captions, pool=pool, seed=shuffle)
            for shuffle in range(SHUFFLES)
        ],
        axis=0,
    )
    return {
        **{f"r_precision_{k}": float(hit) for k, hit in enumerate(hits, 1)},
        "matching_score": matching_score(texts, motions),
        "diversity": diversity(motions, seed=seed),
        "scored_clips": len(clips),
        "pool": pool,
    }


def pad(rows: Sequence[NDArray[Any]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Stack rows (L, ...), padded with zeros at the end, beside their lengths."""
    stacked = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return stacked.to(device), torch.tensor([len(row) for row in rows], device=device)
