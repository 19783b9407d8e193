"""The text-motion evaluator: motions and captions as points of one space.

The published `text_mot_match` (Guo et al., CVPR 2022), on which the field's FID and
R-precision stand:

- motion: two strided convolutions on all features but the foot contacts, a token per
  four frames, then a bidirectional GRU's last states
- text: word vectors, where tags are known a projection of them added, then the same
- a contrastive loss on Euclidean distances; embeddings are not normalised

Modules and parameters carry the published names, so that its weights load as they are.

Tensor shapes: B pairs, T frames, P words, E width of the embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

CONTACTS = 4
"""Last features of a frame, which the evaluator does not look at."""

UNIT = 4
"""Frames per token of the convolutions."""

LOADED_FRAMES = 196
"""Frames to which the published data loader pads with zeros."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatorConfig:
    """Shape of an evaluator; the defaults are the published ones."""

    vocab_size: int
    """Rows of the table of word vectors."""
    tags: int = 0
    """Kinds of part-of-speech tags, 15 in the published evaluator; 0: none."""
    features: int = 263
    """Features of a frame, the contacts last."""
    word_width: int = 300
    """Width of the word vectors."""
    conv_width: int = 512
    """Channels of the convolutions."""
    text_width: int = 512
    """Width of the text GRU, in each direction."""
    motion_width: int = 1024
    """Width of the motion GRU, in each direction."""
    embedding: int = 512
    """E, width of the space that both share."""

    @classmethod
    def of_width(cls, width: int, vocab_size: int) -> EvaluatorConfig:
        """Take the published proportions at another width."""
        return cls(
            vocab_size=vocab_size,
            conv_width=width,
            text_width=width,
            motion_width=2 * width,
            embedding=width,
        )


class MovementEncoder(nn.Module):
    """Motion as movement tokens, one per four frames."""

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        width = config.conv_width
        self.main = nn.Sequential(
            nn.Conv1d(config.features - CONTACTS, width, 4, stride=2, padding=1),
            nn.Dropout(0.2),
            nn.LeakyReLU(0.2),
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            nn.Dropout(0.2),
            nn.LeakyReLU(0.2),
        )
        self.out_net = nn.Linear(width, width)

    def forward(self, motion: Tensor, units: Tensor) -> Tensor:
        """Map (B, T, features), zero beyond its units, to (B, T / 4 or more, width)."""
        padded = F.pad(motion[..., :-CONTACTS], (0, 0, 0, UNIT))
        halves = self.main[:3](padded.mT).mT
        # where the published loader padded, the last token sees one position past the
        # motion's end; in a motion of full length it does not
        seen = 2 * units + (UNIT * units < LOADED_FRAMES)
        out: Tensor = self.out_net(self.main[3:](_cut(halves, seen).mT).mT)
        return out


class SequenceEncoder(nn.Module):
    """The last states of a bidirectional GRU, mapped to an embedding."""

    def __init__(self, input_width: int, width: int, embedding: int) -> None:
        super().__init__()
        self.input_emb = nn.Linear(input_width, width)
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.output_net = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.LayerNorm(width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, embedding),
        )
        self.hidden = nn.Parameter(torch.randn(2, 1, width))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map (B, L, input_width), lengths (B,) of at least 1, to (B, E)."""
        packed = pack_padded_sequence(
            self.input_emb(x), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        first = self.hidden.expand(-1, len(x), -1).contiguous()
        _, (forwards, backwards) = self.gru(packed, first)
        out: Tensor = self.output_net(torch.cat([forwards, backwards], -1))
        return out


class TextEncoder(SequenceEncoder):
    """A sequence encoder of words, to which tags may add."""

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__(config.word_width, config.text_width, config.embedding)
        if config.tags:
            self.pos_emb = nn.Linear(config.tags, config.word_width)


class TextMotionEvaluator(nn.Module):
    """Embed motions and captions so that those that belong together are near.

    It carries the mean and the deviation of its training motions, and takes motions as
    they are: another corpus' z-score never reaches it.

    Parameters
    ----------
    config : EvaluatorConfig
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.features))
        self.register_buffer("std", torch.ones(config.features))
        self.words = nn.Embedding(config.vocab_size, config.word_width)
        self.movement_encoder = MovementEncoder(config)
        self.motion_encoder = SequenceEncoder(
            config.conv_width, config.motion_width, config.embedding
        )
        self.text_encoder = TextEncoder(config)
        self.apply(_draw)

    def embed_motion(self, motion: Tensor, lengths: Tensor) -> Tensor:
        """Embed motions.

        Parameters
        ----------
        motion : Tensor
            (B, T, features), not normalised; what lies beyond a length is not seen.
        lengths : Tensor
            Frames of each, (B,), cut to a multiple of 4; a motion of fewer than 4 is
            filled up with the mean.

        Returns
        -------
        Tensor
            (B, E).
        """
        units = (lengths // UNIT).clamp(min=1)
        normalised = (motion - self.mean) / self.std
        whole = _cut(normalised, torch.minimum(lengths, UNIT * units))
        out: Tensor = self.motion_encoder(self.movement_encoder(whole, units), units)
        return out

    def embed_text(
        self, ids: Tensor, lengths: Tensor, tags: Tensor | None = None
    ) -> Tensor:
        """Embed captions.

        Parameters
        ----------
        ids : Tensor
            Rows of the table of word vectors, (B, P); padding is not seen.
        lengths : Tensor
            Words of each, (B,), at least 1.
        tags : Tensor, optional
            Kind of each word, (B, P), for an evaluator that has tags.

        Returns
        -------
        Tensor
            (B, E).
        """
        words = self.words(ids)
        if tags is not None:
            one_hot = F.one_hot(tags, self.config.tags).to(words.dtype)
            words = words + self.text_encoder.pos_emb(one_hot)
        out: Tensor = self.text_encoder(words, lengths)
        return out


def contrastive_loss(
    text: Tensor, motion: Tensor, captions: Tensor, margin: float
) -> Tensor:
    """Pull pairs together and others apart (Hadsell, Chopra and LeCun 2006).

    ::

        L = mean_i d(t_i, m_i)^2 + mean_(i,j) max(0, margin - d(t_i, m_j))^2

    with the Euclidean distance d and the second mean over all i, j of different
    captions. Guo et al. take one mismatched motion per text and step, by a roll of the
    batch; this is the expectation of theirs over all rolls, but for equal captions,
    which they push apart, and the roll by 0, in which they do so with matched pairs.

    Parameters
    ----------
    text, motion : Tensor
        Embeddings, (B, E), of matched pairs.
    captions : Tensor
        A number for each caption's wording, (B,).
    margin : float
        Distance above which a mismatched pair costs nothing.
    """
    distances = torch.cdist(text, motion, compute_mode="donot_use_mm_for_euclid_dist")
    others = captions[:, None] != captions
    pull = distances.diagonal().square().mean()
    push = (margin - distances).clamp(min=0).square()[others]
    return pull + push.sum() / max(1, len(push))


def _cut(x: Tensor, lengths: Tensor) -> Tensor:
    """Set to zero what lies beyond each length, (B, T, C)."""
    places = torch.arange(x.shape[1], device=x.device)
    return x.masked_fill((places >= lengths[:, None])[..., None], 0.0)


def _draw(module: nn.Module) -> None:
    """Draw the weights of a convolution or a linear map as Glorot and Bengio do."""
    if isinstance(module, nn.Conv1d | nn.Linear):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
