"""The corpus section of a grid file: one class for each kind of corpus."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    StrictInt,
)


def _whole(value: Any) -> Any:
    """Read 5e4 as the whole number it is; YAML makes a text or a float of it."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


Count = Annotated[StrictInt, BeforeValidator(_whole)]


def _expand(path: str) -> str:
    for name in re.findall(r"\$\{?(\w+)", path):
        if not os.environ.get(name):
            raise ValueError(
                f"{path!r} needs the environment variable {name}; set it to "
                "the folder that holds the data"
            )
    return os.path.expanduser(os.path.expandvars(path))


Path_ = Annotated[str, AfterValidator(_expand)]


class Section(BaseModel):
    """A mapping in the file: unknown keys are mistakes, values are what they say."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class KinematicCorpus(Section):
    """The built-in corpus: procedural captioned motion of unbounded size."""

    kind: Literal["kinematic"] = "kinematic"
    sequences: Annotated[int, Field(ge=20)] = 2000
    """Motions to generate; 80 % train, 5 % validation, 15 % test."""
    seed: int = Field(default=0, ge=0)
    """Another seed, another corpus."""
    test_sequences: PositiveInt | None = None
    """Motions of the test split at most, the first ones; unset: all. Every evaluation
    passes over them, so that a large corpus needs a bound."""


class PackedCorpus(Section):
    """Motion from a folder with joints.npz and sequences.jsonl."""

    kind: Literal["packed"]
    path: Path_
    """Folder of the pack; environment variables are filled in."""
    mirror: bool = False
    """Add the mirror image of every training clip, left and right swapped in words."""

    humanml3d_texts: Path_ | None = None
    """Folder of HumanML3D's texts; its captions join the windows cut from the same
    trial, by the pack's `h3d` field."""


class HumanML3DCorpus(Section):
    """HumanML3D as published: features, captions, split lists, mean and deviation."""

    kind: Literal["humanml3d"]
    path: Path_
    """Folder with new_joint_vecs, texts, train.txt, val.txt and test.txt."""


class _Captured(Section):
    """Motion files in a folder."""

    path: Path_
    """Folder of the files, at any depth; environment variables are filled in."""
    captions: Path_ | None = None
    """Table (CSV or JSONL) with `name`, `caption` and, where known, `split`, `fps` and
    `lead`, frames to drop; unset: the files' names are the captions."""
    fps: PositiveFloat | None = None
    """True frames per second of all files, where they say something else."""
    lead_in: int = Field(default=0, ge=0)
    """Frames dropped at the start of every file, a calibration pose say."""
    mirror: bool = False
    """Add the mirror image of every training clip, left and right swapped in words."""


class BvhCorpus(_Captured):
    """Motion capture in BVH of a known skeleton, retargeted to the 22 joints."""

    kind: Literal["bvh"]


class JointsCorpus(_Captured):
    """Joint positions in npz files, as made from AMASS."""

    kind: Literal["joints"]
    up: Literal["z", "y"] = "z"
    """Which axis points up; AMASS has z."""


class TextCorpus(Section):
    """Text files of a folder, cut into pieces that are the same for every codebook."""

    kind: Literal["text"]
    path: Path_ = "stdlib"
    """Folder of the files, at any depth; `stdlib`: the sources of the Python standard
    library that runs this."""
    suffixes: tuple[str, ...] = (".py",)
    """Endings of the files' names."""
    exclude: tuple[str, ...] | None = None
    """Names of files and folders to leave out, `*` for anything; unset: none, and of
    the standard library what repeats itself or is of one machine."""
    piece: int = Field(default=192, ge=16)
    """Bytes of a piece at most, which ends with a line where it can; one row each."""
    test_pieces: PositiveInt | None = 2000
    """Pieces of the test split at most, chosen by a hash; `null`: all."""
    prefix: Literal["none", "path"] = "none"
    """`path`: the words of a file's path are the caption of its pieces."""


class TokensCorpus(Section):
    """Tokens of any modality that someone else's tokenizer made."""

    kind: Literal["tokens"]
    path: Path_
    """File (npz, npy, safetensors, parquet); `{codebook}` in its name is filled in, so
    that each codebook has its own."""
    codebook_size: PositiveInt | None = None
    """V, in place of `tokenizers`; of several codebooks the one whose file says what
    the rows are; unset: the first of `tokenizers.codebooks`."""
    array: str = "codes"
    """Name of the array or column that holds the tokens of all rows."""
    padding: StrictInt | None = None
    """Value that fills up the ends of rows."""
    captions: Path_ | None = None
    """Table (CSV or JSONL) with `name`, `caption` and, where known, `split`."""
    tokens_per_second: PositiveFloat | None = None
    """Tokens of a second of data at `codebook_size`, for losses in bits per second."""

    def file(self, codebook: int | None = None) -> str:
        """Name the file of a codebook, by default of the one that says the rows."""
        return self.path.replace("{codebook}", str(codebook or self.codebook_size))


MotionSection = (
    KinematicCorpus | PackedCorpus | HumanML3DCorpus | BvhCorpus | JointsCorpus
)

CorpusSection = Annotated[
    MotionSection | TextCorpus | TokensCorpus, Field(discriminator="kind")
]
