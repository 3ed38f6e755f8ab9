"""Reports: what is on the page is true of the run, and the page stands alone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from typer.testing import CliRunner

from schemas.model_card import Preprocessing
from tests.support.runs import EPOCHS, MEASURED, WrittenRun, made_up_predictions, write_evaluation, write_run
from training.__main__ import app
from training.config import ModelConfig
from training.datasets.record import LABELS
from training.loop import fit
from training.measuring import evaluate_run
from training.model import Student, normalise
from training.recipes import smoke_stream
from training.report.attention import Network, grad_cam, laid_over
from training.report.boards import NEIGHBOURS, Boards, retrieval_boards
from training.report.boxes import Boxes, boxes, overlaps
from training.report.confusion import Categories, categories, confusions
from training.report.curves import best_epoch, learning_curves
from training.report.evidence import Absent
from training.report.material import Material, gather, nothing
from training.report.mistakes import Mistakes, worst_mistakes
from training.report.page import Report, compose, render, save
from training.report.pictures import SIDE_PX, Pictures, embedded
from training.report.reading import read_run
from training.trained import load_run
from workers.errors import ConfigurationError

_IMAGES = 240
_MOST_BYTES = 8_000_000
_MOST_PICTURES = 222


class Page(HTMLParser):
    """What a reader's browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.ids: list[str] = []
        self.targets: set[str] = set()
        self.loads: set[str] = set()
        self.images: list[dict[str, str]] = []
        self.tags: list[str] = []
        self.headings: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if "id" in own:
            self.ids.append(own["id"])
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        for name in ("href", "src"):
            if own.get(name, "#").startswith("#"):
                self.targets.update([own[name][1:]] if name in own else [])
            else:
                self.loads.add(own[name])
        self.targets.update(re.findall(r"url\(#([^)]+)\)", " ".join(own.values())))
        if tag == "img":
            self.images.append(own)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> WrittenRun:
    return write_run(tmp_path_factory.mktemp("runs") / "drawn-1", images=_IMAGES)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(1)
    config = ModelConfig(architecture="seed", input_size=64, embedding_size=64, residual_depth=1)
    student = Student(config, classes=len(LABELS))
    return Network(student=student.eval(), preprocessing=Preprocessing(input_size=64))


@pytest.fixture(scope="module")
def report(run: WrittenRun, network: Network) -> Report:
    return compose(read_run(run.folder), Material(images=run.by_name, network=network))


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    return Page(render(report))


def test_the_page_stands_alone(page: Page) -> None:
    assert all(load.startswith("data:image/webp;base64,") for load in page.loads)
    assert "script" not in page.tags
    assert "default-src 'none'" in page.text
    assert "@import" not in page.text
    assert len(page.text.encode()) < _MOST_BYTES
    assert len(page.images) <= _MOST_PICTURES


def test_every_reference_within_the_page_has_its_one_target(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    assert page.targets <= set(page.ids)
    assert len(page.targets) > 20  # the charts' own marks and clips among them


def test_who_does_not_see_the_page_can_read_it(page: Page) -> None:
    assert all(image["alt"] for image in page.images)
    assert page.tags.count("table") == page.tags.count("caption")
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    charts = len(re.findall(r"<svg", page.text))
    assert charts >= 7
    assert len(re.findall(r'<div role="img" aria-label="[^"]{20,}"><svg', page.text)) == charts


def test_charts_take_their_colours_from_the_page(page: Page) -> None:
    for svg in re.findall(r"<svg.*?</svg>", page.text, flags=re.DOTALL):
        assert set(re.findall(r"(?:fill|stroke): (#[0-9a-f]+)", svg)) <= {"#000000"}  # ticks' outlines within <defs>
        assert "var(--ink)" in svg
        assert "DejaVu" not in svg


def test_the_same_run_gives_the_same_page(run: WrittenRun, network: Network, page: Page) -> None:
    again = compose(read_run(run.folder), Material(images=run.by_name, network=network))
    assert render(again) == page.text


def test_the_summary_states_figures_with_their_intervals(run: WrittenRun, report: Report, page: Page) -> None:
    p = run.predictions
    right = float((p.probabilities.argmax(1) == p.categories).mean())
    top1 = report.summary.figures[0]
    assert top1.name == "top1"
    assert top1.value == f"{100 * right:.1f} %"
    assert top1.interval in page.text
    assert {f.name for f in report.summary.figures} == {
        "top1",
        "product_recall_at_1",
        "neighbour_precision_at_1",
        "box_iou",
        "ece",
    }
    assert all(finding.section in page.ids for finding in report.summary.findings)


def test_mistakes_are_wrong_and_the_surest_come_first(run: WrittenRun) -> None:
    found = worst_mistakes(read_run(run.folder).measurements[0], Pictures(run.by_name))
    assert isinstance(found, Mistakes)
    said = run.predictions.probabilities.argmax(1)
    assert found.wrong == int((said != run.predictions.categories).sum())
    confidences = [m.confidence for m in found.worst]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] == pytest.approx(
        run.predictions.probabilities.max(1)[said != run.predictions.categories].max()
    )
    assert all(m.true != m.predicted and m.true_rank > 1 for m in found.worst)
    truth = {r.name: LABELS[r.category or 0] for r in run.records}
    assert all(m.true == truth[m.name] for m in found.worst)


def test_boards_show_the_nearest_and_what_they_have_in_common(run: WrittenRun) -> None:
    found = retrieval_boards(read_run(run.folder).measurements[0], Pictures(run.by_name))
    assert isinstance(found, Boards)
    assert found.has_products
    of = {r.name: r for r in run.records}
    index = {r.name: i for i, r in enumerate(run.predictions.records)}
    for row in (*found.drawn, *found.failed):
        similarity = run.predictions.vectors @ run.predictions.vectors[index[row.query.name]]
        similarity[index[row.query.name]] = -2
        best = np.sort(similarity)[::-1][:NEIGHBOURS]
        assert [hit.similarity for hit in row.hits] == pytest.approx(best.tolist(), abs=1e-6)
        for hit in row.hits:
            query, other = of[row.query.name], of[hit.name]
            expected = (
                "product"
                if query.product == other.product
                else "category"
                if query.category == other.category
                else "other"
            )
            assert hit.verdict == expected
    assert all(row.hits[0].verdict != "product" for row in found.failed)
    assert len({row.query.category for row in found.drawn}) == len(found.drawn)


def test_queries_search_their_gallery_where_there_is_one(run: WrittenRun) -> None:
    measured = read_run(run.folder).measurements[0]
    assert measured.shown is not None
    apart = type(measured)(
        figures=measured.figures, labels=measured.labels, shown=measured.shown, gallery=measured.shown
    )
    found = retrieval_boards(apart, Pictures(run.by_name))
    assert isinstance(found, Boards)
    assert all(row.hits[0].name == row.query.name for row in found.drawn)  # a gallery is not the query's own split


def test_frames_are_told_apart_without_colour(page: Page) -> None:
    for mark in ("✓︎ product", "= category", "✕︎ other"):
        assert mark in page.text


def test_grad_cam_of_a_pooled_linear_head_is_its_class_activation_map(network: Network) -> None:
    """With average pooling and a linear head the gradients are the head's weights (Selvaraju et al., section 3.1)."""
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    heat = grad_cam(network.student, images, network.preprocessing)
    with torch.no_grad():
        p = network.preprocessing
        output = network.student(normalise(torch.from_numpy(images), p.mean, p.std))
        weights = network.student.category.weight[output.logits.argmax(1)]
        expected = torch.relu(torch.einsum("nc,nchw->nhw", weights, output.feature_map))
    expected = expected / expected.amax((1, 2), keepdim=True)
    assert heat == pytest.approx(expected.numpy(), abs=1e-5)
    assert heat.max() == pytest.approx(1.0)


def test_the_overlay_is_hot_where_the_heat_is() -> None:
    pixels = np.full((80, 60, 3), 90, dtype=np.uint8)
    heat = np.zeros((4, 4), dtype=np.float32)
    heat[0, 0] = 1.0
    overlay = laid_over(pixels, heat)
    assert overlay.shape == pixels.shape
    assert overlay[0, 0].max() - overlay[0, 0].min() > 60  # coloured
    assert (overlay[-1, -1] == 90).all()


def test_overlaps_are_those_of_torchvision() -> None:
    rng = np.random.default_rng(2)
    first, second = (np.sort(rng.random((50, 2, 2)), axis=1).reshape(50, 4) for _ in range(2))
    expected = torchvision.ops.box_iou(torch.from_numpy(first), torch.from_numpy(second)).diagonal()
    assert overlaps(first, second) == pytest.approx(expected.numpy())
    assert overlaps(np.zeros((1, 4)), np.zeros((1, 4)))[0] == 0.0


def test_boxes_stand_where_they_are(run: WrittenRun) -> None:
    found = boxes(read_run(run.folder).measurements[0], Pictures(run.by_name))
    assert isinstance(found, Boxes)
    of = {r.name: r.box for r in run.records}
    for item in (*found.drawn, *found.worst):
        true = of[item.name]
        assert true is not None
        placed = (item.true.left, item.true.top, item.true.left + item.true.width, item.true.top + item.true.height)
        assert placed == pytest.approx([100 * v for v in true], abs=0.02)
    assert [item.overlap for item in found.worst] == sorted(item.overlap for item in found.worst)


def test_the_matrix_counts_every_image(run: WrittenRun) -> None:
    found = categories(read_run(run.folder).measurements[0])
    assert isinstance(found, Categories)
    assert sum(cell.images for row in found.matrix.rows for cell in row) == len(run.predictions)
    worst = found.confusions[0]
    rows = [
        r
        for r, said in zip(run.predictions.records, run.predictions.probabilities.argmax(1), strict=True)
        if LABELS[r.category or 0] == worst.true and LABELS[said] == worst.predicted
    ]
    assert worst.images == len(rows)


def test_confusions_leave_out_what_never_happened() -> None:
    matrix = np.array([[5, 2, 0], [0, 7, 0], [1, 0, 0]])
    found = confusions(matrix, ("a", "b", "c"))
    assert [(c.true, c.predicted, c.images) for c in found] == [("a", "b", 2), ("c", "a", 1)]
    assert found[1].share == 1.0


def test_a_run_that_was_not_evaluated_says_so(tmp_path: Path) -> None:
    written = write_run(tmp_path / "run", images=20, evaluated=False)
    made = compose(read_run(written.folder), Material(images=written.by_name, network=Absent(reason="none")))
    assert not isinstance(made.curves, Absent)
    assert isinstance(made.boards, Absent)
    assert "not evaluated yet" in render(made)


def test_without_pictures_curves_and_tables_remain(run: WrittenRun) -> None:
    text = render(compose(read_run(run.folder), nothing("They are confidential.")))
    assert "They are confidential." in text
    assert "<img" not in text
    assert 'class="matrix"' in text


def test_a_picture_that_is_gone_leaves_its_place(run: WrittenRun) -> None:
    some = dict(list(run.by_name.items())[::2])
    text = render(compose(read_run(run.folder), Material(images=some, network=Absent(reason="none"))))
    assert "picture not at hand" in text


def test_noise_cannot_blow_the_page_up() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    assert len(embedded(noise, alt="noise").source or "") * _MOST_PICTURES < 0.9 * _MOST_BYTES


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    labels = ("<script>alert(1)</script>", "a$b$c \\frac", "帽子", *LABELS[3:])
    written = write_run(tmp_path / "run", images=30)
    write_evaluation(written.folder, made_up_predictions(written.records), labels=labels)
    data = json.loads((written.folder / "data.json").read_text())
    data["counts"] = {"train": dict.fromkeys(labels, 3)}
    (written.folder / "data.json").write_text(json.dumps({**data, "labels": labels}))
    text = render(compose(read_run(written.folder), nothing("none")))
    assert "<script>" not in text
    assert any("a$b$c" in svg for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    save(text + "\ud800", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").endswith("?")


def test_the_best_epoch_is_the_one_whose_checkpoint_was_kept(run: WrittenRun) -> None:
    epochs = read_run(run.folder).epochs
    kept = best_epoch(epochs)
    assert kept is not None
    assert kept[0].number == EPOCHS  # its score is the highest, although one error before was lower
    assert kept[1:] == ("holdout", dict(epochs[-1].errors)["holdout"])
    lowest = best_epoch([replace(epoch, score=None) for epoch in epochs])
    assert lowest is not None
    assert lowest[0].number == EPOCHS - 1


def test_a_log_that_is_being_written_is_read_as_far_as_it_goes(run: WrittenRun, tmp_path: Path) -> None:
    lines = (run.folder / "log.jsonl").read_text().splitlines()
    _copy_settings(run.folder, tmp_path)
    (tmp_path / "log.jsonl").write_text("\n".join([*lines[:3], lines[2], lines[3][:40]]))
    assert [epoch.number for epoch in read_run(tmp_path).epochs] == [1, 2, 3]
    assert not isinstance(learning_curves(read_run(tmp_path).epochs), Absent)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("log.jsonl", "{}\n{}\n", "log.jsonl, line 1"),
        ("data.json", "[]", "data.json does not describe"),
        ("config.json", "{", "config.json cannot be read"),
        ("evaluation.json", "{}", "evaluation.json is no evaluation"),
    ],
)
def test_damaged_files_are_named(run: WrittenRun, tmp_path: Path, name: str, content: str, said: str) -> None:
    _copy_settings(run.folder, tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError, match=re.escape(said)) as raised:
        read_run(tmp_path)
    assert "\n" not in str(raised.value)


def test_predictions_that_do_not_fit_their_names_are_refused(run: WrittenRun, tmp_path: Path) -> None:
    for file in run.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    rows = json.loads((tmp_path / "names.json").read_text())
    (tmp_path / "names.json").write_text(json.dumps(rows[1:]))
    with pytest.raises(ConfigurationError, match="evaluate the run again"):
        read_run(tmp_path)


def test_a_real_run_fills_every_section(tmp_path: Path) -> None:
    config = replace(smoke_stream(), loop=replace(smoke_stream().loop, epochs=1, sizes=((0.0, 32),)))
    fit(config, tmp_path / "run", cache=tmp_path / "views")
    evaluate_run(load_run(tmp_path / "run")).write(tmp_path / "run")
    found = read_run(tmp_path / "run")
    made = compose(found, gather(found))
    sections = (
        made.curves,
        *made.categories,
        *made.reliability,
        made.mistakes,
        made.boards,
        made.attention,
        made.boxes,
    )
    assert not [section for section in (*sections, made.balance) if isinstance(section, Absent)]
    assert not isinstance(made.curves, Absent)
    assert not made.curves.missing
    assert not isinstance(made.attention, Absent)
    assert all(look.overlay.source for look in (*made.attention.right, *made.attention.wrong))
    assert "not at hand" not in render(made)


def test_the_command_writes_the_page(run: WrittenRun, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["report", str(run.folder), "--no-pictures", "--out", str(tmp_path / "a" / "r.html")]
    )
    assert result.exit_code == 0, result.output
    assert "r.html" in result.output
    assert MEASURED in (tmp_path / "a" / "r.html").read_text(encoding="utf-8")


def test_the_command_refuses_what_is_no_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert isinstance(result.exception, ConfigurationError)
    assert "is no run" in str(result.exception)


def _copy_settings(source: Path, target: Path) -> None:
    for name in ("config.json", "data.json"):
        (target / name).write_bytes((source / name).read_bytes())
