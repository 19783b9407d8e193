"""The run record: a log cut at any byte loses only its last line, and a store scans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.errors import ScalingError
from scaling.record import (
    COLUMNS,
    SCORES,
    Metrics,
    parse_lines,
    read_metrics,
    run_folders,
    scan,
    status,
)

json_rows = st.lists(
    st.dictionaries(
        st.text(max_size=5),
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        max_size=3,
    ),
    max_size=5,
)


def metrics(path: Path, content: bytes) -> Metrics:
    """Read a log with this content."""
    path.write_bytes(content)
    return read_metrics(path)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log that is not written yet."""
    return tmp_path / "metrics.jsonl"


class TestReadMetrics:
    def test_whole_file(self, log: Path) -> None:
        content = b'{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2.25}\n'
        found = metrics(log, content)
        assert found.rows == ({"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.25})
        assert found.valid_bytes == len(content)
        assert found.torn_line is None

    def test_empty_file_has_no_rows_and_is_not_torn(self, log: Path) -> None:
        assert metrics(log, b"") == Metrics(rows=(), valid_bytes=0, torn_line=None)

    @pytest.mark.parametrize(
        "tail",
        [
            b'{"step": 2, "lo',
            b'{"step": 2}',  # it parses, but its end was not written
            b'{"step": 2, "lo\n',
            b"\x00\x00\x00\x00\n",
            b'{"name": "caf\xc3\n',
            b"[2]\n",
            b"2\n",
            b"\n",
        ],
    )
    def test_torn_last_line_is_left_out_and_reported(
        self, log: Path, tail: bytes
    ) -> None:
        whole = b'{"step": 1}\n'
        assert metrics(log, whole + tail) == Metrics(
            rows=({"step": 1},), valid_bytes=len(whole), torn_line=2
        )

    def test_only_line_torn(self, log: Path) -> None:
        assert metrics(log, b'{"st') == Metrics(rows=(), valid_bytes=0, torn_line=1)

    @pytest.mark.parametrize(
        ("line", "shown"),
        [
            (b'{"step": 2, "lo\n', """b'{"step": 2, "lo\\n'"""),
            (b"[2]\n", "b'[2]\\n'"),
            (b"\n", "b'\\n'"),
            (b"x" * 99 + b"\n", f"b'{'x' * 40}'"),
        ],
    )
    def test_broken_line_before_the_last_is_an_error(
        self, log: Path, line: bytes, shown: str
    ) -> None:
        with pytest.raises(ScalingError) as error:
            metrics(log, b'{"step": 1}\n' + line + b'{"step": 3}\n')
        assert str(error.value) == (
            f"{log}:2 is not a JSON object: {shown}; "
            "remove that line, or the run's folder to train it again"
        )

    @settings(deadline=None)
    @given(rows=json_rows, ascii_only=st.booleans(), data=st.data())
    def test_cut_at_any_byte_the_rows_are_a_prefix(
        self,
        rows: list[dict[str, Any]],
        ascii_only: bool,
        data: st.DataObject,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        lines = [
            json.dumps(row, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
            + b"\n"
            for row in rows
        ]
        content = b"".join(lines)
        cut = data.draw(st.integers(0, len(content)))
        ends = [len(b"".join(lines[:count])) for count in range(len(lines) + 1)]
        kept = max(count for count, end in enumerate(ends) if end <= cut)
        path = tmp_path_factory.getbasetemp() / "cut.jsonl"
        assert metrics(path, content[:cut]) == Metrics(
            rows=tuple(rows[:kept]),
            valid_bytes=ends[kept],
            torn_line=None if ends[kept] == cut else kept + 1,
        )


class TestParseLines:
    def test_sound_lines_are_parsed_together(self) -> None:
        assert parse_lines(b'{"a": 1}\n{"b": [2, {}]}\n') == [{"a": 1}, {"b": [2, {}]}]

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b'{"a": 1}',
            b'{"a": 1}\n\n',
            b'{"a": 1}\n[2]\n',
            b'{"a": 1\n"b": 2}\n',  # one object on two lines
            b'{"a": 1}, {"b": 2}\n',  # and two on one
        ],
    )
    def test_others_need_a_closer_look(self, data: bytes) -> None:
        assert parse_lines(data) is None


def write_run(
    out: Path, name: str, kind: str, log: str | None = None, ended: str | None = None
) -> Path:
    """Lay out one run folder by hand."""
    folder = out / name
    folder.mkdir(parents=True)
    config = {
        "kind": kind,
        "record": {"size": "2x2x64", "codebook_size": 240, "seed": 1},
        "else": {"loss": -1},
    }
    (folder / "config.json").write_text(json.dumps(config))
    if log is not None:
        (folder / "metrics.jsonl").write_text(log)
    if ended is not None:
        (folder / "result.json").write_text(json.dumps({"status": ended}))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of two tokenizers, four transformers and what else lies in a folder."""
    write_run(tmp_path, "tok-v240-1", "tokenizer", '{"loss": 0.5}\n', "finished")
    write_run(tmp_path, "tok-v64-2", "tokenizer")
    write_run(
        tmp_path,
        "b-run",
        "transformer",
        '{"step": 1, "loss": 2.5, "grad_norm": 9}\n{"step": 2, "loss": 2.25}\n',
        "finished",
    )
    write_run(tmp_path, "a-run", "transformer", '{"step": 7, "seed": 5}\n{"st')
    write_run(tmp_path, "c-run", "transformer")
    write_run(tmp_path, "d-run", "transformer", "", "diverged")
    (tmp_path / "figures").mkdir()
    (tmp_path / "runs.csv").write_text("run,loss\nold,1\n")
    return tmp_path


class TestScan:
    def test_one_row_per_evaluation_of_a_transformer_in_order_of_run(
        self, store: Path
    ) -> None:
        found = [(row["run"], row["step"], row["loss"]) for row in scan(store)]
        assert found == [("a-run", 7, None), ("b-run", 1, 2.5), ("b-run", 2, 2.25)]

    def test_rows_have_every_column_in_order_and_no_other(self, store: Path) -> None:
        for row in scan(store):
            assert list(row) == list(COLUMNS)

    def test_config_fills_what_the_evaluation_does_not_say(self, store: Path) -> None:
        a, b, _ = scan(store)
        assert (a["seed"], b["seed"]) == (5, 1)
        assert (b["size"], b["codebook_size"]) == ("2x2x64", 240)
        assert b["flops"] is None

    def test_status_is_the_result_s(self, store: Path) -> None:
        assert [row["status"] for row in scan(store)] == [
            *("unfinished", "finished", "finished")
        ]
        assert status(store / "d-run") == "diverged"

    def test_torn_line_is_noted_once(self, store: Path) -> None:
        notes: list[str] = []
        scan(store, notes)
        assert notes == [
            "a-run/metrics.jsonl: line 2 is cut short; kept the 1 before it"
        ]

    def test_broken_middle_line_names_the_file(self, store: Path) -> None:
        log = store / "b-run" / "metrics.jsonl"
        log.write_text('{"step": 1}\n{"step": \n{"step": 3}\n')
        with pytest.raises(ScalingError, match=r"b-run/metrics\.jsonl:2 is not a JSON"):
            scan(store)

    def test_empty_store(self, tmp_path: Path) -> None:
        assert scan(tmp_path) == []

    def test_folders_are_yielded_by_kind(self, store: Path) -> None:
        names = [folder.name for folder, _ in run_folders(store, "tokenizer")]
        assert names == ["tok-v240-1", "tok-v64-2"]
        assert {
            config["record"]["size"] for _, config in run_folders(store, "transformer")
        } == {"2x2x64"}


class TestColumns:
    def test_spellings_are_the_design_s(self) -> None:
        design = [
            *("run", "codebook_size", "nominal_codebook_size", "non_vocab_params"),
            *("vocab_params", "total_params", "d_model", "n_layers", "n_heads"),
            *("d_ff", "step", "tokens", "unique_tokens", "epochs"),
            *("flops", "flops_convention"),
            *("loss", "unigram_loss", "normalised_loss", "bits_per_second", "seed"),
            *("schedule", "learning_rate", "batch_size", "precision", "device"),
            *("seconds", "code_version", "status"),
        ]
        added = {"size", "corpus", "quantizer", *SCORES}
        added |= {"bits_per_byte", "train_loss", "cooled"}
        assert [name for name in COLUMNS if name not in added] == design
        assert all(name == column.name for name, column in COLUMNS.items())

    @pytest.mark.parametrize(
        ("name", "label"),
        [
            ("run", "Run"),
            ("codebook_size", "Codebook size V (codes)"),
            ("non_vocab_params", "Non-vocabulary parameters N_nv"),
            ("vocab_params", "Vocabulary parameters N_v"),
            ("tokens", "Training data D (tokens)"),
            ("flops", "Training compute C (FLOPs)"),
            ("loss", "Test loss L (nats per token)"),
            ("normalised_loss", "Normalised test loss L_u (nats per token)"),
            ("bits_per_second", "Test loss (bits per second of data)"),
            ("seconds", "Training time (s)"),
        ],
    )
    def test_label_is_meaning_symbol_and_unit(self, name: str, label: str) -> None:
        assert COLUMNS[name].label == label

    def test_no_two_labels_are_alike(self) -> None:
        labels = [column.label for column in COLUMNS.values()]
        assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("name", ["config.json", "result.json"])
@pytest.mark.parametrize("content", ["", '{"kind": "trans', "[1]"])
def test_a_broken_file_of_a_run_is_named(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"kind": "transformer"}')
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1}\n')
    (tmp_path / "run" / name).write_text(content)
    with pytest.raises(ScalingError, match=f"{name} is not a JSON object; remove it"):
        scan(tmp_path)
