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

/// Returns whether rows of a table go as custom JSON: the agent's own types of data are known for the others only.
pub fn is_custom_json(table: &Table) -> bool {
    matches!(table, Table::Event)
}

/// Returns the request with a parcel of custom JSON (oms-protocol, section 3.1, second row).
pub fn post_custom(
    workspace: &WorkspaceEndpoints,
    agent: &Agent,
    table: &Table,
    parcel: &Parcel,
    attempt: Attempt,
) -> Outgoing {
    data(workspace, "/OperationalData.svc/PostJsonDataItems?api-version=2016-04-01", agent, attempt.id)
        .field("log-type", &log_type(table))
        .field("x-ms-date", &http_date(attempt.now))
        .field("time-generated-field", TIME_FIELD)
        .field("x-ms-client-request-retry-count", itoa::Buffer::new().format(attempt.retries))
        .field_if("content-encoding", parcel.encoding)
        .body(parcel.body.clone())
}

/// Which request this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// A new one each time.
    pub id: Uuid,
    /// The tries before this one.
    pub retries: u32,
    /// When.
    pub now: Timestamp,
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
