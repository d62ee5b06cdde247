# shellcheck shell=bash
# The cases of scripts/bench-order: each measures once, in a database of its own that has the schema, and records what it saw.
# shellcheck disable=SC2034,SC2154 # What the scripts beside it set, and read.

# limit_of CASE METRIC: "<= N" or ">= N"; nothing: it has none.
limit_of() {
    case $1.$2 in
        keys.rate_by_unordered) echo '>= 0.7' ;;
        one-key.of_round_trip_*) echo '>= 0.9' ;;
        beside.used_by_alone) echo '<= 1.03' ;;
        claim.claim_by_without) echo '<= 1.1' ;;
        blocked.p99_by_without) echo '<= 1.5' ;;
    esac
}

# is_beyond VALUE LIMIT
is_beyond() { awk -v value="$1" -v limit="${2#* }" -v way="${2% *}" 'BEGIN { exit !(way == ">=" ? value < limit : value > limit) }'; }

# endpoint ID PATH [OPTION...]: of the topic that has its name.
endpoint() {
    local id=$1 path=$2
    shift 2
    add_endpoint "$id" "$sink_url$path" "$@"
}

# insert_keyed COUNT TOPIC KEY [PAYLOAD]: KEY and PAYLOAD are expressions over i.
insert_keyed() {
    query "insert into postrider.outbox (topic, key, payload)
        select '$2', $3, ${4:-$(payload 200)} from generate_series(1, $1) as i order by i" >/dev/null
}

# deliver_keyed COUNT TOPIC KEY: inserts them, and waits until all are settled. The rate is in $rate, and processor time of server and
# dispatcher per delivery in $used.
deliver_keyed() {
    local committed_us last_us
    sink_stat received reset >/dev/null
    insert_keyed "$@"
    committed_us=$(($(date +%s%N) / 1000))
    begin_measuring
    await_deliveries "$1"
    wait_for 60 "the last to be settled" is_settled
    used=$(ratio "$(used_us) / $1")
    last_us=$(sink_stat last_us)
    rate=$(ratio "$1 * 1000000 / ($last_us - $committed_us)")
}

get_going() {
    start_workers 1 / 64
    left_sql=$(left)
}

# swap_on_even A B: every second run goes the other way round, because the machine's speed drifts.
swap_on_even() { if ((run % 2)); then echo "$1 $2"; else echo "$2 $1"; fi; }

# fill_lanes COUNT KEYS: the heads are for later, and what follows them waits. (Heads that fail would open the circuit.)
fill_lanes() {
    query "insert into postrider.outbox (topic, key, deliver_after, payload)
        select 'ordered', 'head-' || i, now() + interval '1 day', '{}' from generate_series(1, $2) as i" >/dev/null
    follow "$1" "'head-' || (i % $2 + 1)"
}

# follow COUNT KEY: events behind heads.
follow() {
    insert_keyed "$1" ordered "$2"
    wait_for 1200 "what waits to be routed" is_true "select unrouted = 0 from postrider.backlog"
    query "vacuum analyze" >/dev/null && query checkpoint >/dev/null
}

measure_keys() {
    local topic
    declare -A rates=() costs=()
    endpoint plain / && endpoint ordered / --ordered
    get_going
    for topic in plain ordered; do deliver_keyed 5000 "$topic" "'key-' || i % $keys"; done
    for topic in $(swap_on_even plain ordered); do
        query checkpoint >/dev/null
        deliver_keyed "$events" "$topic" "'key-' || i % $keys"
        rates[$topic]=$rate costs[$topic]=$used
        record "${topic}_per_s" 1/s "$rate"
        record "${topic}_us" us "$used"
    done
    record rate_by_unordered '' "$(ratio "${rates[ordered]} / ${rates[plain]}")"
    record used_by_unordered '' "$(ratio "${costs[ordered]} / ${costs[plain]}")"
}

measure_one_key() {
    local ms path count trip
    for ms in 0 1 5; do
        path=/after/$ms/ count=$((events / (1 + ms * 4) / 4))
        if ((ms == 0)); then path=/; fi
        endpoint "plain$ms" "$path" --max-in-flight 1 && endpoint "ordered$ms" "$path" --ordered
    done
    get_going
    for ms in 0 1 5; do
        path=/after/$ms/ count=$((events / (1 + ms * 4) / 4))
        if ((ms == 0)); then path=/; fi
        deliver_keyed 200 "ordered$ms" "'one'"
        trip=$("$tools/round-trip" --url "$sink_url$path" --requests "$((count / 4 + 100))")
        record "round_trip_${ms}_us" us "$trip"
        deliver_keyed "$count" "ordered$ms" "'one'"
        record "ordered_${ms}_per_s" 1/s "$rate"
        record "of_round_trip_$ms" '' "$(ratio "$rate * $trip / 1000000")"
        deliver_keyed 200 "plain$ms" "'one'"
        deliver_keyed "$count" "plain$ms" "'one'"
        record "plain_${ms}_per_s" 1/s "$rate"
    done
}

measure_beside() {
    local what
    declare -A rates=() costs=()
    for what in $(swap_on_even alone beside); do
        open_database bench
        "$binary" migrate >/dev/null
        endpoint plain /
        if [[ $what == beside ]]; then endpoint ordered / --ordered --retry-schedule 1h; fi
        get_going
        if [[ $what == beside ]]; then fill_lanes "$waiting" 1000; fi
        deliver_keyed 5000 plain "'key-' || i % $keys"
        query checkpoint >/dev/null
        deliver_keyed "$events" plain "'key-' || i % $keys"
        rates[$what]=$rate costs[$what]=$used
        record "${what}_per_s" 1/s "$rate"
        record "${what}_us" us "$used"
        stop_workers
    done
    record rate_by_alone '' "$(ratio "${rates[beside]} / ${rates[alone]}")"
    record used_by_alone '' "$(ratio "${costs[beside]} / ${costs[alone]}")"
}

measure_claim() {
    local before
    endpoint ordered / --ordered --retry-schedule 1h
    get_going
    deliver_keyed 5000 ordered "'warm-' || i"
    query 'vacuum analyze' >/dev/null
    query checkpoint >/dev/null
    deliver_keyed "$((events / 4))" ordered "'one-' || i"
    record without_us us "$used"
    before=$used
    claim_alone
    record claim_without_us us "$claim_us"
    local claim_before=$claim_us
    fill_lanes "$waiting" 1000
    deliver_keyed 5000 ordered "'again-' || i"
    query 'vacuum analyze' >/dev/null
    query checkpoint >/dev/null
    deliver_keyed "$((events / 4))" ordered "'two-' || i"
    record waiting_us us "$used"
    record used_by_without '' "$(ratio "$used / $before")"
    claim_alone
    record claim_waiting_us us "$claim_us"
    record claim_by_without '' "$(ratio "$claim_us / $claim_before")"
}

# claim_alone: what one claim of 500 due heads with one follower each costs the server, per delivery, by itself; the median of 11, in
# $claim_us. Nobody else runs.
claim_alone() {
    query "select postrider.pause_endpoint('ordered')" >/dev/null
    insert_keyed 1000 ordered "'claim-' || i % 500 || '-' || txid_current()"
    wait_for 60 "them to be routed" is_true "select unrouted = 0 from postrider.backlog"
    stop_workers
    query "select postrider.resume_endpoint('ordered')" >/dev/null
    query "vacuum analyze postrider.delivery" >/dev/null
    {
        # As a dispatcher's sessions are set.
        echo "set plan_cache_mode = force_generic_plan; set jit = off; set enable_seqscan = off; set enable_sort = off;"
        echo "set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off;"
        echo "insert into postrider.dispatcher (host, version, lease_until, wake_mode) values ('bench', '0', now() + interval '1 hour', 'poll')"
        echo 'returning id as dispatcher_id \gset'
        echo "select endpoint_no from postrider.endpoint where id = 'ordered' \\gset"
        echo "prepare claim as $(grep -v '^--' sql/statements/deliveries/claim_deliveries.sql);"
        for _ in {1..11}; do
            echo "begin; explain (analyze, timing off) execute claim(:dispatcher_id, array[:endpoint_no], '{500}', '{0}', false, '{500}', 500); rollback;"
        done
        echo 'delete from postrider.dispatcher where id = :dispatcher_id;'
    } >"$scratch/claim.sql"
    "$psql" -X -q -A -t -v ON_ERROR_STOP=1 "$DATABASE_URL" -f "$scratch/claim.sql" |
        sed -n 's/^Execution Time: \(.*\) ms$/\1/p' | sort -n | sed -n 6p >"$scratch/claim_ms"
    claim_us=$(ratio "$(<"$scratch/claim_ms") * 1000 / 1000")
    sink_stat received reset >/dev/null
    get_going
    await_deliveries 1000
    wait_for 60 "the last to be settled" is_settled
}

measure_blocked() {
    local before after
    endpoint ordered / --ordered --retry-schedule 1h
    get_going
    deliver_keyed 5000 ordered "'key-' || i % 1000"
    before=$(latency_of_keys without)
    insert_keyed 1 ordered "'blocked'" "'{\"refuse\":1}'"
    wait_for 60 "the head to fail" is_true "select count(*) = 1 from postrider.delivery_status where next_attempt_at > now() + interval '1 min'"
    follow "$waiting" "'blocked'"
    deliver_keyed 5000 ordered "'key-' || i % 1000"
    after=$(latency_of_keys blocked)
    record p99_by_without '' "$(ratio "$after / $before")"
}

# latency_of_keys NAME: 200 events/s over 1,000 keys; prints the p99 in us.
latency_of_keys() {
    echo "insert into postrider.outbox (topic, key, payload) values ('ordered', 'key-' || floor(random() * 1000), $(payload 200));" >"$scratch/single.sql"
    sink_stat received reset >/dev/null
    "$pgbench" -n -M prepared -c 8 -j 1 -R 200 -T "$seconds" -f "$scratch/single.sql" "$DATABASE_URL" >"$scratch/pgbench.out" 2>"$scratch/pgbench.log"
    await_deliveries "$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$scratch/pgbench.out")"
    local stats
    stats=$(curl -fsS "$sink_url/stats")
    record "p50_$1_ms" ms "$(jq '.p50_us / 1000' <<<"$stats")"
    record "p99_$1_ms" ms "$(jq '.p99_us / 1000' <<<"$stats")"
    jq .p99_us <<<"$stats"
}
