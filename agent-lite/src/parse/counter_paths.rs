//! The counters of Windows by their English names: from the words of the configuration to the paths that PDH takes.
//!
//! ```text
//! \Processor(_Total)\% Processor Time     object, instance, counter
//! \LogicalDisk(*)\% Free Space            every instance
//! \Memory\Available MBytes                an object without instances
//! ```

use crate::parse::proc::catalogue::matches;

/// What is sampled where nothing is configured: object, counters, and every how many seconds.
pub const USUAL: [(&str, &[&str], u64); 5] = [
    ("Processor", &["% Processor Time", "% Privileged Time", "% User Time"], 30),
    ("Memory", &["Available MBytes", "% Committed Bytes In Use", "Pages/sec"], 30),
    ("System", &["Processor Queue Length", "System Up Time"], 30),
    (
        "LogicalDisk",
        &[
            "% Free Space",
            "Free Megabytes",
            "Avg. Disk sec/Read",
            "Avg. Disk sec/Write",
            "Disk Reads/sec",
            "Disk Writes/sec",
            "Disk Bytes/sec",
        ],
        300,
    ),
    ("PhysicalDisk", &["Avg. Disk sec/Transfer", "Current Disk Queue Length", "Disk Bytes/sec"], 300),
];

/// Objects that have no instances.
const WITHOUT_INSTANCES: [&str; 16] = [
    "Memory",
    "System",
    "Cache",
    "Objects",
    "Server",
    "Redirector",
    "Browser",
    "TCPv4",
    "TCPv6",
    "UDPv4",
    "UDPv6",
    "IPv4",
    "IPv6",
    "ICMP",
    "ICMPv6",
    "Terminal Services",
];
/// Longest name, in bytes.
const LONGEST: usize = 256;

/// A path, and what its values are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterPath {
    /// What PDH takes.
    pub path: String,
    /// The counter's name.
    pub counter: String,
    /// Of what it is.
    pub instances: Instances,
}

/// Which instances a path has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instances {
    /// None: the object is one thing.
    None,
    /// One of this name.
    One(String),
    /// All; wanted are those of these names and patterns, or all.
    Many(Vec<String>),
}

/// A name that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongName {
    /// Of an object.
    #[error("`{0}` is no name of a performance object: write its English name, as in `Processor`")]
    Object(String),
    /// Of a counter.
    #[error(
        "`{0}` is no name of a counter: write English names, as in `% Processor Time`; only instances may have `*`"
    )]
    Counter(String),
    /// Of an instance.
    #[error("`{0}` is no name of an instance: write it as in `_Total`, or with `*`")]
    Instance(String),
    /// Nothing at all.
    #[error("which `counters`? Write their English names, as in `counters = [\"% Processor Time\"]`")]
    NoCounters,
}

impl Instances {
    /// Returns whether an instance is wanted. Upper and lower case are the same to Windows.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::None => true,
            Self::One(one) => one.eq_ignore_ascii_case(name),
            Self::Many(patterns) => {
                let name = name.to_lowercase();
                patterns.is_empty() || patterns.iter().any(|pattern| matches(&pattern.to_lowercase(), &name))
            }
        }
    }
}

/// Says what is wrong with names.
pub fn check(object: &str, counters: &[String], instances: &[String]) -> Result<(), WrongName> {
    let bad = |name: &str| name.is_empty() || name.len() > LONGEST || name.contains(['\\', '\0', '\n', '\r']);
    if bad(object) || object.contains(['*', '(', ')']) {
        return Err(WrongName::Object(object.to_owned()));
    }
    // What stands there when nothing was written.
    if counters.is_empty() || *counters == ["*"] {
        return Err(WrongName::NoCounters);
    }
    if let Some(counter) = counters.iter().find(|name| bad(name) || name.contains('*')) {
        return Err(WrongName::Counter(counter.clone()));
    }
    match instances.iter().find(|name| bad(name)) {
        Some(instance) => Err(WrongName::Instance(instance.clone())),
        None => Ok(()),
    }
}

/// Returns the paths of some counters. No instances are all, where the object has any.
pub fn paths(object: &str, counters: &[String], instances: &[String]) -> Result<Vec<CounterPath>, WrongName> {
    check(object, counters, instances)?;
    let single = WITHOUT_INSTANCES.iter().any(|known| known.eq_ignore_ascii_case(object));
    let wild = instances.is_empty() || instances.iter().any(|name| name.contains('*'));
    let wanted: Vec<Instances> = match (single, wild) {
        (true, _) => vec![Instances::None],
        (false, true) => vec![Instances::Many(instances.to_vec())],
        (false, false) => instances.iter().cloned().map(Instances::One).collect(),
    };
    let path = |counter: &String, instances: &Instances| {
        let path = match instances {
            Instances::None => format!("\\{object}\\{counter}"),
            Instances::One(name) => format!("\\{object}({name})\\{counter}"),
            Instances::Many(_) => format!("\\{object}(*)\\{counter}"),
        };
        CounterPath { path, counter: counter.clone(), instances: instances.clone() }
    };
    Ok(counters.iter().flat_map(|counter| wanted.iter().map(move |which| path(counter, which))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_become_the_paths_that_pdh_takes() {
        type Words<'a> = &'a [&'a str];
        let cases: [(&str, Words<'_>, Words<'_>, Words<'_>); 5] = [
            ("Processor", &["% Processor Time"], &["_Total"], &[r"\Processor(_Total)\% Processor Time"]),
            ("LogicalDisk", &["% Free Space"], &[], &[r"\LogicalDisk(*)\% Free Space"]),
            ("memory", &["Available MBytes"], &["*"], &[r"\memory\Available MBytes"]),
            ("Process", &["Thread Count"], &["w3wp*", "sqlservr"], &[r"\Process(*)\Thread Count"]),
            (
                "LogicalDisk",
                &["Disk Reads/sec", "Disk Writes/sec"],
                &["C:", "D:"],
                &[
                    r"\LogicalDisk(C:)\Disk Reads/sec",
                    r"\LogicalDisk(D:)\Disk Reads/sec",
                    r"\LogicalDisk(C:)\Disk Writes/sec",
                    r"\LogicalDisk(D:)\Disk Writes/sec",
                ],
            ),
        ];
        for (object, counters, instances, expected) in cases {
            let found = paths(object, &names(counters), &names(instances)).unwrap();
            assert_eq!(found.into_iter().map(|path| path.path).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_name_that_cannot_be_one_is_refused_with_what_to_write() {
        type Words<'a> = &'a [&'a str];
        let cases: [(&str, Words<'_>, Words<'_>, &str); 6] = [
            ("", &["a"], &[], "object"),
            ("Processor(*)", &["a"], &[], "object"),
            ("Processor", &["*"], &[], "which `counters`?"),
            ("Processor", &["%*"], &[], "only instances may have `*`"),
            ("Processor", &[r"a\b"], &[], "counter"),
            ("Processor", &["a"], &[""], "instance"),
        ];
        for (object, counters, instances, expected) in cases {
            let error = check(object, &names(counters), &names(instances)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for (object, counters, _) in USUAL {
            check(object, &names(counters), &[]).unwrap();
        }
    }

    #[test]
    fn instances_are_chosen_by_name_and_pattern_in_any_case() {
        let many = Instances::Many(names(&["W3WP*", "sqlservr"]));
        assert!(many.has("w3wp#1") && many.has("SQLSERVR") && !many.has("sqlservr#1"));
        assert!(Instances::Many(Vec::new()).has("anything") && Instances::None.has(""));
    }
}
