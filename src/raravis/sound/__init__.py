"""Sound itself: files of it, its pitches frame by frame, and a dawn chorus made from nothing.

audiofile     one file: what is in it, any stretch of it, at any rate
mel           the scale of pitch, and its filters
features      samples -> power in bands of pitch, and back
normalising   the slow background, loudness, and a common scale
synthesis     the built-in dawn chorus
"""
