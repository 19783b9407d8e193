"""Studies that the tests of analysis share: the paper's, and a small synthetic one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling.analysis.records import read
from scaling.analysis.study import Study, fit
from scaling.analysis.table import Records


def small_table(seed: int = 0) -> pd.DataFrame:
    """Evaluate 4 sizes x 3 codebooks 8 times each, from 1e10 to 1e13 FLOPs."""
    random = np.random.default_rng(seed)
    rows = []
    for params, width in ((12_000, 16), (41_000, 32), (160_000, 64), (600_000, 128)):
        for codebook in (64, 256, 1024):
            for k in range(1, 9):
                tokens = round(2e5 * k * (params / 12_000) ** 0.4)
                vocab = codebook * width
                loss = -1 - 0.35 * np.log10(params / 1e4)
                loss -= 0.15 * np.log10(codebook / 64)
                loss += 0.21 * (vocab / params) ** 0.5 + 3.1 * (tokens / 1e4) ** -0.5
                rows.append(
                    {
                        "run": f"w{width}-v{codebook}",
                        "size": f"2x{width // 8}x{width}",
                        "codebook_size": codebook,
                        "non_vocab_params": params,
                        "vocab_params": vocab,
                        "tokens": tokens,
                        "flops": 6 * (params + vocab) * tokens,
                        "normalised_loss": round(loss + random.normal(0, 0.01), 4),
                    }
                )
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    return small_table()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Records:
    path: Path = tmp_path_factory.mktemp("records") / "small.csv"
    small_table().to_csv(path, index=False)
    return read([path])


@pytest.fixture(scope="session")
def small_study(small: Records) -> Study:
    return fit(small, holdout=0.15)


@pytest.fixture(scope="session")
def scamo() -> Records:
    return read(["scamo"])


@pytest.fixture(scope="session")
def scamo_study(scamo: Records) -> Study:
    return fit(scamo)
