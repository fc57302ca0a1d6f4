"""Fixed windows, heard once and kept as they are learned from.

A cache is a folder:

    CACHE/cache.toml                what it holds and of which recordings; there once it is whole
    CACHE/index.npy                 a row for each window, in order: see `joining.INDEX`
    CACHE/part-01-of-01/*.npy       the windows, (n, C, H, W) in each shard, all of one shape
    CACHE/part-01-of-01/part.toml   what is being built; 00000.toml: what lies in shard 00000

`building` writes the parts, each on whatever machine; `joining` lists them as one; `opening`
refuses what is stale and builds what is not there; `reading` gives windows out at random.
"""
