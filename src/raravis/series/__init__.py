"""Channels over time: what a row is, and files and formulas that know nothing but rows.

rows        rows of a recording, their scale, their gaps, windows of them
tables      text tables as they lie on disk; clocks: how times are written
columns     which column is the time, which are labels and channels
layouts     the shapes of files and benchmarks; parquet, drives: two that need more room
sheets      one recording of rows, and what is seen when it is looked through
synthesis   a pumping station with planted faults
"""
