"""A grid of settings, run cell by cell on one machine or a cluster, each cell one record.

`grid` makes cells of a grid, `cells` runs one, `records` keeps what it found, `engines` hand cells to
processes or to a Ray cluster, `running` joins them; `standing` says what follows from the records, and
`tracking` tells others.
"""
