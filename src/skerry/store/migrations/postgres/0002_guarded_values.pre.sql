CREATE FUNCTION put_latest_guarded(
    in_organization text, in_resource text, in_namespace text, in_name text, in_sequence bigint,
    in_seen bigint, in_organizations text[], in_resources text[], in_namespaces text[], in_names text[], in_values bytea[],
    in_tombstones bigint, in_bury_every bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
-- Upsert latest values as put_latest does if the last upsert of one value has a certain number (0: there is no such value).
DECLARE
    there bigint;
BEGIN
    PERFORM FROM latest_counter FOR UPDATE; -- as put_latest begins: what is looked at below stays as it is
    SELECT sequence INTO there FROM latest
        WHERE organization = in_organization AND resource = in_resource AND namespace = in_namespace AND name = in_name
            AND value IS NOT NULL;
    IF coalesce(there, 0) <> in_sequence THEN
        RAISE EXCEPTION '%/% was put at %, not at %', in_resource, in_name, coalesce(there, 0), in_sequence USING ERRCODE = 'SK003';
    END IF;
    RETURN put_latest(
        in_seen, in_organizations, in_resources, in_namespaces, in_names, in_values, in_tombstones, in_bury_every
    );
END
$$;
