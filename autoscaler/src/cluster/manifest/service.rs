//! Services of a manifest.

use k8s_openapi::api::core::v1 as core;

use super::yaml::Object;
use super::{Finding, Manifests, fields};
use crate::cluster::workload::{Key, Reading, Service, Workload};

/// A Service and where it stands.
pub(super) struct InManifest {
    pub(super) service: Service,
    /// The first workload found behind it.
    pub(super) selected: Option<String>,
    /// What keeps it from leading to the workload it names.
    pub(super) misfits: Vec<Finding>,
    unused: Finding,
}

impl InManifest {
    /// Reads the object; none, with a fault or a notice, if it cannot lead to a function.
    pub(super) fn read(object: &Object<'_>, manifests: &mut Manifests) -> Option<Self> {
        let core::Service { metadata, spec, .. } = match object.typed() {
            Ok(service) => service,
            Err(fault) => {
                manifests.faults.push(fault);
                return None;
            }
        };
        let annotations = metadata.annotations.unwrap_or_default();
        let spec = spec.unwrap_or_default();
        let reading = Service::read(Key::new(&object.namespace, &object.name), &annotations, spec);
        let (service, mut notices) = match reading {
            Ok(Reading::Leads(service, broken, mut notices)) => {
                if service.is_headless() {
                    notices.push(ignored("is headless"));
                }
                let faults = broken.into_iter().map(|rule| object.finding(rule));
                manifests.faults.extend(faults);
                (Some(service), notices)
            }
            Ok(Reading::Unfit(why, mut notices)) => {
                notices.push(ignored(why));
                (None, notices)
            }
            Err(rules) => {
                let faults = rules.into_iter().map(|rule| object.finding(rule));
                manifests.faults.extend(faults);
                return None;
            }
        };
        let not_honoured = fields::not_honoured_of_service(&object.value);
        if service.is_some() && !not_honoured.is_empty() {
            let text = format!("not honoured in local mode: {}", not_honoured.join(", "));
            notices.push(text);
        }
        let notices = notices.into_iter().map(|text| object.finding(text));
        manifests.notices.extend(notices);
        let unused = object.finding("leads to no function");
        service.map(|service| Self { service, selected: None, misfits: Vec::new(), unused })
    }

    /// Looks whether it fits the workload it leads to, if it names it.
    pub(super) fn try_on(&mut self, workload: &Workload) {
        if self.service.target().is_some()
            && let Err(rules) = self.service.fits(workload)
        {
            let finding = |text| Finding { text, ..self.unused.clone() };
            self.misfits.extend(rules.into_iter().map(finding));
        }
    }

    /// The notice that nothing stands behind it.
    pub(super) fn unused(&self) -> Finding {
        self.unused.clone()
    }
}

fn ignored(why: &str) -> String {
    format!("{why}: no requests can arrive through it; ignored")
}
