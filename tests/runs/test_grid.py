"""A grid file is checked whole: every mistake is named with its line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.errors import ScalingError
from scaling.runs.grid import load_grid
from scaling.runs.sections import Grid, KinematicCorpus, TokensCorpus

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

GOOD = """\
study: good
tokenizers:
  codebooks: [256]
transformers:
  sizes: [44M, 2x2x64]
  tokens: [1000]
"""


def load(tmp_path: Path, text: str, *overrides: str) -> Grid:
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return load_grid(path, overrides)


def mistakes(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ScalingError) as caught:
        load(tmp_path, text, *overrides)
    return [line.partition("grid.yaml")[2] for line in str(caught.value).splitlines()]


def test_the_default_corpus_is_the_built_in_one(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).corpus == KinematicCorpus()


def test_defaults_are_the_paper_s_table_2(tmp_path: Path) -> None:
    grid = load(tmp_path, GOOD)
    assert grid.tokenizers.milestone == 0.6
    assert grid.tokenizers.warmup == 0.003
    assert grid.tokenizers.weight_decay == 0.0
    assert grid.transformers is not None
    assert grid.transformers.warmup == 0.1
    assert grid.transformers.weight_decay == 1e-6
    assert grid.transformers.context == 201


def test_levels_are_refused_where_vq_is_alone(tmp_path: Path) -> None:
    text = """\
    study: x
    corpus: {kind: kinematic}
    tokenizers: {quantizers: [vq], codebooks: [300], levels: [[8, 5]]}
    transformers: none
    """
    (found,) = mistakes(tmp_path, text)
    assert "levels [[8, 5]] and VQ alone, which has none; name its sizes" in found


def test_a_study_of_tokenizers_alone_has_an_evaluator_unless_it_says_none() -> None:
    tree = {
        "study": "x",
        "corpus": {"kind": "kinematic"},
        "tokenizers": {"quantizers": ["vq"], "codebooks": [300]},
        "transformers": "none",
    }
    assert Grid.model_validate(tree).evaluator is not None
    assert Grid.model_validate({**tree, "evaluator": "none"}).evaluator is None


@pytest.mark.parametrize("name", sorted(p.stem for p in EXAMPLES.glob("*.yaml")))
def test_examples_are_sound(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALING_DATA", "/somewhere")
    grid = load_grid(EXAMPLES / f"{name}.yaml")
    assert grid.study == name
    rates = len(grid.transformers.learning_rates)
    assert len(grid.tokenizers.quantizations) * rates >= 2
    assert len(grid.transformers.sizes) >= 3


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = """\
study: bad
corpus: {sequences: 20, sead: 3}
tokenizers:
  codebooks: [256, 300]
  widht: 3
transformers:
  sizes: [2x2x64, 2x3x64]
  tokens: [0, 10]
  evaluations: many
"""
    found = mistakes(tmp_path, text, "transformers.clip=-1")
    assert found == [
        ":2: unknown key 'corpus.sead'; did you mean 'seed'?",
        ":4: tokenizers.codebooks: codebook 300 is given by no level set; known: 16, "
        "64, 256, 512, 1024, 2048, 4096, 16384, 65536; choose one, or write its levels "
        "as a list",
        ":5: unknown key 'tokenizers.widht'; did you mean 'width'?",
        ":7: transformers.sizes: size 2x3x64: width 64 is not divisible by its 3 "
        "heads; choose a width that is a multiple of them",
        ":8: transformers.tokens: budget 0 must be above 0; remove it",
        ":6: transformers.clip: -1: input should be greater than 0",
        ":9: transformers.evaluations: 'many': input should be a valid integer, unable "
        "to parse string as an integer",
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("transformers.tokens=[-5]", "budget -5 must be above 0"),
        ("transformers.compute=[1e12]", "either tokens: [...] or compute: [...]"),
        ("transformers.max_tokens=9", "choose among compute budgets, and there are"),
        ("transformers.sizes=[]", "names no size"),
        ("transformers.sizes=[big]", "size 'big' is neither a name (44M, "),
        ("transformers.learning_rate=.nan", "learning_rate"),
        ("tokenizers.codebooks=[]", "names no codebook"),
        ("tokenizers.levels=[[8, 1]]", "levels [8, 1] must each be at least 2"),
        ("tokenizers.window=63", "63 is not a multiple of 4 frames"),
        ("corpus.kind=video", "'video'"),
        ("seeds=[]", "seeds"),
        ("transformers.tokens=[1.5]", "1.5: input should be a valid integer"),
        ("corpus.sequences=3", "3: input should be greater than or equal to 20"),
        ("transformers.tokens=[true]", "True: input should be a valid integer"),
        ("transformers.sizes=44M", "'44M' is not a list; write [...]"),
        ("tokenizers=7", "7 holds no keys; give it some"),
        ("study=a/b", "study"),
        ("studdy=x", "unknown key 'studdy'; did you mean 'study'?"),
    ],
)
def test_one_mistake(tmp_path: Path, change: str, says: str) -> None:
    found = mistakes(tmp_path, GOOD, change)
    assert len(found) == 1
    assert says in found[0]


def test_missing_sections_are_named(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "study: x\n") == [
        ": tokenizers is missing; add it",
        ": transformers is missing; add it",
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "[1, 2]\n", "{}\n"])
def test_an_empty_grid_is_refused(tmp_path: Path, text: str) -> None:
    assert mistakes(tmp_path, text) == [
        " holds no grid; it needs study, corpus, tokenizers, transformers"
    ]


def test_broken_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, "study: x\nseeds: [1\nb: 2\n")
    assert found.startswith(":3: not YAML: ")


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    found = mistakes(tmp_path, GOOD + "seeds: [1]\nseeds: [2]\n")
    assert found == [":8: key 'seeds' is given twice; keep one"]


def test_an_empty_corpus_is_the_built_in_one(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD + "corpus:\n").corpus == KinematicCorpus()


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_bytes(b"study: \xff\xfe")
    with pytest.raises(ScalingError, match="is not UTF-8 text; name a grid file"):
        load_grid(tmp_path / "grid.yaml")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match="No such file or directory; name a grid"):
        load_grid(tmp_path / "none.yaml")


@pytest.mark.parametrize("override", ["clip", "=3", "transformers.=3", "seeds.x=3"])
def test_overrides_that_set_nothing_are_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ScalingError, match="--set"):
        load(tmp_path, GOOD + "seeds: [1]\n", override)


def test_overrides_replace_what_the_file_says(tmp_path: Path) -> None:
    grid = load(tmp_path, GOOD, "transformers.tokens=[7, 5e4]", "seeds=[4]")
    assert grid.transformers.tokens == (7, 50_000)
    assert grid.seeds == (4,)


def test_an_unset_variable_in_a_path_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_FOLDER", raising=False)
    change = "corpus={kind: packed, path: '${NO_SUCH_FOLDER}/motion'}"
    (found,) = mistakes(tmp_path, GOOD, change)
    assert "needs the environment variable NO_SUCH_FOLDER; set it" in found


def test_learning_rate_falls_with_width(tmp_path: Path) -> None:
    section = load(tmp_path, GOOD).transformers
    assert section.learning_rate_for(64) == 4e-3
    assert section.learning_rate_for(512) == 5e-4
    fixed = load(tmp_path, GOOD, "transformers.learning_rate=0.01").transformers
    assert fixed.learning_rate_for(512) == 0.01


TEXT = """\
study: text
corpus:
  kind: text
tokenizers:
  codebooks: [256, 512]
transformers:
  sizes: [44M]
  tokens: [1000]
"""

TOKENS = """\
study: tokens
corpus:
  kind: tokens
  path: codes.npz
  codebook_size: 512
transformers:
  sizes: [44M]
  tokens: [1000]
"""


def test_text_has_byte_pairs_and_no_evaluator(tmp_path: Path) -> None:
    grid = load(tmp_path, TEXT, "transformers=none")
    assert [each.label for each in grid.tokenizers.quantizations] == [
        "bpe256",
        "bpe512",
    ]
    assert grid.evaluator is None


def test_given_tokens_need_no_tokenizers(tmp_path: Path) -> None:
    grid = load(tmp_path, TOKENS)
    assert [each.label for each in grid.tokenizers.quantizations] == ["given512"]
    files = ("corpus.path=v{codebook}.npz", "corpus.codebook_size=null")
    grid = load(tmp_path, TOKENS, *files, "tokenizers={codebooks: [8, 300]}")
    assert isinstance(grid.corpus, TokensCorpus)
    assert [grid.corpus.file(), grid.corpus.file(300)] == ["v8.npz", "v300.npz"]


@pytest.mark.parametrize("text", [TEXT, TOKENS, GOOD])
def test_a_grid_that_was_written_is_read_again(tmp_path: Path, text: str) -> None:
    grid = load(tmp_path, text)
    assert Grid.model_validate(grid.model_dump(mode="json")) == grid


@pytest.mark.parametrize(
    ("text", "change", "says"),
    [
        (TEXT, "tokenizers.quantizers=[fsq]", ":4: tokenizers: quantizers fsq is not"),
        (GOOD, "tokenizers.quantizers=[bpe]", ":2: tokenizers: quantizers bpe is not"),
        (
            TEXT,
            "tokenizers.steps=5",
            ":4: tokenizers: steps would train a tokenizer of",
        ),
        (
            TEXT,
            "tokenizers.codebooks=[128]",
            ":5: tokenizers.codebooks: codes 128 of a",
        ),
        (
            TEXT,
            "corpus.piece=400",
            ":6: transformers: context 201 is shorter than a ro",
        ),
        (TEXT, "corpus.sufixes=[.c]", "'corpus.sufixes'; did you mean 'suffixes'?"),
        (TEXT, "evaluator={}", "an evaluator scores motion, and a corpus of kind text"),
        (TOKENS, "tokenizers={codebooks: [8]}", "without corpus.codebook_size 512; gi"),
        (
            TOKENS,
            "tokenizers={codebooks: [8, 512]}",
            "would all be read from codes.npz; write {codebook} where",
        ),
        (TOKENS, "corpus.codebook_size=null", "tokenizers is missing; add it"),
    ],
)
def test_what_suits_another_kind_of_data_is_refused(
    tmp_path: Path, text: str, change: str, says: str
) -> None:
    (found,) = mistakes(tmp_path, text, change)
    assert says in found
