"""What a trained model's terms do over time, with its weights frozen: window by window and batch by
batch, and how they move where other recordings follow.

    terms    the numbers: `watch` gives them for recordings, and for others after a switch
    moves    how far each moved at the switch, and in words
    drawing  a picture of all of them over time
"""

from raravis.monitoring.drawing import picture
from raravis.monitoring.moves import Move, moves, said
from raravis.monitoring.terms import AFTER, BEFORE, Watched, watch

__all__ = ["AFTER", "BEFORE", "Move", "Watched", "moves", "picture", "said", "watch"]
