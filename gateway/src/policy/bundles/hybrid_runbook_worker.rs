//! `hybrid-runbook-worker`: Azure Automation's workers and State Configuration nodes.

use common::cloud::Cloud;

use crate::policy::bundles::Bundle;
use crate::policy::bundles::BundleHost;

const JOBS: &str = "job runtime data of an Automation account, `ACCOUNT-ID.jrds.LOCATION`";
const AGENT_SERVICE: &str = "agent service of an Automation account, `ACCOUNT-ID.agentsvc.LOCATION`";
const WEBHOOKS: &str = "webhooks of an Automation account, `ACCOUNT-ID.webhook.LOCATION`";
const WORKSPACE: &str = "agent service of the workspace, for workers that were registered through it";
const REGIONAL: &str = "the older names, one per region and service (`LOCATION-jobruntimedata-prod-su1` and \
    its kind), still answering; wide: every region of the service";
const GERMANY: &str = "Germany West Central as Microsoft listed it in July 2024, under a domain of its own, \
    perhaps a remnant of the closed German cloud; `azure-automation.net` covers the region too";

const RECORDS_PAGE: &str = "Microsoft: DNS records for Azure regions used by Azure Automation";
const AUTOMATION_PAGE: &str = "Microsoft: Azure Automation network configuration details";
const DNS_ZONE_PAGE: &str = "Microsoft: private endpoint DNS zone values";
const CHINA_WORKER_PAGE: &str = "Azure China: Hybrid Runbook Worker network planning";

// The `usge-*.usgovtrafficmanager.net` names of old agents are left out: they are retired, and a name in a
// traffic manager domain can be claimed by another customer once it is released.
pub(super) const BUNDLE: Bundle = Bundle {
    name: "hybrid-runbook-worker",
    version: "2026-11-22",
    purpose: "Hybrid Runbook Workers and State Configuration nodes of Azure Automation; a worker that is an \
        extension of an Arc machine also needs `arc`, an older one also `log-analytics`",
    hosts: &[
        BundleHost::new(Cloud::Public, "*.jrds.*.azure-automation.net", JOBS, RECORDS_PAGE),
        BundleHost::new(Cloud::Public, "*.agentsvc.*.azure-automation.net", AGENT_SERVICE, RECORDS_PAGE),
        BundleHost::new(Cloud::Public, "*.webhook.*.azure-automation.net", WEBHOOKS, RECORDS_PAGE),
        BundleHost::new(
            Cloud::Public,
            "{workspace}.agentsvc.azure-automation.net",
            WORKSPACE,
            AUTOMATION_PAGE,
        ),
        BundleHost::new(Cloud::Public, "*.azure-automation.net", REGIONAL, RECORDS_PAGE),
        BundleHost::new(Cloud::Public, "*.jrds.dewc.azure-automation.de", GERMANY, RECORDS_PAGE),
        BundleHost::new(Cloud::Public, "*.agentsvc.dewc.azure-automation.de", GERMANY, RECORDS_PAGE),
        BundleHost::new(Cloud::Public, "*.webhook.dewc.azure-automation.de", GERMANY, RECORDS_PAGE),
        BundleHost::new(Cloud::UsGovernment, "*.jrds.*.azure-automation.us", JOBS, RECORDS_PAGE),
        BundleHost::new(Cloud::UsGovernment, "*.agentsvc.*.azure-automation.us", AGENT_SERVICE, RECORDS_PAGE),
        BundleHost::new(Cloud::UsGovernment, "*.webhook.*.azure-automation.us", WEBHOOKS, RECORDS_PAGE),
        BundleHost::new(
            Cloud::UsGovernment,
            "{workspace}.agentsvc.azure-automation.us",
            WORKSPACE,
            DNS_ZONE_PAGE,
        ),
        BundleHost::new(Cloud::UsGovernment, "*.azure-automation.us", REGIONAL, RECORDS_PAGE),
        BundleHost::new(Cloud::China, "*.jrds.*.azure-automation.cn", JOBS, RECORDS_PAGE),
        BundleHost::new(Cloud::China, "*.agentsvc.*.azure-automation.cn", AGENT_SERVICE, RECORDS_PAGE),
        BundleHost::new(Cloud::China, "*.webhook.*.azure-automation.cn", WEBHOOKS, RECORDS_PAGE),
        BundleHost::new(
            Cloud::China,
            "{workspace}.agentsvc.azure-automation.cn",
            WORKSPACE,
            CHINA_WORKER_PAGE,
        ),
        BundleHost::new(Cloud::China, "*.azure-automation.cn", REGIONAL, CHINA_WORKER_PAGE),
    ],
};
