//! The agent's status as a table, for a person.

use std::collections::BTreeMap;

use agent_lite::agent::status::Status;
use agent_lite::agent::status::WorkspaceStatus;
use agent_lite::events::OneLine;
use comfy_table::CellAlignment;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jiff::Timestamp;

/// Returns the lines. Times are as long ago as they are at `now`.
pub(super) fn table(status: &Status, now: Timestamp) -> String {
    let started = ago(&status.started, now);
    let mut text = format!(
        "agent-lite {} on {}, started {started}\nsends through {}\n\n",
        status.version, status.computer, status.gateway
    );
    let mut workspaces = with_header(
        &["WORKSPACE", "TRANSPORT", "DELIVERED", "LAST", "WAITING", "QUEUE", "OLDEST", "LOSSES"],
        &[2, 4],
    );
    for workspace in &status.workspaces {
        workspaces.add_row(row(workspace, now));
    }
    push(&mut text, &workspaces);
    for workspace in &status.workspaces {
        if let Some(trouble) = &workspace.trouble {
            text.push_str(&format!("\n{} takes nothing: {}\n", workspace.name, OneLine(trouble)));
        }
    }
    let mut sources = with_header(&["SOURCE", "COLLECTED", "LOSSES"], &[1]);
    for source in &status.sources {
        sources.add_row([source.name.clone(), source.collected.to_string(), losses(&source.losses)]);
    }
    text.push('\n');
    push(&mut text, &sources);
    for source in &status.sources {
        for note in &source.notes {
            text.push_str(&format!("{}: {}\n", source.name, OneLine(note)));
        }
    }
    for one in &status.inherited {
        text.push_str(&format!(
            "\nnot sent: {} records of agent {}, of which this machine is a clone, found {}: `agent-lite inherited`\n",
            one.records,
            OneLine(one.agent_id.as_deref().unwrap_or("?")),
            ago(&one.found, now),
        ));
    }
    text
}

fn row(workspace: &WorkspaceStatus, now: Timestamp) -> [String; 8] {
    let size = bytesize::ByteSize::b;
    let when = |time: &Option<String>| time.as_deref().map_or_else(|| "-".to_owned(), |time| ago(time, now));
    [
        workspace.name.clone(),
        workspace.transport.clone(),
        workspace.delivered.to_string(),
        when(&workspace.last_delivery),
        workspace.queue_records.to_string(),
        format!("{} of {}", size(workspace.queue_bytes), size(workspace.queue_cap)),
        when(&workspace.queue_oldest),
        losses(&workspace.losses),
    ]
}

fn with_header(names: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(names);
    for number in numbers {
        if let Some(column) = table.column_mut(*number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Appends a table, without the padding at the ends of its lines.
fn push(text: &mut String, table: &Table) {
    for line in table.lines() {
        text.push_str(line.trim());
        text.push('\n');
    }
}

fn losses(losses: &BTreeMap<String, u64>) -> String {
    let each: Vec<String> = losses.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    if each.is_empty() { "-".to_owned() } else { each.join(", ") }
}

/// Returns how long ago a time was, in its two largest units; as it is written where it is no time.
fn ago(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return OneLine(time).to_string() };
    let seconds = now.duration_since(time).as_secs();
    match seconds {
        ..=0 => "now".to_owned(),
        1..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m {}s ago", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m ago", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h ago", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use agent_lite::agent::status::InheritedStatus;
    use agent_lite::agent::status::SourceStatus;

    use super::*;

    #[test]
    fn a_person_reads_what_waits_and_why() {
        let status = Status {
            version: "1".to_owned(),
            computer: "edge7".to_owned(),
            started: "2026-01-01T00:00:00Z".to_owned(),
            gateway: "http://agent@gateway:8080".to_owned(),
            workspaces: vec![WorkspaceStatus {
                name: "main".to_owned(),
                transport: "logs-ingestion".to_owned(),
                queue_bytes: 2048,
                queue_cap: 1 << 30,
                queue_records: 7,
                queue_oldest: Some("2026-01-02T03:03:20Z".to_owned()),
                delivered: 3,
                last_delivery: None,
                trouble: Some("the gateway answers\n407".to_owned()),
                losses: [("dropped".to_owned(), 5)].into(),
            }],
            sources: vec![SourceStatus {
                name: "syslog.local".to_owned(),
                collected: 10,
                losses: BTreeMap::new(),
                notes: vec!["a.evtx: 3 of 9 MiB read".to_owned()],
            }],
            inherited: vec![InheritedStatus {
                found: "2026-01-02T03:03:20Z".to_owned(),
                agent_id: Some("a".to_owned()),
                records: 12,
                bytes: 1,
                folder: String::new(),
            }],
        };
        let now = "2026-01-02T03:04:05Z".parse().expect("a time");
        let expected = [
            "agent-lite 1 on edge7, started 1d 3h ago",
            "sends through http://agent@gateway:8080",
            "",
            "WORKSPACE  TRANSPORT       DELIVERED  LAST  WAITING  QUEUE               OLDEST   LOSSES",
            "main       logs-ingestion          3  -           7  2.0 KiB of 1.0 GiB  45s ago  dropped 5",
            "",
            "main takes nothing: the gateway answers\\n407",
            "",
            "SOURCE        COLLECTED  LOSSES",
            "syslog.local         10  -",
            "syslog.local: a.evtx: 3 of 9 MiB read",
            "",
            "not sent: 12 records of agent a, of which this machine is a clone, found 45s ago: `agent-lite inherited`",
        ];
        let shown = table(&status, now);
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "{shown}");
    }

    #[test]
    fn what_is_no_time_is_shown_as_it_is_and_cannot_write_to_the_terminal() {
        let now = "2026-01-02T03:04:05Z".parse().expect("a time");
        assert_eq!(ago("2026-01-02T03:04:06Z", now), "now");
        assert_eq!(ago("2026-01-02T02:01:05Z", now), "1h 3m ago");
        assert!(!ago("\x1b[2J", now).contains('\x1b'));
    }
}
