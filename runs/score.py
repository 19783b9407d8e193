"""The score job: what an evaluator says of a tokenizer, or of a run's generations.

A tokenizer is scored by the FID of its reconstructions of the test split. A run is
scored as ScaMo's supplementary Table 4 is: in every repetition each test clip's motion
is generated anew from one of its captions, drawn at random, and the real clips are
scored beside them. One line of `metrics.jsonl` is one repetition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.models.evaluator import UNIT
from scaling.models.generation import Sampling
from scaling.models.levels import DOWNSAMPLING
from scaling.record import CONFIG, MEASURES, METRICS, Row
from scaling.runs import corpora, evaluator, published_evaluator, tokenize
from scaling.runs.corpora import Clip, Corpus
from scaling.runs.evaluator import LoadedEvaluator
from scaling.runs.jobs import ScoreJob
from scaling.runs.loop import Reporter
from scaling.runs.scores import Score, fid, multimodality, scores
from scaling.runs.sections import Scoring
from scaling.runs.store import MetricsLog
from scaling.runs.trained import TrainedRun, load_run

GENERATIONS = 30
"""Motions of one caption, of which multimodality compares ten pairs."""

Float32 = NDArray[np.float32]


def record(job: ScoreJob, device: str) -> Row:
    """Columns that stay the same along the job."""
    return {"evaluator": job.evaluator, "device": device}


def run(job: ScoreJob, out: Path, folder: Path, device: str, reporter: Reporter) -> Row:
    """Score a tokenizer or a run; return the result."""
    config = read_json(out / job.target / CONFIG)
    corpus = corpora.load(out / config["corpus"])
    judge = open_evaluator(out / job.evaluator, out / config["corpus"], device)
    split = _Split(corpus=corpus, judge=judge, clips=tuple(scored_clips(corpus)))
    if config["kind"] == "tokenizer":
        metrics = _reconstructions(out / job.target, split, device)
        return {"status": "finished", "metrics": {**metrics, "evaluator": judge.name}}
    repetitions = _repetitions(
        _Generator(run=load_run(out / job.target, device), scoring=job.section),
        split,
        MetricsLog(folder / METRICS),
        reporter,
    )
    return {"status": "finished", **_summary(repetitions, judge)}


def open_evaluator(folder: Path, corpus: Path, device: str = "cpu") -> LoadedEvaluator:
    """Read an evaluator trained here, or the published one.

    That one takes captions with the words' lemmas and tags from HumanML3D's own texts,
    if `corpus`, a built one's folder, was made of them and they are still there.
    """
    if not (folder / published_evaluator.WEIGHTS).exists():
        return evaluator.load(folder, device)
    made_of = read_json(corpus / CONFIG)
    section = made_of.get("settings", made_of)  # version 0.1 had it beside the rest
    texts = Path(section.get("path", "")) / "texts"
    theirs = section["kind"] == "humanml3d" and texts.is_dir()
    return published_evaluator.load(folder, texts if theirs else None, device)


def scored_clips(corpus: Corpus) -> list[Clip]:
    """Choose the test clips that an evaluator can read.

    Raises
    ------
    ScalingError
        If there are too few to compare their spread.
    """
    clips = [clip for clip in corpus.split("test") if clip.frames >= UNIT]
    if len(clips) < 2:
        raise ScalingError(
            f"the test split has {len(clips)} clips of {UNIT} frames or more; scores "
            "compare at least 2: use a larger corpus"
        )
    return clips


@dataclass(frozen=True, kw_only=True, slots=True)
class _Split:
    """The test split, and who judges it."""

    corpus: Corpus
    judge: LoadedEvaluator
    clips: tuple[Clip, ...]

    def real(self) -> NDArray[np.float64]:
        """Embed the real clips."""
        motions = [self.corpus.motion(clip) for clip in self.clips]
        return self.judge.embed_motions([*map(self.corpus.unnormalised, motions)])

    def captions(self, rng: np.random.Generator) -> list[str]:
        """Draw one caption of each clip."""
        return [str(rng.choice(clip.captions)) for clip in self.clips]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Generator:
    """A run, and how its generations are drawn."""

    run: TrainedRun
    scoring: Scoring

    def motions(self, captions: Sequence[str], seed: int) -> list[Float32]:
        """Generate a motion of at least one token for each caption."""
        sampling = Sampling(
            temperature=self.scoring.temperature,
            top_k=self.scoring.top_k,
            top_p=self.scoring.top_p,
            seed=seed,
        )
        # the published sampler, too, gives a motion where the end token comes first
        made = self.run.generate(captions, sampling=sampling, min_frames=DOWNSAMPLING)
        return [motion.features for motion in made]

    def seed(self, repetition: int) -> int:
        """Seed of a repetition."""
        sequence = np.random.SeedSequence([self.scoring.seed, repetition])
        return int(sequence.generate_state(1)[0])


def _reconstructions(folder: Path, split: _Split, device: str) -> Row:
    model = tokenize.load(folder).to(device)
    drawn = tokenize.reconstruct(model, split.corpus, split.clips)
    embeddings = split.judge.embed_motions(drawn)
    return {"fid": fid(embeddings, split.real()), "scored_clips": len(drawn)}


def _repetitions(
    generator: _Generator, split: _Split, log: MetricsLog, reporter: Reporter
) -> list[Row]:
    """Score every repetition that is not logged yet, beside the real clips."""
    scoring, real = generator.scoring, split.real()
    for number in range(len(log.rows), scoring.repetitions):
        seed = generator.seed(number)
        rng = np.random.default_rng(seed)
        captions = split.captions(rng)
        texts = split.judge.embed_texts(captions)
        made = split.judge.embed_motions(generator.motions(captions, seed))
        found = scores(made, real, texts, captions, seed=seed)
        truth = scores(real, real, texts, captions, seed=seed)
        if not number:
            for caveat in found.caveats(real.shape[1]):
                reporter.say(caveat)
        row = found.to_dict()
        if scoring.multimodality:
            row["multimodality"] = _multimodality(generator, split, rng, seed)
        log.append({"step": number + 1, **row, "real": truth.to_dict()})
        reporter.progress(number + 1, scoring.repetitions)
    return log.rows


def _multimodality(
    generator: _Generator, split: _Split, rng: np.random.Generator, seed: int
) -> float:
    """Compare motions of the same caption, for captions drawn from the split."""
    known = sorted({caption for clip in split.clips for caption in clip.captions})
    wanted = min(len(known), generator.scoring.multimodality)
    chosen = [str(caption) for caption in rng.choice(known, wanted, replace=False)]
    each = np.repeat(chosen, GENERATIONS).tolist()
    made = split.judge.embed_motions(generator.motions(each, seed + 1))
    by_caption = made.reshape(wanted, GENERATIONS, -1)
    return multimodality(by_caption, seed=seed)


def _summary(repetitions: Sequence[Row], judge: LoadedEvaluator) -> Row:
    """Means for the record; intervals, and the real clips' scores, beside them."""
    made = _scores_of(repetitions)
    real = _scores_of([row["real"] for row in repetitions])
    last = repetitions[-1]
    return {
        "metrics": {
            **{name: score.mean for name, score in made.items()},
            "scored_clips": last["scored_clips"],
            "evaluator": judge.name,
        },
        "pool": last["pool"],
        "intervals": {name: asdict(score) for name, score in made.items()},
        "real": {name: asdict(score) for name, score in real.items()},
        "note": judge.note,
    }


def _scores_of(rows: Sequence[Row]) -> dict[str, Score]:
    return {
        name: Score.of([row[name] for row in rows])
        for name in MEASURES
        if name in rows[0]
    }
