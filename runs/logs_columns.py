"""Which of a trainer's names holds which column of the record, and in which unit.

A name is split at "/" and "." into parts; the last one, in lower case with "_" between
words, is matched. For the loss all words of the name count: an evaluation goes before
a training batch, nats before perplexity, a mean over data sets before one of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

from scaling.record import COLUMNS

COUNTERS = ("step", "tokens", "flops", "seconds", "epochs")
"""Columns that grow along a run, and are read from its rows alone."""

SEQUENCE = "sequence length"
"""No column of the record, but with the batch size it gives tokens."""

PATTERNS = {
    "run": ("run", "run_?name", "name|display_name", "run_?id|id"),
    "step": (
        "global_step",
        "step",
        "_step",
        "iteration|iter",
        "num_iterations|num_train_steps",
    ),
    "tokens": (
        "tokens",
        "(total|train|training|consumed|cumulative|seen|n|num)_tokens(_seen)?"
        "|tokens_(seen|trained|total|consumed)|num_input_tokens_seen",
        "tokens_from_flos",
    ),
    "total_params": (
        "total_param(eter)?s|param(eter)?s_total",
        "(n|num|model)?_?(model_)?param(eter)?s|param(eter)?_count",
    ),
    "non_vocab_params": (
        "non_vocab_params",
        "(num_|n_)?non_embedding_param(eter)?s|param(eter)?s_(non_embedding|transformer)",
    ),
    "codebook_size": ("codebook_size", "(padded_)?vocab(ulary)?_size|n_vocab"),
    "d_model": ("d_model", "hidden_(dim|size)|n_embd|model_dim|embed_dim|width"),
    "n_layers": ("n_layers?", "num_(hidden_)?layers|depth"),
    "n_heads": ("n_heads?", "num_(attention_)?heads"),
    "d_ff": ("d_ff", "intermediate_(dim|size)|ffn_(dim|hidden_size)|mlp_dim"),
    "learning_rate": ("(peak_|max_)(lr|learning_rate)", "learning_rate|lr"),
    "batch_size": ("global_batch_size", "(train_)?batch_size"),
    SEQUENCE: (
        "(max_|train_)?(seq|sequence)_len(gth)?|context_length|block_size|n_ctx",
    ),
    "seed": ("seed|random_seed",),
    "schedule": ("schedule|lr_schedule(r_type|r)?",),
    "precision": ("precision|mixed_precision|dtype",),
    "status": ("status|state",),
    "corpus": ("corpus|dataset",),
    "seconds": (
        "seconds|_?runtime|train_runtime",
        "(total_)?(training|train|elapsed)_time(_s|_sec|_seconds)?",
    ),
}
"""For a column of the record, patterns of the names that may hold it, best first."""

FLOPS = re.compile(
    r"(total|training|train|cumulative)_(?P<unit>kilo|mega|giga|tera|peta|exa|[kmgtpe])?"
    r"(flops?|flos)|flops?|flos|flops_budget|compute|budget"
)
PREFIXES = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18}
"""What the first letter of a unit says."""

UNIT = re.compile(
    r"(?P<name>.+)_(?P<unit>k|m|b|bn|t|thousands|millions|billions|trillions)"
)
COUNTS = {"k": 1e3, "th": 1e3, "m": 1e6, "mi": 1e6, "b": 1e9, "bn": 1e9, "bi": 1e9}
COUNTS |= {"t": 1e12, "tr": 1e12}

EVALUATION = {
    **dict.fromkeys(("eval", "evaluation", "val", "valid", "validation", "dev"), 0),
    **dict.fromkeys(("test", "heldout", "holdout", "paloma"), 1),
}
"""Words of an evaluation; those of a test go after those of a validation."""
TRAINING = {"train", "training"}
MEANS = {"macro", "micro", "avg", "average", "mean"}
LOSS = {"loss", "nll", "ce", "xent", "cross", "entropy", "lm"}
NO_LOSS = {
    *("scale", "scaler", "z", "aux", "router", "balance", "balancing", "kl", "norm"),
    *("best", "min", "max", "std", "stderr", "var", "grad", "weight", "time", "tokens"),
}
"""Words of what is called a loss, and is not the one that laws are fitted to."""

OTHER_LOSSES = ("normalised_loss", "unigram_loss")
"""Columns of the record, which are a loss of another kind."""

OF_EVALUATION, OF_EITHER, OF_TRAINING = range(3)
"""What a loss is of, best first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Where a column of the record comes from."""

    column: str
    """Of the record."""
    source: str
    """The trainer's name."""
    factor: float = 1.0
    """What the numbers are multiplied with."""
    logarithm: bool = False
    """Whether the natural logarithm is taken: of a perplexity."""
    others: tuple[str, ...] = ()
    """Names that could have been chosen as well."""
    asked: bool = False
    """Whether the user named it."""

    def convert(self, value: float) -> float:
        """Turn a number into the record's unit.

        >>> Choice(column="flops", source="total_gflops", factor=1e9).convert(2.0)
        2000000000.0
        """
        if self.logarithm:
            return math.log(value) if value > 0 else math.nan
        return value * self.factor

    @property
    def conversion(self) -> str:
        """Say what `convert` does; empty for nothing."""
        if self.logarithm:
            return "ln"
        if self.factor == math.log(2):
            return "x ln 2, nats per byte"
        return "" if self.factor == 1 else _times(self.factor)


def _times(factor: float) -> str:
    return f"x {factor:g}".replace("e+0", "e").replace("e+", "e")


@cache
def symbols() -> dict[str, str]:
    """Give the columns of the record by their symbols, as `--columns` takes them.

    >>> symbols()["D"]
    'tokens'
    """
    found: dict[str, str] = {}
    for name, column in COLUMNS.items():
        if column.symbol:
            found.setdefault(column.symbol, name)
    return found


def choose(column: str, names: Iterable[str]) -> Choice | None:
    """Choose a column's source among a trainer's names.

    >>> choose("flops", ["throughput/total_gflops", "loss"]).conversion
    'x 1e9'
    >>> choose("loss", ["train/loss", "eval/loss"]).source
    'eval/loss'
    """
    found = [
        (meaning.rank, place, name, meaning)
        for place, name in enumerate(names)
        if (meaning := meanings(name).get(column))
    ]
    if not found:
        return None
    (_, _, source, meaning), *others = sorted(found, key=itemgetter(0, 1))
    return Choice(
        column=column,
        source=source,
        factor=meaning.factor,
        logarithm=meaning.logarithm,
        others=tuple(name for _, _, name, _ in others),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """What a name may mean for one column."""

    rank: tuple[Any, ...]
    """How well it fits; the least is the best."""
    factor: float = 1.0
    """From its unit to the record's."""
    logarithm: bool = False
    """Whether it is a perplexity."""


@lru_cache(maxsize=1 << 16)  # the runs of a study log the same names, hundreds of them
def meanings(name: str) -> dict[str, Meaning]:
    """Give the columns that a name may hold.

    >>> sorted(meanings("train/loss"))
    ['loss', 'train_loss']
    """
    parts = re.split(r"[/.]", name)
    word = _word(parts[-1])
    found = {
        column: Meaning(rank=(rank, len(parts)), factor=factor)
        for column in PATTERNS
        for rank, factor in _match(column, word)
    }
    if held := FLOPS.fullmatch(word):
        factor = PREFIXES[held["unit"][0]] if held["unit"] else 1.0
        found["flops"] = Meaning(rank=("budget" in word, len(parts)), factor=factor)
    if name in symbols():
        found[symbols()[name]] = Meaning(rank=(0, 0))
    if name in COLUMNS:
        found[name] = Meaning(rank=(-1, 0))
    loss = _meaning_of_loss(name) if name not in OTHER_LOSSES else None
    if loss:
        found["loss"] = loss
        if loss_of(name) == OF_TRAINING:
            found["train_loss"] = loss
    return found


def _word(part: str) -> str:
    """Spell a part of a name: `Tokens (B)` is tokens_b, `_step` stays."""
    return re.sub(r"[^a-z0-9_]+", "_", part.strip().lower()).rstrip("_")


def _match(column: str, word: str) -> Iterator[tuple[int, float]]:
    """Yield the rank of a word among a column's patterns with its unit, if it fits."""
    unit = None
    if column == "tokens" or column.endswith("_params"):
        unit = UNIT.fullmatch(word)
    for rank, pattern in enumerate(PATTERNS[column]):
        if re.fullmatch(pattern, word):
            yield rank, 1.0
            return
        if unit and re.fullmatch(pattern, unit["name"]):
            yield rank, COUNTS.get(unit["unit"]) or COUNTS[unit["unit"][:2]]
            return


# --- The loss -----------------------------------------------------------------------


def _meaning_of_loss(name: str) -> Meaning | None:
    """Rank a loss by what it is of, its unit, over what, and last by its name alone.

    Names are ranked alike in all runs, so that one that is passed over in a run is
    worse in all.
    """
    words = re.findall(r"[a-z0-9]+", name.lower())
    kind = _kind(words)
    if kind is None or NO_LOSS & set(words):
        return None
    unit, factor, logarithm = kind
    known = {*EVALUATION, *TRAINING, *LOSS, "ppl", "perplexity", "bpb"}
    over = 0 if set(words) <= known else 1 if MEANS & set(words) else 2
    test = min((EVALUATION[w] for w in words if w in EVALUATION), default=0)
    return Meaning(
        rank=(loss_of(name), unit, over, test, len(words), name),
        factor=factor,
        logarithm=logarithm,
    )


def _kind(words: list[str]) -> tuple[int, float, bool] | None:
    """Say whether a name's words are of a loss: rank, factor, whether a perplexity."""
    joined = "_".join(words)
    if "bpb" in words or "bits_per_byte" in joined:
        return 2, math.log(2), False
    if "ppl" in words or "perplexity" in words:
        return 1, 1.0, True
    if (
        words == ["l"]
        or {"loss", "nll", "xent"} & set(words)
        or "cross_entropy" in joined
    ):
        return 0, 1.0, False
    return None


def loss_of(name: str) -> int:
    """Say what a loss is of, as its name has it.

    >>> loss_of("val_loss") == OF_EVALUATION, loss_of("train/CE loss") == OF_TRAINING
    (True, True)
    """
    words = set(re.findall(r"[a-z0-9]+", name.lower()))
    if words & set(EVALUATION):
        return OF_EVALUATION
    return OF_TRAINING if words & TRAINING else OF_EITHER
