-- The schema of the PostgreSQL dialect and its server-side functions. As in SQLite, the log holds
-- every object's bytes once, and `present` says which revision of each key is the current one.

-- counter: the one row that every batch locks; `history` names the cluster and timeline that it was written on.
CREATE TABLE counter (
    revision bigint NOT NULL,
    epoch bigint NOT NULL,
    objects bigint NOT NULL,
    history text NOT NULL
) WITH (fillfactor = 10);
INSERT INTO counter VALUES (0, 1, 0, '');

-- past: `compacted` is the oldest revision whose state can still be told; what only revisions up to `swept` needed is deleted.
CREATE TABLE past (
    compacted bigint NOT NULL,
    swept bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO past VALUES (0, 0);

CREATE TABLE log (
    revision bigint PRIMARY KEY,
    verb text NOT NULL,
    organization text COLLATE "C" NOT NULL,
    resource text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    previous bigint NOT NULL,
    value bytea NOT NULL
) WITH (toast_tuple_target = 8160); -- objects of 2 KB stay in the row, where a list finds them without another look-up
ALTER TABLE log ALTER COLUMN value SET STORAGE EXTERNAL; -- compressing costs more CPU than all the rest of a write

CREATE TABLE present (
    organization text COLLATE "C" NOT NULL,
    resource text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (organization, resource, namespace, name)
) WITH (fillfactor = 80);

-- writer: the last batch of each process and what it was answered, for an answer that got lost on its way.
CREATE TABLE writer (
    id uuid PRIMARY KEY,
    batch bigint NOT NULL,
    answers bigint[] NOT NULL,
    at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE latest_counter (
    sequence bigint NOT NULL,
    buried bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO latest_counter VALUES (0, 0);

CREATE TABLE latest (
    organization text COLLATE "C" NOT NULL,
    resource text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    value bytea,
    PRIMARY KEY (organization, resource, namespace, name)
);
CREATE INDEX latest_by_sequence ON latest (organization, resource, sequence);

CREATE FUNCTION anything_under(in_organization text, in_namespace text) RETURNS boolean LANGUAGE sql STABLE AS $$
    -- hops from resource to resource along the primary key: no scan, no second index
    WITH RECURSIVE resources (resource) AS (
        (SELECT resource FROM present WHERE organization = in_organization ORDER BY resource LIMIT 1)
        UNION ALL
        SELECT (
            SELECT p.resource FROM present p WHERE p.organization = in_organization AND p.resource > r.resource
            ORDER BY p.resource LIMIT 1
        ) FROM resources r WHERE r.resource IS NOT NULL
    )
    SELECT EXISTS (
        SELECT FROM resources r WHERE EXISTS (
            SELECT FROM present p
            WHERE p.organization = in_organization AND p.resource = r.resource AND p.namespace = in_namespace
        )
    )
$$;

CREATE FUNCTION commit_batch(
    in_writer uuid, in_batch bigint, in_seen bigint,
    in_organizations text[], in_resources text[], in_namespaces text[], in_names text[],
    in_expected bigint[], in_heads bytea[], in_tails bytea[], in_deleted boolean[],
    in_check_writes integer[], in_check_kinds text[], in_check_pins bigint[],
    in_check_organizations text[], in_check_resources text[], in_check_namespaces text[], in_check_names text[],
    OUT newest bigint, OUT now_epoch bigint, OUT now_objects bigint,
    OUT answers bigint[], OUT told_writes integer[], OUT told_revisions bigint[], OUT told_values bytea[]
) LANGUAGE plpgsql AS $$
-- One batch of writes, in order, under the lock of the counter. `answers` holds for each write: above 0 the revision that
-- it landed at; 0 it was expected at another revision; -1 it deletes what is not there; -2k its check k (from 1, over the
-- whole batch) refuses; -2k-1 the object of check k is not at the revision that the caller judged. For 0 and -2k-1 the
-- told_ arrays hold what is there (revision 0: nothing). Values are told up to 32 KB in all (NULL: read it yourself), so
-- that the answer always fits into the socket: a caller that does not take it must not hold up the commit.
DECLARE
    one record;
    known record;
    next_check integer := 1;
    checks integer := cardinality(in_check_writes);
    was bigint;
    found bigint;
    answer bigint;
    told bytea;
    room integer := 32768;
BEGIN
    SELECT c.revision, c.epoch, c.objects INTO newest, now_epoch, now_objects FROM counter c FOR UPDATE;
    SELECT w.batch, w.answers INTO known FROM writer w WHERE w.id = in_writer;
    IF known.batch = in_batch THEN
        answers := known.answers;
        RETURN;
    ELSIF known.batch > in_batch THEN
        RAISE EXCEPTION 'batch % was given up', in_batch USING ERRCODE = 'SK001';
    ELSIF in_seen > newest THEN
        RAISE EXCEPTION 'revision % was acknowledged, and % is the newest here', in_seen, newest USING ERRCODE = 'SK002';
    END IF;
    answers := '{}'; told_writes := '{}'; told_revisions := '{}'; told_values := '{}';
    FOR one IN
        SELECT * FROM unnest(in_organizations, in_resources, in_namespaces, in_names, in_expected, in_heads, in_tails, in_deleted)
            WITH ORDINALITY AS u (organization, resource, namespace, name, expected, head, tail, deleted, place)
    LOOP
        answer := NULL;
        SELECT p.revision INTO was FROM present p
            WHERE p.organization = one.organization AND p.resource = one.resource AND p.namespace = one.namespace AND p.name = one.name;
        was := coalesce(was, 0);
        IF was <> one.expected THEN
            answer := 0;
            found := was;
        ELSIF one.deleted AND was = 0 THEN
            answer := -1;
        END IF;
        WHILE next_check <= checks AND in_check_writes[next_check] = one.place LOOP
            IF answer IS NULL THEN
                IF in_check_kinds[next_check] = 'none-under' THEN
                    IF anything_under(in_check_organizations[next_check], in_check_names[next_check]) THEN
                        answer := -2 * next_check;
                    END IF;
                ELSE
                    SELECT p.revision INTO found FROM present p
                        WHERE p.organization = in_check_organizations[next_check] AND p.resource = in_check_resources[next_check]
                            AND p.namespace = in_check_namespaces[next_check] AND p.name = in_check_names[next_check];
                    found := coalesce(found, 0);
                    IF (found = 0) <> (in_check_kinds[next_check] = 'absent') THEN
                        answer := -2 * next_check;
                    ELSIF in_check_pins[next_check] <> found AND in_check_pins[next_check] >= 0 THEN
                        answer := -2 * next_check - 1;
                    END IF;
                END IF;
            END IF;
            next_check := next_check + 1;
        END LOOP;
        IF answer IS NULL THEN
            newest := newest + 1;
            answer := newest;
            INSERT INTO log VALUES (
                newest, CASE WHEN one.deleted THEN 'delete' WHEN was > 0 THEN 'update' ELSE 'create' END,
                one.organization, one.resource, one.namespace, one.name, was,
                one.head || convert_to(newest::text, 'UTF8') || one.tail
            );
            IF one.deleted THEN
                DELETE FROM present p
                    WHERE p.organization = one.organization AND p.resource = one.resource
                        AND p.namespace = one.namespace AND p.name = one.name;
                now_objects := now_objects - 1;
            ELSIF was > 0 THEN
                UPDATE present p SET revision = newest
                    WHERE p.organization = one.organization AND p.resource = one.resource
                        AND p.namespace = one.namespace AND p.name = one.name;
            ELSE
                INSERT INTO present VALUES (one.organization, one.resource, one.namespace, one.name, newest);
                now_objects := now_objects + 1;
            END IF;
        ELSIF answer = 0 OR answer % 2 <> 0 AND answer < -1 THEN
            told := NULL;
            IF found > 0 THEN
                SELECT l.value INTO told FROM log l WHERE l.revision = found AND length(l.value) <= room;
                room := room - coalesce(length(told), 0);
            END IF;
            told_writes := told_writes || one.place::integer;
            told_revisions := told_revisions || found;
            told_values := array_append(told_values, told);
        END IF;
        answers := answers || answer;
    END LOOP;
    UPDATE counter SET revision = newest, objects = now_objects;
    INSERT INTO writer AS w VALUES (in_writer, in_batch, commit_batch.answers, now())
        ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, answers = excluded.answers, at = excluded.at;
    PERFORM pg_notify('skerry_log', newest::text);
END
$$;

CREATE FUNCTION open_epoch(in_seen bigint, in_seen_sequence bigint, in_history text, in_jump bigint, in_anyway boolean)
RETURNS bigint LANGUAGE plpgsql AS $$
-- Make revisions and sequence numbers jump, and forget the past, if this database's history is another one than the one that
-- it was written on, or lacks what was acknowledged (or anyway). Returns the epoch that holds now.
DECLARE
    here record;
    numbers record;
BEGIN
    SELECT * INTO here FROM counter FOR UPDATE;
    PERFORM FROM past FOR UPDATE;
    SELECT * INTO numbers FROM latest_counter FOR UPDATE;
    IF here.history = '' AND here.revision = 0 AND NOT in_anyway THEN
        UPDATE counter SET history = in_history; -- a new database
        RETURN here.epoch;
    ELSIF NOT in_anyway AND here.history = in_history AND here.revision >= in_seen AND numbers.sequence >= in_seen_sequence THEN
        RETURN here.epoch;
    END IF;
    UPDATE counter SET revision = greatest(revision, in_seen) + in_jump, epoch = epoch + 1, history = in_history
        RETURNING * INTO here;
    UPDATE past SET compacted = here.revision;
    UPDATE latest_counter SET sequence = greatest(sequence, in_seen_sequence) + in_jump, buried = greatest(sequence, in_seen_sequence) + in_jump
        RETURNING * INTO numbers;
    PERFORM pg_notify('skerry_log', here.revision::text), pg_notify('skerry_latest', numbers.sequence::text);
    RETURN here.epoch;
END
$$;

CREATE FUNCTION compact_slice(in_until bigint, in_entries integer) RETURNS boolean LANGUAGE plpgsql AS $$
-- Delete what only revisions up to a bound need, looking at so many entries; returns whether the bound is reached. Each entry
-- makes the one that it replaced superfluous; a deletion also itself. What is left is current, or replaced only later.
-- No writer waits for it: nothing that it deletes can be current.
DECLARE
    done record;
    last bigint;
    seen bigint;
    target bigint;
BEGIN
    SELECT * INTO done FROM past FOR UPDATE;
    SELECT greatest(least(in_until, c.revision), done.compacted) INTO target FROM counter c;
    IF target <= done.swept THEN
        RETURN true;
    END IF;
    SELECT max(e.revision), count(*) INTO last, seen FROM (
        SELECT l.revision FROM log l WHERE l.revision > done.swept AND l.revision <= target ORDER BY l.revision LIMIT in_entries
    ) e;
    IF seen < in_entries THEN
        last := target;
    END IF;
    DELETE FROM log WHERE revision IN (
        SELECT l.previous FROM log l WHERE l.revision > done.swept AND l.revision <= last AND l.previous > 0
        UNION ALL
        SELECT l.revision FROM log l WHERE l.revision > done.swept AND l.revision <= last AND l.verb = 'delete'
    );
    UPDATE past SET swept = last, compacted = greatest(compacted, last);
    RETURN last = target;
END
$$;

CREATE FUNCTION put_latest(
    in_seen bigint, in_organizations text[], in_resources text[], in_namespaces text[], in_names text[], in_values bytea[],
    in_tombstones bigint, in_bury_every bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
-- Upsert latest values under the lock of their counter; returns the last sequence number taken. Removals that lie so many
-- numbers back are buried now and then: who follows from before that reads everything anew.
DECLARE
    here record;
    last bigint;
BEGIN
    SELECT * INTO here FROM latest_counter FOR UPDATE;
    IF in_seen > here.sequence THEN
        RAISE EXCEPTION 'sequence number % was acknowledged, and % is the newest here', in_seen, here.sequence USING ERRCODE = 'SK002';
    END IF;
    INSERT INTO latest AS l
        SELECT u.organization, u.resource, u.namespace, u.name, here.sequence + u.place, u.value
        FROM unnest(in_organizations, in_resources, in_namespaces, in_names, in_values)
            WITH ORDINALITY AS u (organization, resource, namespace, name, value, place)
        ON CONFLICT (organization, resource, namespace, name) DO UPDATE SET sequence = excluded.sequence, value = excluded.value;
    last := here.sequence + cardinality(in_names);
    IF last - in_tombstones >= here.buried + in_bury_every THEN
        here.buried := last - in_tombstones;
        DELETE FROM latest WHERE value IS NULL AND sequence <= here.buried;
    END IF;
    UPDATE latest_counter SET sequence = last, buried = here.buried;
    PERFORM pg_notify('skerry_latest', last::text);
    RETURN last;
END
$$;
