"""The commands about motion data: `scaling data describe`, `import`, `view`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli_common import files_too, json_option, plain_errors, show_paths
from scaling.errors import ScalingError
from scaling.files import claim, jsonable, write_text

if TYPE_CHECKING:
    from scaling.runs.describe import Description
    from scaling.runs.import_pack import Imported
    from scaling.runs.named_corpus import Kind

kind_option = click.option(
    "--kind",
    type=click.Choice(["packed", "humanml3d", "bvh", "joints"]),
    help="What a folder holds.  [default: found from its files]",
)


@click.group()
def data() -> None:
    """Describe, import and view motion data.

    CORPUS is a grid file, for its corpus; a folder: a pack, HumanML3D as published, BVH
    files, npz files of joints, a run store that has built its corpus; or the word
    kinematic, the built-in corpus.

    \b
    Example:
      scaling data describe kinematic
    """


def _progress(of: str) -> Callable[[int, int], None]:
    """Tell every few seconds, on stderr, how far a long job is."""
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > 3:
            told = time.monotonic()
            click.echo(f"{done:,} of {total:,} {of}", err=True)

    return tell


# --- describe ---


@data.command()
@click.argument("corpus", shell_complete=files_too)
@kind_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write all of it as JSON and CSV, and a figure of the sources, here.",
)
@click.option(
    "--format",
    "formats",
    default="png,svg,pdf",
    show_default=True,
    help="File formats of the figure.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@plain_errors
def describe(
    corpus: str, kind: Kind | None, out: Path | None, formats: str, as_json: bool
) -> None:
    """Describe a corpus: sources, lengths, captions, and leaks between splits.

    Near-duplicates are clips of a later split (val, test) whose motion an earlier one
    holds within 10 mm, shifted in time or mirrored; the same frames are within 1 mm.
    Features are computed first where the corpus is not built.

    \b
    Example:
      scaling data describe quickstart
      scaling data describe mocap/bandai_namco --out described
      scaling data describe grid.yaml --json
    """
    from scaling.analysis.render_data import text
    from scaling.runs.describe import describe as describe_corpus
    from scaling.runs.named_corpus import opened

    with opened(corpus, kind, _progress("sequences")) as found:
        description = describe_corpus(
            found.name, found.corpus, found.source_of, found.report
        )
    if as_json:
        click.echo(json.dumps(description.to_dict(), allow_nan=False))
    else:
        click.echo(text(description.to_dict()))
    if out:
        for path in _write(description, out, formats):
            click.echo(path, err=as_json)


def _write(found: Description, out: Path, formats: str) -> Iterator[Path]:
    """Write the description, the figure and the tables."""
    import pandas as pd

    from scaling.analysis.data_figure import data_figure
    from scaling.analysis.figure import known_formats, save

    content = found.to_dict()
    frequent = [{"caption": w, "clips": n} for w, n in found.captions.frequent]
    tables: dict[str, list[dict[str, Any]]] = {"captions": frequent}
    for name in ("sources", "splits", "shared", "duplicates"):
        tables[name] = content[name]
    wanted = known_formats(formats.split(","))
    files = [f"data.{form}" for form in (*wanted, "csv")]
    files += [f"{name}.csv" for name in tables]
    claim(out / "description.json", {**content, "files": files})
    yield out / "description.json"
    parts = pd.DataFrame(content["sources"] or content["splits"])
    figure = data_figure(parts.rename(columns={"name": "source"}), found.name)
    yield from save(figure, out, wanted)
    for name, rows in tables.items():
        path = out / f"{name}.csv"
        write_text(path, pd.DataFrame(rows).to_csv(index=False) if rows else "")
        yield path


# --- import ---


@data.command(name="import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="A new folder for the pack.",
)
@kind_option
@click.option(
    "--captions",
    type=click.Path(path_type=Path),
    help="Table (CSV or JSONL) with name, caption and, where known, split, fps, lead.",
)
@click.option(
    "--fps",
    type=click.FloatRange(min=0, min_open=True),
    help="True frames per second of all files, where they say something else.",
)
@click.option(
    "--lead-in", type=click.IntRange(min=0), help="Frames to drop at every start."
)
@click.option(
    "--up",
    type=click.Choice(["z", "y"]),
    help="Which axis of npz files points up.  [default: z]",
)
@click.option(
    "--h3d-texts",
    type=click.Path(path_type=Path),
    help="Folder of HumanML3D's texts, for a pack whose sequences have h3d fields.",
)
@json_option
@plain_errors
def import_(
    source: Path,
    out: Path,
    kind: Kind | None,
    captions: Path | None,
    fps: float | None,
    lead_in: int | None,
    up: str | None,
    h3d_texts: Path | None,
    as_json: bool,
) -> None:
    """Make a pack of motion capture files.

    SOURCE is a folder with BVH files of a known skeleton, npz files of joint positions,
    or HumanML3D as published. A pack is two files that a grid reads fast, kind: packed.
    Prints what was left out and why (skipped.json beside the pack has all of it), and
    last the folder.

    \b
    Example:
      scaling data import cmu-bvh --out packs/cmu --captions cmu.csv --lead-in 8
      scaling data import amass --out packs/amass --kind joints --up z
    """
    from scaling.analysis.layout import count
    from scaling.analysis.render_data import reading
    from scaling.runs.import_pack import import_pack

    given = {
        "captions": captions and str(captions),
        "fps": fps,
        "lead_in": lead_in,
        "up": up,
        "humanml3d_texts": h3d_texts and str(h3d_texts),
    }
    chosen = _to_import(source, kind, {k: v for k, v in given.items() if v is not None})
    recordings, report = import_pack(chosen, out, _progress("files"))
    frames = sum(b - a for recording in recordings for a, b in recording.clips)
    clips = sum(len(recording.clips) for recording in recordings)
    for line in (
        f"{count(len(recordings), 'sequence')}, {count(clips, 'clip')}, {frames:,} "
        f"frames ({frames / 20 / 3600:.2f} h)",
        *reading(asdict(report)),
    ):
        click.echo(line, err=True)
    counts = {"sequences": len(recordings), "clips": clips, "frames": frames}
    show_paths([out], as_json, **counts, report=jsonable(asdict(report)))


def _to_import(source: Path, kind: Kind | None, given: dict[str, Any]) -> Imported:
    """Name what is to be imported, and how it is to be read."""
    from scaling.runs.named_corpus import section_of
    from scaling.runs.sections import KinematicCorpus

    if not source.is_dir():
        raise ScalingError(
            f"{source} is no folder; expected one of motion files: name one that is "
            "there"
        )
    found = section_of(str(source), kind)
    assert not isinstance(found, KinematicCorpus), "which no folder is"
    unheeded = sorted(given.keys() - type(found).model_fields.keys())
    if unheeded:
        options = {"humanml3d_texts": "h3d-texts", "lead_in": "lead-in"}
        names = ", ".join(f"--{options.get(name, name)}" for name in unheeded)
        raise click.UsageError(
            f"{names} would have no effect on {source}, which is of kind {found.kind}: "
            "leave it out, or give another --kind"
        )
    return found.model_copy(update=given)


# --- view ---


@data.command()
@click.argument("corpus", shell_complete=files_too)
@click.argument("clip", required=False)
@kind_option
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for the pictures.",
)
@json_option
@plain_errors
def view(
    corpus: str, clip: str | None, kind: Kind | None, out: Path, as_json: bool
) -> None:
    """Look at motions of a corpus with their captions.

    CLIP is the name of one; without it, the first three of the test split are shown.
    Of each there is a PNG of poses along time and a GIF, and one page, index.html,
    plays all of them. A body of a built corpus, or of HumanML3D, is rebuilt from its
    features.

    \b
    Example:
      scaling data view quickstart --out seen
      scaling data view mocap/cmu cmu_007_01.0 --out seen
    """
    from scaling.analysis.player import Motion, page
    from scaling.analysis.stick import gif, strip
    from scaling.runs.named_corpus import find_clips, joints_of

    motions = [
        Motion(joints=joints_of(found), caption=found.captions[0], label=found.name)
        for found in find_clips(corpus, kind, clip)
    ]
    names = [re.sub(r"[^\w.#-]", "_", motion.label) for motion in motions]
    html = page(motions, title=corpus)
    files = [f"{name}.{form}" for name in names for form in ("png", "gif")]
    files.append("index.html")
    claim(out / "view.json", {"corpus": corpus, "clips": names, "files": files})
    for name, motion in zip(names, motions, strict=True):
        strip(motion, out / f"{name}.png")
        gif([motion], out / f"{name}.gif")
    write_text(out / "index.html", html)
    captions = {motion.label: motion.caption for motion in motions}
    show_paths([out / written for written in files], as_json, clips=captions)
