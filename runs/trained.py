"""A trained run, loaded to be used: captions in, motions out.

::

    run = load_run("quickstart")  # its best; or name one: "quickstart/3x4x96-..."
    motions = run.generate(["a person walks"])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling.errors import ScalingError, suggestion
from scaling.files import read_json
from scaling.models.generation import Sampling, generate
from scaling.models.levels import DOWNSAMPLING
from scaling.models.motion import NUM_FEATURES, recover
from scaling.models.quantization import Quantization
from scaling.models.sizes import Size
from scaling.models.skeleton import FPS, Array
from scaling.models.text import Text
from scaling.models.tokenizer import MotionTokenizer
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.record import CONFIG, Row, ended, run_folders, scan, status
from scaling.runs import tokenize
from scaling.runs.checkpoint import read_model
from scaling.runs.sections import Transformers
from scaling.runs.store import GRID
from scaling.runs.text import encode_captions

Float32 = NDArray[np.float32]

MAX_FRAMES = 196
"""HumanML3D's longest clip, 9.8 s."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CaptionedMotion:
    """A motion with its caption, in every form that it passes through."""

    caption: str
    """What it shows, or was asked to."""
    tokens: NDArray[np.int32]
    """Codes of the tokenizer, (tokens,); none where the model ended at once."""
    features: Float32
    """HumanML3D's, not normalised, (T, 263); T = 0 without tokens."""
    joints: Array
    """Metres at 20 frames per second, Y up, (T, 22, 3)."""

    @classmethod
    def of(
        cls, caption: str, tokens: NDArray[np.int32], features: Float32
    ) -> CaptionedMotion:
        """Recover the joints from the features (from dimensions 0 to 66 alone)."""
        joints = recover(features) if len(features) else np.zeros((0, 22, 3))
        return cls(caption=caption, tokens=tokens, features=features, joints=joints)

    @property
    def seconds(self) -> float:
        """Length of the motion."""
        return len(self.features) / FPS


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class TrainedRun:
    """A transformer with all that it takes to turn captions into motions."""

    folder: Path
    """The run's folder, inside its store."""
    config: Row
    """What determines the run, and its constant columns."""
    section: Transformers
    """How it was trained."""
    transformer: PrefixTransformer
    """Captions to tokens; its weights are those of the newest sound checkpoint."""
    tokenizer: MotionTokenizer
    """Tokens to normalised features."""
    mean: Float32
    """Mean of the training split's features, (263,)."""
    std: Float32
    """Their deviation, (263,)."""

    def __repr__(self) -> str:
        return f"<TrainedRun {self.folder.name}: captions in, motions out>"

    @property
    def quantization(self) -> Quantization:
        """The codebook, and how many tokens stand for one latent."""
        return self.tokenizer.config.quantization

    @property
    def corpus_folder(self) -> Path:
        """The corpus that it was trained on."""
        return self.folder.parent / str(self.config["corpus"])

    def frames_after(self, pieces: int) -> int:
        """Longest motion that the context has room for after a caption's pieces."""
        tokens = self.section.context - pieces - 1
        return tokens // self.quantization.stages * DOWNSAMPLING

    def encode(self, captions: Sequence[str]) -> Sequence[Text]:
        """Give captions as the transformer reads them, cut to its text length."""
        text = self.config.get("text")
        home = self.folder.parent / text if text else self.folder
        return encode_captions(self.section, home, captions)

    def generate(
        self,
        captions: str | Sequence[str],
        *,
        sampling: Sampling | None = None,
        max_frames: int = MAX_FRAMES,
        min_frames: int = 0,
    ) -> list[CaptionedMotion]:
        """Generate one motion for each caption.

        Parameters
        ----------
        captions : str or sequence of str
            A caption given twice gives two motions: each place has its own draws.
        sampling : Sampling
            How tokens are drawn; by default from the model's probabilities, seed 0.
        max_frames : int
            Longest motion, at 20 frames per second, cut to whole tokens; less where
            the caption leaves fewer positions of the model's context.
        min_frames : int
            Shortest motion.

        Returns
        -------
        list of CaptionedMotion
            Without a frame where the model's first token was the end.
        """
        if not 0 <= min_frames <= max_frames or max_frames < DOWNSAMPLING:
            raise ScalingError(
                f"motions of {min_frames} to {max_frames} frames; expected 0 or more "
                f"for the shortest and {DOWNSAMPLING}, a token's length, or more for "
                "the longest: choose others"
            )
        captions = [captions] if isinstance(captions, str) else captions
        stages = self.quantization.stages
        rows = generate(
            self.transformer,
            self.encode(captions),
            sampling=sampling,
            max_tokens=max_frames // DOWNSAMPLING * stages,
            min_tokens=-(-min_frames // DOWNSAMPLING) * stages,
        )
        rows = [row[: len(row) - len(row) % stages] for row in rows]
        return [
            CaptionedMotion.of(caption, row, features)
            for caption, row, features in zip(
                captions, rows, self.draw(rows), strict=True
            )
        ]

    @torch.inference_mode()
    def draw(self, rows: Sequence[NDArray[np.int32]]) -> list[Float32]:
        """Draw tokens as features, not normalised, (T, 263) each."""
        device = next(self.tokenizer.parameters()).device
        drawn = [np.zeros((0, NUM_FEATURES), np.float32) for _ in rows]
        for places in tokenize.of_equal_length([len(row) for row in rows]):
            indices = np.stack([rows[place] for place in places]).astype(np.int64)
            motions = self.tokenizer.decode(torch.from_numpy(indices).to(device))
            for place, motion in zip(places, motions.cpu().numpy(), strict=True):
                drawn[place] = motion * self.std + self.mean
        return drawn


# --- loading ---


def load_run(folder: str | Path, device: str = "cpu") -> TrainedRun:
    """Load a finished run from its store.

    Parameters
    ----------
    folder : str or Path
        The run's folder, with its tokenizer's and its corpus' beside it; or a store,
        whose run of the lowest normalised test loss is taken.
    device : str
        Where it computes: `cpu`, `cuda`, `cuda:1`.

    Raises
    ------
    ScalingError
        If that is no finished run, not one of motion, or what it needs is not beside
        it.
    """
    folder = find_run(Path(folder))
    config = read_json(folder / CONFIG)
    for needed in ("tokenizer", "corpus", "text"):
        _require(folder, config.get(needed))
    tokenizer = tokenize.load(folder.parent / config["tokenizer"])
    statistics = np.load(folder.parent / config["corpus"] / "statistics.npz")
    settings = config.get("settings", config)  # version 0.1 had them beside the rest
    known = Transformers.model_fields.keys() & settings.keys()
    section = Transformers(**{key: settings[key] for key in known})
    return TrainedRun(
        folder=folder,
        config=config,
        section=section,
        transformer=_transformer(folder, config, section, tokenizer).to(device),
        tokenizer=tokenizer.to(device),
        mean=statistics["mean"],
        std=statistics["std"],
    )


def _transformer(
    folder: Path, config: Row, section: Transformers, tokenizer: MotionTokenizer
) -> PrefixTransformer:
    weights: dict[str, Tensor] = read_model(folder / "checkpoint")
    pieces = weights.get("text_embedding.weight")
    shape = TransformerConfig(
        size=Size(**config["size"]),
        codebook_size=tokenizer.config.quantization.codebook_size,
        text_vocab_size=None if pieces is None else len(pieces),
        text_width=section.text_width,
        context=section.context,
    )
    model = PrefixTransformer(shape)
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)


def find_run(path: Path) -> Path:
    """Find a run's folder: the one named, or the best of the store named.

    Raises
    ------
    ScalingError
        If there is no such run, or it did not finish.
    """
    if (path / GRID).exists():
        return _best(path)
    kind = read_json(path / CONFIG).get("kind") if (path / CONFIG).exists() else None
    if kind != "transformer":
        names = [folder.name for folder, _ in run_folders(path.parent, "transformer")]
        hint = f"; {suggestion(path.name, names)}" if names else ""
        found = f"the folder of a job of kind {kind!r}" if kind else "no run's folder"
        raise ScalingError(
            f"{path} is {found}; expected that of a transformer run, or a run store: "
            f"name one{hint}"
        )
    if status(path) != "finished":
        raise ScalingError(
            f"run {path.name} is {status(path)}; expected a finished one: run its grid "
            "again to finish it, or name another"
        )
    return path


def _best(store: Path) -> Path:
    """Find the finished run of the lowest normalised test loss at its end."""
    last = {row["run"]: row for row in scan(store) if row["status"] == "finished"}
    if not last:
        raise ScalingError(
            f"{store} holds no finished run; expected at least one: finish it with "
            "scaling run"
        )
    best = min(last.values(), key=lambda row: float(row["normalised_loss"]))
    return store / str(best["run"])


def _require(folder: Path, needed: str | None) -> None:
    """Refuse a run without the finished folder of a job that it needs."""
    if needed and not ended(folder.parent / needed):
        raise ScalingError(
            f"run {folder.name} needs {needed}, which is not in {folder.parent} or not "
            "finished; bring it back, or run the grid again to make it anew"
        )
