//! What a request asks for, and what is answered.

use std::time::SystemTime;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::Method;
use hyper::StatusCode;
use serde_json::json;

use super::encoding;

/// One of the services' operations. Faults and waits belong to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// `AgentService.svc/LinuxAgentTopologyRequest`: onboarding and its heartbeat.
    Topology,
    /// `ConfigurationService.Svc/RenewCertificate`.
    Renewal,
    /// `AgentService.svc/AgentTelemetry`.
    Telemetry,
    /// `OperationalData.svc/PostJsonDataItems`, also with `Log-Type`.
    Items,
    /// `DiagnosticsDataService.svc/PostJsonDataItems`.
    Diagnostics,
    /// `ContainerService.svc/GetBlobUploadUri`.
    BlobUri,
    /// `PUT …&comp=block`.
    Block,
    /// `PUT …&comp=blocklist`.
    BlockList,
    /// `ContainerService.svc/PostBlobUploadNotification`.
    BlobDone,
    /// `GET` of a blob.
    Download,
    /// `/api/logs`: HTTP Data Collector API.
    Collector,
    /// `/dataCollectionRules/…/streams/…`: Logs Ingestion API.
    Ingestion,
    /// `/{tenant}/oauth2/v2.0/token`.
    Token,
    /// Everything else.
    Elsewhere,
}

/// A whole request.
pub(super) struct Asked {
    /// The name in the ClientHello.
    pub(super) host: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The body before `Content-Encoding`, or why there is none.
    pub(super) content: Result<Bytes, String>,
    /// The client's certificate in DER.
    pub(super) certificate: Option<Vec<u8>>,
    /// The service's clock, which may be off.
    pub(super) now: SystemTime,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Rows that were taken.
    pub(super) rows: u64,
}

impl Place {
    /// Tells what a request is for by its host, method, path and query.
    pub(super) fn of(host: &str, method: &Method, path: &str, query: &str) -> Self {
        let (post, put) = (method == Method::POST, method == Method::PUT);
        let family = |part: &str| host.contains(part);
        match path {
            "/AgentService.svc/LinuxAgentTopologyRequest" if post && family(".oms.") => Self::Topology,
            "/ConfigurationService.Svc/RenewCertificate" if post && family(".oms.") => Self::Renewal,
            "/AgentService.svc/AgentTelemetry" if post && family(".oms.") => Self::Telemetry,
            "/OperationalData.svc/PostJsonDataItems" if post && family(".ods.") => Self::Items,
            "/DiagnosticsDataService.svc/PostJsonDataItems" if post && family(".ods.") => Self::Diagnostics,
            "/ContainerService.svc/GetBlobUploadUri" if post && family(".ods.") => Self::BlobUri,
            "/ContainerService.svc/PostBlobUploadNotification" if post && family(".ods.") => Self::BlobDone,
            "/api/logs" if post && family(".ods.") => Self::Collector,
            _ if *method == Method::GET && family(".blob.core.") => Self::Download,
            _ if put && family(".blob.core.") && query.contains("comp=blocklist") => Self::BlockList,
            _ if put && family(".blob.core.") && query.contains("comp=block") => Self::Block,
            _ if post && family(".ingest.monitor.") && path.starts_with("/dataCollectionRules/") => {
                Self::Ingestion
            }
            _ if post && host.starts_with("login.") && path.ends_with("/oauth2/v2.0/token") => Self::Token,
            _ => Self::Elsewhere,
        }
    }

    /// Returns whether a client certificate has business here.
    pub(super) fn shows_certificate(self) -> bool {
        match self {
            Self::Topology | Self::Renewal | Self::Telemetry | Self::Items | Self::Diagnostics => true,
            Self::BlobUri | Self::BlobDone | Self::Elsewhere => true,
            Self::Block | Self::BlockList | Self::Download | Self::Collector => false,
            Self::Ingestion | Self::Token => false,
        }
    }
}

impl Asked {
    /// Returns a header field as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns a parameter of the query, decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        encoding::parameter(&self.query, name)
    }

    /// Returns the SHA-256 of the client's certificate.
    pub(super) fn fingerprint(&self) -> Option<Vec<u8>> {
        self.certificate.as_deref().map(encoding::sha256)
    }
}

impl Reply {
    pub(super) fn empty(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status");
        Self { status, headers: Vec::new(), body: Vec::new(), rows: 0 }
    }

    pub(super) fn with(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", kind.to_owned())];
        Self { headers, body: body.into(), ..Self::empty(status) }
    }

    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::with(status, "application/json", body.to_string())
    }

    /// 403 as onboarding says it.
    pub(super) fn reason(text: &str) -> Self {
        let body = format!("<?xml version=\"1.0\"?><Error><Reason>{text}</Reason></Error>");
        Self::with(403, "application/xml", body)
    }

    /// An error of the Data Collector API.
    pub(super) fn collector_error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({ "Error": code, "Message": message }))
    }

    /// An error of the Logs Ingestion API.
    pub(super) fn ingestion_error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({ "error": { "code": code, "message": message } });
        Self::json(status, &body).header("x-ms-error-code", code)
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn rows(mut self, rows: u64) -> Self {
        self.rows = rows;
        self
    }
}
