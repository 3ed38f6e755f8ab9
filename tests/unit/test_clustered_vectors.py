"""The benchmark's vectors: the same for the same seed, and lying together as embeddings of photographs do."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.clustered import BRANDS, VIEWS, Clusters, fit, make_points, neighbourhood, read_shape

REAL = {
    "cosine of neighbour 1": [0.595, 0.740, 0.825, 0.895, 0.950],
    "cosine of neighbour 10": [0.484, 0.651, 0.743, 0.827, 0.919],
    "cosine of neighbour 100": [0.381, 0.542, 0.639, 0.739, 0.872],
    "local dimension": [6.594, 11.189, 15.579, 21.078, 31.761],
}
"""Of 4,784 photographs, as `python -m benchmarks.clustered` prints them."""


def test_the_same_seed_draws_the_same_vectors_and_payloads() -> None:
    one, other = (Clusters(read_shape(), seed=5).draw(301) for _ in range(2))
    np.testing.assert_array_equal(one.vectors, other.vectors)
    assert [point.payload for point in make_points(one)] == [point.payload for point in make_points(other)]
    assert not np.array_equal(one.vectors, Clusters(read_shape(), seed=6).draw(301).vectors)
    np.testing.assert_allclose(np.linalg.norm(one.vectors, axis=1), 1.0, atol=1e-5)


def test_a_source_goes_on_where_it_ended() -> None:
    source = Clusters(read_shape())
    first, second = source.draw(30), source.draw(30)
    assert not np.array_equal(first.vectors, second.vectors)
    assert (
        len({point.id for part, start in ((first, 0), (second, 30)) for point in make_points(part, first=start)}) == 60
    )


def test_views_of_a_product_share_its_style() -> None:
    drawn = Clusters(read_shape()).draw(10 * VIEWS)
    assert (drawn.styles.reshape(-1, VIEWS) == drawn.styles[::VIEWS, None]).all()
    assert len({point.payload.product_id for point in make_points(drawn)}) == 10


def test_drawn_vectors_lie_together_as_real_embeddings_do() -> None:
    drawn = neighbourhood(Clusters(read_shape()).draw(4_784).vectors)
    for name, real in REAL.items():
        tolerance = 2.0 if name == "local dimension" else 0.08
        assert np.abs(np.subtract(drawn[name], real)).max() < tolerance, name


def test_filters_let_the_promised_shares_pass() -> None:
    payloads = [point.payload for point in make_points(Clusters(read_shape()).draw(20_000))]
    assert sum(payload.in_stock is True for payload in payloads) / 20_000 == pytest.approx(0.5, abs=0.02)
    assert sum(payload.colour == "colour-03" for payload in payloads) / 20_000 == pytest.approx(0.05, abs=0.006)
    assert sum(payload.brand == BRANDS[7] for payload in payloads) / 20_000 == pytest.approx(0.005, abs=0.002)


def test_a_fit_recovers_what_the_vectors_were_drawn_from() -> None:
    shape = read_shape()
    drawn = Clusters(shape, seed=3).draw(400)
    fitted = fit(drawn.vectors, [f"{category}" for category in drawn.categories])
    assert sum(fitted.shares) == pytest.approx(1.0, abs=0.01)
    assert len(fitted.shares) <= len(shape.shares)
    assert fitted.spectrum[0] == pytest.approx(shape.spectrum[0], rel=0.5)
