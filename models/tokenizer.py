"""Motion FSQ-VAE: a convolutional autoencoder whose bottleneck is a code.

Two stride-2 convolutions shorten T frames to T / 4 latents, each latent is quantised to
one of V codes, and a mirror-image decoder draws the motion back (ScaMo section 3.2; the
encoder and decoder are T2M-GPT's, arXiv 2301.06052). The residual blocks run with
dilations 9, 3, 1 in both, as the released code does.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from scaling.errors import ScalingError
from scaling.models.fsq import FSQ
from scaling.models.levels import HALVINGS


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerConfig:
    """Shape of a motion tokenizer."""

    levels: tuple[int, ...]
    """FSQ levels; their product is the codebook size V."""
    num_features: int = 263
    """Features per frame."""
    width: int = 512
    """Channels of the convolutions; the paper's is 512."""
    depth: int = 3
    """Residual blocks per resolution, with dilations 3^(depth-1) down to 1."""

    def __post_init__(self) -> None:
        for field in ("num_features", "width", "depth"):
            if getattr(self, field) < 1:
                raise ScalingError(
                    f"{field} {getattr(self, field)} must be at least 1; set it higher"
                )


class ResidualBlock(nn.Module):
    """x + conv1(relu(conv3(relu(x)))), the first convolution dilated."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation),
            nn.ReLU(),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, width, time) to the same shape."""
        out: Tensor = x + self.layers(x)
        return out


def _residual_blocks(width: int, depth: int) -> nn.Sequential:
    blocks = [ResidualBlock(width, 3**power) for power in reversed(range(depth))]
    return nn.Sequential(*blocks)


def _encoder(config: TokenizerConfig) -> nn.Sequential:
    width = config.width
    layers: list[nn.Module] = [
        nn.Conv1d(config.num_features, width, 3, padding=1),
        nn.ReLU(),
    ]
    for _ in range(HALVINGS):
        layers += [
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            _residual_blocks(width, config.depth),
        ]
    return nn.Sequential(*layers, nn.Conv1d(width, width, 3, padding=1))


def _decoder(config: TokenizerConfig) -> nn.Sequential:
    width = config.width
    layers: list[nn.Module] = [nn.Conv1d(width, width, 3, padding=1), nn.ReLU()]
    for _ in range(HALVINGS):
        layers += [
            _residual_blocks(width, config.depth),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv1d(width, width, 3, padding=1),
        ]
    layers += [
        nn.Conv1d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv1d(width, config.num_features, 3, padding=1),
    ]
    return nn.Sequential(*layers)


class MotionTokenizer(nn.Module):
    """Motion to codes and back.

    Parameters
    ----------
    config : TokenizerConfig
    """

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        channels = len(config.levels)
        self.encoder = _encoder(config)
        self.project_in = nn.Linear(config.width, channels)
        self.quantizer = FSQ(config.levels)
        self.project_out = nn.Linear(channels, config.width)
        self.decoder = _decoder(config)

    def forward(self, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct a motion through its codes.

        Parameters
        ----------
        motion : Tensor, shape (batch, frames, features)
            Normalised features; frames a multiple of `DOWNSAMPLING`.

        Returns
        -------
        reconstruction : Tensor, shape (batch, frames, features)
        indices : Tensor of int64, shape (batch, frames / DOWNSAMPLING)
        """
        codes, indices = self.quantizer(self._latents(motion))
        return self._draw(codes), indices

    def encode(self, motion: Tensor) -> Tensor:
        """Code indices of a motion: (batch, frames, features) to (batch, tokens)."""
        indices: Tensor = self.quantizer(self._latents(motion))[1]
        return indices

    def decode(self, indices: Tensor) -> Tensor:
        """Motion of code indices: (batch, tokens) to (batch, frames, features)."""
        return self._draw(self.quantizer.indices_to_codes(indices))

    def _latents(self, motion: Tensor) -> Tensor:
        hidden = self.encoder(motion.transpose(1, 2))
        latents: Tensor = self.project_in(hidden.transpose(1, 2))
        return latents

    def _draw(self, codes: Tensor) -> Tensor:
        hidden = self.project_out(codes).transpose(1, 2)
        motion: Tensor = self.decoder(hidden).transpose(1, 2)
        return motion
