//! The admin listener: where it is, what it speaks, and who may read what.
//!
//! Beyond loopback the page and the API are shown only over TLS and to somebody who is known. What is written
//! in `open` is shown to every network in `from` all the same.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use common::document::Problem;
use common::document::Source;
use common::host_port::HostName;
use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::Tls;
use super::file;
use super::listeners;
use super::roles::read_users;
use super::values::AdminAddress;
use crate::policy::accounts::Account;
use crate::policy::accounts::Accounts;
use crate::policy::accounts::PercentEncoded;
use crate::policy::accounts::Role;
use crate::policy::destinations::Destinations;
use crate::policy::destinations::Pins;
use crate::policy::passwords::Verified;

/// The admin listener.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Networks that are answered beside loopback.
    pub from: Vec<IpNet>,
    /// The TLS identity; plain HTTP without one.
    pub tls: Option<Tls>,
    /// Names in a `Host` field that are this listener's.
    pub names: Vec<HostName>,
    /// What is shown without credentials.
    pub open: Vec<Open>,
    /// The file with the users who may read it.
    pub users_file: Option<PathBuf>,
    /// Names of client certificates that may read it.
    pub certificates: Vec<Arc<str>>,
    users: Vec<Account>,
    role: Arc<Role>,
}

/// What may be shown without credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Open {
    /// `/metrics`.
    Metrics,
    /// `/healthz` and `/readyz`.
    Health,
}

impl PartialEq for Admin {
    fn eq(&self, other: &Self) -> bool {
        let names = |admin: &Self| -> Vec<Arc<str>> {
            admin.users.iter().map(|account| Arc::clone(&account.user)).collect()
        };
        (self.address, &self.from, &self.tls, &self.names, &self.open, &self.users_file, &self.certificates)
            == (
                other.address,
                &other.from,
                &other.tls,
                &other.names,
                &other.open,
                &other.users_file,
                &other.certificates,
            )
            && names(self) == names(other)
    }
}

impl Admin {
    /// Gathers who may read it; `None` where nobody is asked who he is.
    pub fn accounts(&self, verified: Arc<Verified>) -> Option<Accounts> {
        let nobody_is_asked = self.users_file.is_none() && self.certificates.is_empty();
        let by_name = |name: &Arc<str>| (Arc::clone(name), Arc::clone(&self.role));
        let certificates = self.certificates.iter().map(by_name).collect();
        let accounts = || {
            let users = self.users.clone();
            Accounts::new(users, Vec::new(), certificates, PercentEncoded::Refused, verified)
        };
        (!nobody_is_asked).then(accounts)
    }
}

pub(super) fn read(
    written: Option<Spanned<file::Admin>>,
    source: Source<'_>,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> Option<Admin> {
    let span = written.as_ref().map(Spanned::span).unwrap_or_default();
    let written = written.map(Spanned::into_inner).unwrap_or_default();
    let AdminAddress::At(address) = written.address.0 else { return None };
    let tls = written.tls.as_ref().map(|tls| listeners::tls(false, tls, source, folder, problems));
    // It leads nowhere: to read is all that may be done here.
    let role = Arc::new(Role {
        name: "admin".into(),
        destinations: Destinations::new(Vec::new(), Pins::default()),
        tunnels: 0,
    });
    let users = written.users_file.as_ref().map(|file| read_users(file, folder, source, problems));
    let users = users.unwrap_or_default().into_iter().map(|user| Account {
        user: user.name.into(),
        hash: user.hash,
        role: Arc::clone(&role),
    });
    let admin = Admin {
        address,
        from: written.from.values().map(|net| net.0).collect(),
        tls,
        names: written.names.values().cloned().collect(),
        open: written.open,
        users_file: written.users_file.as_ref().map(|file| folder.join(file.get_ref())),
        certificates: written.certificates.iter().map(|name| name.as_str().into()).collect(),
        users: users.collect(),
        role,
    };
    let found = admin.problems();
    problems.extend(found.into_iter().map(|text| source.problem(span.clone(), text)));
    Some(admin)
}

impl Admin {
    /// Says what of it would show more than it should, or nothing to anybody.
    fn problems(&self) -> Vec<String> {
        let (address, mut problems) = (self.address, Vec::new());
        let asks_for_certificates = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if !self.certificates.is_empty() && !asks_for_certificates {
            problems.push(
                "`[admin] certificates` needs `tls` with a `client_ca`: without one no certificate is ever asked for"
                    .to_owned(),
            );
        }
        if asks_for_certificates && self.certificates.is_empty() && self.users_file.is_none() {
            problems.push(
                "`[admin] tls` has a `client_ca`, but it is written nowhere whose certificates may read; list them in \
                 `certificates`, as in `certificates = [\"CN=operator\"]`"
                    .to_owned(),
            );
        }
        if address.ip().is_loopback() {
            return problems;
        }
        if self.from.is_empty() {
            problems.push(format!(
                "the admin listener on {address} is open to the network; list who may read it in `from`, or use 127.0.0.1"
            ));
            return problems;
        }
        let is_asked = self.users_file.is_some() || !self.certificates.is_empty();
        match (self.tls.is_some(), is_asked) {
            (true, true) => {}
            (false, true) => problems.push(format!(
                "the admin listener on {address} would take passwords in the clear; give it `tls = {{ certificate = \
                 \"admin.crt\", key = \"admin.key\" }}`"
            )),
            (_, false) if !self.open.is_empty() => {}
            (true, false) => problems.push(format!(
                "the admin listener on {address} would show the page and the API to everybody in `from`; say who may \
                 read them in `users_file` or `certificates`, or show metrics and health alone with `open = \
                 [\"metrics\", \"health\"]`"
            )),
            (false, false) => problems.push(format!(
                "the admin listener on {address} has no TLS and no password; to show metrics and health alone, as \
                 before, write `open = [\"metrics\", \"health\"]`; for the page and the API, too, give it `tls`, and \
                 `users_file` or `certificates`"
            )),
        }
        problems
    }
}

#[cfg(test)]
mod tests;
