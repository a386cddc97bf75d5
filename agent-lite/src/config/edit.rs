//! What onboarding writes into the configuration: the gateway and one workspace. Comments and order stay.

use toml_edit::Array;
use toml_edit::DocumentMut;
use toml_edit::Item;
use toml_edit::Table;
use toml_edit::value;

/// What is to stand in the configuration afterwards. Passwords are in it, so it has no `Debug`.
#[derive(Clone, Default)]
pub struct Changes {
    /// The gateways, if they are to be others.
    pub proxies: Option<Vec<String>>,
    /// The file with the gateways' roots, if it is to be another.
    pub gateway_ca: Option<String>,
    /// The file with Azure's roots, if it is to be another.
    pub azure_ca: Option<String>,
    /// The state folder, if it is to be another.
    pub state: Option<String>,
    /// The workspace's GUID, lower case.
    pub workspace: String,
    /// Its domain, `opinsights.azure.com` and its like.
    pub domain: String,
    /// Its name here, if it is to have one.
    pub name: Option<String>,
}

/// The file is not one that can be edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// No TOML. What stands in the line is not shown: it may be a password.
    #[error("line {line}: {what}")]
    Toml {
        /// The line, from 1 on.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// Something else stands where a table must.
    #[error("`{0}` must be a table, as in `[{0}]`")]
    NoTable(String),
}

/// Returns the text of a configuration with the changes.
pub fn edited(text: &str, changes: &Changes) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse().map_err(|error| unreadable(text, &error))?;
    if let Some(proxies) = &changes.proxies {
        let gateway = table(document.as_table_mut(), "gateway")?;
        gateway.insert("proxies", value(proxies.iter().collect::<Array>()));
        gateway.remove("proxy_conf");
    }
    if let Some(ca) = &changes.gateway_ca {
        table(document.as_table_mut(), "gateway")?.insert("ca", value(ca));
    }
    if let Some(ca) = &changes.azure_ca {
        table(document.as_table_mut(), "azure")?.insert("ca", value(ca));
    }
    if let Some(state) = &changes.state {
        table(document.as_table_mut(), "agent")?.insert("state", value(state));
    }
    let workspaces = table(document.as_table_mut(), "workspace")?;
    workspaces.set_implicit(true);
    let name = changes.name.clone().unwrap_or_else(|| usual_name(workspaces, &changes.workspace));
    let workspace = table(workspaces, &name)?;
    workspace.insert("transport", value("log-analytics-agent"));
    workspace.insert("id", value(&changes.workspace));
    workspace.insert("domain", value(&changes.domain));
    workspace.remove("cloud");
    Ok(document.to_string())
}

fn unreadable(text: &str, error: &toml_edit::TomlError) -> EditError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    EditError::Toml {
        line: 1 + before.matches('\n').count(),
        what: error.message().trim().replace('\n', "; "),
    }
}

/// Returns the name the workspace has already, else `main` for the first, else one of its ID.
fn usual_name(workspaces: &Table, id: &str) -> String {
    let same = |(_, item): &(&str, &Item)| {
        let known = item.as_table_like().and_then(|table| table.get("id")).and_then(Item::as_str);
        known.is_some_and(|known| known.eq_ignore_ascii_case(id))
    };
    match workspaces.iter().find(same) {
        Some((name, _)) => name.to_owned(),
        None if workspaces.is_empty() => "main".to_owned(),
        None => format!("w-{}", id.get(..8).unwrap_or(id)),
    }
}

fn table<'a>(parent: &'a mut Table, name: &str) -> Result<&'a mut Table, EditError> {
    let item = parent.entry(name).or_insert_with(|| Item::Table(Table::new()));
    item.as_table_mut().ok_or_else(|| EditError::NoTable(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes() -> Changes {
        Changes {
            proxies: Some(vec!["http://edge7:p%40ss@gw:8080".to_owned()]),
            workspace: "aaaaaaaa-0000-0000-0000-000000000001".to_owned(),
            domain: "opinsights.azure.com".to_owned(),
            ..Changes::default()
        }
    }

    #[test]
    fn an_empty_file_becomes_a_configuration() {
        assert_eq!(
            edited("", &changes()).unwrap(),
            "[gateway]\nproxies = [\"http://edge7:p%40ss@gw:8080\"]\n\n[workspace.main]\ntransport = \"log-analytics-agent\"\n\
             id = \"aaaaaaaa-0000-0000-0000-000000000001\"\ndomain = \"opinsights.azure.com\"\n"
        );
    }

    #[test]
    fn comments_and_everything_else_stay() {
        let before = "# ours\n[gateway] # the way out\nproxies = [\"old\"]\nconnect = \"5s\"\n\n[workspace.plant]\n\
                      id = \"AAAAAAAA-0000-0000-0000-000000000001\"\ncap = \"2GiB\" # much\n";
        let after = edited(before, &changes()).unwrap();
        for kept in
            ["# ours\n", "# the way out", "connect = \"5s\"", "cap = \"2GiB\" # much", "[workspace.plant]"]
        {
            assert!(after.contains(kept), "{kept} is missing in\n{after}");
        }
        assert!(!after.contains("old") && !after.contains("workspace.main"), "{after}");
    }

    #[test]
    fn a_second_workspace_gets_a_name_of_its_own_and_gateways_stay_if_none_are_given() {
        let before = "[gateway]\nproxies = [\"kept\"]\n[workspace.main]\nid = \"b\"\n";
        let after = edited(before, &Changes { proxies: None, ..changes() }).unwrap();
        assert!(after.contains("kept") && after.contains("[workspace.w-aaaaaaaa]"), "{after}");
        assert!(edited("gateway = 1\n", &changes()).unwrap_err().to_string().contains("[gateway]"));
    }

    #[test]
    fn a_file_that_is_no_toml_shows_no_password() {
        for text in
            ["\n[gateway]\nproxies = [\"http://u:hunter2@gw\" x]\n", "\n\nproxies = \"http://u:hunter2@gw\n"]
        {
            let error = edited(text, &changes()).unwrap_err().to_string();
            assert!(error.starts_with("line 3: ") && !error.contains("hunter2"), "{error}");
        }
    }
}
