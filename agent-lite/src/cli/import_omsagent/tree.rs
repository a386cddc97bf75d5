//! The legacy agent's files, below its own folder or in a copied tree.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use agent_lite::config::GATEWAY_PORT;
use agent_lite::parse::omsagent::Unread;
use agent_lite::parse::omsagent::fluent;
use agent_lite::parse::omsagent::properties;
use agent_lite::parse::omsagent::properties::Property;
use agent_lite::parse::omsagent::selectors;
use agent_lite::parse::omsagent::selectors::Selected;
use agent_lite::parse::omsagent::sources::Found;
use agent_lite::parse::omsagent::sources::interpret;
use anyhow::Context;
use anyhow::bail;
use common::host_port::HostName;
use common::proxy_url::ProxyUrl;
use common::proxy_url::ProxyUrlError;
use common::secret::Secret;
use uuid::Uuid;

use super::Arguments;
use super::Left;
use super::USUAL_FOLDER;
use crate::cli::onboard::files;

/// The legacy agent's port where its proxy value has none.
const LEGACY_PORT: u16 = 80;
/// Most workspaces, files of one, and notes on one file.
const MOST: usize = 500;

/// All that is known of it.
pub(super) struct SetUp {
    pub(super) workspaces: Vec<Legacy>,
    pub(super) proxy: Option<Proxy>,
    pub(super) syslog: Option<(String, Selected)>,
    pub(super) left: Vec<Left>,
}

/// One workspace.
pub(super) struct Legacy {
    /// Its name in the configuration.
    pub(super) name: String,
    /// Its GUID, lower case.
    pub(super) id: String,
    pub(super) domain: Option<String>,
    pub(super) agent_id: Option<Uuid>,
    pub(super) update_endpoint: Option<String>,
    /// `omsadmin.conf` as it is shown, and the lines of the ID and the domain.
    pub(super) place: String,
    pub(super) id_line: usize,
    pub(super) domain_line: usize,
    pub(super) certificates: PathBuf,
    /// Each file with what it has.
    pub(super) files: Vec<(String, Found)>,
}

/// `proxy.conf`.
pub(super) struct Proxy {
    /// With its scheme and port.
    pub(super) value: Secret,
    pub(super) has_password: bool,
    pub(super) without_port: bool,
    pub(super) file: PathBuf,
    pub(super) place: String,
    pub(super) note: String,
}

/// Reads everything; what cannot be read is left, but a folder without any workspace is an error.
pub(super) fn read(what: &Arguments) -> anyhow::Result<SetUp> {
    let below = what.folder.join(USUAL_FOLDER.trim_start_matches('/'));
    let folder = if below.is_dir() { below } else { what.folder.clone() };
    if !folder.is_dir() {
        bail!("{}: there is no such folder", folder.display());
    }
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let root =
        folder.ends_with(USUAL_FOLDER.trim_start_matches('/')).then(|| folder.ancestors().nth(4)).flatten();
    let mut reader = Reader { folder: &folder, left: Vec::new() };
    let proxy = if what.proxies.is_empty() { reader.proxy()? } else { None };
    let workspaces = reader.workspaces()?;
    if workspaces.is_empty() {
        bail!(
            "{}: no workspace in it can be carried over, there is no <GUID>/conf/omsadmin.conf with an ID",
            folder.display()
        );
    }
    if proxy.is_none() && what.proxies.is_empty() {
        bail!(
            "{}: there is no proxy.conf in it; name the gateway: -p http://gateway:{GATEWAY_PORT}",
            folder.display()
        );
    }
    let syslog = reader.syslog(what, root)?;
    Ok(SetUp { workspaces, proxy, syslog, left: reader.left })
}

struct Reader<'a> {
    folder: &'a Path,
    left: Vec<Left>,
}

impl Reader<'_> {
    /// Returns a path as it is shown: below the folder.
    fn shown(&self, file: &Path) -> String {
        let name = file.strip_prefix(self.folder).unwrap_or(file).display().to_string();
        name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    }

    fn leave(&mut self, place: String, what: impl Into<String>, why: impl Into<String>) {
        self.left.push(Left { place, what: what.into(), why: why.into() });
    }

    fn leave_all(&mut self, file: &str, unread: Vec<Unread>) {
        let more = unread.len().saturating_sub(MOST);
        for one in unread.into_iter().take(MOST) {
            self.leave(format!("{file}:{}", one.line), one.what, one.why);
        }
        if more > 0 {
            self.leave(file.to_owned(), format!("{more} more"), "this is no file of the legacy agent");
        }
    }

    /// Reads a file if it is there; one that cannot be read is left.
    fn text(&mut self, file: &Path) -> Option<String> {
        let metadata = fs::metadata(file).ok()?;
        let text = match metadata.is_file() {
            true => files::read(file),
            false => Err(anyhow::anyhow!("it is no file")),
        };
        text.map_err(|error| self.leave(self.shown(file), "a file", format!("{error:#}"))).ok()
    }

    fn proxy(&mut self) -> anyhow::Result<Option<Proxy>> {
        let places = [self.folder.join("proxy.conf"), self.folder.join("conf/proxy.conf")];
        let Some(file) = places.into_iter().find(|file| file.is_file()) else { return Ok(None) };
        let text = files::read(&file)?;
        let mut lines = (1..)
            .zip(text.lines())
            .map(|(line, text)| (line, text.trim()))
            .filter(|(_, text)| !text.is_empty());
        let Some((line, value)) = lines.next() else { return Ok(None) };
        let place = format!("{}:{line}", self.shown(&file));
        let value = value.strip_suffix('/').unwrap_or(value);
        let mut note = String::new();
        let without_port = value.parse::<ProxyUrl>() == Err(ProxyUrlError::PortMissing);
        let mut whole = value.to_owned();
        if without_port {
            note.push_str("; it names no port, and the legacy agent took 80");
            whole.push_str(&format!(":{LEGACY_PORT}"));
        }
        let url: ProxyUrl = whole.parse().with_context(|| place.clone())?;
        if whole.starts_with("https://") {
            note.push_str(
                "; the legacy agent sent its data to it in clear, agent-lite always speaks TLS there",
            );
        }
        if whole.split_once('@').is_some_and(|(login, _)| login.contains('%')) {
            note.push_str(
                "; `%40` and its like are decoded, which the legacy agent did at its onboarding only",
            );
        }
        let has_password = url.user().is_some();
        Ok(Some(Proxy { value: Secret::new(whole), has_password, without_port, file, place, note }))
    }

    fn workspaces(&mut self) -> anyhow::Result<Vec<Legacy>> {
        let entries =
            fs::read_dir(self.folder).with_context(|| format!("cannot read {}", self.folder.display()))?;
        let mut folders: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join("conf/omsadmin.conf").exists() && !path.is_symlink())
            .collect();
        folders.sort();
        // The oldest versions have one workspace, without a folder of its own.
        if folders.is_empty() && self.folder.join("conf/omsadmin.conf").is_file() {
            folders.push(self.folder.to_owned());
        }
        let primary = fs::canonicalize(self.folder.join("conf")).ok();
        folders.sort_by_key(|folder| fs::canonicalize(folder.join("conf")).ok() != primary);
        let mut all: Vec<Legacy> = Vec::new();
        for folder in folders.iter().take(MOST) {
            if let Some(mut workspace) = self.workspace(folder) {
                if all.iter().any(|known| known.id == workspace.id) {
                    let why = "another folder has the same WORKSPACE_ID already";
                    self.leave(workspace.place, "a workspace", why);
                    continue;
                }
                if !all.is_empty() {
                    workspace.name = name_of(&workspace.id, &all);
                }
                all.push(workspace);
            }
        }
        Ok(all)
    }

    fn workspace(&mut self, folder: &Path) -> Option<Legacy> {
        let file = folder.join("conf/omsadmin.conf");
        let place = self.shown(&file);
        let text = self.text(&file)?;
        let (properties, unread) = properties::parse(&text);
        self.leave_all(&place, unread);
        let find =
            |key: &str| properties.iter().find(|property| property.key == key && !property.value.is_empty());
        let id = find("WORKSPACE_ID").map(|id| (id.line, id.value.to_ascii_lowercase()));
        let Some((id_line, id)) = id.filter(|(_, id)| id.len() == 36 && Uuid::try_parse(id).is_ok()) else {
            let why = "WORKSPACE_ID is no GUID; Operations Manager and diagnostics have other ways";
            self.leave(place, "a workspace", why);
            return None;
        };
        let domain = find("URL_TLD").filter(|domain| self.is_domain(&place, domain));
        let mut workspace = Legacy {
            name: "main".to_owned(),
            id,
            domain: domain.map(|domain| domain.value.to_ascii_lowercase()),
            agent_id: find("AGENT_GUID").and_then(|guid| guid.value.parse().ok()),
            update_endpoint: find("CERTIFICATE_UPDATE_ENDPOINT").map(|endpoint| endpoint.value.clone()),
            id_line,
            domain_line: domain.map_or(0, |domain| domain.line),
            certificates: folder.join("certs"),
            files: Vec::new(),
            place,
        };
        for property in properties.iter().filter(|property| !property.value.is_empty()) {
            if let Some(why) = why_not(&property.key) {
                self.leave(format!("{}:{}", workspace.place, property.line), property.key.as_str(), why);
            }
        }
        workspace.files = self.sources(&folder.join("conf"));
        Some(workspace)
    }

    fn is_domain(&mut self, place: &str, domain: &Property) -> bool {
        let right = domain.value.parse::<HostName>().is_ok();
        if !right {
            self.leave(
                format!("{place}:{}", domain.line),
                "URL_TLD",
                "it is no domain; the public cloud's is taken",
            );
        }
        right
    }

    /// Reads `omsagent.conf` and every file of `omsagent.d`.
    fn sources(&mut self, conf: &Path) -> Vec<(String, Found)> {
        let mut paths: Vec<PathBuf> = fs::read_dir(conf.join("omsagent.d"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "conf"));
        paths.sort();
        paths.insert(0, conf.join("omsagent.conf"));
        let mut all = Vec::new();
        for path in paths.iter().take(MOST) {
            let Some(text) = self.text(path) else { continue };
            let place = self.shown(path);
            let document = fluent::parse(&text);
            self.leave_all(&place, document.unread);
            let mut found = interpret(&document.elements);
            self.leave_all(&place, std::mem::take(&mut found.unread));
            all.push((place, found));
        }
        all
    }

    fn syslog(
        &mut self,
        what: &Arguments,
        root: Option<&Path>,
    ) -> anyhow::Result<Option<(String, Selected)>> {
        let below = |path: &str| root.map(|root| root.join(path)).filter(|file| file.is_file());
        let rsyslog = what.rsyslog.clone().or_else(|| below("etc/rsyslog.d/95-omsagent.conf"));
        let syslog_ng = what.syslog_ng.clone().or_else(|| below("etc/syslog-ng/syslog-ng.conf"));
        let (file, mut selected) = match (rsyslog, syslog_ng) {
            (Some(file), _) => (file.clone(), selectors::rsyslog(&files::read(&file)?)),
            (None, Some(file)) => (file.clone(), selectors::syslog_ng(&files::read(&file)?)),
            (None, None) => return Ok(None),
        };
        let place = self.shown(&file);
        self.leave_all(&place, std::mem::take(&mut selected.unread));
        Ok((!selected.facilities.is_empty()).then_some((place, selected)))
    }
}

/// Names a workspace by the first 8 digits of its ID, or by as many more as no other one has.
fn name_of(id: &str, others: &[Legacy]) -> String {
    let names = (8..=id.len()).filter_map(|length| id.get(..length)).filter(|part| !part.ends_with('-'));
    let mut names = names.map(|part| format!("w-{part}"));
    names.find(|name| others.iter().all(|other| other.name != *name)).unwrap_or_else(|| format!("w-{id}"))
}

/// Says why a key of `omsadmin.conf` has no counterpart; none of one that has.
fn why_not(key: &str) -> Option<&'static str> {
    Some(match key {
        "WORKSPACE_ID" | "AGENT_GUID" | "CERTIFICATE_UPDATE_ENDPOINT" | "URL_TLD" | "OMS_ENDPOINT" => {
            return None;
        }
        "LOG_FACILITY" => "agent-lite writes its own log to standard error and the journal",
        "DSC_ENDPOINT" => {
            "what Azure Automation set is read from the files it wrote; agent-lite does not ask it"
        }
        "AZURE_RESOURCE_ID" | "OMSCLOUD_ID" | "UUID" => "agent-lite asks the machine for it",
        "DIAGNOSTIC_ENDPOINT" => "agent-lite sends no diagnostics of itself",
        _ => "agent-lite does not know this key",
    })
}
