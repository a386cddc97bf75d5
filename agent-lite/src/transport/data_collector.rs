//! The HTTP Data Collector API: workspace ID and key, custom tables only (oms-protocol, section 5.1).

use std::borrow::Cow;

use http::uri::PathAndQuery;

use super::ClientCertificate;
use super::Outgoing;
use super::Parcel;
use super::WorkspaceEndpoints;
use super::WorkspaceKey;
use super::times::http_date;
use crate::record::Table;
use crate::record::Timestamp;

/// The field that becomes `TimeGenerated`, a name that is reserved here. The service takes it unless it is more
/// than 2 days old or 1 day ahead.
pub const TIME_FIELD: &str = "CollectionTime";
/// What stands before the name of a table that is not custom, because only custom ones can be written.
const PREFIX: &str = "AgentLite";

/// Returns `Log-Type`: the name of the custom table without `_CL`.
pub fn log_type(table: &Table) -> Cow<'_, str> {
    match table {
        Table::Custom(name) => Cow::Borrowed(name.strip_suffix("_CL").unwrap_or(name)),
        Table::Syslog
        | Table::Perf
        | Table::Event
        | Table::Heartbeat
        | Table::Operation
        | Table::W3cIisLog => Cow::Owned(format!("{PREFIX}{}", table.name())),
    }
}

/// Returns the signed request with a parcel.
pub fn post(
    workspace: &WorkspaceEndpoints,
    key: &WorkspaceKey,
    table: &Table,
    parcel: &Parcel,
    now: Timestamp,
) -> Outgoing {
    let date = http_date(now);
    let authorization = authorization(workspace.id(), key, parcel.body.len(), &date);
    let path = PathAndQuery::from_static("/api/logs?api-version=2016-04-01");
    Outgoing::post(workspace.ods(), path, ClientCertificate::NotShown)
        .field("content-type", "application/json")
        .field("log-type", &log_type(table))
        .field("x-ms-date", &date)
        .field("time-generated-field", TIME_FIELD)
        .secret_field("authorization", &authorization)
        .body(parcel.body.clone())
}

fn authorization(workspace: &str, key: &WorkspaceKey, length: usize, date: &str) -> String {
    let text = format!("POST\n{length}\napplication/json\nx-ms-date:{date}\n/api/logs");
    format!("SharedKey {workspace}:{}", key.sign(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::sign::tests::key;
    use bytes::Bytes;

    #[test]
    fn the_signature_is_that_of_the_vector() {
        let workspace =
            WorkspaceEndpoints::new("1234A123-aa1a-123a-aaa1-a1a345aa6789", "opinsights.azure.com").unwrap();
        let body = Bytes::from_static(br#"[{"a":1}]"#);
        let parcel = Parcel { body, ..Parcel::default() };
        let table = Table::Custom("App_CL".into());
        let outgoing = post(&workspace, &key(), &table, &parcel, Timestamp(1_767_600_000_000_000));
        let headers = outgoing.request.headers();
        assert_eq!(
            outgoing.host.to_string(),
            "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com:443"
        );
        assert_eq!(outgoing.request.uri(), "/api/logs?api-version=2016-04-01");
        assert_eq!(outgoing.certificate, ClientCertificate::NotShown);
        assert_eq!(headers["x-ms-date"], "Mon, 05 Jan 2026 08:00:00 GMT");
        assert_eq!(
            headers["authorization"],
            "SharedKey 1234a123-aa1a-123a-aaa1-a1a345aa6789:e3V1OEJHXB0mc4MuDf3ULMF8K/j7d+iHqyGNc6yqXzo="
        );
        assert_eq!(headers["log-type"], "App");
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["time-generated-field"], "CollectionTime");
        assert_eq!(outgoing.request.body(), &parcel.body);
    }

    #[test]
    fn every_table_has_a_custom_one() {
        let cases = [
            ("Syslog", "AgentLiteSyslog"),
            ("Event", "AgentLiteEvent"),
            ("W3CIISLog", "AgentLiteW3CIISLog"),
            ("App_1_CL", "App_1"),
        ];
        for (table, name) in cases {
            assert_eq!(log_type(&table.parse().unwrap()), name);
        }
    }
}
