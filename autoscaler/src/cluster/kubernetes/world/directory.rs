//! The Services that there are, by what they are known by and by what they may lead to.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_policy::function::FunctionName;

use crate::cluster::workload::{Key, Mark, Service, Workload};

/// A Service as the cluster has it.
#[derive(Debug)]
pub(super) struct ServiceSeen {
    pub(super) service: Service,
    pub(super) uid: Box<str>,
    /// The rules that it breaks by itself.
    pub(super) broken: Box<[String]>,
    pub(super) round: u64,
}

/// All Services. Which of them lead to a workload is found by their marks: ten thousand workloads,
/// each tried with ten thousand Services, take a quarter of a minute.
#[derive(Default)]
pub(super) struct Directory {
    /// Boxed, because a tree's nodes are half empty.
    services: BTreeMap<Key, Box<ServiceSeen>>,
    marked: BTreeSet<(Mark, Key)>,
}

impl Directory {
    pub(super) fn get(&self, key: &Key) -> Option<&ServiceSeen> {
        self.services.get(key).map(|seen| &**seen)
    }

    /// In order of what they are known by.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &ServiceSeen)> {
        self.services.iter().map(|(key, seen)| (key, &**seen))
    }

    /// The Service is this now, or is none any more; what it was before.
    pub(super) fn put(&mut self, key: &Key, seen: Option<ServiceSeen>) -> Option<ServiceSeen> {
        let before = self.services.remove(key);
        if let Some(before) = &before {
            self.marked.remove(&(before.service.mark(), key.clone()));
        }
        if let Some(seen) = seen {
            self.marked.insert((seen.service.mark(), key.clone()));
            self.services.insert(key.clone(), Box::new(seen));
        }
        before.map(|seen| *seen)
    }

    /// Those that lead to the workload, in order of what they are known by.
    pub(super) fn leading_to(&self, workload: &Workload) -> impl Iterator<Item = &Service> {
        let marked = workload.marks().flat_map(|mark| self.marked(mark));
        let leading = marked.filter(|(_, seen)| seen.service.leads_to(workload));
        leading.collect::<BTreeMap<_, _>>().into_values().map(|seen| &seen.service)
    }

    /// Those that name this workload as their target.
    pub(super) fn targeting(&self, name: &FunctionName) -> impl Iterator<Item = &Key> {
        let marked = self.marked(Mark::of_target(name));
        marked.filter(move |(_, seen)| seen.service.target() == Some(name)).map(|(key, _)| key)
    }

    fn marked(&self, mark: Mark) -> impl Iterator<Item = (&Key, &ServiceSeen)> {
        let marked = self.marked.range((mark, Key::default())..);
        let marked = marked.take_while(move |(its, _)| *its == mark);
        marked.filter_map(|(_, key)| Some((key, self.get(key)?)))
    }
}

#[cfg(test)]
mod tests {
    use dormouse_policy::function::WorkloadKind;
    use dormouse_policy::settings::Annotations;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cluster::kubernetes::objects::Workloads;
    use crate::cluster::workload::Reading;

    type Labels = BTreeMap<String, String>;

    /// Of that namespace and name, with pods of these labels.
    fn workload(namespace: &str, name: &str, labels: &Labels) -> Workload {
        let object = json!({
            "metadata": {"namespace": namespace, "name": name},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": []}},
            },
        });
        let object: Workloads = serde_json::from_value(object).unwrap();
        object.seen(WorkloadKind::Deployment).workload
    }

    /// It selects pods of these labels, or names its target.
    fn service(key: &Key, way: &Result<Labels, String>) -> ServiceSeen {
        let mut annotations = Annotations::new();
        if let Err(target) = way {
            annotations.insert("dormouse.dev/target".to_owned(), target.clone());
        }
        let spec = json!({"selector": way.as_ref().ok(), "ports": [{"port": 80}]});
        let spec = serde_json::from_value(spec).unwrap();
        let Ok(Reading::Leads(service, ..)) = Service::read(key.clone(), &annotations, spec) else {
            panic!("it leads somewhere");
        };
        ServiceSeen { service, uid: "".into(), broken: [].into(), round: 0 }
    }

    fn labels(least: usize) -> impl Strategy<Value = Labels> {
        prop::collection::btree_map("[a-c]", "[xy]{1,2}", least..3)
    }

    fn namespace() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("n"), Just("n-m")]
    }

    proptest! {
        /// Against a look at each Service.
        #[test]
        fn what_leads_to_a_workload_is_what_a_look_at_each_finds(
            steps in prop::collection::vec(
                (
                    (namespace(), "[f-h]"),
                    prop::option::of(prop_oneof![labels(1).prop_map(Ok), "[f-h]".prop_map(Err)]),
                ),
                1..20,
            ),
            of in (namespace(), "[f-h]", labels(0)),
        ) {
            let workload = workload(of.0, &of.1, &of.2);
            let mut directory = Directory::default();
            let mut plain = BTreeMap::new();
            for ((namespace, name), way) in steps {
                let key = Key::new(namespace, &name);
                let before = directory.put(&key, way.as_ref().map(|way| service(&key, way)));
                prop_assert_eq!(before.is_some(), plain.remove(&key).is_some());
                if let Some(way) = way {
                    plain.insert(key.clone(), service(&key, &way).service);
                }
                let leading = plain.values().filter(|service| service.leads_to(&workload));
                let found: Vec<_> = directory.leading_to(&workload).collect();
                prop_assert_eq!(found, leading.collect::<Vec<_>>());
                let of_target = |it: &&Service| it.target() == Some(&workload.name);
                let targeting = plain.values().filter(of_target).map(Service::key);
                let found: BTreeSet<_> = directory.targeting(&workload.name).collect();
                prop_assert_eq!(found, targeting.collect::<BTreeSet<_>>());
                prop_assert_eq!(directory.marked.len(), plain.len());
            }
        }
    }

    #[test]
    fn of_many_services_few_are_looked_at() {
        let mut directory = Directory::default();
        let shared = ("tier", "web");
        for number in 0..1_000 {
            let own = format!("app-{number}");
            let labels = [shared, ("app", &own)];
            let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let way = if number % 2 == 0 { Ok(labels.into()) } else { Err(own) };
            let key = Key::new("n", &number.to_string());
            directory.put(&key, Some(service(&key, &way)));
        }
        let labels = [shared, ("app", "app-8")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let workload = workload("n", "app-7", &labels.into());
        let tried = workload.marks().flat_map(|mark| directory.marked(mark));
        let tried: Vec<_> = tried.map(|(key, _)| key.name()).collect();
        assert_eq!(tried, ["8", "7"]);
        assert_eq!(directory.leading_to(&workload).count(), 2);
    }
}
