-- The three roles may look into the schema; each table, function and view grants the rest.
grant usage on schema postrider to postrider_producer, postrider_reader, postrider_dispatcher;

-- The four states of an event and of a delivery. A CHECK of each table ties a state to its columns.
create type postrider.status as enum (
    'pending',      -- inserted, given back, or due again after a failed attempt
    'in_progress',  -- event: routed; delivery: claimed by a dispatcher
    'complete',     -- every delivery was answered with 2xx
    'failed'        -- every delivery is settled and at least one was given up
);
comment on type postrider.status is
    'pending -> in_progress -> complete | failed. A delivery whose attempt failed is pending again until its attempts are used up.';
