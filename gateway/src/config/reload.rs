//! What a reload does, and what must hold of every configuration.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use common::document::List;
use common::document::Problem;
use common::document::Source;
use common::document::decode;
use serde::Deserialize;

use super::file;
use super::read_file;
use super::roles::Roles;
use crate::policy::accounts::Role;
use crate::policy::addresses::Addresses;
use crate::policy::expectations::Candidate;
use crate::policy::expectations::Expectation;
use crate::policy::expectations::Verdict;
use crate::policy::names::DnsSettings;
use crate::policy::passwords::Verified;
use crate::policy::relays::RelaySettings;

/// Most lines of `must_allow`, and of `must_deny`.
const MOST_EXPECTATIONS: usize = 1000;

/// What a reload does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Whether files that change are taken without being asked for.
    pub watch: bool,
    /// Which open tunnels a reload ends.
    pub end_tunnels: EndTunnels,
}

/// Which open tunnels a reload ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndTunnels {
    /// None: what was allowed goes on to its end.
    Never,
    /// Those that would be refused now.
    Denied,
}

/// What the expectations are held against.
pub(super) struct Whole<'a> {
    pub(super) roles: &'a Roles,
    pub(super) addresses: Addresses,
    pub(super) dns: &'a DnsSettings,
    pub(super) relay: &'a RelaySettings,
}

pub(super) fn read(
    written: &file::Reload,
    whole: &Whole<'_>,
    source: Source<'_>,
    problems: &mut Vec<Problem>,
) -> Reload {
    // What could not be read was taken out, and is no policy to judge.
    if problems.is_empty() {
        let roles: Vec<Arc<Role>> = whole.roles.all.iter().map(|all| Arc::clone(&all.role)).collect();
        let candidate = Candidate {
            roles: &roles,
            accounts: &whole.roles.accounts(Arc::new(Verified::new([0; 32]))),
            addresses: &whole.addresses,
            dns: whole.dns,
            relay: whole.relay,
        };
        let lists = [
            (&written.must_allow, "must_allow", Verdict::Allowed),
            (&written.must_deny, "must_deny", Verdict::Denied),
        ];
        for (list, key, verdict) in lists {
            check(list, key, verdict, &candidate, source, problems);
        }
    }
    Reload { watch: written.watch, end_tunnels: written.end_tunnels }
}

fn check(
    list: &List<Expectation>,
    key: &str,
    verdict: Verdict,
    candidate: &Candidate<'_>,
    source: Source<'_>,
    problems: &mut Vec<Problem>,
) {
    if let Some(beyond) = list.0.get(MOST_EXPECTATIONS) {
        let text = format!("`{key}` has more than {MOST_EXPECTATIONS} lines; take some out");
        problems.push(source.problem(beyond.span(), text));
    }
    for expected in list.0.iter().take(MOST_EXPECTATIONS) {
        if let Some(difference) = candidate.difference(expected.get_ref(), verdict) {
            problems.push(source.problem(expected.span(), format!("{key}: {difference}")));
        }
    }
}

/// The files of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The configuration itself, the users files, and the authorities of relays.
    pub read: Vec<PathBuf>,
    /// The files of TLS identities, which are taken anew by themselves.
    pub tls: Vec<PathBuf>,
}

impl Files {
    /// Finds the configuration file and every file it names, as far as it can be read: a change of any of
    /// them may make a wrong configuration right.
    pub fn of(file: &Path) -> Self {
        let mut files = Self { read: vec![file.to_owned()], tls: Vec::new() };
        let Ok(text) = read_file(file) else { return files };
        let (written, _) = decode::<file::File>(Source { file, text: &text });
        let folder = file.parent().unwrap_or(Path::new(""));
        let users = written.role.values().filter_map(|role| role.get_ref().users_file.as_ref());
        files.read.extend(users.map(|file| folder.join(file.get_ref())));
        files
            .read
            .extend(written.relay.and_then(|relay| relay.into_inner().ca).map(|file| folder.join(file)));
        let admin = written.admin.as_ref().map(toml::Spanned::get_ref);
        let admin_users = admin.and_then(|admin| admin.users_file.as_ref());
        files.read.extend(admin_users.map(|file| folder.join(file.get_ref())));
        let admin_tls = admin.and_then(|admin| admin.tls.as_ref());
        let tls = written.listener.iter().filter_map(|listener| listener.get_ref().tls.as_ref());
        for tls in tls.chain(admin_tls) {
            let tls = tls.get_ref();
            let named =
                [Some(&tls.certificate), Some(&tls.key), tls.client_ca.as_ref(), tls.client_crl.as_ref()];
            files.tls.extend(named.into_iter().flatten().map(|file| folder.join(file)));
        }
        files
    }

    /// Returns all of them.
    pub fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.read.iter().chain(&self.tls)
    }
}
