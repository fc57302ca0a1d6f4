"""What every scorer keeps to, and what each computes."""

import numpy as np
import pytest
from scipy import stats
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors

import naive
from raravis import scorers
from raravis.encoded import Encoded
from raravis.errors import DataError, ParameterError
from raravis.scorers.distance import KNN, Mahalanobis
from raravis.scorers.ensemble import Ensemble
from raravis.scorers.term import Term
from raravis.thresholds import Tail

DIM = 8


def gaussian(n, at=0.0, seed=0, dim=DIM):
    """Gaussian embeddings around `at` in every direction; every term is the distance from 0."""
    z = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32) + np.float32(at)
    length = np.linalg.norm(z, axis=1).astype(np.float64)
    return Encoded(z, {"reconstruction": length, "salience": np.full(n, 30.0)})


@pytest.fixture(params=scorers.names())  # the contract, held by whatever is registered
def scorer(request):
    return scorers.create(request.param)


def learns(scorer):
    """False for a scorer that reads a term and remembers nothing."""
    return not isinstance(scorer, Term)


def test_finds_the_far_stranger_than_the_near(scorer):
    scorer.fit(gaussian(200))
    assert scorer.score(gaussian(20, at=10)).min() > scorer.score(gaussian(20, seed=1)).max()


def test_finds_the_farther_stranger_than_the_far(scorer):
    scorer.fit(gaussian(200))
    assert scorer.score(gaussian(20, at=1000)).min() > scorer.score(gaussian(20, at=10)).max()


def test_scores_are_finite_one_for_each_window(scorer):
    scores = scorer.fit(gaussian(100)).score(gaussian(17, at=3))
    assert scores.shape == (17,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()


def test_the_score_of_a_window_does_not_depend_on_its_company(scorer):
    scorer.fit(gaussian(300))
    some = gaussian(50, at=1, seed=2)
    backwards = scorer.score(some[np.arange(50)[::-1]])[::-1]
    np.testing.assert_allclose(scorer.score(some), backwards, rtol=1e-5)
    alone = np.concatenate([scorer.score(some[i : i + 1]) for i in range(50)])
    np.testing.assert_allclose(scorer.score(some), alone, rtol=1e-5)


def test_the_order_in_which_it_learns_does_not_matter(scorer):
    seen = gaussian(100)
    one = scorer.fit(seen).score(gaussian(20, seed=1))
    two = scorers.create(scorer.registered_name).fit(seen[np.arange(100)[::-1]])
    np.testing.assert_allclose(one, two.score(gaussian(20, seed=1)), rtol=1e-5)


def test_a_restored_scorer_gives_the_same_scores_to_the_bit(scorer):
    scorer.fit(gaussian(200))
    again = scorers.create(scorer.registered_name).restore(scorer.state())
    np.testing.assert_array_equal(again.score(gaussian(30)), scorer.score(gaussian(30)))


def test_ordinary_scores_are_those_of_new_windows(scorer):
    # A window scored by what was learned from it must not seem more ordinary than a new one.
    seen, new = gaussian(2000), gaussian(2000, seed=1)
    known = scorer.fit(seen).ordinary_scores(seen)
    assert stats.ks_2samp(known, scorer.score(new)).pvalue > 1e-3


def test_refuses_to_score_before_it_has_learned(scorer):
    if learns(scorer):
        with pytest.raises(ParameterError, match="has learned nothing yet: call fit first"):
            scorer.score(gaussian(3))


def test_refuses_embeddings_of_another_dimension(scorer):
    if learns(scorer):
        scorer.fit(gaussian(50))
        with pytest.raises(ParameterError, match=r"must be \(N, 8\) as in fit, got \(3, 5\)"):
            scorer.score(gaussian(3, dim=5))


def test_refuses_embeddings_that_are_not_numbers(scorer):
    if learns(scorer):
        bad = gaussian(50)
        bad.embedding[7, 2] = np.nan
        with pytest.raises(DataError, match="1 of 50 embeddings hold NaN or infinite values"):
            scorer.fit(bad)


def test_copes_with_windows_that_are_all_the_same(scorer):
    silence = Encoded(np.zeros((40, DIM), np.float32), gaussian(40).terms)
    assert np.isfinite(scorer.fit(silence).score(gaussian(5))).all()
    assert np.isfinite(scorer.ordinary_scores(silence)).all()


def test_says_which_terms_it_needs(scorer):
    bare = Encoded(gaussian(50).embedding)
    if scorer.needs:
        with pytest.raises(ParameterError, match=f"the model gives no term '{scorer.needs[0]}'"):
            scorer.fit(bare)
    else:
        scorer.fit(bare).score(bare)


# Terms


def test_term_is_the_term():
    some = Encoded(np.zeros((2, 1)), {"loudness": np.array([3.0, 1.0]), "error": np.zeros(2)})
    np.testing.assert_array_equal(Term("loudness").fit(some).score(some), [3, 1])
    with pytest.raises(ParameterError, match="gives no term 'pitch': it gives error, loudness"):
        Term("pitch").fit(some)
    with pytest.raises(ParameterError, match="gives no term 'pitch': it gives none"):
        Term("pitch").score(Encoded(np.zeros((2, 1))))


# Nearest neighbours


@pytest.mark.parametrize("rescale", [False, True])
def test_knn_equals_its_slow_twin(rescale):
    seen, new = gaussian(60, dim=3), gaussian(30, at=1, seed=1, dim=3)
    knn = KNN(k=4, rescale=rescale).fit(seen)
    bank = seen.embedding.astype(float).tolist()
    for some in (new, seen):  # a remembered window leaves itself out
        expected = [naive.knn(bank, z, 4, rescale) for z in some.embedding.astype(float).tolist()]
        np.testing.assert_allclose(knn.score(some), expected, rtol=1e-5)


def test_knn_equals_scikit_learn_where_the_bank_is_large_and_far_from_zero():
    seen, new = gaussian(9000, at=300), gaussian(40, at=301, seed=1)
    distance, _ = NearestNeighbors(n_neighbors=7).fit(seen.embedding).kneighbors(new.embedding)
    knn = KNN(k=7, rescale=False).fit(seen)
    np.testing.assert_allclose(knn.score(new), distance.mean(axis=1), rtol=1e-4)


def test_knn_by_hand():
    # Remembered: 0, 1, 2 and 10. Two nearest of 4: 2 and 1, mean 2.5. Their own: 2 -> 1 and 0,
    # mean 1.5; 1 -> 0 and 2, mean 1. So rescaled 2.5 / 1.25 = 2. And of 10, left out: 8 and 9.
    seen = Encoded(np.array([[0.0], [1], [2], [10]], dtype=np.float32))
    four = Encoded(np.array([[4.0], [10]], dtype=np.float32))
    plain = KNN(k=2, rescale=False).fit(seen).score(four)
    np.testing.assert_allclose(plain, [2.5, 8.5])
    np.testing.assert_allclose(KNN(k=2, rescale=True).fit(seen).score(four), [2, 8.5 / 1.25])


def test_knn_leaves_a_window_out_even_if_it_comes_back_a_little_different():
    seen = gaussian(500)
    knn = KNN(rescale=False).fit(seen)
    noise = 1e-3 * gaussian(500, seed=9).embedding
    again = knn.score(Encoded(seen.embedding + noise))
    np.testing.assert_allclose(again, knn.ordinary_scores(seen), rtol=1e-2)


def test_knn_leaves_out_one_of_two_that_are_alike_and_keeps_the_other():
    twice = Encoded(np.array([[0.0], [0], [3], [9]], dtype=np.float32))
    scores = KNN(k=1, rescale=False).fit(twice).score(twice)
    np.testing.assert_allclose(scores, [0, 0, 3, 6])


def test_knn_rescaled_is_about_one_in_dense_and_in_sparse_regions():
    dense, sparse = gaussian(500), gaussian(500, seed=1)
    both = np.concatenate([dense.embedding, 5 * sparse.embedding + 100])
    scores = KNN(rescale=True).fit(Encoded(both)).score(Encoded(both))
    assert np.median(scores[:500]) == pytest.approx(np.median(scores[500:]), rel=0.1)
    plain = KNN(rescale=False).fit(Encoded(both)).score(Encoded(both))
    assert np.median(plain[500:]) > 4 * np.median(plain[:500])


def test_knn_remembers_no_more_than_its_memory_and_the_same_for_the_same_seed():
    seen = gaussian(500)
    one, two, other = (KNN(memory=50, seed=seed).fit(seen) for seed in (0, 0, 1))
    assert one.bank_.shape == (50, DIM)
    np.testing.assert_array_equal(one.score(seen), two.score(seen))
    assert (one.score(seen) != other.score(seen)).any()


def test_knn_makes_do_with_fewer_windows_than_k():
    few = gaussian(3)
    assert np.isfinite(KNN(k=10).fit(few).score(few)).all()
    with pytest.raises(DataError, match="needs at least 2 windows to learn from, got 1"):
        KNN().fit(gaussian(1))


@pytest.mark.parametrize("options", [{"k": 0}, {"memory": 1}])
def test_knn_refuses_and_says_why(options):
    with pytest.raises(ParameterError, match="k must be >= 1 and memory >= 2, got k="):
        KNN(**options)


# Mahalanobis


def test_mahalanobis_by_hand():
    # x in {-1, 1, 0, 0} has variance 2/3 and y in {0, 0, -2, 2} has variance 8/3; they do not
    # correlate. So 1 / sqrt(2/3) = 2 / sqrt(8/3) = sqrt(1.5): all four stand on one ellipse.
    cross = Encoded(np.array([[-1, 0], [1, 0], [0, -2], [0, 2]], dtype=np.float32))
    scores = Mahalanobis(shrinkage=0).fit(cross).score(cross)
    np.testing.assert_allclose(scores, np.sqrt(1.5), rtol=1e-6)


def test_mahalanobis_equals_scikit_learn():
    seen, new = gaussian(300), gaussian(50, at=1, seed=1)
    peer = EmpiricalCovariance().fit(seen.embedding)  # divides by N, ours by N - 1
    expected = np.sqrt(peer.mahalanobis(new.embedding) * (299 / 300))
    np.testing.assert_allclose(Mahalanobis(shrinkage=0).fit(seen).score(new), expected, rtol=1e-4)


def test_mahalanobis_squared_follows_chi_squared():
    mixing = np.random.default_rng(3).standard_normal((DIM, DIM))
    seen, new = (Encoded(gaussian(20_000, seed=s).embedding @ mixing) for s in (0, 1))
    squared = Mahalanobis(shrinkage=0).fit(seen).score(new) ** 2
    assert stats.kstest(squared, stats.chi2(DIM).cdf).statistic < 0.015


def test_mahalanobis_shrinks_towards_a_sphere_of_the_same_trace():
    # Variances 4 and 0, trace 4, sphere 2 I. Half way: 3 and 1.
    line = Encoded(np.array([[-2, 0], [2, 0], [-2, 0], [2, 0]]) * np.sqrt(3 / 4))
    scores = Mahalanobis(shrinkage=0.5).fit(line).score(Encoded(np.array([[3.0, 0], [0, 3.0]])))
    np.testing.assert_allclose(scores, [np.sqrt(3), 3])


def test_mahalanobis_refuses_and_says_why():
    with pytest.raises(ParameterError, match=r"shrinkage must be in \[0, 1\), got 2"):
        Mahalanobis(shrinkage=2)
    with pytest.raises(DataError, match="do not spread in all 8 directions: raise shrinkage"):
        Mahalanobis(shrinkage=0).fit(gaussian(4))
    with pytest.raises(DataError, match="needs at least 2 windows"):
        Mahalanobis().fit(gaussian(1))


# Ensemble


def test_ensemble_is_the_mean_surprise_of_its_members():
    seen, new = gaussian(300), gaussian(20, at=20, seed=1)
    seen.embedding[:] *= np.random.default_rng(2).pareto(2, (300, 1))  # so that tails are heavy
    ensemble = Ensemble(members=("knn", "mahalanobis")).fit(seen)
    surprises = []
    for member in (KNN().fit(seen), Mahalanobis().fit(seen)):
        tail = Tail(tail="exponential").fit(member.ordinary_scores(seen), hours=1)
        surprises.append(-np.log(tail.p_values(member.score(new))))
    np.testing.assert_allclose(ensemble.score(new), np.mean(surprises, axis=0))


def test_ensemble_of_ordinary_windows_is_surprised_by_one_on_average():
    seen = gaussian(3000)
    assert Ensemble().fit(seen).score(gaussian(3000, seed=1)).mean() == pytest.approx(1, abs=0.1)


def test_ensemble_counts_members_of_any_unit_alike():
    seen = gaussian(300)
    louder = Encoded(seen.embedding, {"reconstruction": 1e6 * seen.terms["reconstruction"]})
    np.testing.assert_allclose(
        Ensemble().fit(seen).ordinary_scores(seen), Ensemble().fit(louder).ordinary_scores(louder)
    )


def test_ensemble_needs_what_its_members_need():
    assert Ensemble().needs == ("reconstruction",)
    assert Ensemble(members=["knn", "mahalanobis"]).needs == ()


@pytest.mark.parametrize("members", [(), "knn", ("knn", "knn")])
def test_ensemble_refuses_members_that_are_not_different_names(members):
    with pytest.raises(ParameterError, match="must be names of different scorers"):
        Ensemble(members=members)


def test_ensemble_refuses_unknown_members_and_itself():
    with pytest.raises(ParameterError, match="unknown scorer 'magic': choose one of"):
        Ensemble(members=("knn", "magic"))
    with pytest.raises(ParameterError, match="cannot be a member of an ensemble"):
        Ensemble(members=("ensemble",))
