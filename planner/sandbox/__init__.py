"""The sandbox: small pipelines of the shipped `nba` and `shop`, to try and to test the product on.

`boxscores` makes its raw data, `build` fills a warehouse with every phase, `punch` makes holes,
and `compare` says whether two warehouses hold the same rows. `root/` holds the scripts and
`coordinator` the HTTP service that a pipeline of this kind has of its own; they know the
warehouse and nothing of the fleet. `receipts` makes what the shop's tills send, and `shop` builds
and breaks a warehouse of it: its phases are SQL alone.
"""
