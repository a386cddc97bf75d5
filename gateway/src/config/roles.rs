//! Roles: who belongs to them and where they may go.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use common::document::Lines;
use common::document::Parsed;
use common::document::Problem;
use common::document::Source;
use ipnet::IpNet;
use toml::Spanned;

use super::file;
use super::read_file;
use super::users;
use super::values::Net;
use crate::policy::accounts::Account;
use crate::policy::accounts::Accounts;
use crate::policy::accounts::PercentEncoded;
use crate::policy::accounts::Role;
use crate::policy::class::Class;
use crate::policy::destinations::Destinations;
use crate::policy::destinations::Mode;
use crate::policy::destinations::Origin;
use crate::policy::destinations::Pins;
use crate::policy::destinations::Rule;
use crate::policy::passwords::Verified;
use crate::policy::pattern::Pattern;

/// The roles of a configuration, with their users and networks.
#[derive(Debug)]
pub struct Roles {
    /// Each role, in the order of its name.
    pub all: Vec<RoleSummary>,
    /// The users files that were read.
    pub users_files: Vec<PathBuf>,
    users: Vec<Account>,
    networks: Vec<(IpNet, Arc<Role>)>,
    certificates: HashMap<Arc<str>, Arc<Role>>,
    percent_encoded: PercentEncoded,
}

/// A role and who belongs to it, for the line printed at start.
#[derive(Debug)]
pub struct RoleSummary {
    /// The role.
    pub role: Arc<Role>,
    /// Networks whose clients need no password.
    pub anonymous_from: Vec<IpNet>,
    /// Number of users.
    pub users: usize,
    /// The file they stand in.
    pub users_file: Option<PathBuf>,
    /// Number of certificate names.
    pub certificates: usize,
    /// Names of its bundles.
    pub bundles: Vec<&'static str>,
    /// The cloud of its bundles.
    pub cloud: common::cloud::Cloud,
}

impl RoleSummary {
    /// Says what becomes of its other destinations.
    pub fn mode(&self) -> Mode {
        self.role.destinations.mode()
    }
}

impl Roles {
    /// Returns the roles in report mode.
    pub fn reporting(&self) -> impl Iterator<Item = &RoleSummary> {
        self.all.iter().filter(|summary| summary.mode() == Mode::Report)
    }

    /// Returns the names of all roles.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|summary| &*summary.role.name)
    }

    /// Gathers the accounts of all roles.
    pub fn accounts(&self, verified: Arc<Verified>) -> Accounts {
        Accounts::new(
            self.users.clone(),
            self.networks.clone(),
            self.certificates.clone(),
            self.percent_encoded,
            verified,
        )
    }
}

pub(super) fn read(
    written: &BTreeMap<String, Spanned<file::Role>>,
    percent_encoded: PercentEncoded,
    source: Source<'_>,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> Roles {
    if written.is_empty() && problems.is_empty() {
        let text =
            "there is no role, so nobody could connect; add one, as in `[role.agents]` with `anonymous_from`";
        problems.push(source.problem_of_file(text));
    }
    let mut roles = Roles {
        all: Vec::new(),
        users_files: Vec::new(),
        users: Vec::new(),
        networks: Vec::new(),
        certificates: HashMap::new(),
        percent_encoded,
    };
    let (mut places, lines) = (Places::default(), source.lines());
    // What could not be read was taken out; a role is empty only if it was written so.
    let readable = problems.is_empty();
    for (name, spanned) in written {
        let written = spanned.get_ref();
        if readable
            && written.anonymous_from.0.is_empty()
            && written.users_file.is_none()
            && written.certificates.is_empty()
        {
            let text = format!(
                "role `{name}` admits nobody; give it `anonymous_from`, `users_file` or `certificates`"
            );
            problems.push(source.problem(spanned.span(), text));
        }
        // In report mode there may be nothing yet: what is seen becomes its rules.
        let nowhere = written.bundles.0.is_empty() && written.hosts.0.is_empty();
        if readable && nowhere && written.mode == Mode::Enforce {
            let text = format!("role `{name}` may go nowhere; give it `bundles` or `hosts`");
            problems.push(source.problem(spanned.span(), text));
        }
        let role = Arc::new(Role {
            name: name.as_str().into(),
            destinations: destinations(written, source, &lines, problems),
            tunnels: written.tunnels.map_or(u32::MAX, NonZeroU32::get),
        });
        for net in &written.anonymous_from.0 {
            places.claim_network(net, name, source, problems);
            roles.networks.push((net.get_ref().0.trunc(), Arc::clone(&role)));
        }
        for certificate in &written.certificates {
            if let Some(first) =
                roles.certificates.insert(certificate.get_ref().as_str().into(), Arc::clone(&role))
            {
                let text = format!("this certificate belongs to role `{}` already; remove one", first.name);
                problems.push(source.problem(certificate.span(), text));
            }
        }
        let users = written.users_file.as_ref().map(|file| read_users(file, folder, source, problems));
        let users = users.unwrap_or_default();
        roles.users_files.extend(written.users_file.as_ref().map(|file| folder.join(file.get_ref())));
        let count = users.len();
        for user in users {
            match places.claim_user(&user.name, name) {
                Ok(()) => {
                    let role = Arc::clone(&role);
                    roles.users.push(Account { user: user.name.into(), hash: user.hash, role });
                }
                Err(text) => {
                    let place = written.users_file.as_ref().map(Spanned::span).unwrap_or_default();
                    problems.push(source.problem(place, text));
                }
            }
        }
        roles.all.push(RoleSummary {
            anonymous_from: written.anonymous_from.values().map(|net| net.0).collect(),
            users: count,
            users_file: written.users_file.as_ref().map(|file| folder.join(file.get_ref())),
            certificates: written.certificates.len(),
            bundles: written.bundles.values().map(|bundle| bundle.0.name).collect(),
            cloud: written.cloud.0,
            role,
        });
    }
    roles
}

fn destinations(
    written: &file::Role,
    source: Source<'_>,
    lines: &Lines<'_>,
    problems: &mut Vec<Problem>,
) -> Destinations {
    let cloud = written.cloud.0;
    let cap_of =
        |pattern: &Pattern| written.upload_caps.get(&Parsed(pattern.clone())).map(|cap| cap.get_ref().0.0);
    let bundled = written.bundles.values().flat_map(|bundle| {
        let rules = bundle.0.rules_in(cloud);
        rules.map(|rule| Rule { upload_cap: cap_of(&rule.pattern), ..rule })
    });
    let own = written.hosts.0.iter().map(|host| Rule {
        pattern: host.get_ref().clone(),
        origin: Origin::Configuration(lines.place_text(host.span().start).into()),
        upload_cap: cap_of(host.get_ref()),
        class: Class::of(host.get_ref()),
    });
    let rules: Vec<Rule> = bundled.chain(own).collect();
    for (pattern, cap) in &written.upload_caps {
        if !rules.iter().any(|rule| rule.pattern == pattern.0) {
            let text =
                format!("no host rule of this role is `{}`; write one as `explain` shows it", pattern.0);
            problems.push(source.problem(cap.span(), text));
        }
    }
    let pins = Pins {
        workspaces: written
            .workspaces
            .as_ref()
            .map(|ids| ids.get_ref().values().map(|id| id.0.clone()).collect()),
        storage_accounts: written
            .storage_accounts
            .as_ref()
            .map(|names| names.get_ref().values().map(|name| name.0.clone()).collect()),
    };
    let destinations = Destinations::new(rules, pins).in_mode(written.mode);
    let (workspace, account) = destinations.placeholders();
    let pinned = [
        (&written.workspaces.as_ref().map(Spanned::span), workspace, "workspaces", "{workspace}"),
        (&written.storage_accounts.as_ref().map(Spanned::span), account, "storage_accounts", "{account}"),
    ];
    for (span, found, key, placeholder) in pinned {
        if let (Some(span), false) = (span, found) {
            let text = format!(
                "`{key}` narrows nothing: no host rule of this role has a {placeholder}; remove it or add the bundle it is for"
            );
            problems.push(source.problem(span.clone(), text));
        }
    }
    destinations
}

pub(super) fn read_users(
    written: &Spanned<PathBuf>,
    folder: &Path,
    source: Source<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<users::User> {
    let file = folder.join(written.get_ref());
    match read_file(&file) {
        Ok(text) => {
            let (users, found) = users::read(Source { file: &file, text: &text });
            problems.extend(found);
            users
        }
        Err(problem) => {
            let mend = match std::fs::File::open(&file).map_err(|error| error.kind()) {
                Err(ErrorKind::NotFound) => "; `la-gateway users add` makes it",
                Err(ErrorKind::PermissionDenied) => {
                    "; let the gateway's user read it: chown root:la-gateway, chmod 0640"
                }
                _ => "",
            };
            let text = format!("users_file `{}` {}{mend}", file.display(), problem.text);
            problems.push(source.problem(written.span(), text));
            Vec::new()
        }
    }
}

/// Who claimed what first: a user or a network belongs to one role.
#[derive(Default)]
struct Places {
    users: HashMap<String, String>,
    networks: HashMap<IpNet, String>,
}

impl Places {
    fn claim_user(&mut self, user: &str, role: &str) -> Result<(), String> {
        match self.users.insert(user.to_owned(), role.to_owned()) {
            None => Ok(()),
            Some(first) => Err(format!(
                "user `{user}` belongs to role `{first}` already and cannot belong to `{role}` too; remove one"
            )),
        }
    }

    fn claim_network(
        &mut self,
        net: &Spanned<Net>,
        role: &str,
        source: Source<'_>,
        problems: &mut Vec<Problem>,
    ) {
        let range = net.get_ref().0;
        if range != range.trunc() {
            let text = format!("`{range}` has bits beyond its prefix; write `{}`", range.trunc());
            problems.push(source.problem(net.span(), text));
        }
        if let Some(first) = self.networks.insert(range.trunc(), role.to_owned()) {
            let text = format!("`{range}` belongs to role `{first}` already; remove one");
            problems.push(source.problem(net.span(), text));
        }
    }
}
