#!/usr/bin/env bash
# The pair on one machine: a stand-in for Azure, la-gateway, and agent-lite behind it. Nothing leaves loopback.
#
#   deploy/demo/one-machine.sh          shows rows until Ctrl-C; write log lines from another terminal
#   deploy/demo/one-machine.sh --once   ends when a log line and a line of a file have become rows; 0 if they did
#
# The programs are looked for in $BIN, else in target/release, where this builds them:
#   cargo build --release --workspace --bin la-gateway --bin agent-lite --bin fake-azure
set -euo pipefail

case ${1-} in
  '' | --once) mode=${1-} ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${BIN:-${CARGO_TARGET_DIR:-$root/target}/release}
workspace=00000000-0000-4000-8000-000000000007
trial=$(mktemp -d)
pids=()

# Ends what was started here, the agent first, so that what it still holds goes to its queue.
finish() {
  local code=$? at tries
  trap - EXIT
  trap '' INT TERM
  for ((at = ${#pids[@]} - 1; at >= 0; at--)); do
    kill "${pids[at]}" 2>/dev/null || true
    for ((tries = 0; tries < 200; tries++)); do kill -0 "${pids[at]}" 2>/dev/null || break; sleep 0.1; done
    kill -9 "${pids[at]}" 2>/dev/null || true
    wait "${pids[at]}" 2>/dev/null || true
  done
  rm -rf "$trial"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n== %s\n' "$1"; }
fail() {
  printf 'one-machine: %s\n' "$1" >&2
  for log in azure gateway agent; do
    [ -s "$trial/$log.log" ] && { printf -- '--- %s\n' "$log"; tail -n 20 "$trial/$log.log"; } >&2
  done
  exit 1
}
wait_for() { # what, seconds, command...
  local what=$1 until=$((SECONDS + $2)); shift 2
  until "$@"; do
    local pid
    for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || fail "a program ended while waiting for $what"; done
    [ "$SECONDS" -lt "$until" ] || fail "waited in vain for $what"
    sleep 0.1
  done
}
# The wanted port if nobody listens there by TCP or UDP, else one that is free.
free_port() {
  local port=$1
  while grep -qsi ":$(printf '%04X' "$port") 0*:0000 0[A7]" /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6; do
    port=$((20000 + RANDOM % 10000))
  done
  printf '%s' "$port"
}
run() { printf '$ %s\n' "${*//"$bin"\//}"; "$@"; }

for program in la-gateway agent-lite fake-azure; do
  [ -x "$bin/$program" ] || fail "$bin/$program is missing; build it: cargo build --release --workspace --bin la-gateway --bin agent-lite --bin fake-azure"
done
cd "$trial"
gateway_port=$(free_port 8080)
syslog_port=$(free_port 25224)

say 'Azure: a stand-in with one workspace; it prints each row it takes'
"$bin/fake-azure" --workspace "$workspace" --listen 127.0.0.1:0 --ca azure-ca.pem >rows.log 2>azure.log &
pids+=($!)
wait_for 'the stand-in for Azure' 20 grep -qs '\.oms\.' azure.log
wait_for 'all its names' 20 grep -qs 'login\.' azure.log
sed -n 's/^workspace .* with the key //p' azure.log >workspace.key
grep -o '^workspace .* with' azure.log | sed 's/ with$//'

say 'The gateway: its name server is a table that leads Azure'\''s names to the stand-in'
{
  printf '[[listener]]\naddress = "127.0.0.1:%s"\n' "$gateway_port"
  printf '[admin]\naddress = "127.0.0.1:0"\n'
  printf '[addresses]\nallow = ["127.0.0.1/32"]\n'
  printf '[role.agents]\nusers_file = "agents.users"\n'
  sed -n '/^\[dns.hosts\]/,$p' azure.log | grep -E '^(\[dns\.hosts\]|"[^"]+" = )'
} >gateway.toml
: >agents.users
run "$bin/la-gateway" --config gateway.toml pair edge7
"$bin/la-gateway" --config gateway.toml >gateway.log 2>&1 &
pids+=($!)
wait_for 'the gateway' 20 grep -qs 'event_id=101' gateway.log

say 'The agent: onboarded with the pairing file, then running'
mkdir logs
cat >agent.toml <<TOML
[agent]
state = "state"
[spool]
seal_after = "1s"
[source.syslog.local]
udp = ["127.0.0.1:$syslog_port"]
tcp = ["127.0.0.1:$syslog_port"]
[source.files.app]
paths = ["$trial/logs/*.log"]
table = "App_CL"
look = "1s"
[source.heartbeat.default]
TOML
run "$bin/agent-lite" -c agent.toml onboard --pairing edge7.toml -w "$workspace" -k workspace.key --azure-ca azure-ca.pem
rm edge7.toml workspace.key
"$bin/agent-lite" -c agent.toml run >agent.log 2>&1 &
pids+=($!)
wait_for 'the agent' 20 grep -qs 'event_id=500' agent.log
wait_for 'its syslog source' 20 grep -qs 'a source listens' agent.log

say 'A log line by syslog, and one in a file'
printf "$ echo '<13>demo: hello by syslog' >/dev/udp/127.0.0.1/%s\n" "$syslog_port"
echo '<13>demo: hello by syslog' >"/dev/udp/127.0.0.1/$syslog_port"
printf "$ echo 'hello by file' >>%s/logs/app.log\n" "$trial"
echo 'hello by file' >>"$trial/logs/app.log"
wait_for 'the row of the log line' 30 grep -qs '^Syslog .*hello by syslog' rows.log
wait_for 'the row of the file' 30 grep -qs '^App_CL .*hello by file' rows.log

say 'Rows in the workspace'
if [ "$mode" = --once ]; then
  cat rows.log
  say 'What the agent says'
  run "$bin/agent-lite" -c agent.toml status
  grep -qs 'verdict="carried"' gateway.log || fail 'the gateway carried nothing'
  exit 0
fi
cat <<TEXT
Write from another terminal; Ctrl-C ends everything here.

  logger --server 127.0.0.1 --port $syslog_port 'a line of mine'
  echo 'another line' >>$trial/logs/app.log
  $bin/agent-lite -c $trial/agent.toml status

TEXT
tail -n +1 -f rows.log &
pids+=($!)
while :; do
  sleep 1
  for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || fail 'a program ended'; done
done
