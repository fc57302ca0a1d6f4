"""What a model is made of: its layers as a table, and how they hang together as a picture.

`layers` counts, `graph` traces what depends on what (`nodes` knows torch's names for it), `layout`
finds a place for each box, and `drawing` makes the SVG. `parts` takes a detector apart.
"""

from raravis.description.drawing import graph_svg
from raravis.description.layers import Row, describe_learned, describe_network, fresh_network
from raravis.description.parts import Part, network_part, parts_of

__all__ = [
    "Part",
    "Row",
    "describe_learned",
    "describe_network",
    "fresh_network",
    "graph_svg",
    "network_part",
    "parts_of",
]
