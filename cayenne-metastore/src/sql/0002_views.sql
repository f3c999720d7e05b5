-- Views of SQL: the text of a query under a name, and what reads it as it was meant. A table and a view never share a name.
--
-- `default_catalog` is null where names without a catalog mean the one that the view is in.

CREATE TABLE cayenne_view (
    name            TEXT    NOT NULL PRIMARY KEY,
    definition      TEXT    NOT NULL,
    default_catalog TEXT,
    default_schema  TEXT    NOT NULL,
    dialect         TEXT    NOT NULL,
    columns         BLOB    NOT NULL,
    made_at         INTEGER NOT NULL,
    digest          BLOB    NOT NULL CHECK (length(digest) = 16)
) STRICT;
