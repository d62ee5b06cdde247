# shellcheck shell=bash
# The scenarios of scripts/bench: each measures $subject once, and records what it saw.
# shellcheck disable=SC2034,SC2154 # What scripts/bench and scripts/lib.sh set, and read.

all_scenarios=(backlog idle live-100 live-1000 live-5000 fan-out-100 fan-out-1000 endpoints devices slow dead history snapshot
    payload-2k payload-64k two four commits)
warm_up=5000

is_scenario() { [[ " ${all_scenarios[*]} soak " == *" $1 "* ]]; }

# Whether a peer can do it, too.
has_peers() { case $1 in backlog | idle | live-* | slow | payload-* | history) true ;; *) false ;; esac; }

# repeat_scenario SCENARIO: every subject in turn, $runs times.
repeat_scenario() {
    local subjects=(postrider) name index
    for name in "${!binaries[@]}"; do
        if [[ $name != postrider ]]; then subjects+=("$name"); fi
    done
    if has_peers "$1"; then subjects+=("${peers[@]}"); fi
    case $1 in
        commits) scripts/bench-commits && return ;;
        soak | snapshot) local runs=1 ;;
    esac
    for ((run = 1; run <= runs; run++)); do
        for ((index = 0; index < ${#subjects[@]}; index++)); do
            # The machine's speed drifts: nobody is always the first.
            subject=${subjects[run % 2 ? index : ${#subjects[@]} - 1 - index]}
            if is_postrider; then binary=${binaries[$subject]}; fi
            measure "$1"
        done
    done
}

# measure SCENARIO: once, of $subject.
measure() {
    left_sql='' workers=()
    open_database bench
    case $1 in
        backlog) work_off "$events" 200 ;;
        idle) trickle ;;
        live-*) flow "${1#live-}" ;;
        fan-out-*) fan_out "${1#fan-out-}" ;;
        endpoints) distribute ;;
        devices) devices ;;
        slow) slow ;;
        dead) beside_the_dead ;;
        history) after_history ;;
        snapshot) under_snapshot ;;
        payload-2k) work_off "$events" 2000 ;;
        payload-64k) work_off "$((events / 10))" 64000 ;;
        two) several 2 ;;
        four) several 4 ;;
        soak) soak ;;
    esac
    stop_workers
    echo "$scenario $run $subject: $(jq -r --arg scenario "$scenario" --arg subject "$subject" --argjson run "$run" \
        'select(.scenario == $scenario and .subject == $subject and .run == $run and (has("at_s") | not)) | "\(.metric) \(.value * 100 | round / 100)"' \
        "$results" | paste -sd ' ')"
}

# get_ready [WORKERS [PATH [IN_FLIGHT [OPTION...]]]]: schema, endpoint, workers, plans and connections.
get_ready() {
    local count=${1:-1} path=${2:-/} in_flight=${3:-64}
    shift "$(($# < 3 ? $# : 3))"
    set_up "$path" --max-in-flight "$in_flight"
    start_workers "$count" "$path" "$in_flight" "$@"
    left_sql=$(left)
    deliver "$warm_up" 200
}

# deliver EVENTS BYTES [TOPIC [DELIVERIES [DESTINATION]]]: inserts them and waits until all are settled.
deliver() {
    sink_stat received reset >/dev/null
    query "$(bulk "$1" "$2" "${3-}" "${5-}")" >/dev/null
    committed_us=$(($(date +%s%N) / 1000))
    begin_measuring
    await_deliveries "${4:-$1}"
    wait_for 60 "the last to be settled" is_settled
    settled_us=$(($(date +%s%N) / 1000))
}

# record_rate DELIVERIES: of the last deliver.
record_rate() {
    end_measuring "$1"
    local last_us
    last_us=$(sink_stat last_us)
    record deliveries_per_s 1/s "$(ratio "$1 * 1000000 / ($last_us - $committed_us)")"
    record settled_per_s 1/s "$(ratio "$1 * 1000000 / ($settled_us - $committed_us)")"
}

# record_claim: what the claim of 500 new events costs the server as things are, per event, by itself; the median of 11.
record_claim() {
    [[ $subject == postrider ]] || return 0
    stop_workers
    # From the watermark on, without an end.
    local xid_max=18446744073709551615 id_max=9223372036854775807
    query "$(bulk 500 200)" >/dev/null
    {
        # As a dispatcher's sessions are set.
        echo "set plan_cache_mode = force_generic_plan; set jit = off; set enable_seqscan = off; set enable_sort = off;"
        echo "set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off;"
        echo "prepare find as $(grep -v '^--' sql/statements/events/find_unrouted.sql);"
        echo "prepare claim as $(grep -v '^--' sql/statements/events/claim_events.sql);"
        # shellcheck disable=SC2016 # psql's, not ours.
        echo 'select routed_below as watermark from postrider.installation \gset'
        echo "execute find(:'watermark', 0) \gset"
        for _ in {1..11}; do
            echo "begin; explain (analyze, timing off) execute claim(:'created_xid', :id, '$xid_max', $id_max, 500, false, null, false); rollback;"
        done
    } >"$scratch/claim.sql"
    "$psql" -X -q -A -t -v ON_ERROR_STOP=1 "$DATABASE_URL" -f "$scratch/claim.sql" |
        sed -n 's/^Execution Time: \(.*\) ms$/\1/p' | sort -n | sed -n 6p >"$scratch/claim_ms"
    record claim_us us "$(ratio "$(<"$scratch/claim_ms") * 1000 / 500")"
}

# work_off EVENTS BYTES
work_off() {
    get_ready
    query checkpoint
    deliver "$1" "$2"
    record_rate "$1"
    if [[ $scenario == backlog ]]; then record_claim; fi
}

# flow RATE: events of one transaction each, at random times.
flow() {
    get_ready
    single 200 >"$scratch/single.sql"
    sink_stat received reset >/dev/null
    begin_measuring
    "$pgbench" -n -M prepared -c 16 -j 1 -R "$1" -T "$seconds" -f "$scratch/single.sql" "$DATABASE_URL" >"$scratch/pgbench.out" 2>"$scratch/pgbench.log"
    local sent
    sent=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$scratch/pgbench.out")
    await_deliveries "$sent"
    end_measuring "$sent"
    record_latency
}

# trickle: one event every 50 ms.
trickle() {
    get_ready
    single 200 >"$scratch/single.sql"
    sink_stat received reset >/dev/null
    begin_measuring
    echo '\sleep 50 ms' >>"$scratch/single.sql"
    "$pgbench" -n -M prepared -c 1 -T "$seconds" -f "$scratch/single.sql" "$DATABASE_URL" >"$scratch/pgbench.out" 2>"$scratch/pgbench.log"
    record_latency
}

record_latency() {
    local stats
    stats=$(curl -fsS "$sink_url/stats")
    record p50_ms ms "$(jq '.p50_us / 1000' <<<"$stats")"
    record p99_ms ms "$(jq '.p99_us / 1000' <<<"$stats")"
    record p999_ms ms "$(jq '.p999_us / 1000' <<<"$stats")"
}

# fan_out RECEIVERS: endpoints that all want every event.
fan_out() {
    "$binary" migrate >/dev/null
    query "select count(postrider.put_endpoint('e' || i, '$sink_url/', '{bench}')) from generate_series(1, $1) as i" >/dev/null
    start_workers 1 / 512
    left_sql=$(left)
    deliver "$((warm_up / $1))" 200 '' "$warm_up"
    query checkpoint
    deliver "$((events / $1))" 200 '' "$events"
    record_rate "$events"
}

# distribute: 10,000 endpoints with a topic each; the logarithm of the rank is evenly distributed, which is Zipf's law.
distribute() {
    local topic="'e.' || floor(10000 ^ random())::int"
    "$binary" migrate >/dev/null
    query "select count(postrider.put_endpoint('e' || i, '$sink_url/', array['e.' || i])) from generate_series(1, 10000) as i" >/dev/null
    start_workers 1 / 512
    left_sql=$(left)
    deliver "$warm_up" 200 "$topic"
    query checkpoint
    deliver "$events" 200 "$topic"
    record_rate "$events"
}

# devices: 10,000 endpoints of one template. The first event of each makes it; then as many as for one endpoint, which is measured
# before them with as many requests at once.
devices() {
    "$binary" migrate >/dev/null
    add_endpoint bench "$sink_url/" --max-in-flight 512
    add_template devices "$sink_url/{device}"
    start_workers 1 / 512
    left_sql=$(left)
    deliver 10000 200 '' '' "'devices/' || i"
    record made_per_s 1/s "$(ratio "10000 * 1000000 / ($settled_us - $committed_us)")"
    local one_us many_us
    query checkpoint
    deliver "$events" 200
    one_us=$(used_us)
    query checkpoint
    deliver "$events" 200 '' '' "'devices/' || i % 10000 + 1"
    many_us=$(used_us)
    record_rate "$events"
    record times_one '' "$(ratio "$many_us / $one_us")"
}

slow() {
    get_ready 1 /after/50/ 1000
    query checkpoint
    deliver "$events" 200
    record_rate "$events"
}

beside_the_dead() {
    "$binary" migrate >/dev/null
    # Nobody listens there, and no connection is given that port by the system.
    add_endpoint dead http://127.0.0.1:61999/ --retry-schedule 1h
    add_endpoint bench "$sink_url/" --max-in-flight 512
    start_workers 1 / 512
    left_sql=$(left)
    query "$(bulk "$waiting" 200 "'dead'")"
    wait_for 600 "the waiting deliveries to be routed" is_true "select unrouted = 0 from postrider.backlog"
    deliver "$warm_up" 200
    query checkpoint
    deliver "$events" 200
    record_rate "$events"
    record_claim
}

after_history() {
    get_ready
    fill_history
    query "vacuum analyze" && query checkpoint
    deliver "$warm_up" 200
    deliver "$events" 200
    record_rate "$events"
    record_claim
}

# fill_history: finished rows as Postrider leaves them behind.
fill_history() {
    is_postrider || return 0
    # Ids behind those that are kept for what comes, so that the history is older in every order.
    query "
        alter table postrider.outbox set (fillfactor = 100, autovacuum_enabled = off);
        alter table postrider.delivery set (fillfactor = 100, autovacuum_enabled = off);
        set session_replication_role = replica;
        insert into postrider.outbox (topic, payload, status, deliveries, open_deliveries, failed, completed_at)
        select 'bench', $(payload 200), 'complete', 1, 0, 0, now() from generate_series(1, $history) as i;
        insert into postrider.delivery (event_id, endpoint_no, status, attempts, completed_at, last_status_code)
        select o.id, e.endpoint_no, 'complete', 1, now(), 204
        from postrider.outbox as o, postrider.endpoint as e
        where not exists (select from postrider.delivery as d where d.event_id = o.id);
        alter table postrider.outbox set (fillfactor = 30, autovacuum_enabled = on);
        alter table postrider.delivery set (fillfactor = 50, autovacuum_enabled = on)"
}

under_snapshot() {
    get_ready
    start_child /dev/null "$scratch/snapshot.log" "$psql" -X -q "$DATABASE_URL" \
        -c 'begin isolation level repeatable read' -c 'select count(*) from postrider.outbox' -c "select pg_sleep(7200)"
    local holder=$child
    single 200 >"$scratch/single.sql"
    "$pgbench" -n -M prepared -c 16 -j 1 -R 2000 -T "$((${minutes:-10} * 60))" -f "$scratch/single.sql" "$DATABASE_URL" >"$scratch/pgbench.out" 2>"$scratch/pgbench.log"
    wait_for 60 "the deliveries" is_quiet
    query checkpoint
    deliver "$events" 200
    record_rate "$events"
    record_claim
    stop_child "$holder" || true
}

# several DISPATCHERS
several() {
    get_ready "$1"
    query checkpoint
    deliver "$events" 200
    record_rate "$events"
}

# soak: sizes, dead rows, memory and latency every 15 s.
soak() {
    local rate pid tables='outbox delivery attempt claim endpoint_stat' table began at_s
    get_ready 1 / 512 --retain-complete 5m
    deliver "$events" 200
    rate=$(ratio "int($events * 1000000 / ($settled_us - $committed_us) / 2)")
    rate=${rate%.*}
    echo "soak at $rate events/s for ${minutes:-30} minutes"
    # Ten to a transaction: producers of one each would have both processors to themselves.
    echo "$(bulk 10 200);" >"$scratch/ten.sql"
    start_child "$scratch/pgbench.out" "$scratch/pgbench.log" \
        "$pgbench" -n -M prepared -c 16 -j 1 -R "$((rate / 10))" -T "$((${minutes:-30} * 60))" -f "$scratch/ten.sql" "$DATABASE_URL"
    pid=$child began=$SECONDS
    sink_stat received reset >/dev/null
    while kill -0 "$pid" 2>/dev/null; do
        sleep 15
        at_s=$((SECONDS - began))
        record_at "$at_s" p99_ms ms "$(ratio "$(sink_stat p99_us reset) / 1000")"
        record_at "$at_s" memory_mib MiB "$(ratio "$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/${workers[0]}/status") / 1024")"
        for table in $tables; do
            record_at "$at_s" "size_of_$table" MiB "$(query "select pg_total_relation_size('postrider.$table') / 1048576.0")"
            record_at "$at_s" "dead_rows_of_$table" rows "$(query "select n_dead_tup from pg_stat_all_tables where relid = 'postrider.$table'::regclass")"
        done
    done
    wait_for 60 "the deliveries" is_quiet
}

# record_at SECONDS METRIC UNIT VALUE: a point of a series.
record_at() {
    printf '{"scenario":"%s","subject":"%s","run":%s,"at_s":%s,"metric":"%s","value":%s,"unit":"%s"}\n' \
        "$scenario" "$subject" "$run" "$1" "$2" "$4" "$3" >>"$results"
}
