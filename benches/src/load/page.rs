//! `load page`: what the status page and `/metrics` cost a gateway with a whole fleet in front of it.

pub(super) mod eyes;
mod fleet;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::ensure;
use benches::machine;
use benches::usage::Processor;
use end_to_end::gateway::Gateway;
use nix::sys::resource::Resource;
use nix::sys::resource::getrlimit;
use nix::sys::resource::setrlimit;

use self::eyes::Eyes;
use self::fleet::Fleet;
use super::programs;

/// Clients of the small fleet.
const FEW: usize = 10;
/// Open files of this program, and of the gateway, beside four and two a tunnel.
const OTHER_FILES: u64 = 2048;
/// Lets the last hellos and records pass before anything is measured.
const SETTLE: Duration = Duration::from_secs(3);

/// Works by itself on loopback: clients are addresses in 127.0.0.0/8.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Clients, each at an address of its own
    #[arg(long, default_value_t = 5000)]
    clients: usize,
    /// Tunnels of all clients together
    #[arg(long, default_value_t = 10_000)]
    tunnels: usize,
    /// Seconds of each of the four measurements
    #[arg(long, default_value_t = 45)]
    seconds: u64,
    /// Seconds between two scrapes
    #[arg(long, default_value_t = 15)]
    scrape_interval: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let few = FEW.min(options.clients);
    ensure!(few > 0 && options.tunnels >= options.clients, "every client has a tunnel");
    let files = options.tunnels as u64 * 2 + OTHER_FILES;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if setrlimit(Resource::RLIMIT_NOFILE, files.max(most), files.max(most)).is_err() {
        let fit = most.saturating_sub(OTHER_FILES) / 2;
        bail!(
            "{} tunnels need {files} open files, {most} may be had: raise that, or --tunnels {fit}",
            options.tunnels
        );
    }
    let program = programs::gateway()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(options, few, program))?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(options: &Options, few: usize, program: PathBuf) -> anyhow::Result<()> {
    println!("{}; load {}", machine::describe(), machine::load());
    let mut fleet = Fleet::begin(&program).await;
    let eyes = Eyes::of(&fleet.gateway);

    fleet.grow(few, few * 2).await?;
    let before = eyes.series().await;
    let few_costs = Costs::of(&eyes, fleet.gateway.pid()).await;
    fleet.grow(options.clients, options.tunnels).await?;
    let after = eyes.series().await;
    println!(
        "{} clients, {} tunnels, as the gateway counts them",
        eyes.clients().await,
        eyes.tunnels().await
    );
    println!("series: {} with {few} clients, {} now", before.len(), after.len());
    ensure!(before == after, "series that came: {:?}", after.difference(&before).collect::<Vec<_>>());

    println!("\n| one answer | {few} clients | {} clients |\n|---|---|---|", options.clients);
    let many_costs = Costs::of(&eyes, fleet.gateway.pid()).await;
    for ((path, few), (_, many)) in few_costs.0.iter().zip(&many_costs.0) {
        println!("| `{path}` | {few:.2} ms | {many:.2} ms |");
    }

    let (seconds, scrape) =
        (Duration::from_secs(options.seconds), Duration::from_secs(options.scrape_interval));
    tokio::time::sleep(SETTLE).await;
    println!("\n| who looks | of one core | beyond nobody |\n|---|---|---|");
    let first = share(&fleet.gateway, seconds, std::future::pending()).await;
    let page = share(&fleet.gateway, seconds, eyes.browse()).await;
    let metrics = share(&fleet.gateway, seconds, eyes.scrape(scrape)).await;
    let last = share(&fleet.gateway, seconds, std::future::pending()).await;
    let nobody = f64::midpoint(first, last);
    println!("| nobody, before and after | {first:.2} %, {last:.2} % | |");
    println!("| the page in a browser | {page:.2} % | {:.2} % |", page - nobody);
    println!("| a scraper, every {} s | {metrics:.2} % | {:.2} % |", scrape.as_secs(), metrics - nobody);
    println!("events that the page was sent: {}", eyes.events());
    ensure!(eyes.events() >= options.seconds / 4, "the page was sent too little");
    fleet.still_open().await
}

/// Returns the share of one core, in percent, that a gateway takes while somebody looks.
async fn share(gateway: &Gateway, time: Duration, looking: impl Future<Output = ()>) -> f64 {
    let (began, before) = (Instant::now(), Processor::of(gateway.pid()));
    let _ = tokio::time::timeout(time, looking).await;
    let used = Processor::of(gateway.pid()).since(before).total;
    used.as_secs_f64() / began.elapsed().as_secs_f64() * 100.0
}

/// Processor time of one answer, in milliseconds.
struct Costs(Vec<(&'static str, f64)>);

impl Costs {
    /// Answers that are asked for, one after the other.
    const TIMES: u32 = 100;
    const PATHS: [&'static str; 4] =
        ["/metrics", "/api/status", "/api/clients?sort=bytes&offset=0&limit=25", "/api/history"];

    async fn of(eyes: &Eyes, pid: u32) -> Self {
        let mut costs = Vec::new();
        for path in Self::PATHS {
            let before = Processor::of(pid);
            for _ in 0..Self::TIMES {
                eyes.ask(path).await;
            }
            let used = Processor::of(pid).since(before).total;
            costs.push((path, used.as_secs_f64() * 1000.0 / f64::from(Self::TIMES)));
        }
        Self(costs)
    }
}
