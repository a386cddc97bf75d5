//! The legacy Log Analytics agent's protocol: onboarded by workspace ID and key, known by its certificate from
//! then on (oms-protocol, sections 1 to 3).

use http::uri::PathAndQuery;
use uuid::Uuid;

use super::Agent;
use super::ClientCertificate;
use super::Outgoing;
use super::Parcel;
use super::WorkspaceEndpoints;
use super::data_collector::TIME_FIELD;
use super::data_collector::log_type;
use super::times::http_date;
use crate::record::Table;
use crate::record::Timestamp;

mod blob;
mod reply;
mod topology;

pub use self::blob::BlobError;
pub use self::blob::BlobPlace;
pub use self::blob::Log;
pub use self::blob::blob_done;
pub use self::blob::blob_uri;
pub use self::blob::etag;
pub use self::blob::put_block;
pub use self::blob::put_block_list;
pub use self::reply::RenewalEndpoint;
pub use self::reply::TopologyError;
pub use self::reply::TopologyReply;
pub use self::topology::Machine;
pub use self::topology::onboarding;
pub use self::topology::renew;
pub use self::topology::telemetry;
pub use self::topology::topology;

/// What the agent calls itself.
const APPLICATION: &str = "LinuxMonitoringAgent";

/// Returns the request with a parcel of items. `retries` counts the tries before this one.
pub fn post_items(
    workspace: &WorkspaceEndpoints,
    agent: &Agent,
    parcel: &Parcel,
    request_id: Uuid,
    retries: u32,
) -> Outgoing {
    data(workspace, "/OperationalData.svc/PostJsonDataItems", agent, request_id)
        .field("x-ms-client-request-retry-count", itoa::Buffer::new().format(retries))
        .field_if("content-encoding", parcel.encoding)
        .body(parcel.body.clone())
}

/// Returns whether the rows of a table go to a custom one: what the legacy agent for Linux has no items for.
pub fn is_custom_json(table: &Table) -> bool {
    match table {
        Table::Event | Table::W3cIisLog => true,
        Table::Syslog | Table::Perf | Table::Heartbeat | Table::Operation | Table::Custom(_) => false,
    }
}

/// Returns the request with a parcel of rows for a custom table (oms-protocol, section 3.1, "custom JSON table").
pub fn post_rows(
    workspace: &WorkspaceEndpoints,
    agent: &Agent,
    table: &Table,
    parcel: &Parcel,
    (request_id, retries): (Uuid, u32),
    now: Timestamp,
) -> Outgoing {
    data(workspace, "/OperationalData.svc/PostJsonDataItems?api-version=2016-04-01", agent, request_id)
        .field("x-ms-client-request-retry-count", itoa::Buffer::new().format(retries))
        .field("log-type", &log_type(table))
        .field("x-ms-date", &http_date(now))
        .field("time-generated-field", TIME_FIELD)
        .field_if("content-encoding", parcel.encoding)
        .body(parcel.body.clone())
}

/// Begins a request to the host that takes data.
fn data(workspace: &WorkspaceEndpoints, path: &'static str, agent: &Agent, request_id: Uuid) -> Outgoing {
    let path = PathAndQuery::from_static(path);
    Outgoing::post(workspace.ods(), path, ClientCertificate::Shown)
        .field("content-type", "application/json")
        .identity(agent, request_id)
        .field("x-ms-azureregion", "OnPremise")
        .field("x-ms-uuid", &agent.machine_uuid)
}

impl Outgoing {
    fn identity(self, agent: &Agent, request_id: Uuid) -> Self {
        self.field("user-agent", &user_agent(agent))
            .field("x-ms-app", APPLICATION)
            .field("x-ms-client-version", agent.version)
            .field("x-ms-client-platform", "Linux")
            .field("x-request-id", &request_id.hyphenated().to_string())
    }
}

fn user_agent(agent: &Agent) -> String {
    format!("{APPLICATION}/{}", agent.version)
}
