//! One workspace's way out: a parcel goes in, and what the service says comes back.

use std::time::Duration;
use std::time::SystemTime;

use common::secret::Secret;
use http::StatusCode;
use uuid::Uuid;

use super::backoff::Obstacle;
use super::blob;
use crate::config::settings::LogsIngestionSettings;
use crate::record::Table;
use crate::record::Timestamp;
use crate::transport::Agent;
use crate::transport::Form;
use crate::transport::Outgoing;
use crate::transport::Parcel;
use crate::transport::Verdict;
use crate::transport::WorkspaceEndpoints;
use crate::transport::WorkspaceKey;
use crate::transport::data_collector;
use crate::transport::log_analytics_agent;
use crate::transport::logs_ingestion;
use crate::transport::reason;
use crate::transport::retry_after;
use crate::transport::verdict;
use crate::upload::gateways::GatewayReason;
use crate::upload::https::Answer;
use crate::upload::https::Channels;
use crate::upload::https::SendError;
use crate::upload::https::skew;
use crate::upload::token::AfterRefusal;
use crate::upload::token::Token;
use crate::upload::token::TokenFailure;
use crate::upload::token::TokenReason;

/// How long one request may take, a new tunnel included.
pub(super) const LONGEST_REQUEST: Duration = Duration::from_secs(60);

/// A workspace's transport with its connections.
pub struct Uplink {
    form: Form,
    agent: Agent,
    route: Route,
    channels: Channels,
    /// The token of the last request.
    shown: Option<Secret>,
}

/// What the transports differ in.
pub enum Route {
    /// By client certificate.
    LogAnalyticsAgent(WorkspaceEndpoints),
    /// By workspace key.
    DataCollector(WorkspaceEndpoints, WorkspaceKey),
    /// By token.
    LogsIngestion(LogsIngestionSettings, Box<Token>),
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The service answered.
    Answered {
        /// What it means.
        verdict: Verdict,
        /// For the operator.
        detail: String,
    },
    /// There is no answer, or none that means the service.
    Failed {
        /// What stands in the way.
        obstacle: Obstacle,
        /// When to come again, if somebody said so.
        asked: Option<Duration>,
        /// For the operator.
        detail: String,
    },
}

impl Outcome {
    /// Returns the label of the metric.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Answered { verdict, .. } => match verdict {
                Verdict::Delivered => "delivered",
                Verdict::Wait(_) => "throttled_or_failed",
                Verdict::Halve => "too_large",
                Verdict::Bisect => "bad_request",
                Verdict::Authenticate => "unauthenticated",
                Verdict::Forbidden => "forbidden",
                Verdict::Missing => "not_found",
            },
            Self::Failed { obstacle, .. } => match obstacle {
                Obstacle::Unreachable => "unreachable",
                Obstacle::Upstream => "gateway_upstream",
                Obstacle::Refused => "gateway_refused",
                Obstacle::Service => "service",
                Obstacle::Forbidden => "forbidden",
            },
        }
    }

    /// Reads a request that has no answer.
    pub(super) fn of_error(error: &SendError) -> Self {
        let (obstacle, asked) = match error {
            SendError::Gateway(error) => match &error.reason {
                GatewayReason::Credentials(note) | GatewayReason::Denied(note) => {
                    (Obstacle::Refused, note.retry_after)
                }
                GatewayReason::Busy(note) | GatewayReason::Status(_, note) => {
                    (Obstacle::Upstream, note.retry_after)
                }
                _ => (Obstacle::Unreachable, None),
            },
            SendError::OriginTls { .. } | SendError::Certificate(_) => (Obstacle::Refused, None),
            SendError::Timeout { .. } => (Obstacle::Upstream, None),
            SendError::Broken { .. } => (Obstacle::Unreachable, None),
        };
        Self::Failed { obstacle, asked, detail: format!("{error}; {}", error.what_to_change()) }
    }
}

impl Uplink {
    /// Joins a route and the connections for it.
    pub fn new(agent: Agent, route: Route, channels: Channels) -> Self {
        let form = match &route {
            Route::LogAnalyticsAgent(workspace) => {
                Form::LogAnalyticsAgent { workspace: workspace.id().to_owned() }
            }
            Route::DataCollector(..) => Form::DataCollector,
            Route::LogsIngestion(..) => Form::LogsIngestion,
        };
        Self { form, agent, route, channels, shown: None }
    }

    pub(super) fn form(&self) -> &Form {
        &self.form
    }

    pub(super) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Returns whether records of this table can be sent at all.
    pub(super) fn has_place_for(&self, table: &Table) -> bool {
        match &self.route {
            Route::LogsIngestion(settings, _) => settings.stream(table).is_some(),
            Route::LogAnalyticsAgent(_) | Route::DataCollector(..) => true,
        }
    }

    /// The service does not take the token. Returns whether another may be better.
    pub(super) fn replace_token(&mut self) -> bool {
        match (&mut self.route, self.shown.take()) {
            (Route::LogsIngestion(_, token), Some(shown)) => {
                token.refused(&shown) == AfterRefusal::FetchAnother
            }
            _ => false,
        }
    }

    /// Sends a parcel once. `retries` is how often it, or one before it, has failed in a row.
    pub(super) async fn send(&mut self, table: &Table, parcel: &Parcel, retries: u32) -> Outcome {
        let request_id = Uuid::new_v4();
        let outgoing = match &mut self.route {
            Route::LogAnalyticsAgent(workspace) => match &parcel.file_path {
                Some(file_path) => {
                    let log = log_analytics_agent::Log { table, file_path };
                    let upload = blob::Upload { workspace, agent: &self.agent, log, form: &self.form };
                    return upload.send(&mut self.channels, parcel, retries).await;
                }
                None if log_analytics_agent::is_custom_json(table) => {
                    let attempt = (request_id, retries);
                    log_analytics_agent::post_rows(workspace, &self.agent, table, parcel, attempt, now())
                }
                None => log_analytics_agent::post_items(workspace, &self.agent, parcel, request_id, retries),
            },
            Route::DataCollector(workspace, key) => {
                data_collector::post(workspace, key, table, parcel, now())
            }
            Route::LogsIngestion(settings, token) => {
                let token = match token.token().await {
                    Ok(token) => token,
                    Err(failure) => return no_token(&failure),
                };
                self.shown = Some(token.clone());
                let Some(stream) = settings.stream(table) else {
                    let detail = format!("no stream takes {table}");
                    return Outcome::Answered { verdict: Verdict::Bisect, detail };
                };
                logs_ingestion::post(&settings.endpoint, &settings.rule, &stream, &token, parcel, request_id)
            }
        };
        exchange(&mut self.channels, &self.form, &outgoing).await
    }
}

/// Sends one request and reads its answer.
async fn exchange(channels: &mut Channels, form: &Form, outgoing: &Outgoing) -> Outcome {
    match channels.send(outgoing, LONGEST_REQUEST).await {
        Ok(answer) => judge(form, &answer, outgoing),
        Err(error) => Outcome::of_error(&error),
    }
}

/// Says what an answer means, to the courier and to the operator.
pub(super) fn judge(form: &Form, answer: &Answer, outgoing: &Outgoing) -> Outcome {
    let now = SystemTime::now();
    // A date is one by the service's clock, which is not always ours.
    let asked = retry_after(&answer.headers, answer.date.unwrap_or(now));
    let verdict = verdict(form, answer.status, asked);
    let mut detail = format!("{} answers {}", outgoing.host.name(), answer.status.as_u16());
    if let Some(reason) = reason(&answer.body) {
        detail.push_str(": ");
        detail.push_str(&reason);
    }
    match answer.date.and_then(|date| skew(now, date)) {
        Some(skew) => detail.push_str(&format!("; this machine's clock is {skew}: set it")),
        None => detail.push_str(advice(answer.status)),
    }
    Outcome::Answered { verdict, detail }
}

fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "; look at tenant, client and its secret or certificate",
        403 => {
            "; look at the workspace's ID and key, at the onboarding, or at the application's role (Monitoring Metrics Publisher) on the rule; a new right takes up to 30 minutes"
        }
        404 => "; look at the endpoint, the rule and its streams; a new workspace takes a while",
        _ => "",
    }
}

fn no_token(failure: &TokenFailure) -> Outcome {
    let asked = Some(failure.wait);
    match &failure.reason {
        TokenReason::Send(error) => match Outcome::of_error(error) {
            Outcome::Failed { obstacle, detail, .. } => {
                Outcome::Failed { obstacle, asked, detail: format!("no token: {detail}") }
            }
            answered @ Outcome::Answered { .. } => answered,
        },
        reason => {
            let detail = format!("{failure}; {}", reason.what_to_change());
            Outcome::Failed { obstacle: Obstacle::Forbidden, asked, detail }
        }
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_microsecond())
}
