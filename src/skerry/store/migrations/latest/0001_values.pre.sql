-- The last value of each key, in the order of their sequence numbers.
CREATE TABLE latest (
    organization TEXT NOT NULL,
    resource TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    value BLOB,
    PRIMARY KEY (organization, resource, namespace, name)
) WITHOUT ROWID;
CREATE INDEX latest_by_sequence ON latest (organization, resource, sequence);
