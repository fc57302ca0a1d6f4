"""Channels over time: what a row is, and files and formulas that know nothing but rows.

rows        rows of a recording, their scale, their gaps, windows of them
"""
