"""A small run store as `run` writes it: trunks, branches, a run that diverged."""

import json
from pathlib import Path
from typing import Any

PEAK = 0.01
WARMUP = 200
SHAPES = {"1x1x16": (1, 16), "1x2x32": (1, 32)}


def wsd_store(folder: Path) -> Path:
    """Write 2 sizes x a trunk of 2 segments x 2 branches; one branch diverged."""
    for size in SHAPES:
        for end, before in ((1000, 0), (2000, 1000)):
            parent = f"trunk-{size}-{before}" if before else None
            trunk = f"trunk-{size}-{end}"
            write_run(folder, trunk, size, end, parent, before, [end])
            budget = end * 5 // 4
            lost = "diverged" if size == "1x2x32" and end == 2000 else "finished"
            at = [(end + budget) // 2, budget]
            write_run(folder, f"{size}-{budget}", size, budget, trunk, end, at, lost)
    return folder


def write_run(
    store: Path,
    name: str,
    size: str,
    tokens: int,
    parent: str | None,
    start: int,
    evaluated: list[int],
    ended: str = "finished",
) -> None:
    layers, width = SHAPES[size]
    kind = "trunk" if name.startswith("trunk") else "transformer"
    config = {
        "kind": kind,
        "tokens": tokens,
        "trunk": parent,
        "trunk_tokens": start,
        "warmup_tokens": WARMUP,
        "settings": {"context": 101, "text_length": 20, "text_width": 8, "warmup": 0.1},
        "record": {
            "size": size,
            "codebook_size": 15,
            "nominal_codebook_size": 16,
            "non_vocab_params": 12 * layers * width**2,
            "vocab_params": 15 * width,
            "n_layers": layers,
            "n_heads": 1,
            "d_model": width,
            "flops_convention": "6nd",
            "schedule": "wsd",
            "learning_rate": PEAK,
            "device": "cpu",
            "precision": "fp32",
        },
    }
    rows = [row(width, at, at - start, kind != "trunk", tokens) for at in evaluated]
    folder = store / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "result.json").write_text(json.dumps({"status": ended}))


def row(width: int, D: int, own: int, branch: bool, budget: int) -> dict[str, Any]:
    """An evaluation; a run of width w trains on 64,000 / w tokens in a second."""
    loss = 30 / D**0.5 + 8 / width - 2 - 0.2 * branch
    return {
        "step": D // 10,
        "tokens": D,
        "flops": 6 * (12 * width**2 + 15 * width) * D,
        "cooled": branch and budget == D,
        "normalised_loss": loss,
        "seconds": own * width / 64_000,
    }
