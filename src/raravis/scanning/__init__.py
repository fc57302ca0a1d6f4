"""Which settings find more in these recordings, tried out without labels.

    ranges     which settings are tried, and between which values
    material   stretches of the user's own recordings with known rarities in them: `sound`, `series`
    objective  how well a detector with some settings finds those, part by part
    study      trials, one after another or in several processes, in a folder that goes on
    pictures   how the study went, and which settings mattered

A new kind of known rarity is a function in `sound` or `series`, named in the table there.
"""
