"""Which model to trust on these series: several, on the same rows, held against each other.

parts     which rows are learned from, set the level, are judged
trials    one model taught once
measures  what is measured of it
noise     how sure a figure is
contest   all of it: `compare`
figures   pictures of what came of it
page      one page of HTML that says it; `saving` writes it, the tables and the models
"""
