//! What a manifest says of scaling, for those who set some of it otherwise before it is judged.

use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::{Annotations, ClusterDefaults};

use super::{Finding, Manifests, Source, defaults, workload, yaml};

/// The annotations of a manifest, not judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotated {
    /// Its workloads that are opted in, in order of appearance.
    pub workloads: Vec<AnnotatedWorkload>,
    /// What holds where annotations are absent.
    pub defaults: ClusterDefaults,
}

/// The annotations of one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnotatedWorkload {
    /// Its name.
    pub name: FunctionName,
    /// `spec.replicas` as written.
    pub replicas: Option<i32>,
    /// Its own annotations.
    pub annotations: Annotations,
    /// Those of its pod template.
    pub template: Annotations,
}

/// Reads manifests as far as scaling goes.
///
/// # Errors
/// What cannot be read of them, each object.
pub fn annotated(sources: &[Source]) -> Result<Annotated, Vec<Finding>> {
    let mut manifests = Manifests::default();
    let (mut workloads, mut config_maps) = (Vec::new(), Vec::new());
    for source in sources {
        for object in yaml::objects(source, &mut manifests.faults) {
            match object.kind.as_str() {
                "Deployment" | "StatefulSet" => match workload::annotated(&object) {
                    Ok(workload) => workloads.extend(workload),
                    Err(fault) => manifests.faults.push(fault),
                },
                _ if defaults::are_in(&object) => config_maps.push(object),
                _ => {}
            }
        }
    }
    let defaults = defaults::read(&config_maps, &mut manifests);
    match manifests.faults.is_empty() {
        true => Ok(Annotated { workloads, defaults }),
        false => Err(manifests.faults),
    }
}
