//! `docs/unsafe.md` lists every piece of unsafe code with its proof: the list and the code are held together here, and
//! nothing else of the workspace has any.

// It reads sources, on the system where they are built.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::fs;
use std::path::Path;
use std::path::PathBuf;

const MEND: &str = "UPDATE_DOCS=1 cargo test -p agent-lite-windows --test unsafe_list";
const BEGIN: &str = "<!-- table: unsafe -->\n";
const END: &str = "<!-- end -->";

#[test]
fn the_page_lists_every_unsafe_piece_with_its_proof() {
    let page = root().join("docs/unsafe.md");
    let text = fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let mut table = "| file | code | why it is sound |\n|---|---|---|\n".to_owned();
    let sources = root().join("agent-lite/windows/src");
    let mut files = files(&sources);
    files.retain(|file| !file.ends_with("tests.rs"));
    let mut count = 0;
    for file in files {
        let name = file.strip_prefix(&sources).unwrap().display().to_string();
        for (code, proof) in pieces(&fs::read_to_string(&file).unwrap()) {
            assert!(!proof.is_empty(), "{name}: `{code}` has no proof");
            table.push_str(&format!("| {name} | `{code}` | {} |\n", proof.replace('|', "\\|")));
            count += 1;
        }
    }
    assert!(count > 20, "the search finds only {count}");
    let whole = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(page, whole).unwrap();
    }
    assert!(
        text == whole,
        "docs/unsafe.md differs from the code; read what is new, and write it anew: {MEND}"
    );
}

#[test]
fn no_other_crate_has_unsafe_code() {
    for folder in ["gateway/src", "agent-lite/src", "common/src", "tests/src", "tests/e2e", "benches/src"] {
        for file in files(&root().join(folder)) {
            let found = pieces(&fs::read_to_string(&file).unwrap());
            assert!(found.is_empty(), "{}: {found:?}", file.display());
        }
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("unsafe_code = \"forbid\""));
}

/// Returns each line with unsafe code in it, and what is said before it of why that is sound.
fn pieces(text: &str) -> Vec<(String, String)> {
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    // Tests of a file stand at its end.
    if let Some(tests) = lines.iter().position(|line| *line == "mod tests {") {
        lines.truncate(tests);
    }
    let is_code = |line: &str| !line.starts_with("//");
    let unsafe_lines = lines.iter().enumerate().filter(|(_, line)| {
        is_code(line)
            && (line.contains("unsafe {") || line.contains("unsafe impl ") || line.contains("unsafe fn "))
    });
    unsafe_lines.map(|(at, line)| (code(&lines, at, line), proof(&lines, at))).collect()
}

/// The line, and the one after it where a block begins.
fn code(lines: &[&str], at: usize, line: &str) -> String {
    let next = lines.get(at + 1).filter(|_| line.ends_with("unsafe {")).copied().unwrap_or_default();
    format!("{line} {next}").trim().to_owned()
}

/// What `SAFETY:` says above the statement; of a function, what its documentation asks of who calls it.
fn proof(lines: &[&str], at: usize) -> String {
    let above: Vec<&str> = lines[..at].to_vec();
    let begin =
        above.iter().rposition(|line| line.starts_with("// SAFETY:") || line.starts_with("/// # Safety"));
    let Some(begin) = begin.filter(|begin| at - begin < 14) else { return String::new() };
    let mut words = Vec::new();
    for line in &above[begin..] {
        match line.strip_prefix("///").or_else(|| line.strip_prefix("//")) {
            Some(comment) => words.push(comment.trim()),
            None => break,
        }
    }
    let text = words.join(" ");
    match text.strip_prefix("# Safety") {
        Some(rest) => format!("asks of its caller: {}", rest.trim()),
        None => text.trim_start_matches("SAFETY:").trim().to_owned(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
