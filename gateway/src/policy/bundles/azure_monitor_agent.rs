//! `azure-monitor-agent`: the Azure Monitor Agent on machines and their data collection rules.

use common::cloud::Cloud;

use crate::policy::bundles::Bundle;
use crate::policy::bundles::BundleHost;

const CONTROL: &str = "the agent control service";
const RULES: &str = "download of data collection rules, one host per region";
const ENDPOINT_RULES: &str = "download of data collection rules through a data collection endpoint, \
    `NAME-SUFFIX.REGION-N`; used with private link";
const INGESTION: &str = "uploads of logs to the workspace";
const ENDPOINT: &str = "uploads to a data collection endpoint, `NAME-SUFFIX.REGION-N`; wide: any endpoint \
    of any organization, so name yours in `hosts` in place of this bundle where that matters";
const OWN_METRICS: &str = "the agent's metrics about itself";

const AGENT_PAGE: &str = "Microsoft: Azure Monitor Agent network configuration";
const ENDPOINT_PAGE: &str = "Microsoft: data collection endpoints in Azure Monitor";
const PROMETHEUS_PAGE: &str = "Microsoft: Azure Monitor managed Prometheus firewall requirements";

// Left out: the custom metrics hosts (`management.azure.com`, `*.monitoring.azure.com`), because the agent
// sends those past any proxy; the agent's own metrics outside the public cloud, because Microsoft names one
// host only and its suffix rule does not fit it; in China rules through a data collection endpoint, which
// no page shows; `canary` endpoints, which are Microsoft's own.
pub(super) const BUNDLE: Bundle = Bundle {
    name: "azure-monitor-agent",
    version: "2026-11-22",
    purpose: "the Azure Monitor Agent: control, data collection rules and uploads; outside Azure the agent \
        gets its identity and its installation from the Connected Machine agent, which needs `arc`",
    hosts: &[
        BundleHost::new(Cloud::Public, "global.handler.control.monitor.azure.com", CONTROL, AGENT_PAGE),
        BundleHost::new(Cloud::Public, "*.handler.control.monitor.azure.com", RULES, AGENT_PAGE),
        BundleHost::new(
            Cloud::Public,
            "*.*.handler.control.monitor.azure.com",
            ENDPOINT_RULES,
            ENDPOINT_PAGE,
        ),
        BundleHost::new(Cloud::Public, "{workspace}.ods.opinsights.azure.com", INGESTION, AGENT_PAGE),
        BundleHost::new(Cloud::Public, "*.*.ingest.monitor.azure.com", ENDPOINT, AGENT_PAGE),
        BundleHost::new(Cloud::Public, "global.prod.microsoftmetrics.com", OWN_METRICS, AGENT_PAGE),
        BundleHost::new(Cloud::UsGovernment, "global.handler.control.monitor.azure.us", CONTROL, AGENT_PAGE),
        BundleHost::new(Cloud::UsGovernment, "*.handler.control.monitor.azure.us", RULES, AGENT_PAGE),
        BundleHost::new(
            Cloud::UsGovernment,
            "*.*.handler.control.monitor.azure.us",
            ENDPOINT_RULES,
            PROMETHEUS_PAGE,
        ),
        BundleHost::new(Cloud::UsGovernment, "{workspace}.ods.opinsights.azure.us", INGESTION, AGENT_PAGE),
        BundleHost::new(Cloud::UsGovernment, "*.*.ingest.monitor.azure.us", ENDPOINT, AGENT_PAGE),
        BundleHost::new(Cloud::China, "global.handler.control.monitor.azure.cn", CONTROL, AGENT_PAGE),
        BundleHost::new(Cloud::China, "*.handler.control.monitor.azure.cn", RULES, AGENT_PAGE),
        BundleHost::new(Cloud::China, "{workspace}.ods.opinsights.azure.cn", INGESTION, AGENT_PAGE),
        BundleHost::new(Cloud::China, "*.*.ingest.monitor.azure.cn", ENDPOINT, AGENT_PAGE),
    ],
};
