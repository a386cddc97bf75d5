//! Control groups for memory (version 1): a process may have so much more than it has now.

use std::path::PathBuf;

const ROOT: &str = "/sys/fs/cgroup/memory";

/// The groups of a run, which go with it.
pub(crate) struct Groups {
    root: Option<PathBuf>,
}

impl Groups {
    /// Looks whether groups can be made here.
    pub(crate) fn new() -> Self {
        let root = PathBuf::from(ROOT).join(format!("lagw-chaos-{}", std::process::id()));
        let usable = std::fs::create_dir(&root).is_ok() && root.join("memory.limit_in_bytes").exists();
        Self { root: usable.then_some(root) }
    }

    /// Lets a process have so many bytes more than it has now.
    pub(crate) fn squeeze(&self, name: &str, pid: u32, bytes: u64) -> bool {
        let Some(group) = self.root.as_ref().map(|root| root.join(name)) else { return false };
        // It is there already, when this is not the first time.
        let _ = std::fs::create_dir(&group);
        let limited = std::fs::write(group.join("memory.limit_in_bytes"), "-1").is_ok();
        let moved = std::fs::write(group.join("cgroup.procs"), pid.to_string()).is_ok();
        // What it had stays charged to where it was, what it had in an earlier time here counts.
        let used = std::fs::read_to_string(group.join("memory.usage_in_bytes")).unwrap_or_default();
        let limit = used.trim().parse().unwrap_or(0) + bytes;
        limited && moved && std::fs::write(group.join("memory.limit_in_bytes"), limit.to_string()).is_ok()
    }

    /// Lets it have what it wants again.
    pub(crate) fn release(&self, name: &str) {
        if let Some(root) = &self.root {
            let _ = std::fs::write(root.join(name).join("memory.limit_in_bytes"), "-1");
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let Some(root) = &self.root else { return };
        for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(entry.path());
        }
        let _ = std::fs::remove_dir(root);
    }
}
