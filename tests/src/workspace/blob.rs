//! Custom text logs by blobs: URI, blocks, block list, notification (`oms-protocol.md` 3.4).

use std::collections::HashMap;
use std::time::Duration;
use std::time::SystemTime;

use ring::rand::SecureRandom;
use ring::rand::SystemRandom;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::encoding;
use super::items::known_agent;
use super::notification;
use super::place::Asked;
use super::place::Reply;
use super::state::Agent;
use super::state::State;
use super::xml::Document;

const LONGEST_BLOCK: usize = 100_000_000;
const LIFE: Duration = Duration::from_secs(600);
const GROUP: &str = "00000000-0000-0000-0000-000000000002";

/// One append-like blob.
pub(super) struct Blob {
    pub(super) workspace: String,
    pub(super) table: String,
    pub(super) host: String,
    pub(super) guid: String,
    pub(super) file_path: String,
    /// The query of the URI that was given last.
    sas: String,
    expires: SystemTime,
    committed: Vec<String>,
    waiting: HashMap<String, Vec<u8>>,
    /// All committed bytes.
    pub(super) content: Vec<u8>,
    /// The sizes at which the block list was ever put.
    pub(super) ends: Vec<usize>,
    pub(super) etag: String,
    /// Up to where the service was notified.
    pub(super) notified: usize,
}

impl Blob {
    fn new(agent: Agent, table: String, host: String) -> Self {
        Self {
            workspace: agent.workspace,
            table,
            host,
            guid: agent.guid,
            file_path: String::new(),
            sas: String::new(),
            expires: SystemTime::UNIX_EPOCH,
            committed: Vec::new(),
            waiting: HashMap::new(),
            content: Vec::new(),
            ends: vec![0],
            etag: String::new(),
            notified: 0,
        }
    }

    /// Puts the listed blocks behind what is there, or says what is wrong with the list.
    fn commit(&mut self, list: &Document) -> Result<(), String> {
        let entries: Vec<(&str, &str)> = list.children().map(|(kind, id)| (kind, id.trim())).collect();
        let known = self.committed.len();
        let (old, new) = entries.split_at(known.min(entries.len()));
        if !old.iter().copied().eq(self.committed.iter().map(|id| ("Committed", id.as_str()))) {
            // The real service would take it, and forget what is not listed.
            return Err(format!("InvalidBlockList: the {known} committed blocks are not listed first"));
        }
        for (kind, id) in new {
            if *kind != "Uncommitted" || !self.waiting.contains_key(*id) {
                return Err(format!("InvalidBlockList: {kind} {id}"));
            }
        }
        for (_, id) in new {
            let block = self.waiting.remove(*id).unwrap_or_default();
            self.content.extend_from_slice(&block);
            self.committed.push((*id).to_owned());
        }
        self.waiting.clear();
        self.ends.push(self.content.len());
        self.etag = format!("0x8D{:013X}", self.content.len() * 4096 + self.committed.len());
        Ok(())
    }
}

/// Answers `GetBlobUploadUri`.
pub(super) fn uri(state: &mut State, number: u64, asked: &Asked) -> Reply {
    let agent = match known_agent(state, number, asked) {
        Ok(agent) => agent,
        Err(reply) => return reply,
    };
    if asked.header("content-encoding").is_some() {
        state.ledger.problem(number, "GetBlobUploadUri is never compressed");
    }
    let Ok(body) = serde_json::from_slice::<Map<String, Value>>(&asked.body) else {
        return refuse(state, number, 400, "the body is no JSON object".to_owned());
    };
    let (suffix, table, host) = match suffix(&body, &agent.workspace, &agent.guid) {
        Ok(found) => found,
        Err(wrong) => return refuse(state, number, 400, wrong),
    };
    let Some(workspace) = state.workspaces.iter().find(|known| known.id == agent.workspace) else {
        return Reply::empty(404);
    };
    let path = format!("/{}/{suffix}", workspace.id);
    let base = format!("https://{}{path}", workspace.blob());
    let (sas, expires) = (new_sas(), asked.now + LIFE);
    let blob = state.blobs.entry(path).or_insert_with(|| Blob::new(agent, table, host));
    (blob.sas, blob.expires) = (sas, expires);
    let committed = (!blob.committed.is_empty()).then(|| blob.committed.clone());
    let size = blob.content.len();
    let uri = format!("{base}?{}", blob.sas);
    Reply::json(200, &json!({ "Uri": uri, "CommittedBlockList": committed, "Size": size }))
}

/// Answers Put Block.
pub(super) fn block(state: &mut State, number: u64, asked: &Asked) -> Reply {
    check_headers(state, number, asked);
    let id = asked.parameter("blockid").unwrap_or_default();
    let decoded = encoding::from_base64(&id).unwrap_or_default();
    if decoded.is_empty() || decoded.len() > 64 {
        return refuse(state, number, 400, format!("InvalidQueryParameterValue: the block ID is {id:?}"));
    }
    if id.len() != 48 {
        state.ledger.problem(number, format!("the block ID has {} characters, not 48", id.len()));
    }
    if asked.body.is_empty() || asked.body.len() > LONGEST_BLOCK {
        return refuse(state, number, 413, format!("a block of {} bytes", asked.body.len()));
    }
    let blob = match granted(state, asked, &["comp", "blockid"]) {
        Ok(blob) => blob,
        Err(wrong) => return refuse(state, number, 403, wrong),
    };
    let known = blob.committed.first().or(blob.waiting.keys().next());
    if known.is_some_and(|known| known.len() != id.len()) {
        return refuse(state, number, 400, "InvalidBlobOrBlock: block IDs differ in length".to_owned());
    }
    blob.waiting.insert(id, asked.body.to_vec());
    Reply::empty(201)
}

/// Answers Put Block List.
pub(super) fn block_list(state: &mut State, number: u64, asked: &Asked) -> Reply {
    check_headers(state, number, asked);
    let file_path = asked.header("x-ms-meta-filepath").unwrap_or_default().to_owned();
    if file_path.is_empty() {
        state.ledger.problem(number, "there is no x-ms-meta-FilePath");
    }
    let list = std::str::from_utf8(&asked.body).map_err(|_| "no UTF-8".to_owned()).and_then(Document::parse);
    let list = match list {
        Ok(list) if list.root == "BlockList" => list,
        _ => return refuse(state, number, 400, "InvalidXmlDocument: the block list is no XML".to_owned()),
    };
    let blob = match granted(state, asked, &["comp"]) {
        Ok(blob) => blob,
        Err(wrong) => return refuse(state, number, 403, wrong),
    };
    if let Err(wrong) = blob.commit(&list) {
        return refuse(state, number, 400, wrong);
    }
    blob.file_path = file_path;
    let etag = format!("\"{}\"", blob.etag);
    Reply::empty(201).header("etag", etag)
}

/// Answers `PostBlobUploadNotification`.
pub(super) fn done(state: &mut State, number: u64, asked: &Asked) -> Reply {
    let agent = match known_agent(state, number, asked) {
        Ok(agent) => agent,
        Err(reply) => return reply,
    };
    match notification::take(state, number, asked, &agent) {
        Ok(rows) => Reply::empty(200).rows(rows),
        Err(wrong) => refuse(state, number, 400, wrong),
    }
}

fn refuse(state: &mut State, number: u64, status: u16, wrong: String) -> Reply {
    let code = wrong.split(':').next().unwrap_or_default().to_owned();
    state.ledger.problem(number, wrong);
    Reply::empty(status).header("x-ms-error-code", code.replace(' ', "-"))
}

/// Returns the suffix, the table and the host of a request for a URI.
fn suffix(
    body: &Map<String, Value>,
    workspace: &str,
    guid: &str,
) -> Result<(String, String, String), String> {
    let mut names: Vec<&str> = body.keys().map(String::as_str).collect();
    names.sort_unstable();
    let known = [
        "ContainerType",
        "DataTypeId",
        "ExpiryDuration",
        "SkipScanningQueue",
        "Suffix",
        "SupportWriteOnlyBlob",
    ];
    if names != known {
        return Err(format!("the body has the fields {names:?}"));
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    if text("ContainerType") != "CustomLog" || text("ExpiryDuration") != "00:10:00" {
        return Err("ContainerType or ExpiryDuration is another".to_owned());
    }
    if body["SkipScanningQueue"] != json!(true) || body["SupportWriteOnlyBlob"] != json!(true) {
        return Err("SkipScanningQueue or SupportWriteOnlyBlob is another".to_owned());
    }
    let kind = text("DataTypeId").strip_prefix("CUSTOM_LOG_BLOB.").unwrap_or_default();
    let table = kind.strip_suffix(&format!("_{workspace}")).filter(|table| table.ends_with("_CL"));
    let table = table.ok_or(format!("the DataTypeId is {}", text("DataTypeId")))?;
    let pieces: Vec<&str> = text("Suffix").split('/').collect();
    let [folder, group, host, agent, day, file] = pieces.as_slice() else {
        return Err(format!("the Suffix is {}", text("Suffix")));
    };
    let dated = day.strip_prefix("d=").is_some_and(|day| day.len() == 8 && day.parse::<u32>().is_ok());
    let hash = file.strip_suffix(".log").unwrap_or_default();
    let hashed = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    match *folder == kind && *group == GROUP && !host.is_empty() && *agent == guid && dated && hashed {
        true => Ok((text("Suffix").to_owned(), table.to_owned(), (*host).to_owned())),
        false => Err(format!("the Suffix is {}", text("Suffix"))),
    }
}

/// A query as the service signs it; its signature has characters that do not bear a second encoding.
fn new_sas() -> String {
    let mut random = [0; 30];
    SystemRandom::new().fill(&mut random).expect("random bytes");
    let signature = format!("{}+/==", encoding::base64(&random)).replace('+', "%2B").replace('/', "%2F");
    let signature = signature.replace('=', "%3D");
    format!("sv=2016-05-31&sr=b&sig={signature}&se=2099-01-01T00%3A00%3A00Z&sp=rw")
}

/// Returns the blob if the query is that of its URI, and has nothing more than these parameters.
fn granted<'a>(state: &'a mut State, asked: &Asked, more: &[&str]) -> Result<&'a mut Blob, String> {
    let path = percent_encoding::percent_decode_str(&asked.path).decode_utf8_lossy().into_owned();
    let blob = state.blobs.get_mut(&path).ok_or(format!("BlobNotFound: {path}"))?;
    let rest = asked.query.strip_prefix(&blob.sas).ok_or(format!("AuthenticationFailed: {}", asked.query))?;
    let names: Vec<&str> =
        rest.split('&').skip(1).map(|pair| pair.split('=').next().unwrap_or_default()).collect();
    if names != more {
        return Err(format!("AuthenticationFailed: the query goes on with {names:?}"));
    }
    match asked.now < blob.expires {
        true => Ok(blob),
        false => Err("AuthenticationFailed: the URI has expired".to_owned()),
    }
}

fn check_headers(state: &mut State, number: u64, asked: &Asked) {
    for (name, expected) in [
        ("x-ms-version", Some("2016-05-31")),
        ("x-ms-meta-timezoneid", None),
        ("x-ms-meta-computername", None),
    ] {
        let found = asked.header(name).map(str::to_owned);
        if found.is_none() || expected.is_some_and(|expected| found.as_deref() != Some(expected)) {
            state.ledger.problem(number, format!("{name} is {found:?}"));
        }
    }
    if asked.header("authorization").is_some() {
        state.ledger.problem(number, "a blob's URI is all the authorization there is");
    }
}
