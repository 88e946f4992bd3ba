-- Queries of the PostgreSQL dialect. Each is one statement, so it sees one moment of the database: what
-- it says of the log's bounds and what it reads from the log belong together.

-- name: settings
-- What a session is told when it begins; `synchronous_commit` may be stronger than on, never off.
SELECT set_config(name, setting, false) FROM unnest($1::text[], $2::text[]) AS s (name, setting)
UNION ALL
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';

-- name: standing
-- Whether this server takes writes, and the history that it writes: the cluster and its timeline, which a promotion and a
-- restore to a point in time change, and a pg_dump into another cluster too.
SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE
    (SELECT system_identifier FROM pg_control_system()) || '-' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
END;

-- name: head
-- How far log and latest values have come.
SELECT c.revision, c.epoch, c.objects, c.history, p.compacted, l.sequence FROM counter c, past p, latest_counter l;

-- name: commit
-- One batch; see commit_batch.
SELECT * FROM commit_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18);

-- name: open_epoch
-- See open_epoch.
SELECT open_epoch($1, $2, $3, $4, $5);

-- name: compact
-- See compact_slice.
SELECT compact_slice($1, $2);

-- name: present
-- The current row of a key.
SELECT l.revision, l.value FROM present p JOIN log l ON l.revision = p.revision
WHERE p.organization = $1 AND p.resource = $2 AND p.namespace = $3 AND p.name = $4;

-- name: page_now
-- Current rows of a resource in key order, behind a key, up to a last namespace; each with the bounds.
SELECT (SELECT revision FROM counter) AS newest, (SELECT compacted FROM past) AS compacted, p.namespace, p.name, l.revision, l.value
FROM present p JOIN log l ON l.revision = p.revision
WHERE p.organization = $1 AND p.resource = $2 AND (p.namespace, p.name) > ($3::text, $4::text) AND p.namespace <= $5
ORDER BY p.namespace, p.name LIMIT $6;

-- name: page_at
-- The same as of an older revision: what is current and old enough, and what later entries replaced. The
-- order and the limit are settled on keys; only then are values fetched.
SELECT (SELECT revision FROM counter) AS newest, (SELECT compacted FROM past) AS compacted, k.namespace, k.name, k.revision, l.value
FROM (
    SELECT p.namespace, p.name, p.revision FROM present p
    WHERE p.organization = $1 AND p.resource = $2 AND p.revision <= $7
        AND (p.namespace, p.name) > ($3::text, $4::text) AND p.namespace <= $5
    UNION ALL
    SELECT e.namespace, e.name, e.previous FROM log e
    WHERE e.revision > $7 AND e.previous BETWEEN 1 AND $7 AND e.organization = $1 AND e.resource = $2
        AND (e.namespace, e.name) > ($3::text, $4::text) AND e.namespace <= $5
    ORDER BY 1, 2 LIMIT $6
) k JOIN log l ON l.revision = k.revision ORDER BY k.namespace, k.name;

-- name: changes
-- Entries behind a revision, each with what was there before it, and with the bounds.
SELECT (SELECT revision FROM counter) AS newest, (SELECT compacted FROM past) AS compacted,
    l.revision, l.verb, l.organization, l.resource, l.namespace, l.name, l.value, o.value
FROM log l LEFT JOIN log o ON o.revision = l.previous
WHERE l.revision > $1 ORDER BY l.revision LIMIT $2;

-- name: held
-- Every value of some resources behind a revision, whether current or of the past.
SELECT revision, organization, resource, namespace, name, value FROM log
WHERE revision > $1 AND resource = ANY ($2::text[]) ORDER BY revision LIMIT $3;

-- name: sealed_heads
-- Which keys sealed values name: what they begin with ($1), a byte of length, and so many bytes of the key's id.
SELECT DISTINCT substr(value, 1, length($1::bytea) + 1 + get_byte(value, length($1))) AS head FROM log
WHERE length(value) > length($1) AND substr(value, 1, length($1)) = $1;

-- name: rewrite
-- Other bytes of the same meaning, where what was read still stands; how many there were.
WITH done AS (
    UPDATE log l SET value = u.fresh FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS u (revision, before, fresh)
    WHERE l.revision = u.revision AND l.value = u.before RETURNING 1
)
SELECT count(*) FROM done;

-- name: bounds
-- The newest revision, and the oldest whose state can be told.
SELECT c.revision, p.compacted FROM counter c, past p;

-- name: put_latest
-- See put_latest.
SELECT put_latest($1, $2, $3, $4, $5, $6, $7, $8);

-- name: put_latest_guarded
-- See put_latest_guarded.
SELECT put_latest_guarded($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: latest_values
-- Values of a resource, without tombstones.
SELECT namespace, name, sequence, value FROM latest
WHERE organization = $1 AND resource = $2 AND value IS NOT NULL ORDER BY sequence LIMIT $3;

-- name: latest_changes
-- Values and tombstones of a resource behind a sequence number.
SELECT namespace, name, sequence, value FROM latest
WHERE organization = $1 AND resource = $2 AND sequence > $3 ORDER BY sequence LIMIT $4;

-- name: buried
-- The sequence number up to which tombstones are forgotten.
SELECT buried FROM latest_counter;

-- name: every_object
-- All current objects, for a copy.
SELECT l.revision, l.organization, l.resource, l.namespace, l.name, l.value FROM present p JOIN log l ON l.revision = p.revision;

-- name: lock_counters
-- Let no batch, no compaction and no latest value in until this transaction ends: they lock one of these rows and then a table, so
-- who will lock whole tables takes the rows first, in the order of open_epoch.
SELECT FROM counter, past, latest_counter FOR UPDATE;

-- name: clear
-- Forget every object and every latest value; a restore puts others in their place.
TRUNCATE log, present, latest;

-- name: point_at_all
-- Each entry of a restored log is a current object; returns how many there are.
WITH pointed AS (
    INSERT INTO present SELECT organization, resource, namespace, name, revision FROM log RETURNING 1
) SELECT count(*) FROM pointed;

-- name: count_anew
-- After a restore: as far as the copy or this database had come, whichever is further; all that is there is current.
WITH gone AS (UPDATE past SET swept = greatest(swept, $1))
UPDATE counter SET revision = greatest(revision, $1), objects = $2;

-- name: forget_writers
-- Nobody sends a batch again after a day.
DELETE FROM writer WHERE at < now() - interval '1 day';
