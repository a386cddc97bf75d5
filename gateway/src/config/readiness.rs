//! The canaries that are walked to, checked against what the roles may reach.

use common::document::Problem;
use common::document::Source;

use super::Roles;
use super::file;
use crate::policy::canaries;
use crate::policy::canaries::Canaries;
use crate::policy::readiness::Settings;

/// Most canaries that may be named.
const MOST_CANARIES: usize = 32;

pub(super) fn settings(written: &file::Readiness) -> Settings {
    Settings { interval: written.interval.0.0, failures: written.failures.get(), red_when: written.red_when }
}

pub(super) fn canaries(
    written: &file::Readiness,
    roles: &Roles,
    source: Source<'_>,
    problems: &mut Vec<Problem>,
) -> Canaries {
    let each = || roles.all.iter().map(|summary| (summary.cloud, &summary.role.destinations));
    let mut named: Vec<canaries::Canary> = Vec::new();
    for (turn, written) in written.canaries.0.iter().enumerate() {
        let name = written.get_ref();
        let mut problem = |text: String| problems.push(source.problem(written.span(), text));
        if turn == MOST_CANARIES {
            problem(format!("there are more than {MOST_CANARIES} canaries; one for each class is enough"));
        }
        match canaries::find(name, each()) {
            // Where a role could not be read, its hosts are not known.
            None if roles.all.is_empty() => {}
            None => problem(format!(
                "no role may reach `{name}`, so no agent goes there; name a host that a role's bundles or hosts allow"
            )),
            Some(_) if named.iter().any(|other| other.host() == name) => {
                problem(format!("`{name}` stands here twice; remove one"));
            }
            Some(canary) => named.push(canary),
        }
    }
    canaries::complete(named, each())
}
