//! `/api/clients`: the table of clients as JSON, by role and state, page by page.

use std::borrow::Cow;
use std::time::Instant;

use percent_encoding::percent_decode_str;

use crate::observe::fleet::ClientPage;
use crate::observe::fleet::ClientState;
use crate::observe::fleet::Fleet;
use crate::observe::fleet::MOST_OF_A_PAGE;
use crate::observe::fleet::Query;
use crate::observe::fleet::Sort;

/// Longest text that is searched for, in bytes.
const LONGEST_SEARCH: usize = 200;

/// Returns the page that the query of a request asks for, or what is wrong with it.
pub(super) fn page(fleet: &Fleet, query: Option<&str>) -> Result<ClientPage, String> {
    Ok(fleet.clients(&read(query.unwrap_or_default())?, Instant::now()))
}

/// Reads what is asked for, each parameter at most once, percent-encoded.
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
            "refused" => query.refused = Some(refused(&value)?),
            "search" => query.search = Some(search(value)?),
            "sort" => query.sort = sort(&value)?,
            "offset" => query.offset = offset(&value)?,
            "limit" => query.limit = limit(&value)?,
            _ => {
                let known = "role, state, refused, search, sort, offset, after or limit";
                return Err(format!("`{}`: write {known}", name.escape_debug()));
            }
        }
    }
    match query.after.is_some() && (query.sort != Sort::Id || query.offset > 0) {
        true => {
            Err("`after` goes with the order of ids alone; write `offset` for a page of another order"
                .to_owned())
        }
        false => Ok(query),
    }
}

fn state(text: &str) -> Result<ClientState, String> {
    let found = ClientState::ALL.into_iter().find(|state| state.label() == text);
    found.ok_or_else(|| format!("`state={}`: write active or silent", text.escape_debug()))
}

fn refused(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`refused={}`: write true or false", text.escape_debug()))
}

fn search(text: Cow<'_, str>) -> Result<String, String> {
    match text.len() <= LONGEST_SEARCH {
        true => Ok(text.into_owned()),
        false => Err(format!("`search` is longer than {LONGEST_SEARCH} bytes")),
    }
}

fn sort(text: &str) -> Result<Sort, String> {
    let found = Sort::ALL.into_iter().find(|sort| sort.label() == text);
    let known = || Sort::ALL.map(Sort::label).join(", ");
    found.ok_or_else(|| format!("`sort={}`: write one of {}", text.escape_debug(), known()))
}

fn offset(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`offset={}`: write a number", text.escape_debug()))
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
            ..Query::default()
        };
        assert_eq!(whole, wanted);
        assert_eq!(read(""), Ok(Query::default()));
        let sorted = read("sort=bytes&offset=200&refused=true&search=10.0").expect("a query");
        assert_eq!((sorted.sort, sorted.offset, sorted.refused), (Sort::Bytes, 200, Some(true)));
        for wrong in [
            "sort=x",
            "offset=-1",
            "refused=1",
            "sort=bytes&after=a",
            "offset=1&after=a",
            "state=gone",
            "limit=0",
            "limit=1001",
            "limit=x",
            "limit=1&limit=2",
            "x=1",
            "role=%ff",
            "\n",
        ] {
            let said = read(wrong).expect_err(wrong);
            assert!(!said.contains('\n'), "{said:?}");
        }
    }
}
