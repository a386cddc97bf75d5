//! `fake-azure`: one workspace on this machine, for a look at gateway and agent without Azure.

// Rows are what this program is for.
#![allow(clippy::print_stdout)]

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use end_to_end::pki::Pki;
use end_to_end::workspace::FakeWorkspaces;
use end_to_end::workspace::Row;
use end_to_end::workspace::Workspace;

/// Stands in for Azure: takes what agents send to one workspace, and prints each row as one line.
#[derive(Parser)]
struct Arguments {
    /// The workspace's ID.
    #[arg(short, long)]
    workspace: String,
    /// The workspace's key, in base64; made from the ID and printed if there is none.
    #[arg(short = 's', long)]
    key: Option<String>,
    /// The domain of its services.
    #[arg(short, long, default_value = "opinsights.azure.com")]
    domain: String,
    /// Where to listen.
    #[arg(short, long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where the certificate of its authority is written, in PEM.
    #[arg(long, default_value = "azure-ca.pem")]
    ca: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    let mut workspace = Workspace::new(&arguments.workspace).with_domain(&arguments.domain);
    if let Some(key) = &arguments.key {
        workspace = workspace.with_key(key);
    }
    let pki = Pki::new();
    std::fs::copy(pki.authority_file(), &arguments.ca).expect("the authority's file can be written");
    let azure = FakeWorkspaces::start_at(arguments.listen, &pki, std::slice::from_ref(&workspace)).await;
    introduce(&azure, &workspace);
    let mut known = 0;
    loop {
        for (_, row) in azure.next_rows().await {
            println!("{}", line(&row));
        }
        let problems = azure.problems();
        problems.iter().skip(known).for_each(|problem| eprintln!("{:?}: {}", problem.place, problem.text));
        known = problems.len();
    }
}

fn introduce(azure: &FakeWorkspaces, workspace: &Workspace) {
    eprintln!("workspace {} with the key {}", workspace.id, workspace.key_text());
    eprintln!("rule {} at {}", workspace.rule, workspace.endpoint);
    eprintln!("tenant {}, client {}, secret {}", workspace.tenant, workspace.client, workspace.secret);
    eprintln!("for the gateway:\n[dns.hosts]");
    azure.names().iter().for_each(|name| eprintln!("\"{name}\" = [\"{}\"]", azure.address()));
}

/// `Syslog  edge7  hello`
fn line(row: &Row) -> String {
    let text = |name: &str| row.columns.get(name).and_then(|value| value.as_str()).unwrap_or("-");
    let computer = if row.columns.contains_key("Computer_s") { "Computer_s" } else { "Computer" };
    let rest = match row.message() {
        "" => serde_json::to_string(&row.columns).unwrap_or_default(),
        message => message.replace(['\r', '\n'], " "),
    };
    format!("{}  {}  {rest}", row.table, text(computer))
}
