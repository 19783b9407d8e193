"""The file that `scaling fit --out` wrote, whichever laws it holds, as a predictor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scaling.analysis import card
from scaling.analysis.allocation import cost_of
from scaling.analysis.buildable import Counting, nearest
from scaling.analysis.fitting import Fit
from scaling.analysis.intervals import Uncertainty
from scaling.analysis.lines import predict_study
from scaling.analysis.prediction import (
    LEVEL,
    Estimate,
    Prediction,
    predict_budget,
    predict_run,
)
from scaling.analysis.records import NAMES
from scaling.analysis.shapes import Codebook
from scaling.analysis.study import KIND as STUDY
from scaling.analysis.study import Study, read_fields
from scaling.analysis.verify_grid import (
    codebooks_of,
    counting_of,
    find_template,
    grid_for,
)
from scaling.errors import ScalingError
from scaling.models.flops import CONVENTIONS
from scaling.models.levels import DOWNSAMPLING
from scaling.models.skeleton import FPS

FAR = 2.0
"""Factor off what is best from which a run that can be built is not near it."""
BESIDE = math.sqrt(2)
"""Factor by which a codebook may lie outside a study's and be as good as its last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Laws:
    """Laws that were fitted once, and what is predicted from them."""

    sources: tuple[str, ...]
    """Where their rows came from."""
    study: Study | None = None
    """The laws of the envelope, or"""
    fit: Fit | None = None
    """one law fitted to all rows,"""
    uncertain: Uncertainty | None = None
    """with its uncertainty,"""
    warnings: tuple[str, ...] = ()
    """and what speaks against it."""

    def budget(
        self,
        compute: float,
        given: Mapping[str, float] | None = None,
        level: float = LEVEL,
    ) -> Prediction:
        """Divide a budget in FLOPs."""
        if not (math.isfinite(compute) and compute > 1):
            raise ScalingError(
                f"compute is {compute:g}; expected a budget in FLOPs, such as 1e18"
            )
        if self.study is not None:
            return predict_study(self.study, compute, level)
        fit, uncertain = self._fitted()
        found = predict_budget(fit, uncertain, compute, given=given, level=level)
        return self._warned(found)

    def run(self, at: Mapping[str, float], level: float = LEVEL) -> Prediction:
        """Predict the loss of a given run."""
        if self.study is not None:
            if set(at) != {"C"}:
                raise ScalingError(
                    f"the laws of the envelope know compute alone, not "
                    f"{', '.join(at)}; expected --compute: or fit a law such as "
                    "chinchilla with --law"
                )
            return predict_study(self.study, at["C"], level)
        fit, uncertain = self._fitted()
        return self._warned(predict_run(fit, uncertain, at, level))

    def _warned(self, found: Prediction) -> Prediction:
        """Let a prediction say what speaks against the law that it is made by."""
        said = dict.fromkeys((*self.warnings, *found.warnings))
        return replace(found, warnings=tuple(said))

    def _fitted(self) -> tuple[Fit, Uncertainty]:
        assert self.fit is not None
        assert self.uncertain is not None
        return self.fit, self.uncertain

    @property
    def template(self) -> dict[str, Any] | None:
        """The grid of the study that the rows came from, if it is at hand."""
        for source in self.sources:
            found = find_template(source) if Path(source).exists() else None
            if found is not None:
                return found
        return None

    def built(
        self, prediction: Prediction, codebook: int | None, convention: str | None
    ) -> Prediction:
        """Add the nearest run that can be built, or the reason why there is none."""
        wanted = {n: e.value for n, e in prediction.quantities.items()}
        if "N_v" in wanted:  # which says how large the codebook is to be, by its width
            wanted.pop("V", None)
        if not {"N", "N_nv"} & set(wanted):
            return replace(prediction, not_built="the law chooses no size")
        if self.study and self.study.quantities["N_nv"].column != NAMES["N_nv"]:
            label = self.study.quantities["N_nv"].label
            return replace(prediction, not_built=f"its sizes are no counts: {label}")
        codebook = codebook or self.only_codebook()
        if codebook is None and not {"V", "N_v"} & set(wanted):
            return replace(
                prediction,
                not_built="the law does not choose a codebook: give --codebook V",
            )
        counting = self.counting(convention)
        assert prediction.compute is not None
        built = nearest(
            lambda columns: self._losses(prediction, columns),
            prediction.compute,
            wanted=wanted,
            convention=counting.convention,
            n_ctx=counting.n_ctx,
            n_prefix=counting.n_prefix,
            text_width=counting.text_width,
            text_vocab_size=counting.text_vocab_size,
            codebook=codebook,
            books=self._books(prediction.quantities.get("V")),
            tokens_per_step=self.fit.sample.tokens_per_step if self.fit else None,
        )
        off = {n: r for n, r in built.of_wanted.items() if not 1 / FAR < r < FAR}
        warning = "; ".join(
            f"{n} is {r:.2g} times what is best" for n, r in off.items()
        )
        said = (f"NOT NEAR: of the run that can be built {warning}",) if off else ()
        return replace(
            prediction, configuration=built, warnings=(*prediction.warnings, *said)
        )

    def _books(self, wanted: Estimate | None) -> tuple[Codebook, ...]:
        """Give the study's own codebooks, unless one far from them is wanted.

        Their tokenizers are there, so that a run changes size and data alone. Nothing
        but FSQ's level sets says which others there might be.
        """
        own = codebooks_of(self.template) if self.template else ()
        codes = [book.codes for book in own]
        beyond = (
            wanted is not None
            and codes
            and not (min(codes) / BESIDE <= wanted.value <= max(codes) * BESIDE)
        )
        return () if beyond and own[0].levels else own

    def only_codebook(self) -> int | None:
        """Give the codebook of the rows, where they have one."""
        table = self.fit.sample.table if self.fit else None
        if table is None or "V" not in table or "N_v" in self._inputs():
            return None
        sizes = table["V"].unique()
        return int(sizes[0]) if len(sizes) == 1 else None

    def _inputs(self) -> tuple[str, ...]:
        return self.fit.formula.inputs if self.fit else ()

    def counting(self, convention: str | None) -> Counting:
        """Give what counts depend on: the study's own, else the rows' convention."""
        template = self.template
        if template is not None:
            counting = counting_of(template)
            return replace(counting, convention=convention or counting.convention)
        return Counting(convention=convention or self._convention())

    def _convention(self) -> str:
        """Find the convention that the rows were counted in: 6nd where they show it."""
        if self.fit is None:
            return "openai"
        counted = self.fit.sample.flops_convention
        if counted:  # or else by the trainer that logged it, of which nothing is known
            return counted if counted in CONVENTIONS else "6nd"
        cost = cost_of(self.fit.formula, self.fit.sample)
        plain = math.isclose(cost.factor, 6, rel_tol=0.01)
        return "6nd" if plain and abs(cost.exponent - 1) < 1e-3 else "openai"

    def _losses(
        self, prediction: Prediction, columns: Mapping[str, Any]
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        if self.fit is None:  # the laws of the envelope have one loss at one compute
            return np.full(len(columns["D"]), prediction.loss.value)
        known = {**columns, **prediction.at}
        return self.fit.predict({name: known[name] for name in self._inputs()})

    def grid(self, prediction: Prediction) -> str:
        """Write a grid of the run that was built, for `scaling run`."""
        assert prediction.configuration is not None
        low, high = prediction.new_run
        return grid_for(
            [prediction.configuration],
            self.template,
            f"verify-{prediction.compute:.3g}".replace("+", ""),
            interval=f"{100 * prediction.level:g} % of runs: {low:.5g} to {high:.5g}",
        )

    def tokens_per_second(self, given: float | None) -> float:
        """Give the rate of the data: as told, or that of motion where it is motion.

        The end token of a clip is not counted.
        """
        if given is not None and not (math.isfinite(given) and given > 0):
            raise ScalingError(f"{given:g} tokens per second; expected more than 0")
        if given is None and self.template is None:
            raise ScalingError(
                "the laws do not say how many tokens a second of their data has; "
                "expected --tokens-per-second RATE: give it"
            )
        return given or FPS / DOWNSAMPLING


def load_laws(path: str | Path) -> Laws:
    """Read laws from the file that `scaling fit --out` wrote.

    Raises
    ------
    ScalingError
        If there is no such file, or it holds something else.
    """
    fields = read_fields(path)
    try:
        return laws_of(fields)
    except ScalingError as error:
        raise ScalingError(f"{path}: {error}") from error


def laws_of(fields: Mapping[str, Any]) -> Laws:
    """Rebuild laws from what `scaling fit --out` writes.

    Raises
    ------
    ScalingError
        If a field is missing, or misshapen.
    """
    if fields.get("kind", STUDY) == STUDY:
        study = Study.from_dict(fields)
        return Laws(sources=study.sources, study=study)
    uncertain = card.load(fields)
    return Laws(
        sources=uncertain.fit.sample.sources,
        fit=uncertain.fit,
        uncertain=uncertain,
        warnings=tuple(fields.get("warnings", ())),
    )
