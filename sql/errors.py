"""What can go wrong in a warehouse.

    WarehouseError
    ├── BadWarehouse           the setting does not name a warehouse
    ├── WarehouseUnreachable   no answer, or not now: the same may do later
    │   ├── LostWrite          whether a statement has written is not known
    │   ├── NeverStarted       a job was queued for as long as it may take
    │   └── BadAnswer          an answer that cannot be one
    ├── WarehouseRefused       it answers, and refuses the statement
    │   ├── TableNotFound      because a table or column does not exist
    │   ├── AccessDenied       because it may not be read, or written
    │   ├── TooLarge           because it is too much at once
    │   └── KeptExpired        because what was kept is kept no more
    └── Unsupported            it has no way to do this: run this kind of statement, or tell when
                               the rows of this kind of table were written

An error is never a gap: nothing above this layer may read one as "no rows".
"""


class WarehouseError(Exception):
    """The warehouse could not answer.

    pause_seconds, patience_seconds: how long to wait before asking again, and how long asking again
    is worth it, where the warehouse's owner says that the refusal passes. A step waits so long
    without spending a retry. 0: nothing is known to pass.
    """

    pause_seconds = 0.0
    patience_seconds = 0.0


class BadWarehouse(WarehouseError):
    """The setting does not name a warehouse: use `local:DIR` or `bigquery:PROJECT`."""


class WarehouseUnreachable(WarehouseError):
    """The warehouse does not answer, or not now: it is asked again later.

    No network, no credentials, an outage, a rate limit or quota, another writer of the table.
    """


class LostWrite(WarehouseUnreachable):
    """A statement was sent, and whether it has written is not known: ask before it is sent again.

    An attempt of a query ends after six hours, so that is how long its job may be asked about; ours
    have a time limit far below [https://docs.cloud.google.com/bigquery/quotas#query_jobs].
    """

    pause_seconds = 10.0
    patience_seconds = 6 * 3600.0


class NeverStarted(WarehouseUnreachable):
    """A job was queued for as long as it may take, and never began."""

    pause_seconds = 60.0
    patience_seconds = 6 * 3600.0


class BadAnswer(WarehouseUnreachable):
    """An answer that cannot be one, such as fewer rows than it says there are."""

    pause_seconds = 10.0
    patience_seconds = 600.0


class WarehouseRefused(WarehouseError):
    """The warehouse refused the statement, and would refuse it again."""


class TableNotFound(WarehouseRefused):
    """The table does not exist in the warehouse."""


class AccessDenied(WarehouseRefused):
    """The credentials may not do this in the warehouse."""


class TooLarge(WarehouseRefused):
    """The statement reads, writes or answers too much at once: fewer dates may do."""


class KeptExpired(WarehouseRefused):
    """Rows that were kept are kept no more: they cannot be put back."""


class Unsupported(WarehouseError):
    """The warehouse has no way to do this.

    The local one does not run this kind of statement, or nothing in either tells when rows of this
    kind of table (a view, one that is not partitioned) were written.
    """
