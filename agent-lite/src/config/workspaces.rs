//! `[workspace.NAME]`: where records go, and how.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use common::cloud::Cloud;
use common::document::Problem;
use common::document::Source;
use common::host_port::HostPort;
use common::secret::Secret;
use toml::Spanned;

use super::file;
use super::file::TransportName;
use super::secret;
use super::settings::CredentialSettings;
use super::settings::LogsIngestionSettings;
use super::settings::TransportSettings;
use super::settings::Workspace;
use crate::record::Table;

/// Most workspaces.
pub(super) const MOST_WORKSPACES: usize = 16;
/// Smallest cap of a queue, in bytes: 4 MiB.
const SMALLEST_CAP: u64 = 4 * 1024 * 1024;

/// What a workspace's keys are checked with.
struct Reader<'a> {
    name: &'a str,
    span: std::ops::Range<usize>,
    source: Source<'a>,
    folder: &'a Path,
    problems: &'a mut Vec<Problem>,
}

pub(super) fn read(
    written: BTreeMap<String, Spanned<file::Workspace>>,
    source: Source<'_>,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> Vec<Workspace> {
    if written.is_empty() || written.len() > MOST_WORKSPACES {
        problems.push(source.problem_of_file(format!(
            "there must be one `[workspace.NAME]` at least, and {MOST_WORKSPACES} at most; there are {}",
            written.len()
        )));
    }
    let one = |(name, workspace): (String, Spanned<file::Workspace>)| {
        let span = workspace.span();
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if name.is_empty() || name.len() > 64 || !plain {
            problems
                .push(source.problem(span.clone(), "a workspace's name has letters, digits, `-` and `_`"));
        }
        let mut reader = Reader { name: &name, span, source, folder, problems };
        let workspace = workspace.into_inner();
        let (cap, when_full) = (reader.cap(&workspace), workspace.when_full);
        let transport = reader.transport(workspace)?;
        Some(Workspace { transport, cap, when_full, name })
    };
    written.into_iter().filter_map(one).collect()
}

impl Reader<'_> {
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(self.source.problem(self.span.clone(), text));
    }

    fn cap(&mut self, written: &file::Workspace) -> u64 {
        let cap = written.cap.get_ref().0.0;
        if cap < SMALLEST_CAP {
            self.problems.push(self.source.problem(written.cap.span(), "a queue's `cap` is `4MiB` at least"));
        }
        cap
    }

    fn transport(&mut self, written: file::Workspace) -> Option<TransportSettings> {
        let Some(transport) = written.transport else {
            let text = "needs `transport`: `log-analytics-agent`, `data-collector` or `logs-ingestion`";
            self.problem(format!("`[workspace.{}]` {text}", self.name));
            return None;
        };
        self.refuse_foreign_keys(transport, &written);
        match transport {
            TransportName::LogAnalyticsAgent => {
                let (workspace, domain) = (self.workspace_id(&written), self.domain(&written));
                let key_file = written.key_file.map(|file| self.folder.join(file.into_inner()));
                Some(TransportSettings::LogAnalyticsAgent {
                    workspace: workspace?,
                    domain: domain?,
                    key_file,
                })
            }
            TransportName::DataCollector => {
                let (workspace, domain) = (self.workspace_id(&written), self.domain(&written));
                let key = self.secret_of(&written.key_file, "key_file");
                Some(TransportSettings::DataCollector { workspace: workspace?, domain: domain?, key: key? })
            }
            TransportName::LogsIngestion => {
                self.logs_ingestion(written).map(TransportSettings::LogsIngestion)
            }
        }
    }

    /// Keys of another transport are mistakes, not decoration.
    fn refuse_foreign_keys(&mut self, transport: TransportName, written: &file::Workspace) {
        let by_id = transport != TransportName::LogsIngestion;
        let foreign = [
            ("id", written.id.is_some() && !by_id),
            ("domain", written.domain.is_some() && !by_id),
            ("key_file", written.key_file.is_some() && !by_id),
            ("endpoint", written.endpoint.is_some() && by_id),
            ("rule", written.rule.is_some() && by_id),
            ("streams", !written.streams.is_empty() && by_id),
            ("tenant", written.tenant.is_some() && by_id),
            ("client", written.client.is_some() && by_id),
            ("secret_file", written.secret_file.is_some() && by_id),
            ("certificate", written.certificate.is_some() && by_id),
            ("key", written.key.is_some() && by_id),
        ];
        for (key, _) in foreign.into_iter().filter(|(_, is)| *is) {
            self.problem(format!("`{key}` means nothing to this transport; take it out"));
        }
    }

    fn workspace_id(&mut self, written: &file::Workspace) -> Option<String> {
        let Some(id) = &written.id else {
            self.problem(format!("`[workspace.{}]` needs `id`, the workspace's GUID", self.name));
            return None;
        };
        match uuid::Uuid::try_parse(id.get_ref()) {
            Ok(guid) if id.get_ref().len() == 36 => Some(guid.to_string()),
            _ => {
                let text = format!("`{}` is no workspace ID; it is a GUID", id.get_ref());
                self.problems.push(self.source.problem(id.span(), text));
                None
            }
        }
    }

    fn domain(&mut self, written: &file::Workspace) -> Option<String> {
        let cloud = written.cloud.as_ref().map_or(Cloud::Public, |cloud| cloud.get_ref().0);
        let usual = format!("opinsights.azure.{}", suffix(cloud));
        let Some(domain) = &written.domain else { return Some(usual) };
        match domain.get_ref().parse::<common::host_port::HostName>() {
            Ok(name) => Some(name.to_string()),
            Err(error) => {
                let text = format!("`{}`: {error}", domain.get_ref());
                self.problems.push(self.source.problem(domain.span(), text));
                None
            }
        }
    }

    fn secret_of(&mut self, file: &Option<Spanned<PathBuf>>, key: &str) -> Option<Secret> {
        match file {
            Some(file) => Some(secret(file, self.source, self.folder, self.problems)),
            None => {
                self.problem(format!("`[workspace.{}]` needs `{key}`", self.name));
                None
            }
        }
    }

    fn logs_ingestion(&mut self, written: file::Workspace) -> Option<LogsIngestionSettings> {
        let cloud = written.cloud.as_ref().map_or(Cloud::Public, |cloud| cloud.get_ref().0);
        let endpoint = self.endpoint(&written);
        let rule = self.text(&written.rule, "rule", "`dcr-` and 32 hex digits", |text| {
            let digits = text.strip_prefix("dcr-").unwrap_or_default();
            digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit())
        });
        let plain = |text: &str| {
            let name = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
            !text.is_empty() && text.len() <= 253 && name
        };
        let tenant = self.text(&written.tenant, "tenant", "the tenant's GUID or domain", plain);
        let client = self.text(&written.client, "client", "the application's client ID, a GUID", |text| {
            uuid::Uuid::try_parse(text).is_ok()
        });
        let credential = self.credential(&written);
        let streams = self.streams(&written.streams);
        Some(LogsIngestionSettings {
            endpoint: endpoint?,
            rule: rule?,
            streams,
            tenant: tenant?,
            client: client?,
            credential: credential?,
            token_host: format!("{}:443", token_host(cloud)).parse().ok()?,
            scope: format!("https://monitor.azure.{}/.default", suffix(cloud)),
        })
    }

    fn text(
        &mut self,
        written: &Option<Spanned<String>>,
        key: &str,
        what: &str,
        right: impl Fn(&str) -> bool,
    ) -> Option<String> {
        match written {
            Some(text) if right(text.get_ref()) => Some(text.get_ref().clone()),
            Some(text) => {
                let wrong = format!("`{}`: `{key}` is {what}", text.get_ref());
                self.problems.push(self.source.problem(text.span(), wrong));
                None
            }
            None => {
                self.problem(format!("`[workspace.{}]` needs `{key}`, {what}", self.name));
                None
            }
        }
    }

    /// The portal shows it as a URL, so it may be written as one.
    fn endpoint(&mut self, written: &file::Workspace) -> Option<HostPort> {
        let what = "the logs ingestion endpoint of the DCE or DCR, as in `https://dce-abcd.westeurope-1.ingest.monitor.azure.com`";
        let text = self.text(&written.endpoint, "endpoint", what, |text| endpoint_of(text).is_some())?;
        endpoint_of(&text)
    }

    fn credential(&mut self, written: &file::Workspace) -> Option<CredentialSettings> {
        match (&written.secret_file, &written.certificate, &written.key) {
            (Some(_), None, None) => {
                self.secret_of(&written.secret_file, "secret_file").map(CredentialSettings::Secret)
            }
            (None, Some(certificate), Some(key)) => Some(CredentialSettings::Certificate {
                certificate: self.folder.join(certificate.get_ref()),
                key: self.folder.join(key.get_ref()),
            }),
            _ => {
                let text = "needs `secret_file`, or `certificate` and `key`, to prove the application";
                self.problem(format!("`[workspace.{}]` {text}", self.name));
                None
            }
        }
    }

    /// What is not written goes to the stream that this program's own rule template declares; `off` sends nothing.
    fn streams(&mut self, written: &BTreeMap<String, Spanned<String>>) -> BTreeMap<Table, String> {
        let mut streams: BTreeMap<Table, String> = [
            (Table::Syslog, "Custom-AgentLiteSyslog"),
            (Table::Perf, "Custom-AgentLitePerf_CL"),
            (Table::Event, "Custom-AgentLiteEvent"),
            (Table::Heartbeat, "Custom-AgentLiteHeartbeat_CL"),
            (Table::Operation, "Custom-AgentLiteOperation_CL"),
            (Table::W3cIisLog, "Custom-AgentLiteW3CIISLog_CL"),
        ]
        .map(|(table, stream)| (table, stream.to_owned()))
        .into();
        for (table, stream) in written {
            let name = stream.get_ref();
            let right = name.starts_with("Custom-") || name.starts_with("Microsoft-");
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
            match table.parse::<Table>() {
                Err(error) => self.problems.push(self.source.problem(stream.span(), error.to_string())),
                Ok(_) if name != OFF && !(right && plain && name.len() <= 128) => {
                    let text = format!("`{name}` is no stream; write `Custom-…`, `Microsoft-…` or `{OFF}`");
                    self.problems.push(self.source.problem(stream.span(), text));
                }
                Ok(table) => {
                    streams.insert(table, name.clone());
                }
            }
        }
        streams
    }
}

const OFF: &str = LogsIngestionSettings::OFF;

fn endpoint_of(text: &str) -> Option<HostPort> {
    let host = text.strip_prefix("https://").unwrap_or(text);
    let host = host.strip_suffix('/').unwrap_or(host);
    format!("{host}:443").parse().ok()
}

fn suffix(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "com",
        Cloud::UsGovernment => "us",
        Cloud::China => "cn",
    }
}

fn token_host(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "login.microsoftonline.com",
        Cloud::UsGovernment => "login.microsoftonline.us",
        Cloud::China => "login.partner.microsoftonline.cn",
    }
}
