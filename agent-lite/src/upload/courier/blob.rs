//! Custom text of the legacy agent: four calls that put lines at the end of a blob and say so.
//!
//! The one courier of a workspace is also the only writer of its blobs, so the calls need no lock. When one
//! fails, all are done again: a block that is in no list is forgotten by the storage.

use uuid::Uuid;

use super::backoff::Obstacle;
use super::uplink::LONGEST_REQUEST;
use super::uplink::Outcome;
use super::uplink::judge;
use super::uplink::now;
use crate::transport::Agent;
use crate::transport::Form;
use crate::transport::Outgoing;
use crate::transport::Parcel;
use crate::transport::Verdict;
use crate::transport::WorkspaceEndpoints;
use crate::transport::log_analytics_agent::BlobError;
use crate::transport::log_analytics_agent::BlobPlace;
use crate::transport::log_analytics_agent::Log;
use crate::transport::log_analytics_agent::blob_done;
use crate::transport::log_analytics_agent::blob_uri;
use crate::transport::log_analytics_agent::etag;
use crate::transport::log_analytics_agent::put_block;
use crate::transport::log_analytics_agent::put_block_list;
use crate::upload::gateways::GatewayReason;
use crate::upload::https::Answer;
use crate::upload::https::Channels;
use crate::upload::https::SendError;

/// What is said in all four calls.
pub(super) struct Upload<'a> {
    pub(super) workspace: &'a WorkspaceEndpoints,
    pub(super) agent: &'a Agent,
    pub(super) log: Log<'a>,
    pub(super) form: &'a Form,
}

impl Upload<'_> {
    /// Puts a parcel's lines into the blob of their file.
    pub(super) async fn send(&self, channels: &mut Channels, parcel: &Parcel, retries: u32) -> Outcome {
        match self.put(channels, parcel, retries).await {
            Ok(outcome) | Err(outcome) => outcome,
        }
    }

    async fn put(&self, channels: &mut Channels, parcel: &Parcel, retries: u32) -> Result<Outcome, Outcome> {
        let (workspace, agent, log) = (self.workspace, self.agent, &self.log);
        let asked = blob_uri(workspace, agent, log, now(), Uuid::new_v4(), retries);
        let answer = self.call(channels, &asked).await?;
        let place = BlobPlace::parse(&answer.body, workspace).map_err(|error| no_place(&error))?;
        let block = Uuid::new_v4();
        let body = parcel.body.clone();
        let text = put_block(&place, agent, block, body, Uuid::new_v4());
        self.answered(channels, &text).await?;
        let listed = self.call(channels, &put_block_list(&place, agent, log, block, Uuid::new_v4())).await?;
        let etag = etag(&listed.headers).unwrap_or_default();
        let sent = parcel.body.len() as u64;
        let done = blob_done(workspace, agent, log, &place, sent, &etag, Uuid::new_v4());
        let answer = self.call(channels, &done).await?;
        Ok(judge(self.form, &answer, &done))
    }

    /// Sends a call that has no lines in it: that it is too large says nothing of them, so they are neither halved nor
    /// set aside.
    async fn call(&self, channels: &mut Channels, outgoing: &Outgoing) -> Result<Answer, Outcome> {
        self.answered(channels, outgoing).await.map_err(|outcome| match outcome {
            Outcome::Answered { verdict: Verdict::Halve, detail } => {
                Outcome::Failed { obstacle: Obstacle::Service, asked: None, detail }
            }
            other => other,
        })
    }

    /// Sends one of the calls; anything but success ends the upload.
    async fn answered(&self, channels: &mut Channels, outgoing: &Outgoing) -> Result<Answer, Outcome> {
        let answer = channels.send(outgoing, LONGEST_REQUEST).await;
        let answer = answer.map_err(|error| self.unanswered(&error, outgoing))?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(match judge(self.form, &answer, outgoing) {
            // The lines are text: no one of them can be bad. What is disliked is the call.
            Outcome::Answered { verdict: Verdict::Bisect, detail } => {
                Outcome::Failed { obstacle: Obstacle::Forbidden, asked: None, detail }
            }
            other => other,
        })
    }
}

impl Upload<'_> {
    /// A gateway that lets this agent to the workspace, but not to the storage of its blobs, keeps this table back; the
    /// other tables go on.
    fn unanswered(&self, error: &SendError, outgoing: &Outgoing) -> Outcome {
        match error {
            SendError::Gateway(denied)
                if matches!(denied.reason, GatewayReason::Denied(_))
                    && outgoing.host != *self.workspace.ods() =>
            {
                let detail = format!("{error}; {}", error.what_to_change());
                Outcome::Answered { verdict: Verdict::Missing, detail }
            }
            error => Outcome::of_error(error),
        }
    }
}

fn no_place(error: &BlobError) -> Outcome {
    Outcome::Failed { obstacle: Obstacle::Service, asked: None, detail: error.to_string() }
}
