//! A crate's floors and how they are checked. The crates' own tests bring their plans.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use crate::source_text::paths;
use crate::source_text::tokens;
use crate::source_text::without_tests;

/// Most lines of a source file.
const LONGEST_FILE: usize = 400;

/// The floors of one crate.
pub(crate) struct Plan {
    /// The crate's name in paths.
    pub(crate) name: &'static str,
    /// The floors from the top down. Modules of one floor do not know each other.
    pub(crate) floors: &'static [&'static [&'static str]],
    /// The imports within a floor: from, to, and why. Each is of one direction, and needed.
    pub(crate) sideways: &'static [(&'static str, &'static str, &'static str)],
    /// The modules that decide and do nothing.
    pub(crate) pure: &'static [&'static str],
    /// What stands in no pure module. `*` ends a beginning of a word.
    pub(crate) impure: &'static [&'static str],
    /// What may stand there all the same: file, word, and why.
    pub(crate) exceptions: &'static [(&'static str, &'static str, &'static str)],
}

/// A source file of the crate.
pub(crate) struct Source {
    /// Its path below `src`.
    file: String,
    /// Its module, from the crate's root.
    module: Vec<String>,
    text: String,
}

/// One use of a top-level module in another.
#[derive(Debug, PartialEq)]
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) place: String,
}

impl Plan {
    /// Says what is wrong with the crate's imports.
    pub(crate) fn wrong_imports(&self) -> Vec<String> {
        self.imports().iter().filter_map(|import| self.judge(import).err()).collect()
    }

    /// Says which permissions of this plan are not needed any more, or make a circle.
    pub(crate) fn wrong_permissions(&self) -> Vec<String> {
        let imports = self.imports();
        let mut wrong = Vec::new();
        for (from, to, why) in self.sideways {
            if !imports.iter().any(|i| i.from == *from && i.to == *to) {
                wrong.push(format!("no longer needed: {from} -> {to} ({why})"));
            }
            if self.sideways.iter().any(|back| (back.0, back.1) == (*to, *from)) {
                wrong.push(format!("a circle: {from} and {to}"));
            }
        }
        wrong
    }

    /// Returns the crate's modules, and those of the plan; none stands there twice.
    pub(crate) fn modules(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let found = sources().iter().filter_map(|source| source.module.first().cloned()).collect();
        let planned: BTreeSet<String> =
            self.floors.iter().copied().flatten().map(|name| (*name).to_owned()).collect();
        assert_eq!(
            planned.len(),
            self.floors.iter().map(|floor| floor.len()).sum::<usize>(),
            "a module stands twice"
        );
        (found, planned)
    }

    /// Says what the pure modules mention and must not, and which exceptions are not needed any more.
    pub(crate) fn wrong_words(&self) -> Vec<String> {
        let sources = sources();
        let mut for_tests: Vec<Vec<String>> = Vec::new();
        for source in &sources {
            for name in without_tests(&tokens(&source.text)).1 {
                for_tests.push([&source.module[..], &[name]].concat());
            }
        }
        let is_pure =
            |source: &Source| source.module.first().is_some_and(|first| self.pure.contains(&&**first));
        let (mut wrong, mut excused) = (Vec::new(), BTreeSet::new());
        for source in sources.iter().filter(|source| is_pure(source)) {
            if for_tests.iter().any(|module| source.module.starts_with(module)) {
                continue;
            }
            for (word, line) in self.impurities(&source.text) {
                let excuse = |known: &&(&str, &str, &str)| known.0 == source.file && known.1 == word;
                match self.exceptions.iter().find(excuse) {
                    Some(exception) => drop(excused.insert(exception)),
                    None => {
                        wrong.push(format!("{}:{line}: `{word}` in a module that does nothing", source.file))
                    }
                }
            }
        }
        let unused = self.exceptions.iter().filter(|exception| !excused.contains(exception));
        wrong.extend(unused.map(|(file, word, _)| format!("no longer needed: `{word}` in {file}")));
        wrong
    }

    /// Says what is wrong with an import.
    pub(crate) fn judge(&self, import: &Import) -> Result<(), String> {
        let Import { from, to, place } = import;
        let floor = |name: &str| self.floors.iter().position(|floor| floor.contains(&name));
        let found = |what: &str| Err(format!("{place}: `{from}` uses `{to}`, which {what}"));
        match (floor(from), floor(to)) {
            (None, _) => Err(format!("{place}: `{from}` is on no floor")),
            (_, None) => found("is on no floor"),
            (Some(from), Some(to)) if from > to => found("is on a floor above"),
            (from, to)
                if from == to && !self.sideways.iter().any(|s| s.0 == import.from && s.1 == import.to) =>
            {
                found("is on the same floor")
            }
            _ => Ok(()),
        }
    }

    fn imports(&self) -> Vec<Import> {
        let of = |source: &Source| self.imports_of(&source.file, &source.module, &source.text);
        sources().iter().flat_map(of).collect()
    }

    /// Returns the other top-level modules that a file names, by `crate::`, the crate's name, `self::` or
    /// `super::`.
    pub(crate) fn imports_of(&self, file: &str, module: &[String], text: &str) -> Vec<Import> {
        let Some(from) = module.first() else { return Vec::new() };
        let tokens = tokens(text);
        let mut imports = Vec::new();
        for path in paths(&tokens) {
            let mut scope = [module, &path.scope].concat();
            let target = match path.segments[0].as_str() {
                first if first == "crate" || first == self.name => path.segments.get(1).cloned(),
                "self" | "super" => {
                    let ups = path.segments.iter().filter(|segment| *segment == "super").count();
                    scope.truncate(scope.len().saturating_sub(ups));
                    scope.extend(path.segments.iter().filter(|s| *s != "super" && *s != "self").cloned());
                    scope.first().cloned()
                }
                _ => None,
            };
            if let Some(to) = target.filter(|to| to != from) {
                imports.push(Import { from: from.clone(), to, place: format!("{file}:{}", path.line) });
            }
        }
        imports
    }

    /// Returns what a pure file mentions outside its tests and must not.
    pub(crate) fn impurities(&self, text: &str) -> Vec<(&'static str, usize)> {
        let (tokens, _) = without_tests(&tokens(text));
        let mut found = Vec::new();
        for path in paths(&tokens) {
            let words = self.impure.iter().filter(|word| mentions(&path.segments, word));
            found.extend(words.map(|word| (*word, path.line)));
        }
        found
    }
}

/// Returns the source files of these folders beside the crate that are too long.
pub(crate) fn long_files(folders: &[&str], least: usize) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for folder in folders {
        collect(&root.join(folder), &mut found);
    }
    assert!(found.len() > least, "only {found:?}");
    found.retain(|file| is_long(&fs::read_to_string(file).unwrap()));
    found
}

/// Returns whether a text has more lines than a file may have.
pub(crate) fn is_long(text: &str) -> bool {
    text.lines().count() > LONGEST_FILE
}

fn mentions(path: &[String], word: &str) -> bool {
    let wanted: Vec<&str> = word.split("::").collect();
    path.windows(wanted.len()).any(|window| {
        window.iter().zip(&wanted).all(|(segment, wanted)| match wanted.strip_suffix('*') {
            Some(beginning) => segment.starts_with(beginning),
            None => segment == wanted,
        })
    })
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let file = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
        let module = stem.split('/').filter(|part| !matches!(*part, "lib" | "main")).map(str::to_owned);
        Source { module: module.collect(), file, text }
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
