# shellcheck shell=bash
# What scripts/bench measures: Postrider, other builds of it, and its peers behind the same functions, and how much processor
# time they use.
# Each subject works on a database of its own, and delivers to the same receiver.
# shellcheck disable=SC2034,SC2154 # What scripts/bench and scripts/lib.sh set, and read.

# build_revisions: Postrider as it was at $revisions, into $binaries.
build_revisions() {
    binaries[postrider]=$binary
    local revision commit source built
    for revision in "${revisions[@]}"; do
        commit=$(git rev-parse --short "$revision^{commit}")
        source=target/against/$commit built=$PWD/target/against/postrider-$commit
        if [[ ! -x $built ]]; then
            mkdir -p "$source"
            git archive "$commit" | tar -x -C "$source"
            cargo build --locked --release --manifest-path "$source/Cargo.toml" --target-dir target/against/target
            cp target/against/target/release/postrider "$built"
            rm -rf "$source"
        fi
        binaries[postrider@$commit]=$built
    done
}

# is_postrider: whether the subject that is measured is one, of whatever build.
is_postrider() { [[ -v binaries[$subject] ]]; }

# start_sink: the receiver, its URL in $sink_url.
start_sink() {
    start_child "$scratch/sink" "$scratch/sink.log" "$tools/sink"
    sink_pid=$child
    wait_for 10 "the receiver" grep -q '^listening on ' "$scratch/sink"
    sink_url=$(sed -n 's/^listening on //p' "$scratch/sink")
}

# sink_stat NAME [reset]: of what was received since the last reset; with "reset" it begins anew.
sink_stat() { curl -fsS "$sink_url/${2:-stats}" | jq ".$1"; }

# await_deliveries N: since the last reset.
await_deliveries() { curl -fsS -m 1800 -o /dev/null "$sink_url/wait/$1" || die "only $(sink_stat received) of $1 deliveries came within 30 minutes"; }

# open_database NAME: a fresh one; DATABASE_URL names it from now on.
open_database() {
    DATABASE_URL=$cluster_url
    query "drop database if exists $1" 2>/dev/null
    query "create database $1"
    DATABASE_URL=${cluster_url%/*}/$1
}

# peer SUBCOMMAND OPTION...: of the subject that is measured.
peer() { "$tools/peer-${subject/_/-}" "$@"; }

# set_up PATH [OPTION...]: the subject's schema, and for Postrider one endpoint `bench` at that path of the sink.
set_up() {
    local path=$1
    shift
    if is_postrider; then
        "$binary" migrate >/dev/null
        add_endpoint bench "$sink_url$path" "$@"
    else
        peer setup --database-url "$DATABASE_URL"
    fi
}

# add_endpoint ID URL [OPTION...]
add_endpoint() {
    local id=$1 url=$2
    shift 2
    "$binary" endpoint put "$id" --url "$url" --topics "$id" --allow-http --allow-cidr 127.0.0.0/8 "$@" >/dev/null
}

# add_template ID URL
add_template() { "$binary" endpoint put "$1" --url "$2" --allow-http --allow-cidr 127.0.0.0/8 >/dev/null; }

# start_workers COUNT PATH IN_FLIGHT [OPTION...]: their process ids in $workers.
start_workers() {
    local count=$1 path=$2 in_flight=$3 number
    shift 3
    # A dispatcher keeps an eighth of its requests for endpoints that have none.
    if ((in_flight > 448)); then set -- --max-in-flight "$((in_flight * 8 / 7 + 1))" "$@"; fi
    workers=()
    for ((number = 1; number <= count; number++)); do
        if is_postrider; then
            start_child "$scratch/worker$number" "$scratch/worker$number.log" \
                "$binary" run "${dispatcher_options[@]}" "$@"
        else
            start_child "$scratch/worker$number" "$scratch/worker$number.log" \
                "$tools/peer-${subject/_/-}" run --database-url "$DATABASE_URL" --url "$sink_url$path" --in-flight "$in_flight"
        fi
        workers+=("$child")
    done
    if is_postrider; then
        wait_for 20 "the dispatchers" is_true "select count(*) = $count from postrider.dispatcher_status"
    else
        wait_for 20 "the peer" grep -q '^ready' "$scratch/worker1"
    fi
}

stop_workers() {
    local worker
    for worker in "${workers[@]}"; do stop_child "$worker" || die "a worker of $subject failed"; done
    workers=()
}

# bulk COUNT BYTES [TOPIC [DESTINATION]]: SQL that inserts events at once; TOPIC and DESTINATION are expressions over i.
bulk() {
    if is_postrider; then
        echo "insert into postrider.outbox (topic, payload, destination)
            select ${3:-'bench'}, $(payload "$2"), ${4:-null} from generate_series(1, $1) as i"
    else
        peer bulk --events "$1" --bytes "$2"
    fi
}

# single BYTES: SQL that inserts one event.
single() {
    if is_postrider; then
        echo "insert into postrider.outbox (topic, payload) values ('bench', $(payload "$1"));"
    else
        peer single --bytes "$1"
    fi
}

# payload BYTES: an SQL expression of about that size, with the time of the insert.
payload() {
    echo "format('{\"at_us\":%s,\"pad\":\"%s\"}', (extract(epoch from clock_timestamp()) * 1000000)::bigint, repeat('x', $1 - 35))::json"
}

# left: SQL that tells, once all are delivered, whether some are not settled: 0 if none.
left() {
    if is_postrider; then
        # Once all are delivered: a claim is there until the last of its deliveries is settled.
        echo "select count(*) from postrider.claim"
    else
        peer left
    fi
}

is_settled() { [[ $(query "$left_sql") == 0 ]]; }

is_quiet() { is_true "select unrouted + pending + in_progress = 0 from postrider.backlog"; }

# ticks PID...: processor time used by these processes, in hundredths of a second; of processes that are gone none.
ticks() {
    local pid sum=0 stat
    for pid; do
        stat=$(<"/proc/$pid/stat") || continue
        read -ra stat <<<"${stat##*) }"
        ((sum += stat[11] + stat[12]))
    done 2>/dev/null
    echo "$sum"
}

# server_ticks: of the postmaster, its children, and those of them that have ended.
server_ticks() {
    local stat
    stat=$(<"/proc/$postmaster/stat")
    read -ra stat <<<"${stat##*) }"
    # shellcheck disable=SC2046 # One argument for each child.
    echo $((stat[13] + stat[14] + $(ticks "$postmaster" $(pgrep -P "$postmaster"))))
}

# begin_measuring; end_measuring DELIVERIES: records server_us, dispatcher_us, sink_us and memory.
begin_measuring() { used_before=("$(server_ticks)" "$(ticks "${workers[@]}")" "$(ticks "$sink_pid")"); }

end_measuring() {
    local used names=(server_us dispatcher_us sink_us) part
    used=("$(server_ticks)" "$(ticks "${workers[@]}")" "$(ticks "$sink_pid")")
    for part in 0 1 2; do
        record "${names[part]}" us "$(ratio "$((used[part] - used_before[part])) * 10000 / $1")"
    done
    record memory_mib MiB "$(ratio "$(peak_memory_kib) / 1024")"
}

# used_us: processor time of server and dispatchers since begin_measuring.
used_us() { echo $((($(server_ticks) - used_before[0] + $(ticks "${workers[@]}") - used_before[1]) * 10000)); }

# peak_memory_kib: of the largest worker.
peak_memory_kib() {
    local worker
    for worker in "${workers[@]}"; do sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$worker/status"; done | sort -n | tail -n 1
}

# ratio EXPRESSION: its value with three decimals.
ratio() { awk "BEGIN { printf \"%.3f\", $1 }"; }

# record METRIC UNIT VALUE: one line of JSON.
record() {
    printf '{"scenario":"%s","subject":"%s","run":%s,"metric":"%s","value":%s,"unit":"%s"}\n' \
        "$scenario" "$subject" "$run" "$1" "$3" "$2" >>"$results"
}
