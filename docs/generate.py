"""Write the pages of the documentation that the code itself can tell.

`docs/cli.md` holds the help of every command, `docs/grid.md` the keys of a grid file,
`docs/record.md` the columns of the run record, `docs/formulas.md` the laws of
`scaling fit --law`. Tests fail when one is behind the code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from scaling.analysis.catalogue import ALL
from scaling.analysis.formula import Formula, Parameter
from scaling.cli import main
from scaling.cli_settings import ENVIRONMENT
from scaling.exit_codes import MEANINGS
from scaling.models.levels import LEVELS, codebook_size
from scaling.record import COLUMNS
from scaling.runs import sections

DOCS = Path(__file__).resolve().parent

CLI_HEAD = """\
# Commands

Data goes to stdout, everything else to stderr: `scaling fit RUNS --json | jq` and
`scaling plot RUNS | xargs open` work as they stand. `--json` prints one JSON object and
nothing else; `--quiet`, before or after the command's name, leaves errors alone on
stderr. A mistake is told in one line that says what to do.
"""

CONFIG = """
## Options from a file

An option is what the command line says, else the environment, else the config file,
else its default. A config file is TOML or YAML and has a table for each command, with
the options as they are spelled, `_` or `-`:

```toml
quiet = true

[fit]
law = "chinchilla"
level = 0.9
fix = ["E=1.7"]  # what may be repeated

[data.describe]
format = "svg"
```

```console
$ scaling --config study.toml fit losses.csv
$ SCALING_CONFIG=study.toml scaling fit losses.csv --level 0.8
```

A command, an option or a value that there is not is refused, with the one that was
probably meant. Arguments such as RUNS are always given.
"""

COMPLETION = """
## Completion

`scaling completion bash`, `zsh` or `fish` prints the script that lets a shell complete
commands, options, their values and files. For this shell alone:

```console
$ source <(scaling completion bash)
```

For all to come it is kept where the shell looks: see
[the command](#scaling-completion).
"""

RECORD_HEAD = """\
# The run record

One row per evaluation of one run. `scaling run` writes one folder per run:

| file | what it holds |
|---|---|
| `OUT/<run>/config.json` | every setting of the run, and its constant columns |
| `OUT/<run>/metrics.jsonl` | append-only, one flushed line per evaluation |
| `OUT/<run>/checkpoint/` | the last two states (safetensors), each with its SHA-256 |
| `OUT/<run>/text.json` | the caption vocabulary |
| `OUT/<run>/result.json` | written last: the run is over |
| `OUT/corpus-*/`, `OUT/tokenizer-*/` | features and tokens, in the same manner |
| `OUT/evaluator-*/`, `OUT/text-*/` | an evaluator; a frozen encoder's states |
| `OUT/scores-*/` | what an evaluator says of a tokenizer or a run |
| `OUT/runs.csv`, `OUT/tokenizers.csv` | derived from the folders, never the source |
| `OUT/scores.csv` | the table of the last `scaling evaluate`, with intervals |

The scores, `fid` to `evaluator`, stand in the last evaluation of a run that
`scaling evaluate` scored: those that it was asked for last; `config.json` in
`OUT/scores-*/` says by which evaluator and how. `--columns L=fid` fits laws of one in
the loss' place.

`runs.csv` leaves out `seconds`, so that the same grid gives the same bytes. Any CSV,
Parquet or JSONL file with these columns, or with others mapped by `--columns`, is as
good an input to `scaling fit` as a run store. Required are a loss and `flops`, or in
its place `tokens` and the parameters, which give C = 6 N D; `weight`, the weight of a
row (0 or more), is read where there is one.

| column | meaning | symbol | unit |
|---|---|---|---|
"""


GRID_HEAD = """\
# The grid file

One YAML file is one study: every size is trained on every codebook, at every budget,
from every seed.

```yaml
study: mine
corpus: {kind: kinematic, sequences: 3000}
tokenizers: {codebooks: [256, 1024], width: 64, depth: 2, steps: 1000}
transformers:
  sizes: [1x1x16, 2x4x64]
  tokens: [100000, 400000]
  batch_size: 16
```

`scaling run FILE --dry-run` checks it and shows the runs; an unknown key, a value out
of range or a missing one is named with its line. `--set transformers.batch_size=32`
replaces a value. A grid may gain sizes, codebooks, budgets and seeds in its folder and
goes on; whatever changes or removes a run that is there needs another `--out`.

A run trains on whole batches and ends with the one that reaches its tokens. A token is
four frames (0.2 s) of motion; every clip ends with one end token, which counts.
"""

PACK = """
The folder of a pack holds two files. `joints.npz`: `root`, float32 (frames, 3), the
pelvis of all sequences after one another, in metres, Y up, 20 frames per second;
`local_delta`, int16 (63, frames), the other 21 joints of the SMPL skeleton from the
pelvis, in units of 0.1 mm, flattened and differenced over all frames (the first is the
value itself; sums wrap around in int16). `sequences.jsonl`: one JSON object a line with
`id` (unique), `captions` (list of texts), `split` (`train`, `val` or `test`), `start`
(first frame) and `clips` (list of [first, last) frames within the sequence). The mean
and deviation of the features are computed from the training split.
"""

HUMANML3D = """
The published layout: `new_joint_vecs/NAME.npy` (frames, 263), `texts/NAME.txt`,
`train.txt`, `val.txt` and `test.txt` with a name a line, and `Mean.npy` and `Std.npy`,
which are used where they are there. Clips of 40 to 199 frames count; a caption with a
beginning and an end becomes a clip of its own. Files that are missing, not finite or of
another shape are named in the corpus' `skipped.json` and left out, as in every kind
below.
"""

BVH = """
Skeletons are known by their joints' names: CMU's in the MotionBuilder and the
Daz-friendly conversion, Bandai-Namco's, and what `scaling generate` writes. The 22
joints take HumanML3D's bone lengths; clips are cut into windows of 40 to 196 frames at
20 per second, all of a file in one split: the table's, or 80 % train, 5 % validation,
15 % test by a hash of the name. CMU's conversions say 120 frames per second for trials
captured at 60; those of subjects that are known are read as such, and it is said. Set
`lead_in` to drop the calibration pose that conversions begin with.
"""

JOINTS = """
Each npz holds `joints` (frames, 22 or more, 3) in metres, SMPL's joints first, and may
hold its frame rate. Windows and splits are those of `bvh`.
"""

TEXT = """
Every file is in one split, drawn by a hash of what it holds: 80 % train, 5 %
validation, 15 % test. Of the standard library `site-packages`, `dist-packages`,
`_sysconfigdata*`, `test`, `tests`, `idle_test`, `encodings` and `pydoc_data` are left
out. A worked example: [any modality](modalities.md).
"""

TOKENS = """
A file holds `codes`: all rows after one another, with their `lengths`; or a table
(rows, positions) filled up with `padding`; or in Parquet a list a row. Beside it may
stand `name`, `caption` or `label` (a class, which becomes the caption) and `split`, one
for each row. An npz or safetensors file without `codes` holds one array a row, by name.
Rows are named by their numbers, and drawn into splits by a hash of the name, where
nothing says otherwise. A worked example: [any modality](modalities.md).
"""

ALONE = """
`transformers: none` makes a study of tokenizers alone: each is trained once for every
seed, `tokenizers.csv` is its table (the paper's Table 3), and `scaling plot OUT
--figure tokenizers` draws it. Such a study has an evaluator, for FID, unless it says
`evaluator: none`; FID needs one that is trained on the same corpus.
"""

LEVELS_HEAD = """
A codebook is named by the power of two that it stands for and has the codes of its
levels:

| nominal | levels | codes |
|---|---|---|
"""


def grid_page() -> str:
    """Show every key of a grid file."""
    own = {"corpus", "tokenizers", "transformers", "evaluator"}
    parts = [GRID_HEAD, _keys("study", sections.Grid, own)]
    parts += [_keys("corpus, kind: kinematic", sections.KinematicCorpus)]
    parts += [_keys("corpus, kind: packed", sections.PackedCorpus), PACK]
    parts += [_keys("corpus, kind: humanml3d", sections.HumanML3DCorpus), HUMANML3D]
    parts += [_keys("corpus, kind: bvh", sections.BvhCorpus), BVH]
    parts += [_keys("corpus, kind: joints", sections.JointsCorpus), JOINTS]
    parts += [_keys("corpus, kind: text", sections.TextCorpus), TEXT]
    parts += [_keys("corpus, kind: tokens", sections.TokensCorpus), TOKENS]
    parts += [_keys("tokenizers", sections.Tokenizers), LEVELS_HEAD]
    parts += [
        f"| {nominal} | {' '.join(map(str, each))} | {codebook_size(each)} |\n"
        for nominal, each in LEVELS.items()
    ]
    parts += [_keys("transformers", sections.Transformers), ALONE]
    return "".join([*parts, _keys("evaluator", sections.Evaluator)])


def _keys(name: str, section: type[BaseModel], left_out: set[str] = frozenset()) -> str:
    rows = []
    for key, field in section.model_fields.items():
        if field.description and key not in left_out:
            default = _shown(field.get_default(call_default_factory=True))
            text = " ".join(field.description.split())
            rows.append(f"| `{key}` | {default} | {text} |\n")
    return f"\n## {name}\n\n| key | default | meaning |\n|---|---|---|\n{''.join(rows)}"


def _shown(default: object) -> str:
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, tuple):
        return f"`[{', '.join(map(str, default))}]`"
    return "by a rule" if default is None else f"`{default}`"


def cli_page() -> str:
    """Show the help of every command, and what holds for all of them."""
    parts = [CLI_HEAD, _pairs("Exit codes", "code", MEANINGS)]
    parts += [CONFIG, _pairs("Environment", "variable", ENVIRONMENT), COMPLETION]
    for name, command in _commands(main):
        # as the group gives it: a command keeps the help option of its first context
        context = click.Context(command, info_name=name, **main.context_settings)
        context.max_content_width = 88
        text = re.sub(r"[ \t]+\n", "\n", command.get_help(context))
        parts.append(f"\n## {name}\n\n```text\n{text}\n```\n")
    return "".join(parts)


def _pairs(title: str, name: str, pairs: Mapping[Any, str]) -> str:
    rows = "".join(f"| `{key}` | {said} |\n" for key, said in pairs.items())
    return f"\n## {title}\n\n| {name} | meaning |\n|---|---|\n{rows}"


def _commands(group: click.Group, at: str = "scaling") -> Iterator[tuple[str, Any]]:
    """Walk the commands of a group and of the groups in it, in order of name."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, f"{at} {name}")
        else:
            yield f"{at} {name}", command


def record_page() -> str:
    """Show every column of the record."""
    rows = [
        f"| `{c.name}` | {c.meaning} | {c.symbol} | {c.unit} |"
        for c in COLUMNS.values()
    ]
    return RECORD_HEAD + "\n".join(rows) + "\n"


FORMULAS_HEAD = """\
# All laws

What `scaling fit --law NAME` can fit. Losses are in nats per token; N, N_nv and N_v are
parameters, D and U tokens, C FLOPs. A scale parameter is positive and carried as its
logarithm. Starts are given only to parameters that do not enter linearly; the others
are solved for. How a fit is made and judged: [one law for all rows](fit.md).
"""


def formulas_page() -> str:
    """Show every law of the catalogue."""
    return FORMULAS_HEAD + "".join(_law(law) for law in ALL)


def _law(law: Formula) -> str:
    rows = [
        f"| `{p.name}` | {_held(law, p.name) or p.meaning} | {p.unit} | {_range(p)} |\n"
        for p in law.parameters
    ]
    return (
        f"\n## {law.name}\n\n    L = {law.written()}\n\nOf {', '.join(law.inputs)}. "
        f"{law.source[:1].upper()}{law.source[1:]}.\n\n"
        f"| parameter | meaning | unit | range |\n|---|---|---|---|\n{''.join(rows)}"
    )


def _range(parameter: Parameter) -> str:
    if parameter.scale and parameter.upper == math.inf:
        return "positive"
    if parameter.lower == -math.inf:
        return "any"
    if parameter.upper == math.inf:
        return f"at least {parameter.lower:g}"
    return f"{parameter.lower:g} to {parameter.upper:g}"


def _held(law: Formula, name: str) -> str:
    return f"tied to `{law.tied[name]}`" if name in law.tied else ""


if __name__ == "__main__":
    (DOCS / "formulas.md").write_text(formulas_page())
    (DOCS / "cli.md").write_text(cli_page())
    (DOCS / "grid.md").write_text(grid_page())
    (DOCS / "record.md").write_text(record_page())
