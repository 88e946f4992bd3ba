-- meta: `compacted` is the oldest revision whose state can still be told, `epoch` counts restores.
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    verb TEXT NOT NULL,
    organization TEXT NOT NULL,
    resource TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    previous INTEGER NOT NULL,
    value BLOB NOT NULL
);
CREATE TABLE current (
    organization TEXT NOT NULL,
    resource TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (organization, resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('compacted', 0), ('epoch', 1);
