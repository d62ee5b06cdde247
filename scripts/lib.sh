# shellcheck shell=bash
# What the scripts share. Sourced after `set -euo pipefail`; works from any folder.

script=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
# What the caller has set for a database and a Postrider of their own is not meant for ours.
unset "${!POSTRIDER_@}" "${!PG@}"
# As cargo does, for a shell that has not read rustup's profile yet.
[[ ":$PATH:" == *":$HOME/.cargo/bin:"* ]] || PATH="$PATH:$HOME/.cargo/bin"

# say SENTENCE: what happens next.
say() { printf '\n\033[1m%s\033[0m\n' "$*" | if [[ -t 1 ]]; then cat; else sed $'s/\033\\[[01]m//g'; fi; }

# die [EXIT_CODE] SENTENCE: what, why, and what to do.
die() {
    local code=1
    if (($# > 1)); then code=$1 && shift; fi
    printf '%s: %s\n' "${script##*/}" "$*" >&2
    exit "$code"
}

# The calling script's header comment, for --help.
print_help() { sed -n '2,/^$/s/^# \{0,1\}//p' "$script"; }

# as_root COMMAND...: as root, without ever asking for a password.
as_root() {
    if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

# Whether packages can be installed here.
has_apt() {
    command -v apt-get >/dev/null && { ((EUID == 0)) || sudo -n true 2>/dev/null; }
}

# apt_install PACKAGE...: quietly; what apt said is shown when it fails.
apt_install() {
    local log
    echo "installing with apt: $*" >&2
    log=$(mktemp)
    if ! { as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"; } \
        >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# pip_install NAME REQUIREMENTS: what these lines of versions and hashes name, and nothing else, into $venv, which is kept
# under target. pip is quiet; what it said is shown when it fails.
pip_install() {
    venv=${CARGO_TARGET_DIR:-target}/$1
    if [[ -f $venv/requirements && $(<"$venv/requirements") == "$2" ]]; then return; fi
    echo "installing with pip: ${2%%[[:space:]]*}" >&2
    if ! { rm -rf "$venv" && python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --require-hashes --only-binary :all: --requirement <(echo "$2"); } >"$scratch/pip" 2>&1; then
        tail -n 5 "$scratch/pip" >&2
        return 1
    fi
    echo "$2" >"$venv/requirements"
}

# Where programs are kept that were unpacked. Not root's own: PostgreSQL and PgBouncer run as another user then.
cache_folder() {
    if ((EUID == 0)); then echo /var/cache/postrider; else echo "${XDG_CACHE_HOME:-$HOME/.cache}/postrider"; fi
}

# need_whole_number OPTION VALUE
need_whole_number() {
    [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || die 64 "$1: expected a whole number above 0, but got '$2'"
}

# need_rust: cargo, and the C compiler that it links with.
need_rust() {
    command -v cargo >/dev/null || die "no cargo on this machine: install Rust as https://rustup.rs says"
    command -v cc >/dev/null || { has_apt && apt_install gcc libc6-dev; } ||
        die "no C compiler (cc), which Rust links with: install gcc or clang"
}

# Children and scratch files live exactly as long as the script; when it fails it shows the end of
# every $scratch/*.log. Each child gets a process group of
# its own, so that a Ctrl-C in the terminal reaches this script alone, and it stops them in order.
scratch=
children=()
begin_scratch() {
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/postrider-script.XXXXXX")
    trap end_scratch EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

end_scratch() {
    local code=$? index
    trap '' HUP INT TERM
    case $code in
        0 | 64 | 75 | 129 | 130 | 143) ;;
        *) show_logs && code=1 ;;
    esac
    for ((index = ${#children[@]} - 1; index >= 0; index--)); do
        stop_child "${children[index]}" || true
    done
    rm -rf "$scratch"
    exit "$code"
}

show_logs() {
    local log
    for log in "$scratch"/*.log; do
        if [[ -s $log ]]; then printf '%s said last:\n%s\n' "$(basename "$log" .log)" "$(tail -n 20 "$log")" >&2; fi
    done
}

# start_child STDOUT STDERR COMMAND...: in the background; its pid is in $child. Both may be the same file.
start_child() {
    local stdout=$1 stderr=$2
    shift 2
    : >"$stdout" # Whoever looks for a line in them may be faster than the child.
    : >"$stderr"
    set -m
    "$@" <"${child_stdin:-/dev/null}" >>"$stdout" 2>>"$stderr" 9>&- &
    set +m
    child=$!
    children+=("$child")
}

# stop_child PID: asks it to stop, waits until it has, and returns its exit code.
stop_child() {
    kill -TERM "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
    local seconds=$1 what=$2 deadline
    shift 2
    deadline=$((SECONDS + seconds))
    until "$@"; do
        ((SECONDS <= deadline)) || die "waited $seconds s in vain for $what"
        sleep 0.1
    done
}

# start_cluster BINDIR [SETTING=VALUE ...]: a private cluster, its URL in $DATABASE_URL, its password in the file $PGPASSFILE, which
# psql, pgbench and postrider read: it is in no command line. $cluster_url_for_people is all of it, for another terminal. Its stdin
# is our descriptor 9: should this script be killed, the cluster goes with the command it was running.
start_cluster() {
    psql=$(scripts/postgres --psql)
    mkfifo "$scratch/cluster.stdin"
    child_stdin=$scratch/cluster.stdin start_child "$scratch/cluster.url" "$scratch/cluster.log" sh scripts/cluster "$@"
    exec 9>"$scratch/cluster.stdin"
    until [[ -s $scratch/cluster.url ]]; do
        kill -0 "$child" 2>/dev/null || die "no database"
        sleep 0.1
    done
    # shellcheck disable=SC2034 # Read by the callers.
    cluster_url_for_people=$(<"$scratch/cluster.url")
    DATABASE_URL=${cluster_url_for_people%%\?*} PGPASSFILE=${cluster_url_for_people##*passfile=}
    printf -v PGPASSFILE %b "${PGPASSFILE//%/\\x}" # scripts/cluster writes %20 for a space.
    export DATABASE_URL PGPASSFILE
}

# query SQL: its rows, unaligned. start_cluster has found psql.
query() { "$psql" -X -q -A -t -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "$1"; }

# is_true SQL: whether the one value it selects is true.
is_true() { [[ $(query "$1") == t ]]; }

# build_postrider dev|release: the binary is in $binary.
build_postrider() {
    need_rust
    cargo build --locked --profile "$1"
    binary=${CARGO_TARGET_DIR:-target}/${1/dev/debug}/postrider
}

generate_secret() { echo "whsec_$(head -c 24 /dev/urandom | base64)"; }

# start_receiver NAME ADDRESS OPTION...: its output in $scratch/NAME, its URL in $receiver_url.
start_receiver() {
    local name=$1 address=$2
    shift 2
    start_child "$scratch/$name" "$scratch/$name.log" "$binary" receive --listen "$address" "$@"
    wait_for 10 "the receiver $name" grep -q '^listening on ' "$scratch/$name"
    # shellcheck disable=SC2034 # Read by the callers.
    receiver_url=$(sed -n 's/^listening on //p' "$scratch/$name")
}

# start_dispatcher: one that may deliver to receivers on this machine; its log in $scratch/run.log.
dispatcher_options=(--allow-http --allow-cidr 127.0.0.0/8 --api-listen 127.0.0.1:0)
start_dispatcher() {
    start_child "$scratch/run" "$scratch/run.log" "$binary" run "${dispatcher_options[@]}"
    wait_for 20 "the dispatcher to start" is_true "select count(*) = 1 from postrider.dispatcher_status"
}
