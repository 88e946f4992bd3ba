-- Queries of the SQLite dialect. The log holds every object's bytes once; `current` says which
-- revision of each key is the present one.

-- name: migration_1_pre
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

-- name: migration_1_post
SELECT 1;

-- name: latest_migration_1_pre
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

-- name: latest_migration_1_post
SELECT 1;

-- name: present
SELECT l.revision, l.value FROM current c JOIN log l ON l.revision = c.revision
WHERE c.organization = ? AND c.resource = ? AND c.namespace = ? AND c.name = ?;

-- name: append
INSERT INTO log (revision, verb, organization, resource, namespace, name, previous, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: point
INSERT INTO current (organization, resource, namespace, name, revision) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (organization, resource, namespace, name) DO UPDATE SET revision = excluded.revision;

-- name: forget
DELETE FROM current WHERE organization = ? AND resource = ? AND namespace = ? AND name = ?;

-- name: anything_under
SELECT 1 FROM current WHERE organization = ? AND namespace = ? LIMIT 1;

-- name: page_now
SELECT c.namespace, c.name, l.revision, l.value FROM current c JOIN log l ON l.revision = c.revision
WHERE c.organization = :organization AND c.resource = :resource
    AND (:namespace IS NULL OR c.namespace = :namespace)
    AND (c.namespace, c.name) > (:after_namespace, :after_name)
ORDER BY c.namespace, c.name LIMIT :limit;

-- name: page_at
-- What is current and old enough, and what was current before a later change replaced it.
SELECT namespace, name, revision, value FROM (
    SELECT l.namespace, l.name, l.revision, l.value FROM current c JOIN log l ON l.revision = c.revision
    WHERE c.organization = :organization AND c.resource = :resource AND c.revision <= :at
    UNION ALL
    SELECT p.namespace, p.name, p.revision, p.value FROM log n JOIN log p ON p.revision = n.previous
    WHERE n.revision > :at AND n.organization = :organization AND n.resource = :resource AND p.revision <= :at
)
WHERE (:namespace IS NULL OR namespace = :namespace) AND (namespace, name) > (:after_namespace, :after_name)
ORDER BY namespace, name LIMIT :limit;

-- name: changes
SELECT l.revision, l.verb, l.organization, l.resource, l.namespace, l.name, l.value, p.value
FROM log l LEFT JOIN log p ON p.revision = l.previous
WHERE l.revision > ? ORDER BY l.revision LIMIT ?;

-- name: newest
SELECT max(coalesce((SELECT max(revision) FROM log), 0), (SELECT value FROM meta WHERE key = 'compacted'));

-- name: compacted
SELECT value FROM meta WHERE key = 'compacted';

-- name: set_compacted
UPDATE meta SET value = :revision WHERE key = 'compacted' AND value < :revision;

-- name: compact
DELETE FROM log WHERE revision <= :revision
    AND revision NOT IN (SELECT revision FROM current)
    AND revision NOT IN (SELECT previous FROM log WHERE revision > :revision);

-- name: count
SELECT count(*) FROM current;

-- name: latest_newest
SELECT coalesce(max(sequence), 0) FROM latest;

-- name: latest_put
INSERT INTO latest (organization, resource, namespace, name, sequence, value) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (organization, resource, namespace, name) DO UPDATE SET sequence = excluded.sequence, value = excluded.value;

-- name: latest_changes
SELECT namespace, name, sequence, value FROM latest
WHERE organization = ? AND resource = ? AND sequence > ? ORDER BY sequence LIMIT ?;
