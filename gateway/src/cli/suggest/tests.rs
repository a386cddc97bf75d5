use super::*;
use la_gateway::config;
use la_gateway::config::Source;
use proptest::prelude::*;

fn config() -> Config {
    let text = "[role.\"odd ]\\n name\"]\nanonymous_from = [\"10.20.0.0/16\"]\nmode = \"report\"\n";
    config::parse(Source { file: Path::new("gateway.toml"), text }).expect("is right")
}

proptest! {
    #[test]
    fn whatever_the_fields_hold_what_is_printed_is_toml_with_roles_of_the_configuration_only(
        fields in proptest::collection::vec(("[a-z.\"\\[\\]\n#]{0,20}", any::<String>(), any::<String>(), any::<bool>()), 1..20),
    ) {
        let config = config();
        let mut text = String::new();
        for (host, time, client, denied) in fields {
            let line = serde_json::json!({
                "timestamp": time, "target": "access", "role": "odd ]\n name", "host": host, "port": 443,
                "client": client, "verdict": if denied { "refused" } else { "carried" },
                "reason": "host_denied", "would_refuse": if denied { "" } else { "host_denied" },
            });
            text.push_str(&format!("{line}\n"));
        }
        let roles: Vec<&str> = config.roles.all.iter().map(|summary| &*summary.role.name).collect();
        let records = Records::read(text.as_bytes(), &roles, &Span::default()).expect("reads");
        let summary = config.roles.all.first().expect("a role");
        let what = Arguments { top: 10, ..Arguments::default() };
        let printed = print::toml(&records, &[for_role(&records, 0, summary, &what)]);
        let document: toml_edit::DocumentMut = printed.parse().expect("toml");
        let keys: Vec<&str> = document.iter().map(|(key, _)| key).collect();
        prop_assert_eq!(keys, ["role"]);
        let role = document.get("role").and_then(|role| role.get("odd ]\n name")).and_then(|role| role.as_table());
        let known = ["bundles", "workspaces", "storage_accounts", "hosts"];
        prop_assert!(role.expect("its role").iter().all(|(key, _)| known.contains(&key)));
    }
}
