"""Motion tokenizer: a convolutional autoencoder whose bottleneck is a code.

Two stride-2 convolutions shorten T frames to T / 4 latents, each latent is quantised to
one of V codes, and a mirror-image decoder draws the motion back (ScaMo section 3.2; the
encoder and decoder are T2M-GPT's, arXiv 2301.06052). The residual blocks run with
dilations 9, 3, 1 in both, as the released code does. With FSQ this is the paper's
Motion FSQ-VAE, with VQ its baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from scaling.errors import ScalingError
from scaling.models.convolution import Conv1d, UpsamplingConv1d
from scaling.models.fsq import FSQ
from scaling.models.levels import HALVINGS
from scaling.models.quantization import Quantization
from scaling.models.rfsq import ResidualFSQ
from scaling.models.vq import VQ


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerConfig:
    """Shape of a motion tokenizer."""

    quantization: Quantization
    """How latents become codes."""
    num_features: int = 263
    """Features per frame."""
    width: int = 512
    """Channels of the convolutions; the paper's is 512."""
    depth: int = 3
    """Residual blocks per resolution, with dilations 3^(depth-1) down to 1."""
    ema: float = 0.99
    """Share of the past in the moving averages of VQ."""

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
            Conv1d(width, width, 3, padding=dilation, dilation=dilation),
            nn.ReLU(inplace=True),
            Conv1d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, width, time) to the same shape."""
        out: Tensor = self.layers(x).add_(x)
        return out


def _residual_blocks(width: int, depth: int) -> nn.Sequential:
    blocks = [ResidualBlock(width, 3**power) for power in reversed(range(depth))]
    return nn.Sequential(*blocks)


def _encoder(config: TokenizerConfig) -> nn.Sequential:
    width = config.width
    layers: list[nn.Module] = [
        Conv1d(config.num_features, width, 3, padding=1),
        nn.ReLU(inplace=True),
    ]
    for _ in range(HALVINGS):
        layers += [
            Conv1d(width, width, 4, stride=2, padding=1),
            _residual_blocks(width, config.depth),
        ]
    return nn.Sequential(*layers, Conv1d(width, width, 3, padding=1))


def _decoder(config: TokenizerConfig) -> nn.Sequential:
    width = config.width
    layers: list[nn.Module] = [
        Conv1d(width, width, 3, padding=1),
        nn.ReLU(inplace=True),
    ]
    for _ in range(HALVINGS):
        layers += [
            _residual_blocks(width, config.depth),
            nn.Identity(),  # keeps the numbers of the weights' names as they were
            UpsamplingConv1d(width, width, 3, padding=1),
        ]
    layers += [
        Conv1d(width, width, 3, padding=1),
        nn.ReLU(inplace=True),
        Conv1d(width, config.num_features, 3, padding=1),
    ]
    return _Decoder(*layers)


class _Decoder(nn.Sequential):
    """Layers after one another; no nonlinearity parts two of the last convolutions."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, width, tokens) to (batch, features, frames)."""
        *layers, upsampling, second, relu, last = self
        assert isinstance(upsampling, UpsamplingConv1d)
        assert isinstance(second, Conv1d)
        for layer in layers:
            x = layer(x)
        out: Tensor = last(relu(upsampling.then(second, x)))
        return out


def _quantizer(config: TokenizerConfig) -> FSQ | ResidualFSQ | VQ:
    chosen = config.quantization
    match chosen.method:
        case "fsq":
            return FSQ(chosen.levels)
        case "rfsq":
            return ResidualFSQ(chosen.levels, chosen.stages)
        case "vq":
            return VQ(chosen.codes, config.width, config.ema)
        case method:
            raise ScalingError(
                f"quantization {method} is not of motion; expected fsq, rfsq or vq: "
                "take one of them"
            )


def _projections(config: TokenizerConfig) -> tuple[nn.Module, nn.Module]:
    """To the channels of the levels and back; learnt codes are as wide as a latent."""
    channels = len(config.quantization.levels)
    if not channels:
        return nn.Identity(), nn.Identity()
    return nn.Linear(config.width, channels), nn.Linear(channels, config.width)


class Reconstruction(NamedTuple):
    """A motion drawn from its codes."""

    motion: Tensor
    """Normalised features, (batch, frames, features)."""
    indices: Tensor
    """Codes as int64, (batch, tokens)."""
    commitment: Tensor
    """Mean squared distance of the latents to learnt codes; 0 where none are learnt."""


class MotionTokenizer(nn.Module):
    """Motion to codes and back.

    Parameters
    ----------
    config : TokenizerConfig
    """

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _encoder(config)
        self.quantizer = _quantizer(config)
        self.project_in, self.project_out = _projections(config)
        self.decoder = _decoder(config)

    def forward(self, motion: Tensor) -> Reconstruction:
        """Reconstruct a motion through its codes.

        Parameters
        ----------
        motion : Tensor, shape (batch, frames, features)
            Normalised features; frames a multiple of `DOWNSAMPLING`.
        """
        latents = self._latents(motion)
        codes, indices = self.quantizer(latents)
        commitment = latents.new_zeros(())
        if isinstance(self.quantizer, VQ):
            commitment = F.mse_loss(latents, codes.detach())
        return Reconstruction(self._draw(codes), indices, commitment)

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
