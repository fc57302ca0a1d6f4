"""A map of what a run has seen: embeddings along their main directions, in groups."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from raravis import report
from raravis.windows import FloatArray, Windows

GROUPS = 8


def points(embedding: FloatArray, windows: Windows, score: FloatArray) -> report.Points:
    """Embeddings (N, D) along their three main directions, grouped by k-means.

    windows, score  where each lies (N,), and how strange it is (N,).
    """
    components = min(3, *embedding.shape)
    pca = PCA(components, random_state=0).fit(embedding)
    coords = np.zeros((len(embedding), 3), dtype=np.float32)
    coords[:, :components] = pca.transform(embedding)
    explained = np.zeros(3)
    explained[:components] = pca.explained_variance_ratio_
    groups = KMeans(min(GROUPS, len(embedding)), n_init=3, random_state=0)
    cluster = groups.fit_predict(embedding[:, : min(64, embedding.shape[1])])
    return report.Points(
        coords, cluster, windows.recording, windows.start_s, windows.end_s, score, explained
    )
