//! `/api/clients`: the table of clients as JSON, by role and state, page by page.

use std::borrow::Cow;
use std::time::Instant;

use percent_encoding::percent_decode_str;

use crate::observe::fleet::ClientPage;
use crate::observe::fleet::ClientState;
use crate::observe::fleet::Fleet;
use crate::observe::fleet::MOST_OF_A_PAGE;
use crate::observe::fleet::Query;

/// Returns the page that the query of a request asks for, or what is wrong with it.
pub(super) fn page(fleet: &Fleet, query: Option<&str>) -> Result<ClientPage, String> {
    Ok(fleet.clients(&read(query.unwrap_or_default())?, Instant::now()))
}

/// Reads `role`, `state`, `after` and `limit`, each at most once, percent-encoded.
fn read(text: &str) -> Result<Query, String> {
    let mut query = Query::default();
    let mut seen = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if seen.contains(&name) {
            return Err(format!("`{}` stands twice", name.escape_debug()));
        }
        seen.push(name);
        let value: Cow<'_, str> = percent_decode_str(value)
            .decode_utf8()
            .map_err(|_| format!("`{}` is not UTF-8", name.escape_debug()))?;
        match name {
            "role" => query.role = Some(value.into_owned()),
            "after" => query.after = Some(value.into_owned()),
            "state" => query.state = Some(state(&value)?),
            "limit" => query.limit = limit(&value)?,
            _ => return Err(format!("`{}`: write role, state, after or limit", name.escape_debug())),
        }
    }
    Ok(query)
}

fn state(text: &str) -> Result<ClientState, String> {
    let found = ClientState::ALL.into_iter().find(|state| state.label() == text);
    found.ok_or_else(|| format!("`state={}`: write active or silent", text.escape_debug()))
}

fn limit(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST_OF_A_PAGE).contains(number));
    number
        .ok_or_else(|| format!("`limit={}`: write a number from 1 to {MOST_OF_A_PAGE}", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_a_whole_or_refused() {
        let whole = read("role=agents&state=silent&after=user%3Aann%20b&limit=5").expect("a query");
        let wanted = Query {
            role: Some("agents".into()),
            state: Some(ClientState::Silent),
            after: Some("user:ann b".into()),
            limit: 5,
        };
        assert_eq!(whole, wanted);
        assert_eq!(read(""), Ok(Query::default()));
        for wrong in
            ["state=gone", "limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "x=1", "role=%ff", "\n"]
        {
            let said = read(wrong).expect_err(wrong);
            assert!(!said.contains('\n'), "{said:?}");
        }
    }
}
