//! The sample configurations in `deploy/config` can be run, and `gateway.toml` is the whole reference.
//!
//! In the reference `# text` is a comment, and `#key = value`, without a space, is a key that is left
//! out: it can be put in by taking the `#` away.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use la_gateway::config;
use la_gateway::config::Config;

/// A key that no table has.
const UNKNOWN: &str = "no_such_key";

#[test]
fn every_sample_can_be_run() {
    let samples = samples();
    assert!(samples.len() >= 3, "{samples:?}");
    for sample in samples {
        let config = load(&sample);
        for file in
            config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| tls.files())
        {
            assert!(file.exists(), "{} names {}, which is not there", sample.display(), file.display());
        }
    }
}

#[test]
fn the_sample_for_windows_can_be_run() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/windows/gateway.toml");
    assert!(!load(&sample).listeners.is_empty());
}

#[test]
fn every_value_of_the_reference_is_the_default() {
    let built_in = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/default.toml"));
    let written = load(&reference());
    // Taken apart, so that a new field must be looked at here.
    let Config {
        listeners,
        admin,
        control,
        dns,
        relay,
        allow,
        tunnel,
        limits,
        surge,
        readiness,
        canaries: _,
        connections,
        head_timeout,
        sandbox,
        reload,
        log,
        fleet,
        roles: _,
        file: _,
    } = &written;
    same("listener", listeners, &built_in.listeners);
    same("admin", admin, &built_in.admin);
    same("control", control, &built_in.control);
    same("dns", dns, &built_in.dns);
    same("relay", relay, &built_in.relay);
    same("addresses", allow, &built_in.allow);
    same("tunnel", tunnel, &built_in.tunnel);
    same("limits", limits, &built_in.limits);
    same("limits", surge, &built_in.surge);
    same("readiness", readiness, &built_in.readiness);
    same("limits", connections, &built_in.connections);
    same("limits", head_timeout, &built_in.head_timeout);
    same("sandbox", sandbox, &built_in.sandbox);
    same("reload", reload, &built_in.reload);
    same("log", log, &built_in.log);
    same("fleet", fleet, &built_in.fleet);
    same("role and passwords", &roles(&written), &roles(&built_in));
}

#[test]
fn the_reference_mentions_every_key_there_is() {
    let text = fs::read_to_string(reference()).expect("the reference can be read");
    let mentioned = mentioned(&text);
    let mut missing = Vec::new();
    for table in known(&format!("{UNKNOWN} = 1\n")).expect("the tables are told") {
        let headers = [format!("[{table}]"), format!("[[{table}]]"), format!("[{table}.sample]")];
        let found = headers.iter().find_map(|header| {
            known(&format!("{header}\n{UNKNOWN} = 1\n")).map(|keys| (header.as_str(), keys))
        });
        let (header, keys) =
            found.unwrap_or_else(|| panic!("`{table}` is no kind of table that is known here"));
        for key in keys {
            let Some(line) = mentioned.get(&(table.clone(), key.clone())) else {
                missing.push(format!("[{table}] {key}"));
                continue;
            };
            let inner = known(&format!("{header}\n{key} = {{ {UNKNOWN} = 1 }}\n")).unwrap_or_default();
            let absent = inner.iter().filter(|inner| !line.contains(&format!("{inner} =")));
            missing.extend(absent.map(|inner| format!("[{table}] {key} = {{ {inner} }}")));
        }
    }
    assert!(missing.is_empty(), "deploy/config/gateway.toml does not mention {missing:#?}");
}

#[test]
fn every_key_that_the_reference_leaves_out_can_be_put_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(reference()).expect("the reference can be read");
    let whole: String = text.lines().map(|line| format!("{}\n", left_out(line).unwrap_or(line))).collect();
    for users in ["agents.users", "admin.users"] {
        fs::write(folder.path().join(users), "").expect("written");
    }
    let file = folder.path().join("gateway.toml");
    fs::write(&file, whole).expect("written");
    load(&file);
}

fn samples_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config")
}

fn reference() -> PathBuf {
    samples_folder().join("gateway.toml")
}

fn samples() -> Vec<PathBuf> {
    let files = fs::read_dir(samples_folder()).expect("deploy/config can be read");
    let files = files.map(|file| file.expect("deploy/config can be read").path());
    files.filter(|file| file.extension().is_some_and(|end| end == "toml")).collect()
}

fn load(file: &Path) -> Config {
    config::load(Some(file)).unwrap_or_else(|problems| panic!("{problems}"))
}

fn same<T: PartialEq + Debug>(table: &str, written: &T, built_in: &T) {
    assert_eq!(
        written, built_in,
        "deploy/config/gateway.toml, [{table}]: left what is written, right the default"
    );
}

/// What there is to see of the roles, and of `[passwords]`, which stands beside them.
fn roles(config: &Config) -> Vec<String> {
    let mut seen = Vec::new();
    for summary in &config.roles.all {
        let (role, from, cloud) = (&summary.role, &summary.anonymous_from, summary.cloud);
        let (users, bundles, rules) = (summary.users, &summary.bundles, role.destinations.rules());
        seen.push(format!("{} {} {from:?} {users} {cloud} {bundles:?} {rules}", role.name, role.tunnels));
    }
    let debug = format!("{:?}", config.roles);
    let (_, percent_encoded) = debug.rsplit_once("percent_encoded: ").expect("roles hold the password rule");
    seen.push(percent_encoded.to_owned());
    seen
}

/// Returns the keys that the table of an unknown key has, as the program's own message lists them.
fn known(text: &str) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sample.toml");
    fs::write(&file, text).expect("written");
    let problems = config::load(Some(&file)).expect_err("has an unknown key");
    let begin = format!("unknown field `{UNKNOWN}`, expected ");
    let list = problems.0.iter().find_map(|problem| problem.text.strip_prefix(&begin))?;
    Some(list.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Returns the line of each key by its table, left out or not.
fn mentioned(text: &str) -> BTreeMap<(String, String), String> {
    let mut table = String::new();
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']).split('.').next().unwrap_or_default().to_owned();
        } else if let Some((key, _)) = left_out(line).unwrap_or(line).split_once(" = ") {
            lines.insert((table.clone(), key.to_owned()), line.to_owned());
        }
    }
    lines
}

/// Returns the key and value of a line that leaves them out.
fn left_out(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|begin: char| begin.is_ascii_lowercase()))
}
