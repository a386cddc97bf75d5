# Shortcuts; each recipe is one plain command.

# Everything that a submission must pass.
ci:
    bash .ci/run

# The tests.
test:
    cargo test --workspace --locked

# Micro benches of decisions.
bench:
    cargo bench -p benches

# What the gateway costs beside a bare relay and other proxies: --quick to see that it works.
bench-load *options:
    cargo build --release -p benches --bin load -p la-gateway --bin la-gateway
    target/release/load run {{options}}

# What the status page and the metrics cost with 5,000 clients and 10,000 tunnels.
bench-page *options:
    cargo build --release -p benches --bin load -p la-gateway --bin la-gateway
    target/release/load page {{options}}

# Break everything at random and prove that nothing is lost: --seed 7 --for 20m; --soak for a quiet run. Needs root.
chaos *options:
    cargo build --locked --bin chaos --bin la-gateway --bin agent-lite -p end-to-end -p la-gateway -p agent-lite
    cargo run --locked -p end-to-end --bin chaos -- {{options}}

# How good agents fare while somebody attacks the gateway.
bench-attacks *options:
    cargo build --release -p benches --bin load -p la-gateway --bin la-gateway
    target/release/load attacks {{options}}

# Write docs/events.md and docs/agent-events.md anew from the tables.
events:
    UPDATE_DOCS=1 cargo test -p la-gateway --test event_reference
    UPDATE_DOCS=1 cargo test -p agent-lite --test event_reference

# The pair on one machine: a stand-in for Azure, the gateway, the agent, and rows as you write log lines.
demo:
    cargo build --release --workspace --bin la-gateway --bin agent-lite --bin fake-azure
    deploy/demo/one-machine.sh

# Both programs as they are shipped, one static file each: x86_64 (or aarch64), [--quick].
dist *options:
    deploy/dist.sh {{options}}

# Every fuzz target in turn, for some seconds each. Needs cargo-fuzz and a nightly toolchain.
fuzz seconds="30":
    cd fuzz && for target in $(cargo +nightly fuzz list); do cargo +nightly fuzz run "$target" -- -max_total_time={{seconds}}; done
