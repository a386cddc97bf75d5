//! What the whole gateway is at: its phase, the configuration in force, and what it has room for.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use serde::Serialize;

/// Whether what is written is what is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReloadState {
    /// The configuration file; `None` while the built-in default is in force.
    pub file: Option<PathBuf>,
    /// Twelve digits that are others for another text of the configuration, or of a file it names.
    pub hash: String,
    /// Whether changed files are taken by themselves.
    pub watch: bool,
    /// When the configuration was last found right, in seconds since 1970.
    pub last_success: u64,
    /// What is wrong with the one that is written; empty while it is in force.
    pub problems: Vec<String>,
    /// What of the configuration in force waits for a hand-over (SIGUSR2) or a restart.
    pub waits: Vec<String>,
    /// Who may go where by the configuration in force; `status` shows it at its head.
    #[serde(skip)]
    pub policy: String,
}

/// Where a gateway is between serving and its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It serves.
    #[default]
    Serving,
    /// Readiness is red, and connections are still accepted.
    LameDuck {
        /// When it drains.
        until: Instant,
    },
    /// Nothing is accepted any more.
    Draining {
        /// When the tunnels that are left are cut.
        until: Instant,
    },
}

impl Stage {
    /// Returns the word that `status` shows.
    pub fn label(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::LameDuck { .. } => "lame-duck",
            Self::Draining { .. } => "draining",
        }
    }

    /// Returns how long it lasts, unless it is for good.
    pub fn left(self) -> Option<Duration> {
        match self {
            Self::Serving => None,
            Self::LameDuck { until } | Self::Draining { until } => {
                Some(until.saturating_duration_since(Instant::now()))
            }
        }
    }
}

/// How much the gateway has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Client connections at once.
    pub connections: u32,
    /// Tunnels at once.
    pub tunnels: u32,
    /// Set-ups at once.
    pub setups: u32,
    /// Requests that wait for their set-up.
    pub setups_waiting: u32,
}

/// What the whole gateway is at.
pub struct Situation {
    began: Instant,
    stage: Mutex<Stage>,
    bounds: Mutex<Bounds>,
    reload: Mutex<ReloadState>,
}

impl Situation {
    /// Begins to serve.
    pub fn new(reload: ReloadState, bounds: Bounds) -> Self {
        Self {
            began: Instant::now(),
            stage: Mutex::default(),
            bounds: Mutex::new(bounds),
            reload: Mutex::new(reload),
        }
    }

    /// Returns for how long it has run.
    pub fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns the stage.
    pub fn stage(&self) -> Stage {
        *lock(&self.stage)
    }

    /// Goes on to another stage.
    pub fn enter(&self, stage: Stage) {
        *lock(&self.stage) = stage;
    }

    /// Returns the bounds in force.
    pub fn bounds(&self) -> Bounds {
        *lock(&self.bounds)
    }

    /// Puts other bounds in force.
    pub fn bound(&self, bounds: Bounds) {
        *lock(&self.bounds) = bounds;
    }

    /// Returns what is known of the configuration.
    pub fn reload(&self) -> ReloadState {
        lock(&self.reload).clone()
    }

    /// Changes what is known of the configuration, and returns what the change does.
    pub fn change<T>(&self, change: impl FnOnce(&mut ReloadState) -> T) -> T {
        change(&mut lock(&self.reload))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
