"""For tests without Google: a local server that speaks BigQuery's REST API.

    from tests.bigquery_server.faults import UNAVAILABLE
    from tests.bigquery_server.rest import BigQueryServer

    with BigQueryServer(folder) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        server.fail(UNAVAILABLE)                # the next request is answered 503
        ...                                     # whatever uses google-cloud-bigquery
        assert server.count("jobs.insert") == 2

A request that it does not know is answered 501, and the end of `with` raises `AssertionError`,
unless `expect_unknown=True`.

What it answers comes from the local warehouse in `folder`, over real HTTP. It imports DuckDB and
Delta Lake, so nothing outside tests should import it.
"""
