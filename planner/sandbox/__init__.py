"""The sandbox: a small pipeline of the shipped `nba` shape, to try the product on and to test it.

`boxscores` makes its raw data, `build` fills a warehouse with every phase, `punch` makes holes,
and `compare` says whether two warehouses hold the same rows. `root/` holds the scripts and
`coordinator` the HTTP service that a pipeline of this kind has of its own; they know the
warehouse and nothing of the fleet.
"""
