//! The services of Azure Monitor, by host name.

/// A service of Azure Monitor, told from the others by its host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `{workspace}.ods.opinsights.…`: ingestion.
    Ods,
    /// `{workspace}.oms.opinsights.…`: onboarding; wants a client certificate.
    Oms,
    /// `{account}.blob.core.…`.
    Blob,
    /// `….azure-automation.…`.
    Automation,
    /// `{region}.handler.control.monitor.azure.…`: control of the Azure Monitor Agent.
    Handler,
    /// `{dce}.{region}.ingest.monitor.azure.…`: Logs Ingestion; wants a bearer token.
    Ingestion,
    /// `login.…`: tokens.
    Token,
}

impl Family {
    /// Returns the family a host name belongs to.
    pub fn of(host: &str) -> Option<Self> {
        let patterns = [
            (".ods.opinsights.", Self::Ods),
            (".oms.opinsights.", Self::Oms),
            (".blob.core.", Self::Blob),
            (".azure-automation.", Self::Automation),
            (".handler.control.monitor.azure.", Self::Handler),
            (".ingest.monitor.azure.", Self::Ingestion),
            ("login.", Self::Token),
        ];
        patterns.into_iter().find(|(pattern, _)| host.contains(pattern)).map(|(_, family)| family)
    }
}
