"""Sequences from arrays, files, long tables and one long series.

    layout.py    how sequences lie in a file, and what is read of one
    arrays.py    from arrays, in memory and in .npz files
    tables.py    from a long table, and one series from a table in the order of time
    windows.py   windows of a series, split by time, and how a network is given them

In memory they all become `axonic.data.ragged.Ragged`.
"""
