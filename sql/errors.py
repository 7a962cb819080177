"""What can go wrong in a warehouse.

    WarehouseError
    ├── BadWarehouse           the setting does not name a warehouse
    ├── WarehouseUnreachable   nobody answers
    ├── WarehouseRefused       it answers, and refuses the statement
    │   ├── TableNotFound      because a table or column does not exist
    │   └── AccessDenied       because it may not be read, or written
    └── Unsupported            the local warehouse does not run this kind of statement

An error is never a gap: nothing above this layer may read one as "no rows".
"""


class WarehouseError(Exception):
    """The warehouse could not answer."""


class BadWarehouse(WarehouseError):
    """The setting does not name a warehouse: use `local:DIR` or `bigquery:PROJECT`."""


class WarehouseUnreachable(WarehouseError):
    """The warehouse does not answer: check the network and the credentials."""


class WarehouseRefused(WarehouseError):
    """The warehouse refused the statement."""


class TableNotFound(WarehouseRefused):
    """The table does not exist in the warehouse."""


class AccessDenied(WarehouseRefused):
    """The credentials may not do this in the warehouse."""


class Unsupported(WarehouseError):
    """The local warehouse does not run this kind of statement."""
