//! What an administrator has set up: workspaces, their keys, collection rules and who may send to them.

use std::collections::BTreeMap;
use std::path::Path;

use ring::digest;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::encoding;
use super::schema;
use super::schema::Columns;

/// One workspace with every way into it.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Its GUID, lower case.
    pub id: String,
    /// Its key, decoded: 64 bytes.
    pub key: Vec<u8>,
    /// `opinsights.azure.com` and its like.
    pub domain: String,
    /// The storage account of its blobs.
    pub account: String,
    /// The host of its data collection endpoint.
    pub endpoint: String,
    /// The immutable ID of its data collection rule.
    pub rule: String,
    /// The streams of the rule: name, table, columns.
    pub streams: BTreeMap<String, Stream>,
    /// The Entra tenant.
    pub tenant: String,
    /// The application that may send to the rule.
    pub client: String,
    /// The application's secret.
    pub secret: String,
    /// The application's certificate (DER), if one is registered.
    pub certificate: Option<Vec<u8>>,
}

/// A stream of a data collection rule.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Where its records go.
    pub table: String,
    /// What it declares.
    pub columns: Columns,
}

impl Workspace {
    /// Sets up a workspace; everything else is made from its ID, and is the same for the same ID.
    ///
    /// Its streams are those of `deploy/agent-lite/rule.json`, and `Microsoft-Syslog` and `Microsoft-Event`.
    pub fn new(id: &str) -> Self {
        let id = id.to_ascii_lowercase();
        let hash = digest::digest(&digest::SHA512, id.as_bytes());
        let text = encoding::hexadecimal(hash.as_ref());
        let guid = |at: usize| {
            let piece = |from: usize, to: usize| &text[at + from..at + to];
            format!(
                "{}-{}-4{}-8{}-{}",
                piece(0, 8),
                piece(8, 12),
                piece(12, 15),
                piece(15, 18),
                piece(18, 30)
            )
        };
        let workspace = Self {
            key: hash.as_ref().to_vec(),
            domain: "opinsights.azure.com".to_owned(),
            account: format!("oms{}", &text[..12]),
            endpoint: format!("edge-{}.westeurope-1.ingest.monitor.azure.com", &text[..4]),
            rule: format!("dcr-{}", &text[..32]),
            streams: BTreeMap::new(),
            tenant: guid(32),
            client: guid(64),
            secret: format!("s3cr~t+of/{}", &text[..8]),
            certificate: None,
            id,
        };
        workspace
            .stream("Microsoft-Syslog", "Syslog", schema::syslog())
            .stream("Custom-AgentLiteSyslog", "Syslog", schema::syslog())
            .stream("Custom-AgentLitePerf_CL", "AgentLitePerf_CL", schema::perf())
            .stream("Custom-AgentLiteEvent", "Event", schema::event())
            .stream("Microsoft-Event", "Event", schema::event())
            .stream("Custom-AgentLiteHeartbeat_CL", "AgentLiteHeartbeat_CL", schema::heartbeat())
            .stream("Custom-AgentLiteOperation_CL", "AgentLiteOperation_CL", schema::operation())
            .stream("Custom-AgentLiteW3CIISLog_CL", "AgentLiteW3CIISLog_CL", schema::w3c_iis_log())
            .stream("Custom-App_CL", "App_CL", schema::text())
    }

    /// Takes another key, in base64.
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = encoding::from_base64(key).expect("a key in base64");
        self
    }

    /// Moves it to another cloud: `opinsights.azure.us`, `opinsights.azure.cn`.
    pub fn with_domain(mut self, domain: &str) -> Self {
        self.endpoint = self.endpoint.replace("azure.com", domain.trim_start_matches("opinsights."));
        self.domain = domain.to_owned();
        self
    }

    /// Lets the tenant and the application of another workspace send to this one's rule.
    pub fn with_application_of(mut self, other: &Self) -> Self {
        self.tenant.clone_from(&other.tenant);
        self.client.clone_from(&other.client);
        self.secret.clone_from(&other.secret);
        self.certificate.clone_from(&other.certificate);
        self
    }

    /// Registers the application's certificate, in DER.
    pub fn with_certificate(mut self, certificate: &[u8]) -> Self {
        self.certificate = Some(certificate.to_vec());
        self
    }

    /// Registers the application's certificate from a file in PEM.
    pub fn with_certificate_file(self, file: &Path) -> Self {
        let certificate = CertificateDer::from_pem_file(file).expect("a certificate in PEM");
        self.with_certificate(&certificate)
    }

    /// Adds a stream to the rule.
    pub fn stream(mut self, name: &str, table: &str, columns: Columns) -> Self {
        self.streams.insert(name.to_owned(), Stream { table: table.to_owned(), columns });
        self
    }

    /// Returns the key as the portal shows it.
    pub fn key_text(&self) -> String {
        encoding::base64(&self.key)
    }

    /// Returns the host of onboarding.
    pub fn oms(&self) -> String {
        format!("{}.oms.{}", self.id, self.domain)
    }

    /// Returns the host of ingestion.
    pub fn ods(&self) -> String {
        format!("{}.ods.{}", self.id, self.domain)
    }

    /// Returns the host of its blobs.
    pub fn blob(&self) -> String {
        let suffix = self.by_cloud("core.windows.net", "core.usgovcloudapi.net", "core.chinacloudapi.cn");
        format!("{}.blob.{suffix}", self.account)
    }

    /// Returns the host of tokens.
    pub fn login(&self) -> String {
        let host =
            ["login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"];
        self.by_cloud(host[0], host[1], host[2]).to_owned()
    }

    /// Returns the scope that a token must be asked for.
    pub fn scope(&self) -> String {
        format!("https://monitor.azure.{}/.default", self.by_cloud("com", "us", "cn"))
    }

    /// Returns every host name under which its services answer.
    pub fn names(&self) -> Vec<String> {
        vec![self.oms(), self.ods(), self.blob(), self.endpoint.clone(), self.login()]
    }

    fn by_cloud<'a>(&self, public: &'a str, government: &'a str, china: &'a str) -> &'a str {
        match self.domain.rsplit('.').next() {
            Some("us") => government,
            Some("cn") => china,
            _ => public,
        }
    }
}
