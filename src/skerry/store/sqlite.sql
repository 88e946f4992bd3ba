-- Queries of the SQLite dialect. The log holds every object's bytes once; `current` says which
-- revision of each key is the present one. An entry's `previous` is the revision that it replaced
-- (0: none), so that the past can be told without a second copy.

-- name: present
-- The current row of a key.
SELECT l.revision, l.value FROM current c JOIN log l ON l.revision = c.revision
WHERE c.organization = ? AND c.resource = ? AND c.namespace = ? AND c.name = ?;

-- name: append
-- One more entry of the log.
INSERT INTO log (revision, verb, organization, resource, namespace, name, previous, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: point
-- An object came or changed: this revision is its present one.
INSERT INTO current (organization, resource, namespace, name, revision) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (organization, resource, namespace, name) DO UPDATE SET revision = excluded.revision;

-- name: forget
-- An object went.
DELETE FROM current WHERE organization = ? AND resource = ? AND namespace = ? AND name = ?;

-- name: anything_under
-- Whether a namespace holds anything: hops from resource to resource along the primary key, no scan, no second index.
WITH RECURSIVE resources (resource) AS (
    SELECT min(resource) FROM current WHERE organization = :organization
    UNION ALL
    SELECT (SELECT min(c.resource) FROM current c WHERE c.organization = :organization AND c.resource > r.resource)
    FROM resources r WHERE r.resource IS NOT NULL
)
SELECT 1 FROM resources r WHERE EXISTS (
    SELECT 1 FROM current c WHERE c.organization = :organization AND c.resource = r.resource AND c.namespace = :namespace
) LIMIT 1;

-- name: page_now
-- Current rows of a resource in key order, behind a key, up to a last namespace.
SELECT c.namespace, c.name, l.revision, l.value FROM current c JOIN log l ON l.revision = c.revision
WHERE c.organization = :organization AND c.resource = :resource
    AND (c.namespace, c.name) > (:after_namespace, :after_name) AND c.namespace <= :last_namespace
ORDER BY c.namespace, c.name LIMIT :limit;

-- name: page_at
-- The same as of an older revision: what is current and old enough, and what later entries replaced. The
-- order and the limit are settled on keys; only then are values fetched.
SELECT k.namespace, k.name, k.revision, l.value FROM (
    SELECT namespace, name, revision FROM current
    WHERE organization = :organization AND resource = :resource AND revision <= :at
        AND (namespace, name) > (:after_namespace, :after_name) AND namespace <= :last_namespace
    UNION ALL
    SELECT namespace, name, previous FROM log
    WHERE revision > :at AND previous BETWEEN 1 AND :at AND organization = :organization AND resource = :resource
        AND (namespace, name) > (:after_namespace, :after_name) AND namespace <= :last_namespace
    ORDER BY namespace, name LIMIT :limit
) k JOIN log l ON l.revision = k.revision ORDER BY k.namespace, k.name;

-- name: changes
-- Entries behind a revision, each with what was there before it.
SELECT l.revision, l.verb, l.organization, l.resource, l.namespace, l.name, l.value, p.value
FROM log l LEFT JOIN log p ON p.revision = l.previous
WHERE l.revision > ? ORDER BY l.revision LIMIT ?;

-- name: held
-- Every value of some resources (a JSON list) behind a revision, whether current or of the past.
SELECT revision, organization, resource, namespace, name, value FROM log
WHERE revision > ? AND resource IN (SELECT value FROM json_each(?)) ORDER BY revision LIMIT ?;

-- name: rewrite
-- Other bytes of the same meaning, where what was read still stands.
UPDATE log SET value = ? WHERE revision = ? AND value = ?;

-- name: newest
-- The last revision given out, whether or not compaction left its entry.
SELECT max(coalesce((SELECT max(revision) FROM log), 0), (SELECT value FROM meta WHERE key = 'compacted'));

-- name: compacted
-- The oldest revision whose state can be told.
SELECT value FROM meta WHERE key = 'compacted';

-- name: epoch
-- How often the history was cut, by a restore.
SELECT value FROM meta WHERE key = 'epoch';

-- name: set_compacted
-- What is at or below can no longer be told.
UPDATE meta SET value = :until WHERE key = 'compacted' AND value < :until;

-- name: compact
-- Each entry in the range makes the one that it replaced superfluous; a deletion also itself. What is left at or
-- below the bound is current, or replaced only later. Its cost is that of the range, not of the log.
DELETE FROM log WHERE revision IN (
    SELECT previous FROM log WHERE revision > :from AND revision <= :until AND previous > 0
    UNION ALL
    SELECT revision FROM log WHERE revision > :from AND revision <= :until AND verb = 'delete'
);

-- name: every_object
-- All current objects, for another dialect.
SELECT l.revision, l.organization, l.resource, l.namespace, l.name, l.value FROM current c JOIN log l ON l.revision = c.revision;

-- name: count
-- How many objects there are.
SELECT count(*) FROM current;

-- name: open_epoch
-- After a restore: revisions go on far behind any that may have been given out since the copy was made.
UPDATE meta SET value = CASE key WHEN 'epoch' THEN value + 1 ELSE :revision END WHERE key IN ('epoch', 'compacted');

-- name: latest_newest
-- The last sequence number that is known here.
SELECT coalesce(max(sequence), 0) FROM latest;

-- name: latest_put
-- The last value of a key wins and takes its place at the end of the sequence.
INSERT INTO latest (organization, resource, namespace, name, sequence, value) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (organization, resource, namespace, name) DO UPDATE SET sequence = excluded.sequence, value = excluded.value;

-- name: latest_sequence
-- The number of the last upsert of a value that is there.
SELECT sequence FROM latest WHERE organization = ? AND resource = ? AND namespace = ? AND name = ? AND value IS NOT NULL;

-- name: latest_bury
-- Forget the tombstones up to a sequence number.
DELETE FROM latest WHERE value IS NULL AND sequence <= ?;

-- name: latest_forget
-- Drop every value; what tells where the last start began stays.
DELETE FROM latest WHERE resource != '';

-- name: latest_changes
-- Values and tombstones of a resource behind a sequence number.
SELECT namespace, name, sequence, value FROM latest
WHERE organization = ? AND resource = ? AND sequence > ? ORDER BY sequence LIMIT ?;

-- name: latest_values
-- Values of a resource, without tombstones.
SELECT namespace, name, sequence, value FROM latest
WHERE organization = ? AND resource = ? AND value IS NOT NULL ORDER BY sequence LIMIT ?;
