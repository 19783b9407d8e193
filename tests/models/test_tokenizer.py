"""The motion tokenizers are the paper's: their shape, parameters and round trip."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from scaling.errors import ScalingError
from scaling.models import convolution
from scaling.models.levels import DOWNSAMPLING, whole_tokens
from scaling.models.quantization import Quantization
from scaling.models.tokenizer import MotionTokenizer, TokenizerConfig

SMALL = TokenizerConfig(
    quantization=Quantization(levels=(8, 6, 5)), num_features=7, width=12, depth=3
)

QUANTIZATIONS = {
    "fsq": Quantization(levels=(8, 6, 5)),
    "vq": Quantization(method="vq", codes=50),
    "rfsq": Quantization(method="rfsq", levels=(8, 6, 5), stages=3),
}
every_quantization = pytest.mark.parametrize("method", QUANTIZATIONS)


def tokenizer(config: TokenizerConfig = SMALL, seed: int = 0) -> MotionTokenizer:
    """Draw a tokenizer whose latents spread over several levels."""
    torch.manual_seed(seed)
    model = MotionTokenizer(config)
    if isinstance(model.project_in, nn.Linear):
        with torch.no_grad():
            model.project_in.weight.mul_(20)
    return model


def motion(frames: int, batch: int = 2, config: TokenizerConfig = SMALL) -> Tensor:
    """Draw normalised features at random."""
    generator = torch.Generator().manual_seed(frames)
    return torch.randn(batch, frames, config.num_features, generator=generator)


class TestShape:
    @pytest.mark.parametrize("frames", [4, 8, 64, 196])
    def test_four_frames_are_one_token(self, frames: int) -> None:
        reconstruction, indices, _ = tokenizer()(motion(frames))
        assert DOWNSAMPLING == 4
        assert reconstruction.shape == (2, frames, 7)
        assert indices.shape == (2, frames // 4)
        assert indices.dtype == torch.int64

    @pytest.mark.parametrize("depth", [1, 2, 4])
    def test_any_depth_and_width(self, depth: int) -> None:
        config = TokenizerConfig(
            quantization=Quantization(levels=(5, 3)),
            num_features=3,
            width=6,
            depth=depth,
        )
        found = tokenizer(config)(motion(12, config=config))
        assert [x.shape for x in found[:2]] == [(2, 12, 3), (2, 3)]

    @given(st.integers(0, 10_000))
    def test_whole_tokens_drops_less_than_one(self, frames: int) -> None:
        whole = whole_tokens(frames)
        assert whole % 4 == 0
        assert 0 <= frames - whole < 4


class TestRoundTrip:
    def test_decoding_the_codes_is_forward_s_reconstruction(self) -> None:
        model, x = tokenizer(), motion(64)
        reconstruction, indices, _ = model(x)
        assert len(set(indices.flatten().tolist())) > 5
        assert torch.equal(model.encode(x), indices)
        torch.testing.assert_close(
            model.decode(model.encode(x)), reconstruction, atol=1e-5, rtol=1e-5
        )

    def test_reconstruction_depends_on_the_motion_through_the_codes_only(self) -> None:
        model, x = tokenizer(), motion(32)
        nudged = x + 1e-6
        assert torch.equal(model.encode(x), model.encode(nudged))
        torch.testing.assert_close(model(x)[0], model(nudged)[0], atol=1e-5, rtol=1e-5)

    def test_tokens_move_with_the_motion(self) -> None:
        model, x = tokenizer(), motion(400, batch=1)
        indices, later = model.encode(x), model.encode(x[:, 8:])
        # a token sees at most 26 + 52 frames of residual blocks and 12 more around it
        reach = 90 // 4 + 1
        assert torch.equal(indices[:, 2 + reach : -reach], later[:, reach:-reach])
        assert len(set(indices[0, reach:-reach].tolist())) > 5

    def test_rows_of_a_batch_do_not_mix(self) -> None:
        model, x = tokenizer(), motion(32, batch=3)
        alone = torch.cat([model.encode(row[None]) for row in x])
        assert torch.equal(model.encode(x), alone)


def test_gradient_reaches_every_parameter() -> None:
    model, x = tokenizer(), motion(64)
    (model(x)[0] - x).square().mean().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name


class TestQuantizations:
    @staticmethod
    def of(method: str) -> MotionTokenizer:
        """A tokenizer past its first batch, from which VQ takes its codes."""
        model = tokenizer(replace(SMALL, quantization=QUANTIZATIONS[method]))
        model(motion(64))
        return model.eval()

    @every_quantization
    def test_decoding_the_codes_is_forward_s_reconstruction(self, method: str) -> None:
        model, x = self.of(method), motion(64)
        drawn = model(x)
        assert drawn.indices.shape == (2, 16 * QUANTIZATIONS[method].stages)
        assert torch.equal(model.encode(x), drawn.indices)
        assert len(drawn.indices.unique()) > 5
        torch.testing.assert_close(
            model.decode(drawn.indices), drawn.motion, atol=1e-5, rtol=1e-5
        )

    @every_quantization
    def test_only_whole_latents_are_drawn(self, method: str) -> None:
        model = self.of(method)
        indices = model.encode(motion(32))[:, :-1]
        latents = indices.shape[1] // QUANTIZATIONS[method].stages
        assert model.decode(indices).shape == (2, 4 * latents, 7)

    @every_quantization
    def test_commitment_is_the_distance_to_learnt_codes(self, method: str) -> None:
        model, x = self.of(method), motion(64)
        found = model(x).commitment
        if method != "vq":
            assert found == 0
            return
        latents = model.encoder(x.transpose(1, 2)).transpose(1, 2)
        codes = model.quantizer.indices_to_codes(model.encode(x))
        torch.testing.assert_close(found, (latents - codes).square().mean())
        found.backward()
        for name, weight in model.named_parameters():
            reached = weight.grad is not None and bool(weight.grad.any())
            assert reached == name.startswith("encoder"), name

    def test_vq_quantises_the_encoder_s_channels_as_they_are(self) -> None:
        model = self.of("vq")
        assert model.quantizer.codebook.shape == (50, SMALL.width)
        names = [name for name, _ in model.named_parameters()]
        assert all(name.startswith(("encoder.", "decoder.")) for name in names)

    def test_decay_reaches_vq(self) -> None:
        config = replace(SMALL, quantization=QUANTIZATIONS["vq"], ema=0.5)
        assert MotionTokenizer(config).quantizer.decay == 0.5

    def test_weights_are_drawn_in_the_order_of_the_data(self) -> None:
        drawn = tokenizer().state_dict()
        torch.manual_seed(0)
        first = nn.Conv1d(SMALL.num_features, SMALL.width, 3, padding=1)
        assert torch.equal(drawn["encoder.0.weight"], first.weight)
        order = list(dict.fromkeys(name.split(".")[0] for name in drawn))
        assert order == ["encoder", "project_in", "project_out", "decoder"]


class TestWideBatch:
    """A wide batch is trained by short algorithms, the others by torch's."""

    @staticmethod
    def trained(method: str, steps: int) -> list[Tensor]:
        """Weights after some steps, and the gradients of the next."""
        model = tokenizer(replace(SMALL, quantization=QUANTIZATIONS[method]))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(steps + 1):
            optimizer.zero_grad()
            x = motion(64, batch=convolution.BATCH) + step
            drawn = model(x)
            ((drawn.motion - x).square().mean() + drawn.commitment).backward()
            if step < steps:
                optimizer.step()
        weights = list(model.parameters())
        return [*weights, *(weight.grad for weight in weights)]

    @every_quantization
    def test_has_the_gradients_of_torch_s(
        self, method: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = self.trained(method, 0)
        monkeypatch.setattr(convolution, "_is_faster", lambda x: False)
        for ours, torchs in zip(found, self.trained(method, 0), strict=True):
            scale = torchs.abs().max().item()
            torch.testing.assert_close(ours, torchs, atol=1e-4 * scale, rtol=0)
            assert ours.shape == torchs.shape

    @every_quantization
    def test_trains_to_the_same_bits(self, method: str) -> None:
        pairs = zip(self.trained(method, 2), self.trained(method, 2), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


class TestArchitecture:
    def test_paper_s_configuration_has_this_many_parameters(self) -> None:
        # by hand, width 512: convolutions of kernel 1, 3, 4 with their biases
        k1, k3, k4 = 262_656, 786_944, 1_049_088
        residual = 3 * (k3 + k1)
        encoder = (263 * 3 * 512 + 512) + 2 * (k4 + residual) + k3
        decoder = k3 + 2 * (residual + k3) + k3 + (512 * 3 * 263 + 263)
        projections = (512 * 6 + 6) + (6 * 512 + 512)
        assert encoder + decoder + projections == 19_443_469
        with torch.device("meta"):
            model = MotionTokenizer(
                TokenizerConfig(quantization=Quantization(levels=(8, 8, 8, 5, 5, 5)))
            )
        assert sum(weight.numel() for weight in model.parameters()) == 19_443_469

    def test_dilations_run_9_3_1_at_each_resolution(self) -> None:
        model = tokenizer()
        seen: dict[str, list[tuple[int, int]]] = {"encoder": [], "decoder": []}
        for side in seen:
            for module in model.get_submodule(side).modules():
                if isinstance(module, nn.Conv1d) and module.kernel_size == (3,):
                    module.register_forward_hook(
                        lambda conv, inputs, _, side=side: seen[side].append(
                            (conv.dilation[0], inputs[0].shape[-1])
                        )
                    )
        model(motion(16))
        half, quarter = [(9, 8), (3, 8), (1, 8)], [(9, 4), (3, 4), (1, 4)]
        assert seen["encoder"] == [(1, 16), *half, *quarter, (1, 4)]
        assert seen["decoder"] == [
            *[(1, 4), *quarter, (1, 4)],  # before they are doubled
            *[*half, (1, 8)],
            *[(1, 16), (1, 16)],
        ]

    def test_residual_block_is_the_formula(self) -> None:
        block = tokenizer().encoder.get_submodule("3.0")
        first, second = (m for m in block.modules() if isinstance(m, nn.Conv1d))
        x = torch.randn(2, 12, 40)
        expected = x + second(first(x.relu()).relu())
        torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("field", ["num_features", "width", "depth"])
def test_field_below_one_is_refused_by_name(field: str) -> None:
    with pytest.raises(ScalingError) as error:
        TokenizerConfig(quantization=Quantization(levels=(8, 6, 5)), **{field: 0})
    assert str(error.value) == f"{field} 0 must be at least 1; set it higher"
