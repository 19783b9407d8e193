"""Keep a study beside its page: `python docs/studies.py STORE docs/studies/NAME`.

What is kept is what the commands of the page write: the records, the laws, figures
small enough for a repository, the report, and every prediction that was put to the
test.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pictures import small

import scaling

KEPT = ("runs.csv", "tokenizers.csv", "report.html")
"""Files of a store."""
OF_A_TEST = ("verify.yaml", "prediction.json", "verification.json", "runs.csv")
"""Files of a verification."""


def keep(store: Path, folder: Path) -> None:
    """Copy what a store holds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        if (store / name).is_file():
            shutil.copyfile(store / name, folder / name)
    for card in store.glob("laws*.json"):
        shutil.copyfile(card, folder / card.name)
    for test in store.glob("verify-*"):
        (folder / test.name).mkdir(exist_ok=True)
        for name in OF_A_TEST:
            if (test / name).is_file():
                shutil.copyfile(test / name, folder / test.name / name)


def draw(
    store: Path,
    folder: Path,
    names: Sequence[str],
    columns: Mapping[str, str] | None,
    law: str | None,
) -> None:
    """Draw figures small enough to be kept."""
    for name in names:
        figure = scaling.figures([store], only=name, columns=columns, law=law)[name]
        small(figure, folder / f"{figure.name}.png", colours=256)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("store", type=Path, help="a run store")
    options.add_argument("folder", type=Path, help="where to keep it")
    options.add_argument("--columns", help="as scaling fit takes them: L=bits_per_byte")
    options.add_argument("--law", help="the law for all rows")
    options.add_argument("--figures", default="", help="names, with commas between")
    given = options.parse_args()
    named = dict(pair.split("=") for pair in (given.columns or "").split(",") if pair)
    keep(given.store, given.folder)
    wanted = given.figures.split(",") if given.figures else []
    draw(given.store, given.folder, wanted, named or None, given.law)
