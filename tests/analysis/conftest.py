"""Studies that the tests of analysis share: the paper's, and a small synthetic one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling.analysis.fitting import Fit, fit_law
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


def isoflop_table(seed: int = 0, noise: float = 3e-3) -> pd.DataFrame:
    """Train 5 budgets x 7 sizes under E 1.8, A 400, B 2000, alpha .35, beta .37."""
    random = np.random.default_rng(seed)
    C, u = np.meshgrid(np.geomspace(1e18, 1e22, 5), np.linspace(-1.2, 1.2, 7))
    N = 0.0394 * C**0.514 * np.exp(u)
    D = C / (6 * N)
    loss = (1.8 + 400 / N**0.35 + 2000 / D**0.37) * np.exp(
        noise * random.normal(size=C.shape)
    )
    columns = {"flops": C, "total_params": N, "tokens": D, "loss": loss}
    table = pd.DataFrame({name: each.T.ravel() for name, each in columns.items()})
    return table.assign(run=[f"run-{k}" for k in range(len(table))])


@pytest.fixture(scope="session")
def isoflops() -> pd.DataFrame:
    return isoflop_table()


@pytest.fixture(scope="session")
def exact_isoflops() -> pd.DataFrame:
    return isoflop_table(noise=0)


@pytest.fixture(scope="session")
def law_fit(isoflops: pd.DataFrame) -> Fit:
    return fit_law(replace(read(isoflops), sources=("isoflops.csv",)), "chinchilla")


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
