//! Imports run down the floor plan only, and policy and parsers do nothing. With the standard library only.
//!
//! Whoever adds a module puts it on a floor below. Whoever needs an import up or sideways moves what both
//! need to a floor below both, or hands it over as an argument.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "floor_plan/can_fail.rs"]
mod can_fail;
#[path = "floor_plan/source_text.rs"]
mod source_text;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use source_text::paths;
use source_text::tokens;
use source_text::without_tests;

/// The floors from the top down. Modules of one floor do not know each other.
const FLOORS: [&[&str]; 8] = [
    &["cli"],
    &["gateway"],
    &["connection", "admin"],
    &["connect"],
    &["listen", "dial", "tunnel", "answer", "sandbox"],
    &["config", "observe", "stream"],
    &["policy", "parse"],
    &["refusal", "ending", "events", "crypto"],
];

/// The imports within a floor: from, to, and why. Each is of one direction, and needed.
const SIDEWAYS: [(&str, &str, &str); 3] = [
    ("ending", "refusal", "both halves of the operator's table share level and fault"),
    ("ending", "events", "a row names its event"),
    ("refusal", "events", "a row names its event"),
];

/// The modules that decide and do nothing.
const PURE: [&str; 2] = ["policy", "parse"];

/// What stands in no pure module: a runtime, a socket, a file, a clock. `*` ends a beginning of a word.
const IMPURE: [&str; 18] = [
    "async",
    "await",
    "tokio",
    "hyper",
    "hyper_util",
    "socket2",
    "Tcp*",
    "Udp*",
    "Unix*",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "elapsed",
    "SystemTime",
    "governor::clock",
];

/// What may stand there all the same: file, word, and why.
const EXCEPTIONS: [(&str, &str, &str); 1] = [(
    "policy/limits.rs",
    "governor::clock",
    "governor's limiters read their own clock; the times in refusals must come from the same one",
)];

/// Most lines of a source file.
const LONGEST_FILE: usize = 400;

#[test]
fn imports_run_down_only() {
    let wrong: Vec<String> = imports().iter().filter_map(|import| judge(import).err()).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_sideways_import_that_is_let_pass_is_there_and_has_no_way_back() {
    let imports = imports();
    for (from, to, why) in SIDEWAYS {
        assert!(
            imports.iter().any(|i| i.from == from && i.to == to),
            "no longer needed: {from} -> {to} ({why})"
        );
        assert!(!SIDEWAYS.iter().any(|back| (back.0, back.1) == (to, from)), "a circle: {from} and {to}");
    }
}

#[test]
fn every_module_is_on_a_floor_and_every_floor_is_there() {
    let found: BTreeSet<String> =
        sources().iter().filter_map(|source| source.module.first().cloned()).collect();
    let planned: BTreeSet<String> = FLOORS.iter().copied().flatten().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, planned);
    assert_eq!(planned.len(), FLOORS.iter().map(|floor| floor.len()).sum::<usize>(), "a module stands twice");
}

#[test]
fn policy_and_parsers_do_nothing() {
    let sources = sources();
    let mut for_tests: Vec<Vec<String>> = Vec::new();
    for source in &sources {
        for name in without_tests(&tokens(&source.text)).1 {
            for_tests.push([&source.module[..], &[name]].concat());
        }
    }
    let mut excused: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for source in sources.iter().filter(|source| PURE.iter().any(|pure| source.is_in(pure))) {
        if for_tests.iter().any(|module| source.module.starts_with(module)) {
            continue;
        }
        for (word, line) in impurities(&source.text) {
            let exception = EXCEPTIONS.iter().find(|(file, what, _)| *file == source.file && *what == word);
            assert!(exception.is_some(), "{}:{line}: `{word}` in a module that does nothing", source.file);
            excused.extend(exception);
        }
    }
    assert_eq!(excused.len(), EXCEPTIONS.len(), "an exception is no longer needed");
}

#[test]
fn no_source_file_is_longer_than_four_hundred_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for member in ["gateway", "common", "tests", "benches"] {
        collect(&root.join(member), &mut found);
    }
    assert!(found.len() > 50, "only {found:?}");
    let long: Vec<_> = found.iter().filter(|file| is_long(&fs::read_to_string(file).unwrap())).collect();
    assert!(long.is_empty(), "split {long:#?}");
}

/// A source file of the gateway.
struct Source {
    /// Its path below `src`.
    file: String,
    /// Its module, from the crate's root.
    module: Vec<String>,
    text: String,
}

impl Source {
    fn is_in(&self, module: &str) -> bool {
        self.module.first().is_some_and(|first| first == module)
    }
}

/// One use of a top-level module in another.
#[derive(Debug, PartialEq)]
struct Import {
    from: String,
    to: String,
    place: String,
}

fn judge(import: &Import) -> Result<(), String> {
    let Import { from, to, place } = import;
    let floor = |name: &str| FLOORS.iter().position(|floor| floor.contains(&name));
    let found = |what: &str| Err(format!("{place}: `{from}` uses `{to}`, which {what}"));
    match (floor(from), floor(to)) {
        (None, _) => Err(format!("{place}: `{from}` is on no floor")),
        (_, None) => found("is on no floor"),
        (Some(from), Some(to)) if from > to => found("is on a floor above"),
        (from, to) if from == to && !SIDEWAYS.iter().any(|s| s.0 == import.from && s.1 == import.to) => {
            found("is on the same floor")
        }
        _ => Ok(()),
    }
}

fn imports() -> Vec<Import> {
    sources().iter().flat_map(|source| imports_of(&source.file, &source.module, &source.text)).collect()
}

/// Returns the other top-level modules that a file names, by `crate::`, `la_gateway::`, `self::` or `super::`.
fn imports_of(file: &str, module: &[String], text: &str) -> Vec<Import> {
    let Some(from) = module.first() else { return Vec::new() };
    let tokens = tokens(text);
    let mut imports = Vec::new();
    for path in paths(&tokens) {
        let mut scope = [module, &path.scope].concat();
        let target = match path.segments[0].as_str() {
            "crate" | "la_gateway" => path.segments.get(1).cloned(),
            "self" | "super" => {
                let ups = path.segments.iter().filter(|segment| *segment == "super").count();
                scope.truncate(scope.len().saturating_sub(ups));
                scope.extend(path.segments.iter().filter(|s| *s != "super" && *s != "self").cloned());
                scope.first().cloned()
            }
            _ => None,
        };
        if let Some(to) = target.filter(|to| to != from) {
            imports.push(Import { from: from.clone(), to, place: format!("{file}:{}", path.line) });
        }
    }
    imports
}

/// Returns what a pure file mentions outside its tests and must not.
fn impurities(text: &str) -> Vec<(&'static str, usize)> {
    let (tokens, _) = without_tests(&tokens(text));
    let mut found = Vec::new();
    for path in paths(&tokens) {
        found.extend(
            IMPURE.into_iter().filter(|word| mentions(&path.segments, word)).map(|word| (word, path.line)),
        );
    }
    found
}

fn mentions(path: &[String], word: &str) -> bool {
    let wanted: Vec<&str> = word.split("::").collect();
    path.windows(wanted.len()).any(|window| {
        window.iter().zip(&wanted).all(|(segment, wanted)| match wanted.strip_suffix('*') {
            Some(beginning) => segment.starts_with(beginning),
            None => segment == wanted,
        })
    })
}

fn is_long(text: &str) -> bool {
    text.lines().count() > LONGEST_FILE
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let file = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
        let module = stem.split('/').filter(|part| !matches!(*part, "lib" | "main")).map(str::to_owned);
        Source { module: module.collect(), file, text }
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
