//! Metrics of the admin listener: whom it turned away.

use prometheus::IntCounterVec;
use prometheus::Opts;
use prometheus::Registry;

use super::registered;

/// Why somebody was turned away at the admin listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminRefusal {
    /// The address is not in `from`.
    Network,
    /// The `Host` field names another machine.
    Host,
    /// What was asked for needs TLS, and who asks is known to nobody.
    NotShown,
    /// The TLS handshake failed.
    TlsHandshake,
    /// No credentials; a browser asks so first.
    CredentialsMissing,
    /// Wrong credentials, or a certificate that may not read.
    CredentialsRejected,
    /// Too many failed logins from the address.
    FailedLogins,
    /// Too many password checks, or pages that are kept open.
    Busy,
}

impl AdminRefusal {
    const ALL: [Self; 8] = [
        Self::Network,
        Self::Host,
        Self::NotShown,
        Self::TlsHandshake,
        Self::CredentialsMissing,
        Self::CredentialsRejected,
        Self::FailedLogins,
        Self::Busy,
    ];

    /// Returns the value of `reason` in metrics and records.
    pub fn label(self) -> &'static str {
        match self {
            Self::Network => "network_denied",
            Self::Host => "host_denied",
            Self::NotShown => "not_shown",
            Self::TlsHandshake => "tls_handshake",
            Self::CredentialsMissing => "credentials_missing",
            Self::CredentialsRejected => "credentials_rejected",
            Self::FailedLogins => "failed_logins",
            Self::Busy => "busy",
        }
    }
}

/// Those of the admin listener.
pub struct Admin(IntCounterVec);

impl Admin {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refusals = Opts::new(
            "la_gateway_admin_refusals_total",
            "Visitors that the admin listener turned away, by reason.",
        );
        let made = registered(registry, IntCounterVec::new(refusals, &["reason"])?)?;
        for reason in AdminRefusal::ALL {
            made.with_label_values(&[reason.label()]);
        }
        Ok(Self(made))
    }

    /// Counts one.
    pub fn refused(&self, reason: AdminRefusal) {
        self.0.with_label_values(&[reason.label()]).inc();
    }
}
