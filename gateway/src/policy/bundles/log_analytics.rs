//! `log-analytics`, the default: the four host families of a machine that reports to a workspace.

use common::cloud::Cloud;

use crate::policy::bundles::Bundle;
use crate::policy::bundles::BundleHost;

const ONBOARDING: &str = "onboarding, configuration and certificate renewal of the workspace";
const INGESTION: &str = "uploads of logs and metrics to the workspace";
const BLOB: &str = "uploads of custom logs and large solution data; wide: any storage account, also one \
    outside your organization, so narrow it with `storage_accounts`";
const AUTOMATION: &str =
    "Azure Automation, one host per region and service; wide: every region of the service";
const AGENT_SERVICE: &str = "Azure Automation's agent service of the workspace";

const AGENT_PAGE: &str = "Microsoft: Log Analytics agent network requirements";
const AUTOMATION_PAGE: &str = "Microsoft: Azure Automation network configuration details";
const FIREWALL_PAGE: &str = "Microsoft: Kubernetes monitoring firewall requirements";
const DNS_ZONE_PAGE: &str = "Microsoft: private endpoint DNS zone values";
const CHINA_AGENT_PAGE: &str = "Azure China: Log Analytics agent network requirements";
const CHINA_WORKER_PAGE: &str = "Azure China: Hybrid Runbook Worker network planning";

pub(super) const BUNDLE: Bundle = Bundle {
    name: "log-analytics",
    version: "2026-11-22",
    purpose: "the Log Analytics agent and what speaks its protocol: onboarding, uploads, blob and Azure \
        Automation",
    hosts: &[
        BundleHost::new(Cloud::Public, "{workspace}.ods.opinsights.azure.com", INGESTION, AGENT_PAGE),
        BundleHost::new(Cloud::Public, "{workspace}.oms.opinsights.azure.com", ONBOARDING, AGENT_PAGE),
        BundleHost::new(Cloud::Public, "{account}.blob.core.windows.net", BLOB, AGENT_PAGE),
        BundleHost::new(
            Cloud::Public,
            "{workspace}.agentsvc.azure-automation.net",
            AGENT_SERVICE,
            AUTOMATION_PAGE,
        ),
        BundleHost::new(Cloud::Public, "*.azure-automation.net", AUTOMATION, AGENT_PAGE),
        BundleHost::new(
            Cloud::UsGovernment,
            "{workspace}.ods.opinsights.azure.us",
            INGESTION,
            AUTOMATION_PAGE,
        ),
        BundleHost::new(
            Cloud::UsGovernment,
            "{workspace}.oms.opinsights.azure.us",
            ONBOARDING,
            AUTOMATION_PAGE,
        ),
        BundleHost::new(Cloud::UsGovernment, "{account}.blob.core.usgovcloudapi.net", BLOB, AUTOMATION_PAGE),
        BundleHost::new(
            Cloud::UsGovernment,
            "{workspace}.agentsvc.azure-automation.us",
            AGENT_SERVICE,
            DNS_ZONE_PAGE,
        ),
        BundleHost::new(Cloud::UsGovernment, "*.azure-automation.us", AUTOMATION, AUTOMATION_PAGE),
        BundleHost::new(Cloud::China, "{workspace}.ods.opinsights.azure.cn", INGESTION, FIREWALL_PAGE),
        BundleHost::new(Cloud::China, "{workspace}.oms.opinsights.azure.cn", ONBOARDING, FIREWALL_PAGE),
        BundleHost::new(Cloud::China, "{account}.blob.core.chinacloudapi.cn", BLOB, CHINA_AGENT_PAGE),
        BundleHost::new(
            Cloud::China,
            "{workspace}.agentsvc.azure-automation.cn",
            AGENT_SERVICE,
            CHINA_WORKER_PAGE,
        ),
        BundleHost::new(Cloud::China, "*.azure-automation.cn", AUTOMATION, CHINA_AGENT_PAGE),
    ],
};
