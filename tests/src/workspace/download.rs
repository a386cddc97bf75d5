//! Blobs that are only read, each by its Blob SAS URL, with versions (Azure Storage: Get Blob, conditional headers).

use ring::digest;

use super::directory::Workspace;
use super::encoding;
use super::place::Asked;
use super::place::Reply;
use super::state::State;

/// A blob that somebody has put there.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    content: Vec<u8>,
    etag: String,
}

impl Stored {
    /// Another version of what was there before.
    pub(super) fn new(content: &[u8], number: usize) -> Self {
        Self { content: content.to_vec(), etag: format!("\"0x8DE{number:012X}\"") }
    }
}

/// Returns the path and the query of a workspace's blob; the query is the same for the same path.
pub(super) fn signed(workspace: &Workspace, name: &str) -> (String, String) {
    let path = format!("/rules/{name}");
    let hash = digest::digest(&digest::SHA256, format!("{}{path}", workspace.id).as_bytes());
    let signature =
        encoding::base64(hash.as_ref()).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    (path, format!("sp=r&se=2099-01-01T00%3A00%3A00Z&spr=https&sv=2022-11-02&sr=b&sig={signature}"))
}

/// Answers Get Blob.
pub(super) fn get(state: &mut State, number: u64, asked: &Asked) -> Reply {
    let Some(workspace) = state.workspaces.iter().find(|known| known.blob() == asked.host) else {
        return Reply::empty(404);
    };
    let (path, query) = signed(workspace, asked.path.trim_start_matches("/rules/"));
    if asked.header("authorization").is_some() {
        state.ledger.problem(number, "a Blob SAS URL is all the authorization there is");
    }
    if path != asked.path || query != asked.query {
        return refuse(
            403,
            "AuthenticationFailed",
            &format!("<AuthenticationErrorDetail>{}</AuthenticationErrorDetail>", asked.query),
        );
    }
    let Some(stored) = state.stored.get(&(asked.host.clone(), path)) else {
        return refuse(404, "BlobNotFound", "");
    };
    match asked.header("if-none-match") {
        Some(known) if known == stored.etag => Reply::empty(304).header("etag", stored.etag.clone()),
        _ => Reply::with(200, "application/json", stored.content.clone()).header("etag", stored.etag.clone()),
    }
}

/// As the storage says it; a detail may quote what was asked for.
fn refuse(status: u16, code: &str, detail: &str) -> Reply {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code>{detail}</Error>");
    Reply::with(status, "application/xml", body).header("x-ms-error-code", code)
}
