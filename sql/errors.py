"""What can go wrong in a warehouse.

    WarehouseError
    ├── BadWarehouse           the setting does not name a warehouse
    ├── WarehouseUnreachable   no answer, or not now: the same may do later
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
    """The warehouse could not answer."""


class BadWarehouse(WarehouseError):
    """The setting does not name a warehouse: use `local:DIR` or `bigquery:PROJECT`."""


class WarehouseUnreachable(WarehouseError):
    """The warehouse does not answer, or not now: it is asked again later.

    No network, no credentials, an outage, a rate limit or quota, another writer of the table.
    """


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
