use std::fs;
use std::io;
use std::path::Path;

use super::rows::Rows;
use super::sampler::Tables;
use super::tables::Buffer;
use crate::parse::proc::memory::Memory;
use crate::parse::proc::system;

/// Most entries of a folder of sessions that are looked at.
const MOST_SESSIONS: usize = 4096;

/// Samples the machine as a whole.
pub(super) fn sample(tables: &mut Tables, rows: &mut Rows<'_>) {
    let memory = tables.memory.read(&mut tables.buffer).and_then(Memory::read);
    let uptime = tables.uptime.read(&mut tables.buffer).and_then(system::uptime);
    let processes = processes(&tables.roots.proc).ok().map(|found| found.count() as u64);
    let users = users(&tables.roots.run, &mut tables.buffer);
    rows.add(&tables.caption, &system::readings(processes, users, uptime, memory));
}

/// Returns the numbers of the processes.
pub(super) fn processes(proc: &Path) -> io::Result<impl Iterator<Item = u32> + use<>> {
    Ok(fs::read_dir(proc)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// Counts sessions by `utmp`, or by logind where there is no such file any more; without both nobody can
/// log in.
fn users(run: &Path, buffer: &mut Buffer) -> u64 {
    if let Ok(utmp) = buffer.fill_from(&run.join("utmp")) {
        return system::sessions(utmp);
    }
    let Ok(found) = fs::read_dir(run.join("systemd/sessions")) else { return 0 };
    let mut count = 0;
    for entry in found.take(MOST_SESSIONS).flatten() {
        // Beside each session is a pipe, which is not to be opened.
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let text = if is_file { buffer.fill_from(&entry.path()).unwrap_or_default() } else { b"" };
        count += u64::from(text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"CLASS=user")));
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_utmp_the_sessions_of_logind_are_counted() {
        let run = tempfile::tempdir().unwrap();
        let mut buffer = Buffer::new();
        assert_eq!(users(run.path(), &mut buffer), 0);
        let sessions = run.path().join("systemd/sessions");
        fs::create_dir_all(&sessions).unwrap();
        let cases = [("1", "CLASS=user\n"), ("2", "UID=1\nCLASS=user-early\n"), ("c1", "CLASS=greeter\n")];
        for (name, text) in cases {
            fs::write(sessions.join(name), format!("# private\n{text}TYPE=tty\n")).unwrap();
        }
        assert_eq!(users(run.path(), &mut buffer), 2);
        fs::write(run.path().join("utmp"), []).unwrap();
        assert_eq!(users(run.path(), &mut buffer), 0);
    }
}
