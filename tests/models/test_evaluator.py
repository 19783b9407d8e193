"""The evaluator's shape is the published one, and padding is never seen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from scaling.models.evaluator import (
    EvaluatorConfig,
    TextMotionEvaluator,
    contrastive_loss,
)

PUBLISHED = {
    "movement_encoder.main.0.weight": (512, 259, 4),
    "movement_encoder.main.0.bias": (512,),
    "movement_encoder.main.3.weight": (512, 512, 4),
    "movement_encoder.main.3.bias": (512,),
    "movement_encoder.out_net.weight": (512, 512),
    "movement_encoder.out_net.bias": (512,),
    "motion_encoder.hidden": (2, 1, 1024),
    "motion_encoder.input_emb.weight": (1024, 512),
    "motion_encoder.gru.weight_ih_l0": (3072, 1024),
    "motion_encoder.gru.weight_hh_l0_reverse": (3072, 1024),
    "motion_encoder.output_net.0.weight": (1024, 2048),
    "motion_encoder.output_net.1.weight": (1024,),
    "motion_encoder.output_net.3.weight": (512, 1024),
    "text_encoder.hidden": (2, 1, 512),
    "text_encoder.pos_emb.weight": (300, 15),
    "text_encoder.input_emb.weight": (512, 300),
    "text_encoder.gru.weight_ih_l0": (1536, 512),
    "text_encoder.output_net.0.weight": (512, 1024),
    "text_encoder.output_net.3.weight": (512, 512),
}


@pytest.fixture(scope="module")
def evaluator() -> TextMotionEvaluator:
    torch.manual_seed(0)
    return TextMotionEvaluator(EvaluatorConfig.of_width(16, vocab_size=30)).eval()


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        model = TextMotionEvaluator(EvaluatorConfig(vocab_size=4199, tags=15))
    shapes = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    assert shapes.items() >= PUBLISHED.items()


@torch.no_grad()
def test_padding_of_motions_is_not_seen(evaluator: TextMotionEvaluator) -> None:
    motions = [torch.randn(length, 263) for length in (2, 4, 43, 120, 196, 240)]
    lengths = torch.tensor([len(motion) for motion in motions])
    padded = pad_sequence(motions, batch_first=True, padding_value=7.0)
    together = evaluator.embed_motion(padded, lengths)
    alone = [
        evaluator.embed_motion(motion[None], torch.tensor([len(motion)]))
        for motion in motions
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


@torch.no_grad()
def test_padding_of_captions_is_not_seen(evaluator: TextMotionEvaluator) -> None:
    captions = [torch.randint(30, (length,)) for length in (1, 5, 12)]
    lengths = torch.tensor([len(caption) for caption in captions])
    padded = pad_sequence(captions, batch_first=True, padding_value=29)
    together = evaluator.embed_text(padded, lengths)
    alone = [
        evaluator.embed_text(caption[None], torch.tensor([len(caption)]))
        for caption in captions
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


@torch.no_grad()
def test_contacts_and_broken_units_are_not_seen(
    evaluator: TextMotionEvaluator,
) -> None:
    motion, lengths = torch.randn(1, 43, 263), torch.tensor([43])
    other = motion.clone()
    other[..., 259:] += 1
    other[:, 40:] += 1
    assert torch.equal(
        evaluator.embed_motion(motion, lengths), evaluator.embed_motion(other, lengths)
    )
    other[:, 39, 0] += 1
    assert not torch.equal(
        evaluator.embed_motion(motion, lengths), evaluator.embed_motion(other, lengths)
    )


@torch.no_grad()
def test_it_normalises_by_its_own_statistics(evaluator: TextMotionEvaluator) -> None:
    motion, lengths = torch.randn(1, 40, 263), torch.tensor([40])
    other = TextMotionEvaluator(evaluator.config).eval()
    mean, std = torch.full((263,), 3.0), torch.full((263,), 0.5)
    other.load_state_dict({**evaluator.state_dict(), "mean": mean, "std": std})
    torch.testing.assert_close(
        other.embed_motion(motion * std + mean, lengths),
        evaluator.embed_motion(motion, lengths),
        atol=1e-5,
        rtol=0,
    )


def test_the_loss_is_that_of_its_formula() -> None:
    text = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    motion = torch.tensor([[0.0, 1.0], [3.0, 4.0]])
    # pull: (1 + 0) / 2; push: text 0 to motion 1 is 5 away, text 1 to motion 0 sqrt(18)
    push = (5**2 + (10 - 18**0.5) ** 2) / 2
    loss = contrastive_loss(text, motion, torch.tensor([0, 1]), margin=10)
    assert float(loss) == pytest.approx(0.5 + push, rel=1e-6)


def test_equal_captions_are_not_pushed_apart() -> None:
    text, motion = torch.randn(2, 3, 8)
    captions = torch.zeros(3, dtype=torch.int64)
    pull = (text - motion).square().sum(1).mean()
    torch.testing.assert_close(contrastive_loss(text, motion, captions, 10), pull)


def test_the_loss_is_the_mean_of_the_published_one_over_all_rolls() -> None:
    text, motion = torch.randn(2, 6, 8)

    def published(shift: int) -> Tensor:
        matched = (text - motion).norm(dim=1)
        mismatched = (text - motion.roll(shift, 0)).norm(dim=1)
        push = (10 - mismatched).clamp(min=0)
        total: Tensor = matched.square().mean() + push.square().mean()
        return total

    mean = torch.stack([published(shift) for shift in range(1, 6)]).mean()
    torch.testing.assert_close(
        contrastive_loss(text, motion, torch.arange(6), 10), mean
    )


def test_gradients_are_finite_where_embeddings_meet() -> None:
    text = torch.ones(4, 8, requires_grad=True)
    contrastive_loss(text, torch.ones(4, 8), torch.arange(4), 10).backward()  # type: ignore[no-untyped-call]
    assert text.grad is not None
    assert torch.isfinite(text.grad).all()
