"""The cache of captions' states: on disk, for all studies and processes of a user.

One file per caption, in a folder of its encoder: a SHA-256, then the states. A file is
written aside under a name of its own and renamed, so processes that write the same
caption do not meet; one that is damaged fails its checksum, and the caption is encoded
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.files import ASIDE

if TYPE_CHECKING:
    from scaling.models.text import TextEncoder

Float32 = NDArray[np.float32]

CHECKSUM = 32
"""Bytes of the SHA-256 before the states."""


def cache_folder() -> Path:
    """`text` in $SCALING_CACHE, or else in the user's cache folder."""
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    root = os.environ.get("SCALING_CACHE") or f"{user}/scaling"
    return Path(root).expanduser() / "text"


@dataclass(frozen=True, slots=True)
class Cached:
    """A text encoder that encodes no caption twice."""

    encoder: TextEncoder
    """Encodes what is not there."""
    folder: Path = field(default_factory=cache_folder)
    """Where the cache lies, of this encoder and of others."""

    @property
    def model(self) -> str:
        """Name of the encoder."""
        return self.encoder.model

    @property
    def revision(self) -> str:
        """Its revision."""
        return self.encoder.revision

    @property
    def width(self) -> int:
        """Width of a state, W."""
        return self.encoder.width

    @property
    def max_length(self) -> int:
        """Longest caption in pieces."""
        return self.encoder.max_length

    def encode(self, captions: Sequence[str]) -> tuple[Float32, NDArray[np.bool_]]:
        """States (B, P, W), 0 in the padding, and the mask (B, P) of what is none."""
        from scaling.models.text import padded, word_states

        states = {caption: self._read(caption) for caption in captions}
        missing = [caption for caption, found in states.items() if found is None]
        new = word_states(self.encoder, missing) if missing else []
        for caption, row in zip(missing, new, strict=True):
            self._write(caption, row)
            states[caption] = row
        found = [row for row in (states[c] for c in captions) if row is not None]
        return padded(found, self.width)

    def _path(self, caption: str) -> Path:
        settings = json.dumps([self.model, self.revision, self.max_length])
        name = re.sub(r"[^\w.-]+", "-", Path(self.model).name)
        place = f"{name}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
        key = hashlib.sha256(caption.encode()).hexdigest()
        return self.folder / place / key[:2] / f"{key}.states"

    def _read(self, caption: str) -> Float32 | None:
        """Read what `_write` wrote; None where there is nothing, or damage."""
        try:
            content = self._path(caption).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        checksum, payload = content[:CHECKSUM], content[CHECKSUM:]
        if hashlib.sha256(payload).digest() != checksum:
            return None
        return np.frombuffer(payload, "<f4").reshape(-1, self.width)

    def _write(self, caption: str, states: Float32) -> None:
        payload = states.astype("<f4").tobytes()
        path = self._path(caption)
        aside = path.with_name(f"{ASIDE}{uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                aside.write_bytes(hashlib.sha256(payload).digest() + payload)
                aside.replace(path)
            finally:
                aside.unlink(missing_ok=True)
        except OSError as error:
            raise ScalingError(
                f"the cache {self.folder} cannot be written: {error.strerror}; set "
                "SCALING_CACHE to a folder with space that is yours"
            ) from None
