//! `load attacks`: how long good agents' uploads take while somebody on the inside network attacks the gateway.
//!
//! Agents, attackers and origin are threads of this program, each with a runtime of its own, so that only the machine's
//! processors are shared, and attackers' threads are the least urgent there. Agents come from addresses of their own with
//! passwords of their own, and so do attackers. A calm moment stands before each attack: machines have moods.

mod agents;
mod attackers;
mod origin;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::ensure;
use benches::HOST;
use benches::machine;
use benches::machine::Ticks;
use benches::usage::Memory;
use benches::usage::Processor;
use benches::usage::forget_peak;
use benches::usage::mebibytes;
use benches::user;
use clap::ValueEnum;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::hello::Hellos;
use end_to_end::hello::hellos;
use end_to_end::pki::Pki;
use tokio_util::sync::CancellationToken;

use self::agents::Agents;
use self::attackers::Attack;
use self::attackers::Pressure;
use super::page::eyes::Eyes;
use super::programs;

/// How long an attack lasts before uploads are counted.
const RAMP: Duration = Duration::from_secs(3);
/// Longest wait until what an attack left is gone.
const SETTLE: Duration = Duration::from_secs(60);
/// Longest wait until all agents have logged in.
const FIRST_LOGINS: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(200);
/// The limits are those of the sample configuration: what is attacked is what an operator has.
const CONFIG: &str = "[admin]\naddress = \"127.0.0.1:0\"\n[limits]\n[tunnel]\n\
     [role.agents]\nusers_file = \"agents.users\"\nbundles = [\"log-analytics\"]\n";

/// Works by itself on loopback: clients are addresses in 127.0.0.0/8.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Good agents, each with an address and a password of its own
    #[arg(long, default_value_t = 1000)]
    agents: usize,
    /// Seconds between two uploads of an agent, each in a tunnel of its own
    #[arg(long, default_value_t = 10)]
    every: u64,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How often each attack is made, behind a calm moment each time
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Requests or connections a second of an attack that repeats
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Connections or tunnels of an attack that holds
    #[arg(long, default_value_t = 4000)]
    held: u32,
    /// Which ones; all in turn if none is named
    #[arg(long, value_enum, value_delimiter = ',')]
    attacks: Vec<Attack>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let some = options.agents > 0 && options.every > 0 && options.rate > 0 && options.rounds > 0;
    ensure!(some, "nobody would do anything");
    let program = programs::gateway()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(options, program))?;
    Ok(ExitCode::SUCCESS)
}

/// What all sides know.
#[derive(Clone)]
struct Scene {
    proxy: SocketAddr,
    hellos: Arc<Hellos>,
}

async fn measure(options: &Options, program: PathBuf) -> anyhow::Result<()> {
    println!("{}; load {}", machine::describe(), machine::load());
    let hellos = Arc::new(hellos(&Pki::new(), HOST));
    let origin = origin::start(Arc::clone(&hellos))?;
    let names: Vec<String> = (0..options.agents).map(user).chain(attackers::insiders()).collect();
    let hash = hash(&program)?;
    let users: String = names.iter().map(|name| format!("{name}:{hash}\n")).collect();
    let config = Config::new(CONFIG).hosts(&[HOST], origin).file("agents.users", &users);
    let gateway = Gateway::start_copy(&program, &config).await;
    let eyes = Eyes::of(&gateway);
    let scene = Scene { proxy: gateway.proxy(), hellos };
    let agents = Agents::start(&scene, options.agents, Duration::from_secs(options.every))?;
    known(&agents, options).await?;

    println!(
        "{} agents, an upload each every {} s; {} s calm and {} s attacked, {} times\n",
        options.agents, options.every, options.seconds, options.seconds, options.rounds
    );
    println!(
        "| attack | tried | answered | uploads | failed | p50 | p99 | calm p99 | to calm | of a core | memory | stolen |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let attacks = if options.attacks.is_empty() { Attack::value_variants() } else { &options.attacks };
    for attack in attacks {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            let calm = phase(options, &gateway, &eyes, &agents, None, &scene).await?;
            let attacked = phase(options, &gateway, &eyes, &agents, Some(*attack), &scene).await?;
            rounds.push(Round { calm, attacked });
            settled(&eyes).await?;
        }
        println!("{}", row(attack.name(), &rounds));
    }
    ensure!(agents.is_well(), "the agents' thread ended");
    Ok(())
}

/// Returns [`benches::PASSWORD`] as the program hashes it: what a wrong one costs is part of the attack.
fn hash(program: &Path) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("users");
    let mut command = Command::new(program);
    command.args(["users", "add", "one", "--file"]).arg(&file).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn()?;
    child.stdin.take().context("a pipe")?.write_all(format!("{}\n", benches::PASSWORD).as_bytes())?;
    ensure!(child.wait()?.success(), "the program adds no user");
    let text = fs::read_to_string(&file)?;
    let line = text.lines().find_map(|line| line.strip_prefix("one:"));
    Ok(line.context("a line of the users file")?.to_owned())
}

/// Waits until the gateway has found every agent's password right once, and answers all in time.
async fn known(agents: &Agents, options: &Options) -> anyhow::Result<()> {
    let until = Instant::now() + FIRST_LOGINS;
    loop {
        agents.forget();
        tokio::time::sleep(Duration::from_secs(options.every)).await;
        let uploads = agents.take();
        if uploads.len() * 10 >= options.agents * 9 && uploads.iter().all(Option::is_some) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "the agents' uploads fail without any attack, too");
    }
}

/// What one phase gave.
struct Figures {
    tried: u64,
    answered: String,
    uploads: usize,
    failed: usize,
    p50: Duration,
    p99: Duration,
    core: f64,
    peak: u64,
    /// The part of the machine's time that the host gave to others.
    stolen: f64,
}

/// A calm moment and an attack right after it.
struct Round {
    calm: Figures,
    attacked: Figures,
}

/// Returns the line of an attack: sums, medians of the rounds, and the quotients' range.
fn row(name: &str, rounds: &[Round]) -> String {
    let sum = |of: &dyn Fn(&Figures) -> u64| rounds.iter().map(|round| of(&round.attacked)).sum::<u64>();
    let middle = |of: &dyn Fn(&Round) -> f64| {
        let mut figures: Vec<f64> = rounds.iter().map(of).collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or_default();
        (at(figures.len() / 2), at(0), at(figures.len().saturating_sub(1)))
    };
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let quotient = |round: &Round| milliseconds(round.attacked.p99) / milliseconds(round.calm.p99).max(1e-3);
    let (ratio, least, most) = middle(&quotient);
    let stolen = middle(&|round| round.attacked.stolen.max(round.calm.stolen)).2;
    format!(
        "| {name} | {} | {} | {} | {} | {:.1} ms | {:.1} ms | {:.1} ms | {ratio:.2} ({least:.2}–{most:.2}) | {:.0} % | {:.0} MiB | {:.0} % |",
        sum(&|figures| figures.tried),
        rounds.last().map_or("-", |round| &round.attacked.answered),
        sum(&|figures| figures.uploads as u64),
        sum(&|figures| figures.failed as u64),
        middle(&|round| milliseconds(round.attacked.p50)).0,
        middle(&|round| milliseconds(round.attacked.p99)).0,
        middle(&|round| milliseconds(round.calm.p99)).0,
        middle(&|round| round.attacked.core * 100.0).0,
        middle(&|round| mebibytes(round.attacked.peak)).2,
        stolen * 100.0,
    )
}

/// Attacks, if it is to, and measures the agents' uploads meanwhile.
async fn phase(
    options: &Options,
    gateway: &Gateway,
    eyes: &Eyes,
    agents: &Agents,
    attack: Option<Attack>,
    scene: &Scene,
) -> anyhow::Result<Figures> {
    let end = CancellationToken::new();
    let before = eyes.refusals().await;
    forget_peak(gateway.pid());
    let pressure = Pressure { rate: options.rate, held: options.held };
    let attacker = attack.map(|attack| {
        let (scene, end) = (scene.clone(), end.clone());
        thread::spawn(move || attackers::run(attack, &scene, pressure, &end))
    });
    tokio::time::sleep(RAMP).await;
    let (began, used, ticks) = (Instant::now(), Processor::of(gateway.pid()), Ticks::now());
    agents.forget();
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let uploads = agents.take();
    let used = Processor::of(gateway.pid()).since(used).total.as_secs_f64();
    let core = used / began.elapsed().as_secs_f64();
    let stolen = Ticks::now().stolen_since(ticks);
    end.cancel();
    let tried = match attacker {
        Some(attacker) => attacker.join().ok().context("the attacker broke off")??,
        None => 0,
    };
    ensure!(!uploads.is_empty(), "no agent uploaded anything");
    let failed = uploads.iter().filter(|upload| upload.is_none()).count();
    let mut times: Vec<Duration> = uploads.iter().flatten().copied().collect();
    times.sort_unstable();
    Ok(Figures {
        tried,
        answered: said(&before, &eyes.refusals().await),
        uploads: uploads.len(),
        failed,
        p50: quantile(&times, 50),
        p99: quantile(&times, 99),
        core,
        peak: Memory::of(gateway.pid()).peak,
        stolen,
    })
}

/// Returns the reasons of refusals between two looks, the most frequent three.
fn said(before: &[(String, u64)], after: &[(String, u64)]) -> String {
    let known =
        |reason: &str| before.iter().find(|(known, _)| known == reason).map_or(0, |(_, count)| *count);
    let mut grown: Vec<(&str, u64)> =
        after.iter().map(|(reason, count)| (reason.as_str(), count.saturating_sub(known(reason)))).collect();
    grown.retain(|(_, count)| *count > 0);
    grown.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words: Vec<String> =
        grown.iter().take(3).map(|(reason, count)| format!("{reason} {count}")).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// Waits until no tunnel of an attack is left.
async fn settled(eyes: &Eyes) -> anyhow::Result<()> {
    const FEW: u64 = 200;
    let until = Instant::now() + SETTLE;
    while eyes.connections().await > FEW {
        ensure!(Instant::now() < until, "connections of an attack are still there after {SETTLE:?}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_is_of_the_nearest_rank() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 50), Duration::from_millis(100));
        assert_eq!(quantile(&times, 99), Duration::from_millis(198));
        assert_eq!(quantile(&[Duration::from_millis(1)], 99), Duration::from_millis(1));
        assert_eq!(quantile(&[], 99), Duration::ZERO);
    }

    #[test]
    fn a_row_has_sums_medians_and_the_range_of_quotients() {
        let figures = |p99, stolen| Figures {
            tried: 10,
            answered: "-".to_owned(),
            uploads: 100,
            failed: 1,
            p50: Duration::from_millis(1),
            p99: Duration::from_millis(p99),
            core: 0.5,
            peak: 1 << 20,
            stolen,
        };
        let rounds = [(2, 4), (1, 1), (2, 10)];
        let rounds = rounds
            .map(|(calm, attacked)| Round { calm: figures(calm, 0.02), attacked: figures(attacked, 0.01) });
        assert_eq!(
            row("resets", &rounds),
            "| resets | 30 | - | 300 | 3 | 1.0 ms | 4.0 ms | 2.0 ms | 2.00 (1.00–5.00) | 50 % | 1 MiB | 2 % |"
        );
    }

    #[test]
    fn what_refusals_grew_by_is_said_most_frequent_first() {
        let count = |reason: &str, count| (reason.to_owned(), count);
        let before = [count("host_denied", 4), count("rate_limited", 1)];
        let after = [count("host_denied", 5), count("rate_limited", 1), count("failed_logins", 30)];
        assert_eq!(said(&before, &after), "failed_logins 30, host_denied 1");
        assert_eq!(said(&after, &after), "-");
    }
}
